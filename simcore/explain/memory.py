"""Rules 1, 2 and 10: bytes that need not move, or not so slowly."""

from __future__ import annotations

from collections.abc import Iterator

from simcore import format
from simcore.explain.rules import Candidate, Context, name_of, same
from simcore.explain.sketch import Sketch, Step, View, overlaps, variant
from simcore.isa.table import TENSOR, VECTOR, rows
from simcore.layout import layout, psum
from simcore.tensor import Storage
from simcore.trace import Operand

PE = 128


def input_reloads(c: Context) -> Iterator[Candidate]:
    """Tiles filled by the same loads as an earlier tile, per line."""
    first: dict[tuple, Fill] = {}
    again: dict[int, list[tuple[Fill, Fill]]] = {}
    for fill in fills(c.sketch):
        original = first.setdefault(fill.signature, fill)
        if original is not fill:
            again.setdefault(fill.loads[0].site, []).append((fill, original))
    for site, pairs in again.items():
        kept = {original.loads[0]: original for _, original in pairs}
        room = sum(o.bytes_per_partition for o in kept.values())
        if room > 0.75 * c.machine.sbuf.bytes_per_partition:
            continue  # it cannot all stay: a trade-off of block sizes, not a fault of this line
        sources = {o.source.id: name_of(c.sketch, o.source) for o in kept.values()}
        moved, once = sum(f.nbytes for f, _ in pairs), sum(o.nbytes for o in kept.values())
        message = (
            f"{' and '.join(dict.fromkeys(sources.values()))} {'are' if len(sources) > 1 else 'is'} loaded "
            f"{moved / once + 1:.3g} times: {format.size(once)} once, {format.size(moved)} again; "
            f"keeping it takes {format.size(room)} of each partition of SBUF"
        )
        yield Candidate("input-reload", site, sum(len(f.loads) for f, _ in pairs), message, _keep(pairs))


class Fill:
    """A tile between its first load and its next: which loads filled it and who read it."""

    def __init__(self):
        self.loads: list[Step] = []
        self.readers: list[Step] = []
        self.pure = True  # nothing but loads wrote it
        self.versions: list[int] = []

    @property
    def signature(self) -> tuple:
        return tuple(
            (s.reads()[0].key, version, s.writes()[0].layout.id, s.writes()[0].offset)
            for s, version in zip(self.loads, self.versions, strict=True)
        )

    @property
    def source(self) -> Storage:
        return self.loads[0].reads()[0].storage

    @property
    def nbytes(self) -> int:
        return sum(s.reads()[0].layout.nbytes for s in self.loads)

    @property
    def bytes_per_partition(self) -> int:
        return sum(-(-s.writes()[0].layout.nbytes // s.writes()[0].layout.shape[0]) for s in self.loads)


def fills(sketch: Sketch) -> list[Fill]:
    """What loads put into tiles, in order.  A write after a read begins the tile anew."""
    open_: dict[int, Fill] = {}
    done: list[Fill] = []
    versions: dict[int, int] = {}
    for step in sketch.steps:
        for view in step.reads():
            fill = open_.get(view.storage.id)
            if fill is not None and step not in fill.readers[-1:]:
                fill.readers.append(step)
        for view in step.writes():
            if not view.layout.on_chip:
                versions[view.storage.id] = versions.get(view.storage.id, 0) + 1
                continue
            fill = open_.get(view.storage.id)
            if fill is None or fill.readers:
                fill = open_[view.storage.id] = Fill()
                done.append(fill)
            if step.is_load:
                fill.loads.append(step)
                fill.versions.append(versions.get(step.reads()[0].storage.id, 0))
            else:
                fill.pure = False
    return [f for f in done if f.loads and f.pure and f.readers]


def _keep(pairs: list[tuple[Fill, Fill]]):
    def rewrite(sketch: Sketch) -> None:
        instead: dict[Step, list[Step]] = {}
        for fill, original in pairs:
            kept = same(sketch, original.loads)
            for reader in same(sketch, fill.readers):
                reader.after += kept
            for load in same(sketch, fill.loads):
                instead[load] = kept
        sketch.drop(instead, instead)

    return rewrite


def unfused_passes(c: Context) -> Iterator[Candidate]:
    """HBM tensors that are neither input nor output, written and then read back."""
    stores: dict[int, list[Step]] = {}
    loads: dict[int, list[Step]] = {}
    inside = {s.id: s for s in c.sketch.storages if not s.buffer.on_chip and s.kind not in ("input", "output")}
    for step in c.sketch.steps:
        if step.is_store and step.writes()[0].storage.id in inside:
            stores.setdefault(step.writes()[0].storage.id, []).append(step)
        elif step.is_load and step.reads()[0].storage.id in stores:
            loads.setdefault(step.reads()[0].storage.id, []).append(step)
    by_line: dict[int, list[int]] = {}
    for key, back in loads.items():
        by_line.setdefault(back[0].site, []).append(key)
    for site, keys in by_line.items():
        out, back = ([s for key in keys for s in group[key]] for group in (stores, loads))
        names = " and ".join(dict.fromkeys(name_of(c.sketch, inside[key]) for key in keys))
        several = f"{len(keys)} tensors ({names}) are" if len(keys) > 1 else f"{names} is"
        saved, reloaded = (sum(s.writes()[0].layout.nbytes for s in group) for group in (out, back))
        message = f"{several} written to HBM ({format.size(saved)}) and loaded back ({format.size(reloaded)})"
        rewrite = _fuse(out, back, c.producers, c.readers)
        yield Candidate("unfused-passes", site, len(out) + len(back), message, rewrite)


def _fuse(stores: list[Step], loads: list[Step], producers, readers):
    stored: dict[int, list[Step]] = {}
    for s in stores:
        stored.setdefault(s.writes()[0].storage.id, []).append(s)

    def made_by(load: Step) -> list[Step]:
        """Who computed what the load brings back; a tile that was itself loaded back leads further."""
        view = load.reads()[0]
        found = [s for s in stored[view.storage.id] if s.index < load.index and overlaps(s.writes()[0], view)]
        return list(dict.fromkeys(p for s in found for p in producers.get(s, ())))

    def rewrite(sketch: Sketch) -> None:
        instead: dict[Step, list[Step]] = {}
        for load in loads:
            made = same(sketch, made_by(load))
            instead[sketch.original[load.index]] = made
            for reader in same(sketch, readers.get(load, ())):
                reader.after += made
        sketch.drop([*same(sketch, stores), *instead], instead)

    return rewrite


def dma_transposes(c: Context) -> Iterator[Candidate]:
    """dma_transpose, and copies whose HBM side is read element by element, per line."""
    found: dict[int, list[Step]] = {}
    for step in c.sketch.steps:
        if step.is_load and transposes(step):
            found.setdefault(step.site, []).append(step)
    for site, steps in found.items():
        moved = sum(s.reads()[0].layout.nbytes for s in steps)
        message = (
            f"{len(steps)} transfers transpose {format.size(moved)} of {name_of(c.sketch, steps[0].reads()[0].storage)}"
        )
        yield Candidate("dma-transpose", site, len(steps), message, _on_the_tensor_engine(steps))


def transposes(step: Step) -> bool:
    """Whether a load swaps partitions and free elements: neighbours in HBM end up on different partitions."""
    dst, src = step.writes()[0].layout, step.reads()[0].layout
    if dst.free < 2 or dst.shape[0] < 2 or len(src.shape) != 2:
        return False
    if step.name == "dma_transpose":
        return True
    return src.shape == (dst.shape[0], dst.free) and src.strides[0] == 1 and src.strides[1] > 1


def _on_the_tensor_engine(steps: list[Step]):
    """Load rows as they lie, 128 at a time, transpose each 128 x 128 block into PSUM, copy it to its place."""
    copy, nc_transpose, tensor_copy = (rows()[n] for n in ("dma_copy", "nc_transpose", "tensor_copy"))

    def rewrite(sketch: Sketch) -> None:
        replaced = {id(s): s for s in same(sketch, steps)}
        out: list[Step] = []
        for step in sketch.steps:
            if id(step) in replaced:
                out += blocks(sketch, step)
            else:
                out.append(step)
        dead = {step: last for step in replaced.values() if (last := _last_of(out, step))}
        sketch.steps = out
        sketch.drop([], {})
        for step in out:
            step.after = [dead.get(p, p) for p in step.after]

    def blocks(sketch: Sketch, step: Step) -> list[Step]:
        dst, src = step.view("dst"), step.view("src")
        lay = src.layout
        row, n_rows = (lay.strides[0], lay.shape[0]) if lay.strides[1] == 1 else (lay.strides[1], lay.shape[1])
        columns = dst.layout.shape[0]
        item = dst.layout.dtype
        made = []
        for r in range(0, n_rows, PE):
            count = min(PE, n_rows - r)
            tile = sketch.tile(dst, (count, columns))
            source = View(src.storage, layout((count, columns), (row, 1), lay.dtype, lay.buffer), src.offset + r * row)
            load = _new(
                copy, (("dst", "w", tile), ("src", "r", source)), step, step.variant.engine, step.variant.params
            )
            bank = sketch.tile(tile, (columns, count), psum)
            turn = _new(nc_transpose, (("dst", "w", bank), ("data", "r", tile)), step, TENSOR, {})
            place = View(
                dst.storage,
                layout((columns, count), (dst.layout.strides[0], 1), item, dst.layout.buffer),
                dst.offset + r,
            )
            move = _new(tensor_copy, (("dst", "w", place), ("src", "r", bank)), step, VECTOR, {})
            load.after = list(step.after)
            made += [load, turn, move]
        return made

    return rewrite


def _new(row, operands, like: Step, engine, params) -> Step:
    named = {p.name: params.get(p.name, p.default) for p in row.params if p.access is None and p.name != "engine"}
    v = variant(row, tuple(Operand(n, access, view.layout) for n, access, view in operands), named, engine)
    return Step(v, [view for _, _, view in operands], like.site, like.core, like.index)


def _last_of(steps: list[Step], like: Step) -> Step | None:
    return next((s for s in reversed(steps) if s.index == like.index and s is not like), None)

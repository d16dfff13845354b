"""Rules 3 and 4: engines and DMA that could work at the same time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simcore import analysis, format
from simcore.explain.loops import WANTED_DMA_BYTES
from simcore.explain.rules import Candidate, Context, name_of, same
from simcore.explain.sketch import Sketch, Step, View, overlaps
from simcore.layout import layout
from simcore.timeline import CAUSES, ENGINES

SLICES = 4
LONG_FREE = 512  # elements per partition from which slicing pays
IDLE_SHARE = 0.05  # of the span: waits shorter than this in sum are not worth a rewrite


def engine_idle(c: Context) -> Iterator[Candidate]:
    """Engines that wait for each other: for a tile to be free again, or for the whole of a large tile."""
    yield from _rotate(c)
    yield from _slice(c)


def _waiting(c: Context, causes: tuple[str, ...]) -> dict[int, int]:
    """Picoseconds engines stood idle for these causes, by the trace row that waited."""
    t, stall = c.timeline.instructions, analysis.stall_ps(c.timeline)
    rows = np.flatnonzero(np.isin(t.wait_cause, [CAUSES.index(x) for x in causes]) & (stall > 0) & (t.source_row >= 0))
    out: dict[int, int] = {}
    for row, ps in zip(t.source_row[rows].tolist(), stall[rows].tolist()):
        out[row] = out.get(row, 0) + ps
    return out


def _worth_ps(c: Context, total: int) -> bool:
    begin, end = analysis.span_ps(c.timeline)
    return total >= IDLE_SHARE * (end - begin)


def _worth(c: Context, waits: dict[int, int], steps: list[Step]) -> int:
    total = sum(waits.get(s.index, 0) for s in steps)
    return total if _worth_ps(c, total) else 0


def _rotate(c: Context) -> Iterator[Candidate]:
    """Computation that waits until a tile's last reader is done, in a tile the kernel uses over and over."""
    waits = _waiting(c, ("reuse", "bank"))
    reused = {sid for sid, parts in generations(c.sketch).items() if len(parts) > 1}
    found: dict[int, list[Step]] = {}
    for step in c.sketch.steps:
        if not step.is_dma and step.index in waits and any(w.storage.id in reused for w in step.writes()):
            found.setdefault(step.site, []).append(step)
    storages = {w.storage.id for steps in found.values() for s in steps for w in s.writes()} & reused
    if not found or not (idle := _worth(c, waits, [s for steps in found.values() for s in steps])):
        return
    site = max(found, key=lambda k: sum(waits[s.index] for s in found[k]))
    names = sorted({name_of(c.sketch, w.storage) for s in found[site] for w in s.writes() if w.storage.id in reused})
    message = (
        f"engines wait {format.time(idle)} until the last reader of {', '.join(names[:3])} is done, "
        "because every iteration uses the same tile"
    )
    yield Candidate("engine-idle", site, sum(map(len, found.values())), message, lambda s: rename(s, storages))


def _slice(c: Context) -> Iterator[Candidate]:
    """Large tiles handed from engine to engine as a whole."""
    waits = _waiting(c, ("data",))
    producers = c.producers
    t = c.timeline.instructions
    engine = dict(zip(t.source_row.tolist(), t.engine.tolist()))
    chain: dict[Step, None] = {}
    idle: dict[int, int] = {}
    for step in c.sketch.steps:
        if step.index not in waits or not _sliceable(step):
            continue
        before = [
            p
            for p in producers.get(step, ())
            if _sliceable(p) and engine.get(p.index) != engine.get(step.index) and p.views and _width(p) == _width(step)
        ]
        if before:
            chain |= dict.fromkeys([*before, step])
            idle[step.site] = idle.get(step.site, 0) + waits[step.index]
    if not chain or not _worth(c, waits, list(chain)):
        return
    site = max(idle, key=lambda k: idle[k])
    engines = [ENGINES[engine[s.index]] for s in chain if s.index in engine]
    message = (
        f"{' and '.join(dict.fromkeys(engines))} take turns on tiles of {max(map(_width, chain))} elements per "
        f"partition: an engine waits {format.time(sum(idle.values()))} for whole tiles of another"
    )
    yield Candidate("engine-idle", site, len(chain), message, _cut(list(chain)))


def _slice_loads(c: Context) -> Iterator[Candidate]:
    """Large loads that computation waits for as a whole, with what can be sliced behind them."""
    waits = _waiting(c, ("dma",))
    readers = c.readers
    late: dict[Step, int] = {}
    for step in c.sketch.steps:
        if step.is_load and _sliceable_dma(step) and _tile_bytes(step) >= SLICES * WANTED_DMA_BYTES:
            ps = sum(
                waits.get(r.index, 0) for r in readers.get(step, ()) if _sliceable(r) and _width(r) == _tile_width(step)
            )
            if ps:
                late[step] = ps
    if not late or not _worth_ps(c, sum(late.values())):
        return
    chain: dict[Step, None] = dict.fromkeys(late)
    for step in c.sketch.steps:
        if step in chain:
            for r in readers.get(step, ()):
                if (_sliceable(r) and _width(r) == _tile_width(step)) or (
                    r.is_store and _sliceable_dma(r) and _tile_width(r) == _tile_width(step)
                ):
                    chain[r] = None
    site = max(late, key=lambda s: late[s]).site
    message = (
        f"computation waits {format.time(sum(late.values()))} until {len(late)} large "
        f"{'loads are' if len(late) > 1 else 'load is'} complete; it could start on the first slice"
    )
    yield Candidate("unhidden-load", site, len(chain), message, _cut(list(chain)))


def _tile(step: Step) -> View:
    return next(v for v in step.views if v.layout.on_chip)


def _tile_width(step: Step) -> int:
    return _tile(step).layout.free if step.is_dma else _width(step)


def _tile_bytes(step: Step) -> int:
    return _tile(step).layout.free * _tile(step).layout.dtype.itemsize


def _sliceable_dma(step: Step) -> bool:
    """A plain copy of rows: the same two dimensions on both sides, neighbours next to each other."""
    if step.name != "dma_copy" or _tile_width(step) % SLICES:
        return False
    return all(
        len(v.layout.shape) == 2 and v.layout.strides[1] == 1 and v.layout.shape == step.views[0].layout.shape
        for v in step.views
    )


def _sliceable(step: Step) -> bool:
    """Elementwise on one tile shape of at least LONG_FREE elements (vectors of one element per partition too)."""
    if step.is_dma or step.name in ("nc_matmul", "nc_transpose", "tensor_reduce", "memset", "iota") or not step.views:
        return False
    width = _width(step)
    return (
        width >= LONG_FREE
        and width % SLICES == 0
        and all(v.layout.on_chip and (v.layout.free in (1, width)) and len(v.layout.free_dims) <= 1 for v in step.views)
    )


def _width(step: Step) -> int:
    return max(v.layout.free for v in step.views)


def _cut(steps: list[Step]):
    def rewrite(sketch: Sketch) -> None:
        chosen = set(same(sketch, steps))
        out: list[Step] = []
        last: dict[Step, Step] = {}
        run: list[Step] = []  # neighbours in program order are cut together: slice 0 of all, slice 1 of all, ...

        def flush() -> None:
            loads = [s for s in run if s.is_load]
            others = [s for s in run if not s.is_load]
            # loads are asked for before anything waits for them; then slice after slice
            for j, step in [(j, s) for group in (loads, others) for j in range(SLICES) for s in group]:
                part = Step(step.variant, list(step.views), step.site, step.core, step.index)
                part.after = list(step.after)
                sketch.change(part, **{o.name: _part(v, j) for o, v in step.operands()})
                out.append(part)
                last[step] = part
            run.clear()

        for step in sketch.steps:
            if step in chosen:
                run.append(step)
            else:
                flush()
                out.append(step)
        flush()
        sketch.steps = out
        for step in out:
            step.after = [last.get(p, p) for p in step.after]

    return rewrite


def _part(view: View, j: int) -> View:
    """Slice j of a tile along the free dimension; a vector of one element per partition as it is."""
    lay = view.layout
    if lay.on_chip and lay.free == 1:
        return view
    if not lay.on_chip:
        n = lay.shape[1] // SLICES
        return View(view.storage, layout((lay.shape[0], n), lay.strides, lay.dtype, lay.buffer), view.offset + j * n)
    stride, width = lay.free_dims[0] if lay.free_dims else (1, lay.free)
    n = width // SLICES
    return View(
        view.storage,
        layout((lay.shape[0], n), (lay.strides[0], stride), lay.dtype, lay.buffer),
        view.offset + j * n * stride,
    )


def unhidden_loads(c: Context) -> Iterator[Candidate]:
    """Computation that waits for a load which could have been started earlier."""
    yield from _slice_loads(c)
    waits = _waiting(c, ("dma",))
    producers = c.producers
    groups = load_groups(c.sketch)
    if len(groups) < 2:
        return
    late: dict[int, tuple[list[Step], int]] = {}
    for step in c.sketch.steps:
        if step.index in waits and not step.is_dma:
            for load in producers.get(step, ()):
                if load.is_load and load not in groups[0]:
                    steps, ps = late.get(load.site, ([], 0))
                    late[load.site] = (steps + [step], ps + waits[step.index])
                    break
    total = sum(ps for _, ps in late.values())
    if not late or not _worth_ps(c, total):
        return
    site, (steps, _) = max(late.items(), key=lambda item: item[1][1])
    message = (
        f"{len(steps)} instructions stand {format.time(total)} waiting for loads that are asked for only when needed"
    )
    yield Candidate("unhidden-load", site, sum(map(len, groups)), message, _prefetch)


def load_groups(sketch: Sketch) -> list[list[Step]]:
    """Loads that are asked for together: no computation between them."""
    groups: list[list[Step]] = []
    fresh = True
    for step in sketch.steps:
        if step.is_load:
            if fresh:
                groups.append([])
            groups[-1].append(step)
            fresh = False
        elif step.views:
            fresh = True
    return groups


def _prefetch(sketch: Sketch) -> None:
    """Every group of loads moves up to right behind the group before it, into tiles of its own."""
    tiles = {w.storage.id for s in sketch.steps if s.is_load for w in s.writes()}
    rename(sketch, tiles)
    groups = load_groups(sketch)
    group_of = {s: g for g, group in enumerate(groups) for s in group}
    stored: dict[int, list[tuple[int, View]]] = {}
    for i, step in enumerate(sketch.steps):
        for view in step.writes():
            if not view.layout.on_chip:
                stored.setdefault(view.storage.id, []).append((i, view))
    place = {s: i for i, s in enumerate(sketch.steps)}
    moves: dict[Step, list[Step]] = {}
    stay: set[Step] = set()
    for g, group in enumerate(groups[1:], 1):
        anchor = groups[g - 1][-1]
        for load in group:
            source = load.reads()[0]
            behind = any(
                place[anchor] < i < place[load] and overlaps(view, source)
                for i, view in stored.get(source.storage.id, ())
            )
            if behind or any(p not in group_of for p in load.after):
                stay.add(load)  # it loads what is stored in between
            else:
                moves.setdefault(anchor, []).append(load)
    moved = {load for group in moves.values() for load in group}
    out: list[Step] = []

    def emit(step: Step) -> None:
        out.append(step)

    for step in sketch.steps:
        if step in moved:
            continue
        emit(step)
    # anchors may themselves have moved: insert group by group, each behind the place its predecessor had
    position = {s: i for i, s in enumerate(out)}
    inserts: dict[int, list[Step]] = {}
    for anchor, group in moves.items():
        at = anchor if anchor in position else _before(sketch.steps, place[anchor], position)
        inserts.setdefault(position[at] if at is not None else -1, []).extend(group)
    final: list[Step] = list(inserts.get(-1, []))
    for i, step in enumerate(out):
        final.append(step)
        final += inserts.get(i, [])
    sketch.steps = final


def _before(steps: list[Step], i: int, position: dict[Step, int]) -> Step | None:
    while i >= 0:
        if steps[i] in position:
            return steps[i]
        i -= 1
    return None


# ---------------------------------------------------------------------------------------------- tiles over and over


def generations(sketch: Sketch) -> dict[int, list[list[tuple[Step, int]]]]:
    """Per on-chip storage, its uses in order, cut where it is written anew after having been read."""
    out: dict[int, list[list[tuple[Step, int]]]] = {}
    read: dict[int, bool] = {}
    for step in sketch.steps:
        for i, (o, view) in enumerate(step.operands()):
            if not view.layout.on_chip or view.storage.address is not None:
                continue
            sid = view.storage.id
            parts = out.setdefault(sid, [[]])
            if o.access == "w" and read.get(sid) and _whole(view, parts[-1]):
                parts.append([])
                read[sid] = False
            if o.access == "rw" and read.get(sid) and _starts_again(step):
                parts.append([])
                read[sid] = False
            if o.access == "r":
                read[sid] = True
            parts[-1].append((step, i))
    return out


def _whole(view: View, uses: list[tuple[Step, int]]) -> bool:
    """Whether a write replaces all that was written before in this generation."""
    from simcore.explain.sketch import covers

    return all(covers(view, s.views[i]) for s, i in uses if "w" in s.variant.operands[i].access)


def _starts_again(step: Step) -> bool:
    """A matmul that overwrites instead of accumulating."""
    accumulate = step.variant.params.get("accumulate")
    return accumulate is False or getattr(accumulate, "name", "") == "overwrite"


def rename(sketch: Sketch, storages: set[int]) -> None:
    """Give each generation of these tiles a tile of its own, as if it were allocated inside the loop."""
    for sid, parts in generations(sketch).items():
        if sid not in storages:
            continue
        for part in parts[1:]:
            old = part[0][0].views[part[0][1]].storage
            new = sketch.storage(old)
            for step, i in part:
                v = step.views[i]
                step.views[i] = View(new, v.layout, v.offset)

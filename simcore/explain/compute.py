"""Rules 6, 7 and 8: the same arithmetic with fewer or better instructions."""

from __future__ import annotations

from collections.abc import Iterator

from simcore.explain.rules import Candidate, Context, by_site, same
from simcore.explain.sketch import Sketch, Step, View, variant
from simcore.isa.table import rows
from simcore.layout import layout, row_major
from simcore.trace import Operand

SHORT = 32  # columns of a stationary tile that count as short; guide, optimisation 7: "significantly smaller than 128"
PE = 128
_INPUT = {"tensor_scalar": "data", "activation": "data", "tensor_tensor": "data1", "tensor_reduce": "data"}


# ---------------------------------------------------------------------------------------------- 6: combine


def uncombined(c: Context) -> Iterator[Candidate]:
    """Chains in which an instruction only prepares the input of the next."""
    readers, producers = c.readers, c.producers
    yield from _reductions(c, producers)
    found: dict[tuple[int, int], list[list[Step]]] = {}
    taken: set[Step] = set()
    for last in reversed(c.sketch.steps):
        if last in taken or last.name not in _INPUT:
            continue
        chain = [last]
        while (before := _folds_into(chain, readers, producers)) is not None:
            chain.insert(0, before)
        if len(chain) > 1:
            taken.update(chain)
            found.setdefault((chain[0].site, last.site), []).append(chain)
    for (site, _), chains in sorted(found.items(), key=lambda item: -len(item[1])):
        names = ", ".join(s.name for s in chains[0])
        each = f"{len(chains)} times " if len(chains) > 1 else ""
        message = f"{each}{names} run one after the other on the same tile; one instruction can do it at once"
        yield Candidate("uncombined", site, sum(map(len, chains)), message, _combine(chains))


_REDUCING = {"activation": "activation_reduce", "tensor_scalar": "tensor_scalar_reduce"}


def _reductions(c: Context, producers) -> Iterator[Candidate]:
    """Sums over a tile that the instruction which makes the tile could add up on the way."""
    found: dict[int, list[tuple[Step, Step]]] = {}
    for step in c.sketch.steps:
        if step.name != "tensor_reduce" or _op_names(step) != {"add"} or step.variant.params.get("negate"):
            continue
        data, made = step.view("data"), producers.get(step, ())
        if len(made) != 1 or made[0].name not in _REDUCING or step.view("dst").layout.free != 1:
            continue
        before, out = made[0], made[0].writes()[0]
        reduces = before.variant.params.get("reduce_op") is not None or len(before.writes()) > 1
        if (
            not reduces
            and _operators(before) == 1
            and out.storage is data.storage
            and out.layout.size == data.layout.size
        ):
            found.setdefault(step.site, []).append((before, step))
    for site, pairs in found.items():
        name = pairs[0][0].name
        message = f"{len(pairs)} times tensor_reduce adds up what {name} has just written; {_REDUCING[name]} does both"
        yield Candidate("uncombined", site, 2 * len(pairs), message, _reduce_on_the_way(pairs))


def _reduce_on_the_way(pairs: list[tuple[Step, Step]]):
    def rewrite(sketch: Sketch) -> None:
        instead = {}
        for pair in pairs:
            before, reduce = same(sketch, pair)
            v = before.variant
            operands = (*v.operands, Operand("reduce_res", "w", reduce.writes()[0].layout))
            before.variant = variant(rows()[_REDUCING[before.name]], operands, v.params, v.engine)
            before.views = [*before.views, reduce.writes()[0]]
            before.after += reduce.after
            instead[reduce] = [before]
        sketch.drop(instead, instead)

    return rewrite


def _folds_into(chain: list[Step], readers, producers) -> Step | None:
    """The step before the chain's first that the chain's last instruction could do as well."""
    first, last = chain[0], chain[-1]
    data = first.find(_INPUT.get(first.name, "data"))
    if data is None:
        return None
    made = [p for p in producers.get(first, ()) if any(w.storage is data.storage for w in p.writes())]
    if len(made) != 1 or readers.get(made[0], []) != [first]:
        return None
    before = made[0]
    whole = before.writes()[0].layout
    if (whole.shape[0], whole.free) != (data.layout.shape[0], data.layout.free) or before.core != first.core:
        return None
    return before if _can_fold(before, chain, last) else None


def _can_fold(before: Step, chain: list[Step], last: Step) -> bool:
    """What the vendor's instructions combine.  See the docstrings of nisa.activation and nisa.tensor_scalar."""
    if before.name == "tensor_scalar":
        operators = sum(_operators(s) for s in (before, *chain) if s.name == "tensor_scalar")
        affine = all(
            _op_names(s) <= {"multiply", "add", "subtract"} for s in (before, *chain) if s.name == "tensor_scalar"
        )
        if last.name == "activation":  # func(scale * x + bias): two affine operators before it, if it has none itself
            own = (
                last.find("scale") is not None or last.variant.params.get("scale", 1.0) not in (None, 1.0),
                last.find("bias") is not None or last.variant.params.get("bias") not in (None, 0, 0.0),
            )
            return affine and operators + sum(own) <= 2
        if last.name == "tensor_scalar":  # two operators at most
            return operators <= 2
        return last.name == "tensor_tensor" and operators == 1 and len(chain) == 1  # scalar_tensor_tensor
    if before.name == "tensor_tensor":  # scalar_tensor_tensor
        return last.name == "tensor_scalar" and len(chain) == 1 and _operators(last) == 1
    return False


def _operators(step: Step) -> int:
    return 1 + (step.variant.params.get("op1") is not None)


def _op_names(step: Step) -> set[str]:
    ops = (step.variant.params.get(k) for k in ("op", "op0", "op1"))
    return {getattr(o, "name", str(o)) for o in ops if o is not None}


def _combine(chains: list[list[Step]]):
    def rewrite(sketch: Sketch) -> None:
        for chain in chains:
            steps = same(sketch, chain)
            first, last = steps[0], steps[-1]
            # the last instruction takes the first one's input, and every scale or bias of the chain as an operand
            source = first.view(_INPUT[first.name])
            views = {o.name: v for o, v in last.operands()} | {_INPUT[last.name]: source}
            sketch.change(last, **views)
            extra = [v for s in steps[:-1] for o, v in s.operands() if "r" in o.access and v is not source]
            if extra:
                _add_operands(last, extra)
            for s in steps[:-1]:
                last.after += s.after
            sketch.drop(steps[:-1], {s: [last] for s in steps[:-1]})

    return rewrite


def _add_operands(step: Step, views: list[View]) -> None:
    v = step.variant
    operands = (*v.operands, *(Operand(f"operand{i}", "r", view.layout) for i, view in enumerate(views)))
    step.variant = variant(v.row, operands, v.params, v.engine)
    step.views = [*step.views, *views]


# ---------------------------------------------------------------------------------------------- 7: stationary, moving


def short_stationary(c: Context) -> Iterator[Candidate]:
    """Matmuls whose stationary tile has few columns while the moving one is long."""
    found = [
        s
        for s in c.sketch.steps
        if s.name == "nc_matmul"
        and not _is_transpose(s)
        and s.view("stationary").layout.free <= SHORT
        and s.view("moving").layout.free >= 4 * s.view("stationary").layout.free
        and s.view("moving").layout.free >= PE // 2
    ]
    for site, steps in by_site(found).items():
        one = steps[0]
        columns, width = one.view("stationary").layout.free, one.view("moving").layout.free
        message = (
            f"{len(steps)} matmuls keep {columns} column{'s' * (columns != 1)} stationary and stream {width} columns "
            f"past them, so {columns} of the array's 128 columns work"
        )
        yield Candidate("short-stationary", site, len(steps), message, _swap(steps))


def _is_transpose(step: Step) -> bool:
    from simcore.isa.tensor_engine import transpose_flag

    return transpose_flag(step.variant.params.get("is_transpose"))


def _swap(steps: list[Step]):
    """[K, N] stationary 128 columns at a time, [K, M] moving: the result [M, N] becomes [128, N / 128 * M]."""

    def rewrite(sketch: Sketch) -> None:
        swapped = set(same(sketch, steps))
        turned: dict[int, View] = {}  # result storage -> the transposed tile that takes its place
        out: list[Step] = []
        for step in sketch.steps:
            if step in swapped:
                out += pieces(sketch, step, turned)
                continue
            _follow(sketch, step, turned)
            out.append(step)
        last = {}
        for step in out:
            last[step.index] = step
        sketch.steps = out
        for step in out:
            step.after = [last.get(p.index, p) if p in swapped else p for p in step.after]

    def pieces(sketch: Sketch, step: Step, turned: dict[int, View]) -> list[Step]:
        stationary, moving, dst = (step.view(n) for n in ("stationary", "moving", "dst"))
        m, n = stationary.layout.free, moving.layout.free
        chunks = -(-n // PE)
        width = min(n, PE)
        tile = turned.get(dst.storage.id)
        if tile is None:
            tile = turned[dst.storage.id] = sketch.tile(dst, (width, chunks * m))
        made = []
        for i in range(chunks):
            count = min(PE, n - i * PE)
            lay = moving.layout
            part = View(
                moving.storage,
                layout((lay.shape[0], count), (lay.strides[0], lay.strides[-1]), lay.dtype, lay.buffer),
                moving.offset + i * PE * lay.strides[-1],
            )
            place = View(
                tile.storage,
                layout((count, m), (tile.layout.strides[0], 1), dst.layout.dtype, dst.layout.buffer),
                i * m,
            )
            new = Step(step.variant, list(step.views), step.site, step.core, step.index)
            new.after = list(step.after)
            made.append(sketch.change(new, stationary=part, moving=stationary, dst=place))
        return made

    return rewrite


def _follow(sketch: Sketch, step: Step, turned: dict[int, View]) -> None:
    """What only copies or maps the result works on the transposed tile, with 128 partitions; its own result follows."""
    if not any(v.storage.id in turned for v in step.views):
        return
    if step.is_store:
        tile = turned[step.view("src").storage.id]
        hbm = step.view("dst")
        flat = layout(tile.layout.shape, row_major(tile.layout.shape), hbm.layout.dtype, hbm.layout.buffer)
        sketch.change(step, src=tile, dst=View(hbm.storage, flat, hbm.offset))
        return
    sizes = {v.layout.size for v in step.views if v.storage.id in turned}
    if step.name == "nc_matmul" or any(v.layout.size not in sizes for v in step.views):
        return  # a shape of its own: it stays as it is, and waits for what it read by name
    views = {}
    for o, v in step.operands():
        if v.storage.id not in turned and "w" in o.access:
            like = next(turned[x.storage.id] for x in step.views if x.storage.id in turned)
            turned[v.storage.id] = sketch.tile(v, like.layout.shape)
        views[o.name] = turned.get(v.storage.id, v)
    sketch.change(step, **views)


# ---------------------------------------------------------------------------------------------- 8: transposes


def tensor_transposes(c: Context) -> Iterator[Candidate]:
    """Transposes on the Tensor engine, with the copies that bring their results to SBUF."""
    readers, producers = c.readers, c.producers
    found = [
        s
        for s in c.sketch.steps
        if (s.name == "nc_transpose" and s.writes()[0].layout.buffer.value == "psum")
        or (s.name == "nc_matmul" and _is_transpose(s))
    ]
    turns = set(found)
    for site, steps in by_site(found).items():
        copies = list(
            dict.fromkeys(
                r
                for s in steps
                for r in readers.get(s, ())
                if r.name == "tensor_copy" and all(p in turns for p in producers.get(r, ()))
            )
        )
        extra = f" and {len(copies)} copies bring the results to SBUF" if copies else ""
        message = f"{len(steps)} instructions of the Tensor engine transpose{extra}"
        yield Candidate("transposes", site, len(steps) + len(copies), message, _skip(steps, copies, readers, producers))


def _skip(steps: list[Step], copies: list[Step], readers, producers):
    """Who reads a transposed tile takes the tile before it, which arrived in the right layout."""

    def rewrite(sketch: Sketch) -> None:
        instead = {}
        for step in steps:
            data = step.find("data")  # nc_transpose; a matmul that transposes reads the identity as well
            made = [
                p for p in producers.get(step, ()) if data is None or any(w.storage is data.storage for w in p.writes())
            ]
            instead[step] = same(sketch, made)
        for copy in copies:
            instead[copy] = [p for turn in producers.get(copy, ()) if turn in instead for p in instead[turn]]
        gone = {*steps, *copies}
        for step in gone:
            for reader in readers.get(step, ()):
                if reader not in gone:
                    sketch.original[reader.index].after += instead[step]
        sketch.drop(same(sketch, gone), {sketch.original[s.index]: after for s, after in instead.items()})

    return rewrite

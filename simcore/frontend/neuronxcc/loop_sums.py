"""`nl.loop_reduce`: accumulation over the iterations of named loops."""

from __future__ import annotations

from simcore.frontend import state
from simcore.frontend.neuronxcc import calls, results
from simcore.frontend.neuronxcc.calls import operand, result_dtype
from simcore.frontend.neuronxcc.functions import FUNCTIONS
from simcore.frontend.neuronxcc.results import Result, flush, wait
from simcore.frontend.neuronxcc.tile import Tile
from simcore.isa.operators import Operator
from simcore.layout import psum, sbuf


class LoopSum(Result):
    """What loop_reduce gives: accumulates over loops in the region it is assigned to (else in a tile of its own)."""

    __slots__ = ("inner", "operator", "key", "kept")

    def __init__(self, inner: Tile, operator: Operator, key, kept: dict, dtype, mask):
        super().__init__(inner.shape, dtype, sbuf, lambda dst: None, site=state.site(state.recorder, 2),
                         par=inner.form.par_axis, targets=(sbuf, psum))
        self.inner, self.operator, self.key, self.kept = inner, operator, key, kept
        self.mask = mask

    def write_into(self, region: Tile) -> None:
        """First iteration: the value; later ones: the region and the value."""
        from simcore.frontend.neuronxcc.assign import accumulate, assign

        results.pending.clear()
        self.ready = True
        if self.mask is not False:
            where = (*self.key, region.storage, region.form, region.offset)
            inner = self.inner
            if isinstance(inner, Result) and not inner.ready:
                wait(inner)
            if where not in self.kept:
                assign(region, inner)
                self.kept[where] = region
            elif self.operator.name == "add":
                accumulate(region, inner)
            else:
                assign(region, FUNCTIONS[self.operator.name](region, inner, dtype=region.form.dtype))
            flush()
        self._storage, self.form, self.offset = region.storage, region.form, region.offset
        self.dynamic, self._tensor = region.dynamic, None

    def settle(self) -> None:
        total = self.kept.get(self.key)
        if total is None:
            from simcore.frontend.neuronxcc.creation import one_tile

            f = self.form
            buffer = psum if isinstance(self.inner, Result) and self.inner.kind == "matmul" else sbuf
            total = self.kept[self.key] = one_tile(f.shape, f.dtype, buffer, self.site, None, None, None)
        self.write_into(total)


def loop_reduce(x, op, loop_indices, *, dtype=None, mask=None, **kwargs):
    """x accumulated over the iterations of the named loops: the running value, complete after their last iteration."""
    from simcore.isa.operators import to_operator

    x = operand(x, "x")
    rec = state.recorder
    named = loop_indices if isinstance(loop_indices, tuple | list) else (loop_indices,)
    outermost = min((i.loop for i in named if hasattr(i, "loop")), default=None)
    kept = rec.__dict__.setdefault("loop_sums", {})
    waiting = isinstance(x, Result) and not x.ready
    if waiting:
        results.pending.clear()       # it is recorded where the sum goes
    else:
        flush()
    where = calls.resolve(mask, x.shape)
    made = LoopSum(x, to_operator(op), (state.site(rec, 2), rec.core, outermost), kept, result_dtype(dtype, x), where)
    results.pending.append(made)
    return made

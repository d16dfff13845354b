"""Results of calls that are not recorded yet.

A call such as `nisa.tensor_tensor(...)` gives a Result.  It is recorded when its destination is known: written straight
into `dst` by `dst[...] = nisa.f(...)`, else into a tile of its own before anything else is recorded, so the order of
the program is kept and no copy appears that the chip does not make.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

from simcore.dtypes import DType, bfloat16
from simcore.errors import KernelError
from simcore.frontend import state
from simcore.frontend.neuronxcc.forms import form
from simcore.frontend.neuronxcc.stored import fresh_form, fresh_strides, new_storage, stored_dtype
from simcore.frontend.neuronxcc.tile import Tile
from simcore.layout import MemoryRegion
from simcore.tensor import Storage


class Result(Tile):
    """What a call gives: a fresh tile whose instruction waits for its destination.

    emit(dst) records the instruction with `dst` as its result; `ready` is False until that has happened.
    kind says what else the destination may do with it ("matmul": accumulate in PSUM).
    """

    __slots__ = ("emit", "ready", "site", "kind", "targets", "late")

    def __init__(self, shape, dtype: DType, buffer: MemoryRegion, emit: Callable[[Tile], None], *, site: int,
                 kind: str = "", par: int = 0, targets=(), mask=None):
        if dtype is bfloat16:
            dtype = stored_dtype(dtype, buffer)
        self._storage = self._tensor = self.dynamic = self.late = None
        self.offset = 0
        self.form = fresh_form(tuple(shape), par, dtype, buffer)
        self.emit, self.ready, self.site, self.kind, self.mask = emit, False, site, kind, mask
        self.targets = targets or (buffer,)

    @property
    def storage(self) -> Storage:
        if not self.ready:
            flush()
        if self.late is not None:
            self._copy_late()
        return self._storage

    def keep(self) -> None:
        """The region this result was written into will change while the kernel still holds the result: keep its values.

        The copy is recorded only if the result is used again.
        """
        f = self.form
        self.late = Tile(self._storage, f, self.offset, self.dynamic)
        fresh = form(f.shape, fresh_strides(f.shape, f.par_axis), f.par, f.dtype, f.buffer)
        storage = new_storage(f.shape, f.dtype, f.buffer, f.par_axis)
        kept = Tile(storage, fresh)
        if storage.data is not None:
            kept.tensor().write(self.late.tensor().read())
        self._storage, self.form, self.offset, self.dynamic, self._tensor = storage, fresh, 0, None, None

    def _copy_late(self) -> None:
        from simcore.frontend.instructions import nisa

        source, self.late = self.late, None
        rec = state.recorder
        values, rec.values = rec.values, False
        try:
            nisa.tensor_copy(dst=Tile(self._storage, self.form).tensor(), src=source.tensor())
        finally:
            rec.values = values

    def __getitem__(self, key) -> Tile:
        if not self.ready:
            flush()
        return Tile.__getitem__(self, key)

    def write_into(self, region: Tile, accumulate: bool = False) -> None:
        """Record with `region` as the destination (added to what it holds); from now on the result is that region."""
        emit, self.emit, self.ready = self.emit, _recorded, True
        pending.clear()
        rec, site = state.recorder, self.site
        outer = rec.site
        if outer is None:
            rec.site = site
        try:
            if accumulate:
                emit(region, True)
            else:
                emit(region)
        except KernelError as e:
            e.site = rec.sites[site] if site >= 0 else e.site
            raise
        finally:
            rec.site = outer
        self._storage, self.form, self.offset, self.dynamic = region.storage, region.form, region.offset, region.dynamic
        self._tensor = None

    def settle(self) -> None:
        """Record into a tile of its own."""
        emit, self.emit, self.ready = self.emit, _recorded, True
        f = self.form
        with at_site(self.site):
            storage = new_storage(f.shape, f.dtype, f.buffer, f.par_axis)
            if self.mask is not None and storage.data is not None:
                storage.data[:] = 0        # what a mask leaves out is undefined; zeros are the kindest reading
            self._storage = storage
            emit(Tile(storage, f))


def _recorded(*args) -> None:
    """The `emit` of a result that is recorded: what the instruction needed may go."""
    raise AssertionError("an instruction is recorded once")


pending: list[Result] = []
aliases: dict[Storage, list[weakref.ref]] = {}      # results that are regions of other tiles now


def before_change(storage: Storage) -> None:
    """A tile is written: results that stand for a part of it keep what they had."""
    held = aliases.pop(storage, None)
    if held is not None:
        for ref in held:
            result = ref()
            if result is not None and result._storage is storage:
                result.keep()


def flush() -> None:
    """Record what waits, in program order."""
    while pending:
        pending.pop(0).settle()


def wait(result: Result) -> Result:
    if pending:
        flush()
    pending.append(result)
    return result


class at_site:
    """Instructions recorded inside belong to a line of the kernel noted earlier."""

    __slots__ = ("site", "before", "rec")

    def __init__(self, site: int):
        self.site = site

    def __enter__(self):
        rec = self.rec = state.recorder
        self.before = rec.site
        if self.before is None:
            rec.site = self.site

    def __exit__(self, kind, error, tb):
        self.rec.site = self.before
        if error is not None and isinstance(error, KernelError) and 0 <= self.site < len(self.rec.sites):
            error.site = self.rec.sites[self.site]

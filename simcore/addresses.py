"""Views whose place is known at run time only: a start in a register or a tile, or a start per row.

The index of such a view (`Tensor.index`) reads, writes and checks it when it is used, because what holds the address
may change until then.
"""

from __future__ import annotations

import numpy as np

from simcore.dtypes import cast
from simcore.errors import KernelError
from simcore.registers import Register
from simcore.tensor import Tensor


def moving_view(t: Tensor, view, start: int, moving) -> Tensor:
    """A view whose start depends on run-time values: [(register or one-element tile, elements per unit)]."""
    if t.index is not None:
        raise KernelError(f"{t!r} already has a run-time address; a view can have one")
    parts, tiles, known_all = [], [], True
    for value, unit in moving:
        if isinstance(value, Register) and not value.frozen:
            # the register may change before the view is used; the access is made with today's value
            value = value.copy()
        known = dynamic_value(value)
        known_all = known_all and known is not None
        start += (known or 0) * unit
        parts.append((value, unit, known or 0))
        tiles.extend((value,) if isinstance(value, Tensor) else value.sources)
    low, high = view.extent
    inside = start + low >= 0 and start + high <= storage_elements(t.storage, view.dtype)
    if not known_all:
        return Tensor(t.storage, view, start if inside else 0, Unknown(tuple(tiles)) if tiles else None)
    if inside and not tiles:
        return Tensor(t.storage, view, start, None)
    return Tensor(t.storage, view, start, ScalarIndex(tuple(parts), tuple(tiles)))


def storage_elements(storage, dtype) -> int:
    return storage.size * storage.dtype.itemsize // dtype.itemsize


class Outside:
    """The index of a view that leaves its storage: an error for whoever uses it."""

    __slots__ = ("fatal",)
    reads: tuple[Tensor, ...] = ()

    def __init__(self, fatal: str):
        self.fatal = fatal

    def array(self, t: Tensor, skip: bool = False):
        raise KernelError(self.fatal)

    read = write = valid = array


class Unknown:
    """A run-time start where only timing is wanted: nobody knows it, but whoever uses the view waits for it."""

    __slots__ = ("reads",)
    fatal = None

    def __init__(self, reads: tuple[Tensor, ...]):
        self.reads = reads


class ScalarIndex:
    """A run-time start: read when the view is used, because the tile that holds it may change before."""

    __slots__ = ("parts", "reads")
    fatal = None

    def __init__(self, parts, reads: tuple[Tensor, ...]):
        self.parts, self.reads = parts, reads

    def array(self, t: Tensor, skip: bool = False) -> np.ndarray | None:
        """The elements now, or None where they lie outside the storage and `skip` allows that."""
        start = t.offset + sum((dynamic_value(value) - before) * unit for value, unit, before in self.parts)
        low, high = t.layout.extent
        size = storage_elements(t.storage, t.dtype)
        if t.size and not (start + low >= 0 and start + high <= size):
            if skip:
                return None
            bad = start + low if start + low < 0 else start + high - 1
            raise IndexError(f"index {bad} is out of bounds for axis 0 with size {size} (dynamic "
                             f"offset into {t.name}); pass "
                             "oob_mode=nisa.oob_mode.skip to leave such an access out")
        return t.storage.array(t.layout, start)

    def read(self, t: Tensor, skip: bool = False) -> np.ndarray:
        found = self.array(t, skip)
        return np.zeros(t.shape, t.dtype.np) if found is None else found

    def write(self, t: Tensor, values: np.ndarray, skip: bool = False) -> None:
        out = self.array(t, skip)
        if out is not None:
            out[...] = cast(values, t.dtype).reshape(out.shape)

    def valid(self, t: Tensor) -> np.ndarray:
        return np.full(t.shape[0], self.array(t, True) is not None)


def dynamic_value(value) -> int | None:
    """The integer in a register or a one-element tile; None where only timing is wanted and it is not known."""
    if isinstance(value, Register):
        return value.known
    if value.storage.data is None:
        return None
    return int(value.read().reshape(-1)[0])


class RowIndex:
    """Run-time start per row: row p of the view starts at `offset + index[p] * unit` (elements of the view's dtype)."""

    __slots__ = ("rows", "unit", "limit")
    fatal = None

    def __init__(self, rows: Tensor, unit: int, limit: int):
        self.rows, self.unit, self.limit = rows, unit, limit

    @property
    def reads(self) -> tuple[Tensor, ...]:
        """Tiles that hold addresses: whoever uses the view reads them too."""
        return (self.rows,)

    def array(self, t: Tensor) -> np.ndarray:
        raise KernelError(f"{t!r} gathers rows at run time; only DMA can use it")

    def addresses(self, t: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(element addresses shaped as the view, which rows lie inside the tensor)."""
        rows = self.rows.read()
        # column-major, as the hardware walks it
        rows = rows.reshape(rows.shape[0], -1).T.reshape(-1).astype(np.int64)
        rows = rows[: t.shape[0]]
        inner = np.zeros(1, np.int64)
        for n, s in zip(t.shape[1:], t.strides[1:], strict=True):
            inner = inner[..., None] + np.arange(n, dtype=np.int64) * s
        inner = inner.reshape((1, *t.shape[1:]))
        start = (rows * self.unit + t.offset).reshape((-1,) + (1,) * (inner.ndim - 1))
        at = start + inner
        valid = (at >= 0).reshape(len(rows), -1).all(1) & (at < self.limit).reshape(len(rows), -1).all(1)
        return at, valid

    def read(self, t: Tensor, skip: bool = False) -> np.ndarray:
        at, valid = self._checked(t, skip)
        flat = t.storage.data.view(t.dtype.np)
        return flat[np.where(valid.reshape((-1,) + (1,) * (at.ndim - 1)), at, 0)]

    def write(self, t: Tensor, values: np.ndarray, skip: bool = False) -> None:
        at, valid = self._checked(t, skip)
        flat = t.storage.data.view(t.dtype.np)
        values = cast(values, t.dtype).reshape(at.shape)
        flat[at[valid]] = values[valid]

    def update(self, t: Tensor, values: np.ndarray, op, skip: bool = False) -> None:
        """Read, op and write row after row: rows with the same address see each other's result."""
        at, valid = self._checked(t, skip)
        flat = t.storage.data.view(t.dtype.np)
        at, values = at.reshape(at.shape[0], -1), values.astype(np.float32).reshape(at.shape[0], -1)
        rest = np.flatnonzero(valid)
        while len(rest):
            first = np.unique(at[rest, 0], return_index=True)[1]
            now = rest[first]
            flat[at[now]] = cast(op.apply(flat[at[now]].astype(np.float32), values[now]), t.dtype)
            rest = np.delete(rest, first)

    def valid(self, t: Tensor) -> np.ndarray:
        return self.addresses(t)[1]

    def _checked(self, t, skip):
        at, valid = self.addresses(t)
        if not skip and not valid.all():
            bad = int(np.flatnonzero(~valid)[0])
            start = int(at[bad].min())
            raise IndexError(f"index {start} is out of bounds for axis 0 with size {self.limit} (row {bad} "
                             "of an indirect access to "
                             f"{t.name}); pass oob_mode=nisa.oob_mode.skip to leave such rows out")
        return at, valid

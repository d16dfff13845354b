"""Run-time indices: a tile of integers (or a table) adds to the address of each element."""

from __future__ import annotations

import numpy as np

from simcore.addresses import RowIndex
from simcore.errors import KernelError
from simcore.layout import layout
from simcore.tensor import Tensor


class Shifted:
    """`tile + index expression`: a run-time index and a static one, together the index of one dimension."""

    __slots__ = ("tile", "index")

    def __init__(self, tile, index):
        self.tile, self.index = tile, index

    @property
    def ndim(self) -> int:
        return max(self.tile.ndim, self.index.ndim)

    def __add__(self, other) -> Shifted:
        return Shifted(self.tile, self.index + other)

    __radd__ = __add__

    def __sub__(self, other) -> Shifted:
        return Shifted(self.tile, self.index - other)

    def resolved(self):
        """A one-element tile is a number where values are known: the plain index expression, else this."""
        return self.index + (self.tile.value() or 0) if self.tile.size == 1 else self


class Gather:
    """The moving part of an access.

    parts      (tile of integers, elements per unit, size of the dimension it indexes)
    addresses  offsets from index expressions that strides cannot describe, or None
    shape      of the access; scalar: one-element indices are already in the offset
    before     (gather, key): this is a part of that gather
    """

    __slots__ = ("parts", "addresses", "shape", "scalar", "box", "order", "before")

    def __init__(self, parts, addresses, shape, scalar=False, box=None, order=None, before=None):
        self.parts, self.addresses, self.shape = parts, addresses, shape
        self.scalar, self.box, self.order, self.before = scalar, box, order, before

    @classmethod
    def table(cls, addresses) -> Gather:
        return cls((), addresses, addresses.shape)

    def clipped(self, box) -> Gather:
        if self.order is not None:
            raise NotImplementedError("a mask on a permuted run-time access")
        return Gather(self.parts, self.addresses, self.shape, self.scalar, box, before=self.before)

    def permuted(self, order) -> Gather:
        return Gather(self.parts, self.addresses, self.shape, self.scalar, self.box, tuple(order), self.before)

    def cut(self, key: tuple, shape) -> Gather:
        """The part that integers, slices and new axes leave, of that shape."""
        if not self.parts and self.addresses is None:
            return Gather((), None, shape, self.scalar)
        if self.box is not None or self.order is not None or any(
                not (k is None or k is Ellipsis or isinstance(k, slice | int | np.integer)) for k in key):
            raise KernelError("a view with run-time indices can be indexed again by integers, slices and None only; "
                              "index the tensor once with all indices")
        return Gather(self.parts, self.addresses, shape, self.scalar, before=(self, key))

    def tensor(self, tile, lay) -> Tensor:
        if not self.parts and self.addresses is None:
            return Tensor(tile.storage, layout(lay.shape, lay.strides, lay.dtype, lay.buffer, "scalar"), tile.offset)
        strides = lay.strides
        if len(self.parts) == 1 and strides and strides[0] == 0:
            strides = (self.parts[0][1], *strides[1:])
        view = layout(lay.shape, strides, lay.dtype, lay.buffer, "vector")
        rows = [(t.tensor(), t.form.core[1], t.shape, unit) for t, unit, _ in self.parts]
        return Tensor(tile.storage, view, tile.offset, Addresses(rows, self, tile.form, tile.storage.size))

    def offsets(self, rows) -> np.ndarray:
        """What to add to the address of each element, in the shape of the (clipped) access."""
        if self.before is not None:
            whole, key = self.before
            total = whole.offsets(rows)[key].reshape(self.shape)
            return total if self.box is None else total[tuple(slice(low, high) for low, high in self.box)]
        total = np.zeros((1,) * len(self.shape), np.int64) if self.addresses is None else self.addresses
        for t, order, shape, unit in rows:
            values = t.read().astype(np.int64)
            if order != tuple(range(len(order))):
                values = values.reshape([shape[k] for k in order]).transpose(np.argsort(order))
            values = values.reshape(shape)
            total = total + values.reshape((1,) * (len(self.shape) - values.ndim) + values.shape) * unit
        total = np.broadcast_to(total, self.shape)
        return total if self.box is None else total[tuple(slice(low, high) for low, high in self.box)]


class Addresses(RowIndex):
    """The core's run-time index with an address for each element."""

    __slots__ = ("gather", "form", "parts")

    def __init__(self, parts, gather: Gather, form, limit: int):
        super().__init__(parts[0][0] if parts else None, parts[0][3] if parts else 0, limit)
        self.parts, self.gather, self.form = parts, gather, form

    @property
    def reads(self) -> tuple[Tensor, ...]:
        return tuple(t for t, *_ in self.parts)

    def addresses(self, t: Tensor):
        f = self.form
        at = self.gather.offsets(self.parts) + t.offset
        if self.gather.order is not None:
            at = at.transpose(self.gather.order)
        if self.gather.addresses is None:
            for k, (n, s) in enumerate(zip(f.shape, f.strides, strict=True)):
                place = [1] * len(f.shape)
                place[k] = n
                at = at + (np.arange(n, dtype=np.int64) * s).reshape(place)
        order = f.core[1]
        if len(order) == at.ndim:
            at = at.transpose(order)
        at = at.reshape(t.shape)
        rows = at.reshape(t.shape[0], -1)
        valid = (rows >= 0).all(1) & (rows < self.limit).all(1)
        return at, valid

    def _checked(self, t, skip):
        at, valid = self.addresses(t)
        if not skip and not valid.all():
            bad = int(np.flatnonzero(~valid)[0])
            raise IndexError(f"index {int(at[bad].min())} is out of bounds for axis 0 with size {self.limit}")
        return at, valid

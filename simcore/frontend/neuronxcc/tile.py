"""Tiles of the older dialect: views of tensors, with Python's operators."""

from __future__ import annotations

import math

import numpy as np

from simcore.dtypes import to_dtype
from simcore.errors import KernelError
from simcore.frontend import neuronxcc, state
from simcore.frontend.neuronxcc.forms import Form, apply, cut, expand, form, frozen, plan
from simcore.frontend.neuronxcc.gather import Gather, Shifted
from simcore.frontend.neuronxcc.grids import Grid
from simcore.frontend.neuronxcc.index import Index, Predicate, broadcast, grid
from simcore.frontend.neuronxcc.stored import public_dtype
from simcore.layout import MemoryRegion, layout, reshape_strides
from simcore.tensor import DynamicSlice, Storage, Tensor


class Tile:
    """A view of a tensor.

    dynamic  run-time or table indices: (tile or addresses, unit) pairs added to the offset, else None
    mask     the mask of the call that made it: assigning it to a region updates only what was computed
    """

    __slots__ = ("_storage", "form", "offset", "mask", "dynamic", "_tensor", "__weakref__")
    __array_ufunc__ = None      # numpy scalars hand operators over to the tile

    def __init__(self, storage: Storage | None, f: Form, offset: int = 0, dynamic=None):
        self._storage, self.form, self.offset, self.dynamic = storage, f, offset, dynamic
        self.mask = None
        self._tensor = None

    # ------------------------------------------------------------------------------ what it looks like

    @property
    def shape(self) -> tuple[int, ...]:
        return self.form.shape

    @property
    def ndim(self) -> int:
        return len(self.form.shape)

    @property
    def size(self) -> int:
        return self.form.size

    @property
    def dtype(self):
        return public_dtype(self.form.dtype)

    @property
    def itemsize(self) -> int:
        return self.form.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.form.size * self.form.dtype.itemsize

    @property
    def buffer(self) -> MemoryRegion:
        return self.form.buffer

    @property
    def strides(self) -> tuple[int, ...]:
        return self.form.strides

    @property
    def storage(self) -> Storage:
        return self._storage

    @property
    def name(self) -> str:
        return self.storage.name

    def __len__(self) -> int:
        return self.form.shape[0]

    def __repr__(self) -> str:
        f = self.form
        return f"<tile {f.dtype}[{','.join(map(str, f.shape))}]@{f.buffer.value}>"

    def tensor(self) -> Tensor:
        """The view as the instruction table takes it.  Raises KernelError when it runs outside the tensor."""
        found = self._tensor
        if found is None:
            storage = self._storage if self.__class__ is Tile else self.storage
            f = self.form
            if f.limits:
                size, const, coefs = f.limits[0]
                reach = const + sum(c * (n - 1) for c, n in zip(coefs, f.shape, strict=True) if c > 0)
                raise KernelError(f"an access of shape {f.shape} to {storage.name} {storage.shape} reaches index "
                                  f"{max(reach, const)} of a "
                                  f"dimension with {size} elements; give the instruction a mask "
                                  "that leaves the outside out")
            lay = f.core[0]
            if self.dynamic is None:
                found = Tensor(storage, lay, self.offset)
            else:
                found = self.dynamic.tensor(self, lay)
            self._tensor = found
        return found

    __nki_tensor__ = tensor

    def clipped(self, box) -> Tile:
        """The part inside a (low, high) range per dimension."""
        f, delta = self.form.clipped(box)
        if f is self.form:
            return self
        return Tile(self.storage, f, self.offset + delta, self.dynamic.clipped(box) if self.dynamic is not None
                    else None)

    def guarded(self, keep: np.ndarray) -> Tile:
        """The same access for an instruction that only counts the points where `keep` holds.

        Points outside the tensor that are left out anyway stand for one inside, in the same partition.
        """
        f = self.form
        if not f.limits or self.dynamic is not None or keep.shape != f.shape:
            return self
        outside = np.logical_or.reduce([(at < 0) | (at >= size) for size, at in
                                        ((size, const + grid(f.shape, coefs)) for size, const, coefs in f.limits)])
        if (outside & keep).any():
            return self                  # tensor() says what is wrong
        addresses = grid(f.shape, f.strides)
        rows = grid(f.shape, [s if p else 0 for s, p in zip(f.strides, f.par, strict=True)])
        inside = tuple(int(i[0]) for i in np.nonzero(~outside))
        addresses = np.where(outside, rows + (addresses[inside] - rows[inside]), addresses) + self.offset
        return Tile(self.storage, f.derive(f.shape, f.strides, f.par), 0, Gather.table(addresses))

    # ------------------------------------------------------------------------------ views

    def __getitem__(self, key) -> Tile:
        if key.__class__ is not tuple:
            if key.__class__ in _MASKS:
                return self._masked(key)
            key = (key,)
        f = self.form
        stored = frozen(key)
        found = f.cuts.get(stored) if stored is not None else None
        if found is None:
            if stored is None and _run_time(key):
                return self._indirect(key)
            found = cut(f, tuple(_plain(k) for k in key), self)
            if stored is not None:
                f.cuts[stored] = found
        made, delta, addresses = found
        if made is f and not delta and self.__class__ is Tile and self.dynamic is self.mask is addresses is None:
            return self
        storage = self._storage if self.__class__ is Tile else self.storage
        if addresses is not None:
            return Tile(storage, made, self.offset + delta, Gather.table(addresses))
        if self.dynamic is not None:
            return self._cut_dynamic(made, delta, key)
        return Tile(storage, made, self.offset + delta)

    def _masked(self, mask) -> Tile:
        """`tile[i < n]`, of the first releases: the tile where the condition holds for all of it."""
        from simcore.frontend.neuronxcc.calls import resolve

        if resolve(mask, self.shape) is None:
            return self
        raise KernelError("a mask that leaves out part of a tile cannot index it; give it to the instruction as mask=")

    def _cut_dynamic(self, made: Form, delta: int, key) -> Tile:
        if made is self.form:
            return self
        part = self.dynamic.cut(key, made.shape)
        # a table of addresses holds the static part too
        return Tile(self.storage, made, self.offset + (delta if part.addresses is None else 0), part)

    def _indirect(self, key) -> Tile:
        """An access with tiles as indices."""
        key = expand(tuple(_plain(k) for k in key), self.ndim, self)
        shifted = any(isinstance(k, Shifted) for k in key)
        key = tuple(k.resolved() if isinstance(k, Shifted) else k for k in key)
        rank = max((k.ndim for k in key if isinstance(k, Index | Shifted)), default=0)
        key = tuple(k[(..., *(None,) * (rank - k.ndim))] if isinstance(k, Tile) and 1 < k.ndim < rank
                    and k.size == k.shape[0] > 1 else k for k in key)
        several = (any(isinstance(k, Tile) and k.size > 1 for k in key)
                   or any(isinstance(k, Index | Shifted) for k in key))
        stand_in, tiles, offset, unknown = [], {}, self.offset, shifted
        dim = -1
        for k in key:
            dim += k is not None
            if isinstance(k, Shifted):
                tiles[dim] = k.tile
                k = k.index.expanded(broadcast(k.tile.shape, k.index.shape))
            elif isinstance(k, DynamicSlice) and isinstance(k.start, Tile):
                start = k.start.value()
                unknown = True
                k = slice(start or 0, (start or 0) + k.size)
            elif isinstance(k, slice) and any(isinstance(x, Tile) for x in (k.start, k.stop)):
                bounds = [x.value() if isinstance(x, Tile) else x for x in (k.start, k.stop)]
                if None in [b for b, x in zip(bounds, (k.start, k.stop), strict=True) if isinstance(x, Tile)]:
                    state.value_needed("the bounds of a slice")
                unknown = True
                k = slice(*bounds, k.step)
            elif isinstance(k, Tile):
                if several and k.size > 1:
                    tiles[dim] = k
                    k = Index(k.shape, 0, (0,) * k.ndim)
                else:
                    unknown = True
                    k = k.value() or 0
                    if several:
                        k = Index((1,), k, (0,))
            stand_in.append(k)
        shape, terms = plan(self.form, tuple(stand_in), self)
        made, delta, addresses = apply(self.form, shape, terms)
        gather = Gather(tuple((k, self.form.strides[d], self.form.shape[d]) for d, k in tiles.items()), addresses,
                        shape, unknown)
        return Tile(self.storage, made, offset + delta, gather)

    def value(self) -> int | None:
        """The integer of a one-element tile; None where only timing is computed."""
        t = self.tensor()
        return None if t.storage.data is None else int(t.read().reshape(-1)[0])

    def item(self):
        t = self.tensor()
        if t.size != 1:
            raise ValueError(f"a tile with {t.size} elements has no single value")
        if t.storage.data is None:
            state.value_needed("the value of a tile")
        return t.read().reshape(-1)[0].item()

    def __bool__(self) -> bool:
        if not self.form.buffer.on_chip:
            return True                 # `if bias:` asks whether the kernel was given the tensor
        if self.size != 1:
            raise ValueError(f"the truth value of a tile with {self.size} elements is ambiguous")
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __iter__(self):
        return (self[i] for i in range(self.shape[0]))

    def reshape(self, *sizes, shape=None, **ignored) -> Tile:
        """A view with another shape; the partition dimension of a tile on chip stays where it is."""
        shape = (shape if shape is not None else sizes[0] if len(sizes) == 1 and isinstance(sizes[0], tuple | list)
                 else sizes)
        shape = tuple([int(n) for n in shape])
        storage, f = self.storage, self.form
        key = (shape, storage.shape)
        found = f.reshaped.get(key)
        if found is None:
            found = f.reshaped[key] = _reshaped(f, shape, storage.pitch)
        return Tile(storage, found, self.offset)

    def expand_dims(self, axis) -> Tile:
        axes = (sorted(a % (self.ndim + 1) for a in axis) if isinstance(axis, tuple | list)
                else (axis % (self.ndim + 1),))
        out = self
        for a in axes:
            out = out[(slice(None),) * min(a, out.ndim) + (None,)]
        return out

    def broadcast_to(self, shape, *more) -> Tile:
        """A view with dimensions of size 1 repeated.  A row repeated over partitions needs data movement."""
        shape = tuple([int(n) for n in (shape if isinstance(shape, tuple | list) else (shape, *more))])
        f = self.form
        found = f.repeated.get(shape)
        if found is not None:
            return Tile(self.storage, found, self.offset, self.dynamic)
        extra = len(shape) - len(f.shape)
        have, strides, par = (1,) * extra + f.shape, (0,) * extra + f.strides, (False,) * extra + f.par
        for n, want in zip(have, shape, strict=True):
            if n not in (1, want):
                raise KernelError(f"a tile of shape {f.shape} cannot be broadcast to {shape}")
        axis = f.par_axis + extra
        if f.buffer.on_chip and have[axis] == 1 and shape[axis] > 1:
            from simcore.frontend.neuronxcc.spread import broadcast_partitions

            return broadcast_partitions(self, shape)
        strides = tuple(s if n == want else 0 for n, want, s in zip(have, shape, strides, strict=True))
        found = f.repeated[shape] = f.derive(shape, strides, par)
        return Tile(self.storage, found, self.offset, self.dynamic)

    def view(self, dtype) -> Tile:
        """The same bits as another dtype; the last dimension scales by the ratio of sizes."""
        dt = to_dtype(dtype)
        t = Tensor(self.storage, layout(self.shape, self.form.strides, self.form.dtype, self.buffer),
                   self.offset).view(dt)
        return Tile(t.storage, form(t.shape, t.strides, self.form.par, dt, self.buffer), t.offset)

    def permuted(self, order) -> Tile:
        f = self.form
        if tuple(order) == tuple(range(len(f.shape))):
            return self
        return Tile(self.storage, f.derive([f.shape[k] for k in order], [f.strides[k] for k in order],
                                           [f.par[k] for k in order]), self.offset,
                    self.dynamic.permuted(order) if self.dynamic is not None else None)

    def astype(self, dtype) -> Tile:
        from simcore.frontend.neuronxcc.memory import copy

        return copy(self, dtype=dtype)

    def assert_shape(self, shape) -> Tile:
        if tuple(shape) != self.shape:
            raise KernelError(f"a tensor of shape {tuple(shape)} was expected, but it has {self.shape}")
        return self

    # ------------------------------------------------------------------------------ assignment and operators

    def __setitem__(self, key, value) -> None:
        """`region[...] = value`; this and `+=` are put here by `assign`: a hot path."""
        raise NotImplementedError

    def __iadd__(self, other) -> Tile:
        raise NotImplementedError


_OPERANDS = (Tile, int, float, np.number, Tensor)


def _operator(name: str, reverse: bool = False):
    def method(self, other):
        if isinstance(other, Index) and name == "add":
            return Shifted(self, other)
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        fn = getattr(neuronxcc.functions, name)
        return fn(other, self) if reverse else fn(self, other)

    return method


def _in_place(name: str):
    def method(self, other):
        neuronxcc.assign.assign(self, getattr(neuronxcc.functions, name)(self, other))
        return self

    return method


for _symbol, _name in {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "mod": "mod",
                       "pow": "power", "and": "bitwise_and",
                       "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift",
                       "rshift": "right_shift"}.items():
    setattr(Tile, f"__{_symbol}__", _operator(_name))
    setattr(Tile, f"__r{_symbol}__", _operator(_name, True))
    if _symbol != "add":
        setattr(Tile, f"__i{_symbol}__", _in_place(_name))
for _symbol, _name in {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}.items():
    setattr(Tile, f"__{_symbol}__", _operator(_name))


def _eq(self, other):
    return _operator("equal")(self, other) if isinstance(other, Tile | int | float | np.number) else NotImplemented


def _ne(self, other):
    return _operator("not_equal")(self, other) if isinstance(other, Tile | int | float | np.number) else NotImplemented


Tile.__eq__, Tile.__ne__, Tile.__hash__ = _eq, _ne, object.__hash__     # type: ignore[method-assign, assignment]
Tile.__neg__ = lambda self: _operator("multiply")(self, -1)             # type: ignore[attr-defined]
Tile.__invert__ = lambda self: __import__("simcore.frontend.neuronxcc.functions", fromlist=["invert"]).invert(self)   # type: ignore[attr-defined]


def _run_time(key) -> bool:
    for k in key:
        if isinstance(k, Tile | Shifted):
            return True
        if isinstance(k, DynamicSlice) and isinstance(k.start, Tile):
            return True
        if isinstance(k, slice) and (isinstance(k.start, Tile) or isinstance(k.stop, Tile)):
            return True
    return False


_MASKS = (Predicate, bool, np.bool_)


def _plain(k):
    """NumPy arrays and constant expressions as indices."""
    if isinstance(k, np.ndarray):
        from simcore.frontend.neuronxcc.index import _table

        return _table(k)
    if isinstance(k, Predicate):
        raise KernelError("a mask cannot index a tile; give it to the instruction as mask=")
    if isinstance(k, Grid):
        return k
    if isinstance(k, np.bool_ | bool):
        return int(k)
    return k


def as_tile(value) -> Tile:
    """A launch argument (a core tensor) as a tile."""
    if isinstance(value, Tile):
        return value
    lay = value.layout
    par = tuple(lay.on_chip and k == 0 for k in range(len(lay.shape)))
    return Tile(value.storage, form(lay.shape, lay.strides, par, lay.dtype, lay.buffer), value.offset)


def _reshaped(f: Form, shape: tuple[int, ...], pitch: int) -> Form:
    """A form with another shape; `pitch` elements of the storage lie in a partition."""
    if -1 in shape:
        shape = tuple(f.size // -math.prod(shape) if n == -1 else n for n in shape)
    if math.prod(shape) != f.size:
        raise KernelError(f"a tensor of shape {f.shape} cannot be reshaped to {shape}: {f.size} elements")
    strides = reshape_strides(f.shape, f.strides, shape)
    if strides is None:
        raise KernelError(f"a view of shape {f.shape} with strides {f.strides} cannot be seen as {shape} "
                          "without a copy")
    par = [False] * len(shape)
    if f.buffer.on_chip:
        moving = [k for k, (n, s) in enumerate(zip(shape, strides, strict=True)) if n > 1 and abs(s) >= pitch]
        for k in moving or [k for k, n in enumerate(shape) if n == 1][:1]:
            par[k] = True
    return f.derive(shape, strides, par)

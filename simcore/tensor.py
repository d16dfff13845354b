"""Tensors: storage seen through a layout.

A tensor is (storage, layout, offset).  Element (i0, i1, ...) of a view lies at `offset + sum(i_k * stride_k)`, counted
in elements of the view's dtype from the start of the storage.  A storage on chip is laid out partition after partition,
so the partition stride is the storage's free size.
"""

from __future__ import annotations

import math

import numpy as np

from simcore.dtypes import DType, cast, to_dtype
from simcore.errors import KernelError
from simcore.layout import Layout, MemoryRegion, layout, psum, reshape_strides, row_major, sbuf


class Storage:
    """A piece of memory: one allocation.

    shape, dtype  as allocated; on chip shape[0] is the number of partitions
    data          flat bytes, partition after partition; None when only timing is wanted
    address       (partition, byte) that the kernel asked for, or None
    site          where the kernel allocated it
    kind          "input", "output" or "tile"
    entry         where there is data: the trace's entry for this storage, so that the data go with the last view of it
    """

    data: np.ndarray | None = None
    started: dict | None = None         # PSUM: which regions hold a started accumulation
    tag = None                          # what the older dialect remembers of a PSUM tile
    entry: Storage | None = None

    def __init__(self, id, name, shape, dtype, buffer, address=None, site=None, kind="tile", core=0, born=0):
        self.id = id
        self.given_name = name
        self.shape = shape
        self.dtype = dtype
        self.buffer = buffer
        self.address = address
        self.site = site
        self.kind = kind
        self.core = core
        self.born = born

    def recorded(self) -> Storage:
        """What a trace keeps of it: everything but the memory."""
        self.entry = Storage(self.id, self.given_name, self.shape, self.dtype, self.buffer, self.address, self.site,
                             self.kind, self.core, self.born)
        return self.entry

    def note(self, *, kind: str | None = None, site=None) -> None:
        """Change what was not known when it was allocated."""
        for s in (self, self.entry):
            if s is not None:
                s.kind = kind or s.kind
                s.site = s.site if site is None else site

    @property
    def name(self) -> str:
        """The kernel's name for it, or its memory and number."""
        return self.given_name or f"{self.buffer.value}{self.id}"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def pitch(self) -> int:
        """Free elements per partition (on chip)."""
        return math.prod(self.shape[1:])

    @property
    def bytes_per_partition(self) -> int:
        return self.pitch * self.dtype.itemsize

    def allocate(self) -> None:
        """Memory that reads as NaN (floats) or 4 (integers) until written, like the vendor's simulator."""
        kind = self.dtype
        if kind.is_float:
            typed = np.full(self.size, np.nan if kind.np.kind == "f" or hasattr(kind.np.type, "dtype") else 0, kind.np)
        else:
            typed = np.full(self.size, 4, kind.np)
        self.data = typed.view(np.uint8).reshape(-1)

    def array(self, view: Layout, offset: int) -> np.ndarray:
        """The view as a NumPy array over this storage's memory (no copy)."""
        dtype = view.dtype
        return np.ndarray(view.shape, dtype.np, self.data, offset * dtype.itemsize, view.byte_strides)


class DynamicSlice:
    """`nl.ds(start, size)`: size elements from a start that may be a register."""

    __slots__ = ("start", "size")

    def __init__(self, start, size):
        self.start = start
        self.size = size if size.__class__ is int else int(size)

    def __eq__(self, other):
        return other.__class__ is DynamicSlice and (self.start, self.size) == (other.start, other.size)

    def __hash__(self):
        return hash((self.start, self.size))

    def __repr__(self) -> str:
        return f"DynamicSlice(start={self.start!r}, size={self.size!r})"


class Tensor:
    """A view of a storage (the vendor's NkiTensor).  Views share memory: writing through one is visible in all."""

    __slots__ = ("storage", "layout", "offset", "index")

    def __init__(self, storage: Storage, view: Layout, offset: int = 0, index=None):
        self.storage = storage
        self.layout = view
        self.offset = offset
        self.index = index          # run-time addresses of an indirect view: see Indirect

    # ------------------------------------------------------------------------------ what it looks like

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    @property
    def dtype(self) -> DType:
        return self.layout.dtype

    @property
    def buffer(self) -> MemoryRegion:
        return self.layout.buffer

    @property
    def ndim(self) -> int:
        return len(self.layout.shape)

    @property
    def size(self) -> int:
        return self.layout.size

    @property
    def strides(self) -> tuple[int, ...]:
        return self.layout.strides

    @property
    def itemsize(self) -> int:
        return self.layout.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.layout.nbytes

    @property
    def name(self) -> str:
        return self.storage.name

    @property
    def address(self):
        return self.storage.address

    def __len__(self) -> int:
        return self.layout.shape[0]

    def __repr__(self) -> str:
        return f"<{self.name} {self.layout!r}>"

    def is_contiguous(self) -> bool:
        return self._runs_are_row_major()

    def is_indirect(self) -> bool:
        return self.layout.indirect is not None

    def get_pattern(self) -> list[list[int]]:
        return [[s, n] for s, n in zip(self.layout.strides, self.layout.shape, strict=True)]

    def is_sbuf(self) -> bool:
        return self.buffer is sbuf

    def is_psum(self) -> bool:
        return self.buffer is psum

    def is_hbm(self) -> bool:
        return not self.buffer.on_chip

    # ------------------------------------------------------------------------------ values

    def array(self) -> np.ndarray:
        """The view's memory as a NumPy array (no copy).  Only where values are computed, and not for gathers."""
        if self.index is not None:
            return self.index.array(self)
        s = self.storage
        view = self.layout
        dtype = view.dtype
        return np.ndarray(view.shape, dtype.np, s.data, self.offset * dtype.itemsize, view.byte_strides)

    def read(self) -> np.ndarray:
        """The values, gathered through run-time addresses where the view is indirect."""
        return self.array() if self.index is None else self.index.read(self)

    def write(self, values: np.ndarray) -> None:
        """Store values, cast to the view's dtype; shapes may differ, element counts may not."""
        if self.index is not None:
            return self.index.write(self, values)
        out = self.array()
        if values.dtype != out.dtype:
            values = cast(values, self.layout.dtype)
        if values.shape != out.shape:
            values = values.reshape(out.shape)
        out[...] = values

    # ------------------------------------------------------------------------------ views

    def _derive(self, shape, strides, offset, dtype=None) -> Tensor:
        old = self.layout
        return Tensor(self.storage, layout(tuple(shape), tuple(strides), dtype or old.dtype, old.buffer, old.indirect),
                      offset, self.index)

    def __getitem__(self, key) -> Tensor:
        """Integers, slices, `nl.ds`, `...`, registers.  (simcore.indexing puts its function here: a hot path.)"""
        raise NotImplementedError

    def reshape(self, *shape) -> Tensor:
        """A view with another shape.  On chip the partition stays; only merged dimensions must be contiguous."""
        if len(shape) == 1 and not isinstance(shape[0], int | np.integer):
            shape = tuple(shape[0])
        shape = tuple([int(n) for n in shape])
        view = self.layout.reshaped.get(shape)
        if view is None:
            view = self.layout.reshaped[shape] = self._reshaped(shape)
        return Tensor(self.storage, view, self.offset, self.index)

    def _reshaped(self, shape: tuple[int, ...]) -> Layout:
        if -1 in shape:
            known = -math.prod(shape)
            if known == 0 or self.size % known:
                raise KernelError(f"a tensor of shape {self.shape} cannot be reshaped to {shape}: {self.size} "
                                  "elements do not divide")
            shape = tuple(self.size // known if n == -1 else n for n in shape)
        if math.prod(shape) != self.size:
            raise KernelError(f"a tensor of shape {self.shape} has {self.size} elements; shape {shape} "
                              f"has {math.prod(shape)}")
        if self.layout.on_chip and (not shape or shape[0] != self.shape[0]):
            raise KernelError(f"an on-chip tile keeps its partition dimension: shape {self.shape} cannot be seen as "
                              f"{shape}; move data across "
                              "partitions with nisa.nc_transpose, nisa.nc_stream_shuffle or a DMA")
        strides = reshape_strides(self.layout.shape, self.layout.strides, shape)
        if strides is None:
            raise KernelError(f"a view of shape {self.shape} with strides {self.strides} cannot be seen as "
                              f"{shape} without a copy; "
                              "reshape before slicing, or copy the tile first")
        old = self.layout
        return layout(shape, strides, old.dtype, old.buffer, old.indirect)

    def reshape_dim(self, dim: int, shape) -> Tensor:
        dim %= self.ndim
        shape = tuple(int(n) for n in shape)
        if -1 in shape:
            known = -math.prod(shape)
            shape = tuple(self.shape[dim] // known if n == -1 else n for n in shape)
        if math.prod(shape) != self.shape[dim]:
            raise KernelError(f"dimension {dim} has {self.shape[dim]} elements; {shape} has {math.prod(shape)}")
        inner = [self.strides[dim] * s for s in row_major(shape)]
        return self._derive(self.shape[:dim] + shape + self.shape[dim + 1:],
                            (*self.strides[:dim], *inner, *self.strides[dim + 1:]), self.offset)

    def flatten_dims(self, start: int = 0, end: int = -1) -> Tensor:
        start, end = start % self.ndim, end % self.ndim
        return self.reshape(*self.shape[:start], math.prod(self.shape[start:end + 1]), *self.shape[end + 1:])

    def permute(self, *dims) -> Tensor:
        if len(dims) == 1 and not isinstance(dims[0], int):
            dims = tuple(dims[0])
        dims = tuple(d % self.ndim for d in dims)
        if sorted(dims) != list(range(self.ndim)):
            raise KernelError(f"permute{dims} does not name each of the {self.ndim} dimensions once")
        if self.buffer.on_chip and dims[0] != 0:
            raise KernelError("the partition dimension of an on-chip tile must stay first; use nisa.nc_transpose to "
                              "move data across partitions")
        return self._derive([self.shape[d] for d in dims], [self.strides[d] for d in dims], self.offset)

    def expand_dim(self, dim: int) -> Tensor:
        dim = dim % (self.ndim + 1)
        stride = self.strides[dim] * self.shape[dim] if dim < self.ndim else 1
        return self._derive((*self.shape[:dim], 1, *self.shape[dim:]),
                            (*self.strides[:dim], stride, *self.strides[dim:]), self.offset)

    def squeeze_dim(self, dim: int) -> Tensor:
        dim %= self.ndim
        if self.shape[dim] != 1:
            raise KernelError(f"dimension {dim} of shape {self.shape} is not 1 and cannot be squeezed")
        return self._derive(self.shape[:dim] + self.shape[dim + 1:], self.strides[:dim] + self.strides[dim + 1:],
                            self.offset)

    def broadcast(self, dim: int, size: int) -> Tensor:
        dim %= self.ndim
        if self.shape[dim] != 1:
            raise KernelError(f"only a dimension of size 1 can be broadcast; dimension {dim} has {self.shape[dim]}")
        return self._derive((*self.shape[:dim], int(size), *self.shape[dim + 1:]),
                            (*self.strides[:dim], 0, *self.strides[dim + 1:]), self.offset)

    def broadcast_to(self, *shape) -> Tensor:
        """A view with dimensions of size 1 repeated (stride 0), as NumPy broadcasting does."""
        if len(shape) == 1 and not isinstance(shape[0], int):
            shape = tuple(shape[0])
        if len(shape) < self.ndim:
            raise KernelError(f"shape {self.shape} cannot be broadcast to {shape}")
        have = (1,) * (len(shape) - self.ndim) + self.shape
        old = (0,) * (len(shape) - self.ndim) + self.strides
        strides = []
        for n, want, stride in zip(have, shape, old, strict=True):
            if n != want and n != 1:
                raise KernelError(f"shape {self.shape} cannot be broadcast to {tuple(shape)}")
            strides.append(stride if n == want else 0)
        return self._derive(shape, strides, self.offset)

    def slice(self, dim: int, start=None, end=None, step: int = 1) -> Tensor:
        key = [slice(None)] * self.ndim
        key[dim] = slice(start, end, step)
        return self[tuple(key)]

    def select(self, dim: int, index) -> Tensor:
        key = [slice(None)] * self.ndim
        key[dim % self.ndim] = index
        return self[tuple(key)]

    def rearrange(self, source, target, fixed_sizes=None, **sizes) -> Tensor:
        from simcore.indexing import rearrange

        return rearrange(self, source, target, {**(fixed_sizes or {}), **sizes})

    def view(self, dtype, shape=None) -> Tensor:
        """The same bits seen as another dtype; the last dimension scales by the ratio of sizes."""
        dtype = to_dtype(dtype)
        old, new = self.layout.dtype.itemsize, dtype.itemsize
        if old == new:
            out = self._derive(self.shape, self.strides, self.offset, dtype)
        else:
            if self.shape[-1] * old % new or (self.strides[-1] != 1 and self.shape[-1] != 1):
                raise KernelError(f"{self.shape[-1]} elements of {self.dtype} in the last dimension "
                                  f"cannot be seen as {dtype}")
            shape_ = (*self.shape[:-1], self.shape[-1] * old // new)
            strides = (*(s * old // new for s in self.strides[:-1]), 1)
            if any(s * old % new for s in self.strides[:-1]) or self.offset * old % new:
                raise KernelError(f"the view's address is not aligned to {new} bytes, as {dtype} needs")
            out = self._derive(shape_, strides, self.offset * old // new, dtype)
        return out.reshape(shape) if shape is not None else out

    reinterpret_cast = view

    def ap(self, pattern=None, offset=None, scalar_offset=None, vector_offset=None, indirect_dim=0,
           dtype=None) -> Tensor:
        """[step, count] pairs over the storage.  (simcore.indexing puts its function here: a hot path.)"""
        raise NotImplementedError

    def vector_select(self, dim: int, offsets: Tensor) -> Tensor:
        from simcore.indexing import vector_select

        return vector_select(self, dim, offsets)

    def get_view(self) -> Tensor:
        return self

    # ------------------------------------------------------------------------------ scalars and assignment

    def __setitem__(self, key, value) -> None:
        from simcore.indexing import assign

        assign(self[key], value)

    def item(self):
        """The one element as a Python number.  Raises ValueNeeded when only timing is computed."""
        from simcore.indexing import scalar_value

        return scalar_value(self)

    def __bool__(self) -> bool:
        """A tensor is there: `if mask:` in kernels means "was one given"; values are not known while building."""
        return True

    def __int__(self) -> int:
        return int(self.item())

    __index__ = __int__

    def __float__(self) -> float:
        return float(self.item())

    def __iter__(self):
        return (self[i] for i in range(self.shape[0]))

    def _runs_are_row_major(self) -> bool:
        step = 1
        for n, s in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and s != step:
                return False
            step *= n
        return True


def _no_operator(symbol: str):
    def method(self: Tensor, other=None):
        raise KernelError(f"a tile has no {symbol} in Python: its values exist when the kernel runs, and instructions "
                          "compute with them, for example nisa.tensor_tensor(dst=..., data1=..., data2=..., op=nl.add)")

    return method


for _name, _symbol in {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
                       "matmul": "@", "and": "&", "or": "|", "xor": "^", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
                       "neg": "-", "radd": "+", "rsub": "-", "rmul": "*", "rtruediv": "/"}.items():
    setattr(Tensor, f"__{_name}__", _no_operator(_symbol))


import simcore.indexing  # noqa: E402, F401  it needs Tensor, and gives it __getitem__

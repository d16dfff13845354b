"""Layouts: shape, strides, dtype and memory of a view.

On chip (SBUF, PSUM) dimension 0 is the partition.  Layouts are interned: two views with equal shape, strides, dtype
and buffer share one Layout object, so "the same kind of access" is an identity test, and everything derived from a
layout is computed once.
"""

from __future__ import annotations

import math
from enum import Enum
from functools import cached_property

from simcore.dtypes import DType
from simcore.errors import KernelError

PARTITIONS = 128


class MemoryRegion(Enum):
    """Where a tensor lives (the vendor's `nl.MemoryRegion`)."""

    sbuf = "sbuf"
    psum = "psum"
    private_hbm = "private_hbm"
    shared_hbm = "shared_hbm"

    def __init__(self, name: str):
        self.on_chip = name in ("sbuf", "psum")

    def view(self, dtype, shape):
        """A new tensor in this memory: `sbuf.view(dtype, shape)`, as kernels of the first releases allocate."""
        from simcore.frontend.nki.language import ndarray

        return ndarray(shape, dtype, self)

    def __repr__(self) -> str:
        return self.value

    def __eq__(self, other):
        if isinstance(other, str):
            return self.value == other or (other == "hbm" and self is MemoryRegion.private_hbm)
        return self is other

    __hash__ = object.__hash__


sbuf, psum = MemoryRegion.sbuf, MemoryRegion.psum
private_hbm, shared_hbm = MemoryRegion.private_hbm, MemoryRegion.shared_hbm


def to_buffer(spec) -> MemoryRegion:
    """The memory a `buffer=` argument means: an enum member or one of its names ("hbm" is private_hbm)."""
    if spec.__class__ is MemoryRegion:
        return spec
    if spec is None:
        return sbuf
    name = getattr(spec, "value", spec)
    try:
        return private_hbm if name == "hbm" else MemoryRegion(name)
    except ValueError:
        raise KernelError(f"there is no buffer {spec!r}; use nl.sbuf, nl.psum, nl.hbm, "
                          "nl.private_hbm or nl.shared_hbm") from None


class Layout:
    """Shape, strides (in elements), dtype and memory of a view.  Interned by `layout()`; compare with `is`.

    indirect  None, or what makes the addresses run-time values: "scalar" (one dynamic start) or "vector" (one per row);
              "outside": a view that leaves its storage, of which no instruction exists
    """

    __slots__ = ("shape", "strides", "dtype", "buffer", "indirect", "id", "getitem", "reshaped", "__dict__")

    def __init__(self, shape, strides, dtype, buffer, indirect, id):
        self.shape, self.strides, self.dtype = shape, strides, dtype
        self.buffer, self.indirect, self.id = buffer, indirect, id
        # how it has been cut and reshaped before
        self.getitem: dict = {}
        self.reshaped: dict[tuple[int, ...], Layout] = {}

    @cached_property
    def size(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @cached_property
    def on_chip(self) -> bool:
        return self.buffer.on_chip

    @cached_property
    def partitions(self) -> int:
        """Partitions touched on chip; 1 in HBM."""
        return self.shape[0] if self.on_chip else 1

    @cached_property
    def free(self) -> int:
        """Elements per partition (on chip), or all of them (HBM)."""
        return math.prod(self.shape[1:]) if self.on_chip else self.size

    @cached_property
    def free_dims(self) -> tuple[tuple[int, int], ...]:
        """(stride, count) of the free dimensions, adjacent ones merged, outermost first; sizes of 1 dropped."""
        dims = list(zip(self.strides, self.shape, strict=True))[1 if self.on_chip else 0:]
        merged: list[tuple[int, int]] = []
        for stride, count in dims:
            if count == 1:
                continue
            if merged and merged[-1][0] == stride * count:
                merged[-1] = (stride, merged[-1][1] * count)
            else:
                merged.append((stride, count))
        return tuple(merged)

    @cached_property
    def run(self) -> int:
        """Elements in one contiguous run of the innermost free dimension."""
        dims = self.free_dims
        return dims[-1][1] if dims and dims[-1][0] == 1 else 1

    @cached_property
    def runs(self) -> int:
        """How many contiguous runs the whole view consists of (what a DMA needs descriptors for)."""
        return max(1, self.size // max(1, self.run))

    @cached_property
    def inner_stride(self) -> int:
        dims = self.free_dims
        return abs(dims[-1][0]) if dims else 1

    @cached_property
    def contiguous(self) -> bool:
        """Is the free part one contiguous run?"""
        return self.run == self.free or self.free == 1

    @cached_property
    def extent(self) -> tuple[int, int]:
        """(lowest, one past highest) element offset that the view touches relative to its own offset."""
        low = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if s < 0)
        high = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if s > 0)
        return low, high + 1

    @cached_property
    def byte_strides(self) -> tuple[int, ...]:
        return tuple(s * self.dtype.itemsize for s in self.strides)

    def __repr__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]@{self.buffer.value}"


_layouts: dict = {}
LAYOUTS: list[Layout] = []


def layout(shape, strides, dtype: DType, buffer: MemoryRegion, indirect: str | None = None) -> Layout:
    """The one Layout with these properties."""
    key = (shape, strides, dtype, buffer, indirect)
    found = _layouts.get(key)
    if found is None:
        found = _layouts[key] = Layout(*key, len(LAYOUTS))
        LAYOUTS.append(found)
    return found


def row_major(shape) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def reshape_strides(shape, strides, target):
    """Strides of the same elements seen with shape `target`, or None when that needs a copy."""
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    new: list[int] = []
    i = 0
    target_dims = list(target)
    j = 0
    while j < len(target_dims):
        if target_dims[j] == 1:
            new.append(0)
            j += 1
            continue
        if i >= len(old):
            return None
        n, s = old[i]
        i += 1
        group = [target_dims[j]]
        j += 1
        while math.prod(group) != n:
            if math.prod(group) < n:
                if j >= len(target_dims):
                    return None
                group.append(target_dims[j])
                j += 1
            else:
                if i >= len(old) or old[i][1] * old[i][0] != s:
                    return None
                n, s = n * old[i][0], old[i][1]
                i += 1
        inner = row_major(group)
        new.extend(s * k for k in inner)
    # a dimension of size 1 gets the stride that keeps row-major order readable
    step = 1
    for k in range(len(new) - 1, -1, -1):
        if target_dims[k] == 1:
            new[k] = step
        step = max(step, abs(new[k]) * target_dims[k])
    return tuple(new)

"""How tensors of the older dialect are stored: dtypes in memory, strides, allocation."""

from __future__ import annotations

import os

import numpy as np

from simcore.dtypes import DType, bfloat16, to_dtype
from simcore.frontend import launch
from simcore.frontend.neuronxcc.forms import Form, form
from simcore.layout import MemoryRegion, row_major
from simcore.tensor import Storage


def public_dtype(dt: DType):
    """A dtype as kernels of the older dialect see it: a NumPy dtype where there is one."""
    return (dt if dt.packed is not None or dt == "tfloat32" else dt.np if dt is not wide_bfloat16()
            else to_dtype("bfloat16").np)


_wide: list = []


def wide_bfloat16() -> DType:
    """bfloat16 kept in 32 bits, as the vendor's simulator does where NKI_PRECISE_FP=0 asks for it."""
    if not _wide:
        _wide.append(DType("bfloat16_as_float32", np.float32))
    return _wide[0]


def stored_dtype(dt: DType, where: MemoryRegion) -> DType:
    return wide_bfloat16() if dt is bfloat16 and where.on_chip and os.environ.get("NKI_PRECISE_FP") == "0" else dt


_fresh: dict = {}


def fresh_form(shape: tuple[int, ...], par: int, dtype: DType, buffer: MemoryRegion) -> Form:
    """What a new tensor looks like: dimension `par` on partitions on chip."""
    key = (shape, par, dtype, buffer)
    found = _fresh.get(key)
    if found is None:
        flags = tuple(k == par for k in range(len(shape)))
        found = _fresh[key] = form(shape, fresh_strides(shape, par), flags, dtype, buffer)
    return found


def fresh_strides(shape, par: int) -> tuple[int, ...]:
    """Strides of a new tensor: partition after partition on chip, row-major otherwise."""
    if par == 0:
        return row_major(shape)
    order = (par, *(k for k in range(len(shape)) if k != par))
    inner = row_major([shape[k] for k in order])
    out = [0] * len(shape)
    for k, s in zip(order, inner, strict=True):
        out[k] = s
    return tuple(out)


def new_storage(shape, dtype: DType, buffer: MemoryRegion, par: int = 0, *, name=None, address=None) -> Storage:
    if buffer.on_chip:
        if par:
            shape = (shape[par], *shape[:par], *shape[par + 1:])
        if len(shape) == 1:
            shape = (*shape, 1)
    return launch.allocate(tuple(shape), dtype, buffer, name=name, address=address).storage

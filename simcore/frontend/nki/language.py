"""`nki.language`: dtypes, buffers, creation, loops, operators, and functions on tiles."""

from __future__ import annotations

import numpy as np

from simcore.dtypes import (  # noqa: F401
    bfloat16,
    bool_,
    float4_e2m1fn_x4,
    float8_e4m3,
    float8_e4m3fn,
    float8_e4m3fn_x4,
    float8_e5m2,
    float8_e5m2_x4,
    float8_e8m0fnu,
    float16,
    float32,
    int8,
    int16,
    int32,
    tfloat32,
    uint8,
    uint16,
    uint32,
)
from simcore.errors import nearest
from simcore.frontend.control import dynamic_range, fori_loop, no_reorder, while_loop  # noqa: F401
from simcore.frontend.launch import allocate, session
from simcore.frontend.programs import programs
from simcore.frontend.tile_size import TileSize
from simcore.isa.operators import OPERATORS
from simcore.layout import MemoryRegion, private_hbm, psum, sbuf, shared_hbm, to_buffer  # noqa: F401
from simcore.tensor import DynamicSlice as ds  # noqa: F401
from simcore.tensor import Tensor as NkiTensor  # noqa: F401

hbm = private_hbm
_range = range
bool = bool_
tile_size = TileSize(session)
constants = tile_size

# operators: add, exp, maximum ... each a token for op= fields and a function on tiles
from simcore.frontend.nki import compound as _compound  # noqa: E402
from simcore.frontend.nki import functions as _functions  # noqa: E402
from simcore.frontend.nki.constants import shared_constant, shared_identity_matrix  # noqa: E402, F401
from simcore.frontend.nki.objects import NKIObject  # noqa: E402, F401

globals().update({name: op for name, op in OPERATORS.items() if not name.startswith("_")})
globals().update({name: getattr(_functions, name) for name in _functions.__all__})
globals().update(_functions.REDUCTIONS)
globals().update({name: getattr(_compound, name) for name in _compound.__all__ if name not in OPERATORS})
for _name in _compound.__all__:
    if _name in OPERATORS and _name != "all":
        OPERATORS[_name].function = getattr(_compound, _name)
all = _compound.all


# ------------------------------------------------------------------------------------------------ creation


def ndarray(shape, dtype, buffer=sbuf, name=None, address=None, **ignored):
    """An uninitialised tensor; address=(partition, byte) places it."""
    return allocate(shape, dtype, buffer, name=name, address=address)


# ------------------------------------------------------------------------------------------------ loops and programs


def affine_range(start, stop=None, step=1, **ignored):
    """A plain unrolled loop, as are sequential_range and static_range."""
    return _range(int(start)) if stop is None else _range(int(start), int(stop), int(step))


sequential_range = static_range = affine_range


class _ParDim:
    """`nl.par_dim(128)` or `nl.par_dim[128]`, of the older dialect: the size itself; dimension 0 is the partition."""

    def __call__(self, size: int) -> int:
        return size

    __getitem__ = __call__


par_dim = _ParDim()


def cast(x, dtype):
    """A new tile with the values of x in another dtype (a name of the first releases)."""
    return _functions.copy(x, dtype)


def program_id(axis=0):
    """Index of this program along a grid axis."""
    p = programs()
    index = p.current.index
    return index[axis] if axis < len(index) else 0


def num_programs(axes=0):
    """Programs along one or several grid axes; None means all."""
    grid = programs().grid
    if axes is None:
        return int(np.prod(grid))
    if isinstance(axes, tuple | list):
        return int(np.prod([grid[a] for a in axes]))
    return grid[axes] if axes < len(grid) else 1


def program_ndim():
    """Dimensions of the launch grid; 0 without one."""
    p = programs()
    return 0 if p.grid == (1,) else len(p.grid)


# ------------------------------------------------------------------------------------------------ predicates


def is_hbm(buffer):
    """Is this a device-memory buffer?"""
    return not to_buffer(buffer).on_chip


def is_sbuf(buffer):
    """Is this the state buffer?"""
    return to_buffer(buffer) is sbuf


def is_psum(buffer):
    """Is this the matmul accumulator?"""
    return to_buffer(buffer) is psum


def is_on_chip(buffer):
    """Is this SBUF or PSUM?"""
    return to_buffer(buffer).on_chip


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    if name in ("nc", "spmd_dim"):          # grids of the older dialect, which hosts of both dialects build
        from simcore.frontend.neuronxcc import grid

        return getattr(grid, name)
    raise AttributeError("nki.language has no "
                         f"{name!r}.{nearest(name, [n for n in globals() if not n.startswith('_')])}")


range = _range      # kernels of the first releases write nl.range

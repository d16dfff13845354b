"""`neuronxcc.nki.language`: dtypes, buffers, index expressions, loops, and functions on tiles."""

from __future__ import annotations

import numpy as np

from simcore.dtypes import float4_e2m1fn_x4, float8_e4m3fn_x4, float8_e5m2_x4, tfloat32, to_dtype  # noqa: F401
from simcore.errors import nearest
from simcore.frontend import launch as _launch
from simcore.frontend.neuronxcc import creation as _creation
from simcore.frontend.neuronxcc import functions as _functions
from simcore.frontend.neuronxcc import reductions as _reductions
from simcore.frontend.neuronxcc.grid import nc, spmd_dim  # noqa: F401
from simcore.frontend.neuronxcc.grids import MGrid as _MGrid
from simcore.frontend.neuronxcc.grids import arange  # noqa: F401
from simcore.frontend.neuronxcc.loops import affine_range, sequential_range, static_range  # noqa: F401
from simcore.frontend.neuronxcc.tile import Tile as tensor
from simcore.frontend.nki.language import num_programs as _num_programs
from simcore.frontend.nki.language import program_id as _program_id
from simcore.frontend.nki.language import program_ndim  # noqa: F401
from simcore.frontend.tile_size import TileSize as _TileSize
from simcore.layout import private_hbm, psum, sbuf, shared_hbm  # noqa: F401
from simcore.tensor import DynamicSlice as ds

hbm = private_hbm
float32, float16, int32, uint32, int16, uint16, int8, uint8, bool_ = (np.float32, np.float16, np.int32, np.uint32,
                                                                      np.int16, np.uint16, np.int8, np.uint8, np.bool_)
bfloat16, float8_e4m3, float8_e4m3fn, float8_e5m2 = (to_dtype(n).np for n in ("bfloat16", "float8_e4m3",
                                                                              "float8_e4m3fn", "float8_e5m2"))
tile_size = _TileSize(_launch.session)
par_dim = _creation.ParDimMaker()
mgrid = _MGrid()
dslice = ds

globals().update(_functions.FUNCTIONS)
globals().update(_reductions.REDUCTIONS)
from simcore.frontend.neuronxcc.loop_sums import loop_reduce  # noqa: E402, F401
from simcore.frontend.neuronxcc.memory import (  # noqa: E402, F401
    cast,
    load,
    load_transpose2d,
    matmul,
    store,
    transpose,
)
from simcore.frontend.neuronxcc.reductions import mean, rms_norm, softmax, var  # noqa: E402, F401
from simcore.frontend.neuronxcc.selection import (  # noqa: E402, F401
    all_reduce,
    atomic_rmw,
    device_print,
    dropout,
    gather_flattened,
    rand,
    random_seed,
    where,
)
from simcore.frontend.neuronxcc.spread import broadcast_to, expand_dims  # noqa: E402, F401


class _Limits:
    """`nl.fp32`, `nl.bfp16`: limits of a dtype."""

    def __init__(self, dtype: str):
        info = np.finfo(np.float32) if dtype == "float32" else _ml_finfo(dtype)
        self.min, self.max, self.eps = float(info.min), float(info.max), float(info.eps)
        self.dtype = to_dtype(dtype).np


def _ml_finfo(dtype):
    import ml_dtypes

    return ml_dtypes.finfo(to_dtype(dtype).np)


def finfo(dtype):
    """Limits of a floating-point dtype."""
    return _Limits(str(to_dtype(dtype)))


fp32, bfp16 = _Limits("float32"), _Limits("bfloat16")


def ndarray(shape, dtype=np.float32, *, buffer=None, name="", **ignored):
    """An uninitialised tensor; par_dim marks the partition dimension, dimensions before it are blocks."""
    return _creation.ndarray(shape, dtype, buffer, name or None)


def zeros(shape, dtype=np.float32, *, buffer=None, name="", **ignored):
    return _creation.ndarray(shape, dtype, buffer, name or None, 0)


def ones(shape, dtype=np.float32, *, buffer=None, name="", **ignored):
    return _creation.ndarray(shape, dtype, buffer, name or None, 1)


def full(shape, fill_value, dtype=np.float32, *, buffer=None, name="", **ignored):
    return _creation.ndarray(shape, dtype, buffer, name or None, fill_value)


def zeros_like(a, dtype=None, *, buffer=None, **ignored):
    return _creation.ndarray(a.shape, dtype or a.dtype, buffer or (a.buffer if a.buffer.on_chip else sbuf), None, 0)


def empty_like(a, dtype=None, *, buffer=None, **ignored):
    return _creation.ndarray(a.shape, dtype or a.dtype, buffer or a.buffer)


def shared_constant(constant, dtype=None, **ignored):
    """A NumPy array (or the path of a .npy file) in HBM."""
    values = np.load(constant, allow_pickle=False) if isinstance(constant, str) else np.asarray(constant)
    dt = to_dtype(dtype if dtype is not None else np.float32 if values.dtype == np.float64 else np.int32
                  if values.dtype == np.int64 else values.dtype)
    return _creation.constant_hbm(values, dt)


def shared_identity_matrix(n, dtype=np.uint8, **ignored):
    """An n x n identity matrix in HBM."""
    dt = to_dtype(dtype)
    return _creation.constant_hbm(np.eye(n).astype(dt.np), dt)


def static_cast(input_data, dtype=None):
    """A host array or a tile in another dtype."""
    if hasattr(input_data, "form"):
        return _functions.copy(input_data, dtype=dtype)
    return np.asarray(input_data).astype(to_dtype(dtype).np)


def program_id(axis=0):
    """Index of this program along a grid dimension."""
    return _program_id(int(axis))


def num_programs(axes=None):
    """Programs along axes of the grid; all of them without an argument."""
    return _num_programs(axes)


def gemm_grid(*args):
    return None


gemm_stationary_grid = gemm_grid


def is_nki_tensor(x):
    return isinstance(x, tensor)


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError("neuronxcc.nki.language has no "
                         f"{name!r}.{nearest(name, [n for n in globals() if not n.startswith('_')])}")



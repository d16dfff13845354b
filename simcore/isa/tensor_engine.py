"""The Tensor engine: matrix multiplication."""

from __future__ import annotations

import numpy as np

from simcore.dtypes import float8_e4m3, float8_e5m2, float32, to_float32
from simcore.isa.operand import generation, rows
from simcore.isa.table import TENSOR, MatmulPerfMode, Read, Update, instruction, require
from simcore.layout import psum, sbuf
from simcore.psum import settle_accumulation


@instruction(engines=(TENSOR,), opcode="MATMUL")
def nc_matmul(dst: Update, stationary: Read, moving: Read, is_stationary_onezero=False, is_moving_onezero=False,
              is_transpose=False, accumulate=None, tile_position=(), tile_size=(), perf_mode=MatmulPerfMode.none):
    """dst (+)= stationary.T @ moving, contracted over partitions, in float32.

    accumulate None adds to what an earlier matmul of the same accumulation group left in the PSUM location, and
    overwrites what was there before the first.
    """


def double_row(perf_mode) -> bool:
    return getattr(perf_mode, "name", str(perf_mode)).startswith("double_row")


def transpose_flag(value) -> bool:
    return value is True or (value is not None and value is not False and bool(value))


@nc_matmul.resolve
def _(rec, dst, stationary, moving, is_stationary_onezero, is_moving_onezero, is_transpose, accumulate, tile_position,
      tile_size, perf_mode):
    if tile_position.__class__ is list:
        tile_position = tuple(tile_position)
    if tile_size.__class__ is list:
        tile_size = tuple(tile_size)
    accumulate = settle_accumulation(dst, accumulate)
    return (dst, stationary, moving, is_stationary_onezero, is_moving_onezero, is_transpose, accumulate, tile_position,
            tile_size, perf_mode)


@nc_matmul.check
def _(v):
    dst, stationary, moving = v["dst"], v["stationary"], v["moving"]
    require(dst.buffer is psum, f"nisa.nc_matmul: dst must be in PSUM, but is in {dst.buffer.value}")
    for o in v.operands[1:]:
        require(o.layout.buffer is sbuf, f"nisa.nc_matmul: {o.name} must be in SBUF, but is in {o.layout.buffer.value}")
    pair = 2 if double_row(v.params["perf_mode"]) else 1
    columns, width = stationary.free // pair, moving.free // pair
    require(stationary.shape[0] <= 128, f"nisa.nc_matmul: the stationary tile has {stationary.shape[0]} partitions "
                                        "(rows of the array); at most 128")
    require(columns <= 128, f"nisa.nc_matmul: the stationary tile has {columns} columns; at most 128 "
                            "(nl.tile_size.gemm_stationary_fmax)")
    require(stationary.shape[0] == moving.shape[0],
            f"nisa.nc_matmul: stationary has {stationary.shape[0]} partitions, moving has {moving.shape[0]}; they are "
            "contracted and must agree")
    require((dst.shape[0], dst.free) == (columns, width),
            f"nisa.nc_matmul: dst is {dst.shape[0]}x{dst.free}; stationary {stationary.shape} and moving "
            f"{moving.shape} give {columns}x{width}")
    fp32 = (stationary.dtype.itemsize == 4) != (moving.dtype.itemsize == 4)
    require(not fp32, f"nisa.nc_matmul: if one operand is float32 both must be; stationary is {stationary.dtype}, "
                      f"moving is {moving.dtype}")
    if pair == 2:
        require(all(lay.dtype in (float8_e4m3, float8_e5m2, "float8_e4m3fn") for lay in (stationary, moving)),
                "nisa.nc_matmul: perf_mode double_row needs float8 operands")
        require(generation() >= 3, "nisa.nc_matmul: perf_mode double_row needs NeuronCore-v3")
    if transpose_flag(v.params["is_transpose"]):
        require(dst.dtype is moving.dtype or dst.dtype is stationary.dtype or dst.dtype is float32,
                f"nisa.nc_matmul: a transpose keeps its dtype; dst is {dst.dtype}, the operands are "
                f"{stationary.dtype} and {moving.dtype}")
    else:
        wide = generation() >= 4 and dst.dtype == "bfloat16"
        require(dst.dtype is float32 or wide,
                f"nisa.nc_matmul: dst must be float32{' or bfloat16' if generation() >= 4 else ''}, but is {dst.dtype}")
    limit = 512 if generation() < 4 else 4096 if dst.dtype.itemsize == 4 else 8192
    require(width <= limit, f"nisa.nc_matmul: the moving tile has {width} columns; at most {limit} "
                            "(nl.tile_size.gemm_moving_fmax)")
    for lay in (stationary, moving):
        require(lay.dtype.is_float, f"nisa.nc_matmul: operands must be float tiles, but one is {lay.dtype}")
    ocp = [lay.dtype == "float8_e4m3fn" for lay in (stationary, moving)]
    require(not any(ocp) or generation() >= 4, "nisa.nc_matmul: float8_e4m3fn needs NeuronCore-v4")
    require(not (any(ocp) and any(lay.dtype == "float8_e4m3" for lay in (stationary, moving))),
            "nisa.nc_matmul: float8_e4m3 and float8_e4m3fn cannot be mixed")
    check_tiling(v)


def check_tiling(v, *, rows_only: bool = False) -> None:
    """tile_position and tile_size name one of the equal parts of the 128x128 array."""
    position, size = (v.params.get(n) or () for n in ("tile_position", "tile_size"))
    if not position and not size:
        return
    require(bool(position) and bool(size), f"nisa.{v.name}: tile_position and tile_size must be given together")
    sizes = (64, 128) if generation() < 3 else (32, 64, 128)
    for what, at, n in zip(("row", "column"), position, size, strict=True):
        at, n = int(at), int(n)
        require(n in sizes, f"nisa.{v.name}: tile_size has a {what} size of {n}; possible are "
                            f"{', '.join(map(str, sizes))}")
        require(at % n == 0 and 0 <= at and at + n <= 128, f"nisa.{v.name}: tile_position has a start {what} of {at}; "
                                                           f"it must be a multiple of {n} below 128")
    require(not rows_only or int(size[1]) == 128, f"nisa.{v.name}: only rows can be tiled; the column size "
                                                  f"must be 128, not {size[1]}")
    stationary, pair = v["stationary"], 2 if double_row(v.params.get("perf_mode")) else 1
    require(pair == 1 or int(size[1]) == 128, f"nisa.{v.name}: perf_mode double_row cannot be "
                                              "combined with column tiling")
    require(stationary.shape[0] <= int(size[0]) and stationary.free // pair <= int(size[1]),
            f"nisa.{v.name}: the stationary tile is {stationary.shape[0]}x{stationary.free // pair}, larger than "
            f"tile_size {tuple(size)}")


@nc_matmul.values
def _(dst, stationary, moving, is_transpose, accumulate, perf_mode):
    a, b = stationary.array(), moving.array()
    if transpose_flag(is_transpose) and dst.dtype.itemsize == (stationary if is_transpose is not True
                                                               else moving).dtype.itemsize:
        a, b = rows(a), rows(b)
        exact = _moved_bits(a, b)
        if exact is not None:
            dst.write(exact)
            return
    if double_row(perf_mode):
        a = a.reshape(a.shape[0] * 2, -1) if a.ndim > 2 else a.reshape(a.shape[0], 2, -1).reshape(a.shape[0] * 2, -1)
        b = b.reshape(b.shape[0] * 2, -1) if b.ndim > 2 else b.reshape(b.shape[0], 2, -1).reshape(b.shape[0] * 2, -1)
    product = np.matmul(to_float32(rows(a)).T, to_float32(rows(b)))
    if accumulate:
        product = product + rows(dst.array()).astype(np.float32)
    dst.write(product)


def _moved_bits(a, b):
    """Transpose mode moves bits through an identity: the transposed data when one side is an identity, else None."""
    for eye, data in ((b, a), (a, b)):
        if eye.shape[0] == eye.shape[1] and np.array_equal(to_float32(eye), np.eye(eye.shape[0], dtype=np.float32)):
            return data.T if eye is b else data
    return None


@nc_matmul.flops
def _(v):
    return 2 * v["stationary"].shape[0] * v["dst"].shape[0] * v["moving"].free

"""Microscaling (MX) formats of NeuronCore-v4: packed elements with one power-of-two scale per block.

A block is 8 partitions x 4 packed elements.  Its scale (exponent + 127, one byte) lies in the quadrant of 32 partitions
it belongs to: block g of a quadrant in partition g of that quadrant's part of the scale tile.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from simcore.dtypes import cast, to_float32
from simcore.isa.operand import check_sbuf, check_tiles, f32, rows
from simcore.isa.table import TENSOR, VECTOR, Read, Update, Write, instruction, require
from simcore.isa.tensor_engine import check_tiling
from simcore.layout import psum, sbuf
from simcore.psum import settle_accumulation

# largest unbiased exponent of the element, and its largest value
_ELEMENT_MAX = {"float8_e4m3fn_x4": (8, 448.0), "float8_e5m2_x4": (15, 57344.0)}
_SCALES = ("uint8", "float8_e8m0fnu")


def unpack(packed: np.ndarray, dtype) -> np.ndarray:
    """[..., n] packed elements as [..., n, 4] float32, the lowest bits first."""
    raw = np.ascontiguousarray(packed)
    if dtype.itemsize == 4:
        return to_float32(raw.view(np.uint8).reshape(*raw.shape, 4).view(dtype.packed.np))
    nibbles = (raw[..., None].astype(np.uint16) >> (4 * np.arange(4, dtype=np.uint16))) & 0xF
    return nibbles.astype(np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float32)


def pack(values: np.ndarray, dtype) -> np.ndarray:
    """[..., n, 4] float values rounded to the element type and packed to [..., n]."""
    small = cast(values, dtype.packed)
    if dtype.itemsize == 4:
        return np.ascontiguousarray(small).view(np.uint8).view(np.uint32).reshape(values.shape[:-1])
    bits = small.view(np.uint8).astype(np.uint16) & 0xF
    return (bits << (4 * np.arange(4, dtype=np.uint16))).sum(-1).astype(np.uint16)


def scale_rows(partitions: int) -> np.ndarray:
    """For each block of 8 partitions the row of the scale tile that holds its scale."""
    block = np.arange(partitions // 8)
    return block // 4 * 32 + block % 4


def exponents(scale, partitions: int) -> np.ndarray:
    """Per partition and column: the factor 2 ** (scale - 127)."""
    raw = rows(scale.read()).view(np.uint8)[scale_rows(partitions)]
    factor = np.ldexp(np.float32(1), raw.astype(np.int32) - 127).astype(np.float32)
    factor[raw == 255] = np.nan
    return np.repeat(factor, 8, axis=0)


def check_scale(v, name: str, data: str, columns: int) -> None:
    scale, partitions = v[name], v[data].shape[0]
    require(scale.buffer is sbuf, f"nisa.{v.name}: {name} must be in SBUF, but is in {scale.buffer.value}")
    require(scale.dtype in _SCALES, f"nisa.{v.name}: {name} must be float8_e8m0fnu or uint8, but is {scale.dtype}")
    need = int(scale_rows(partitions)[-1]) + 1
    require(scale.shape[0] >= need, f"nisa.{v.name}: {name} has {scale.shape[0]} partitions; the blocks of "
                                    f"{partitions} partitions need {need}")
    require(scale.free == columns, f"nisa.{v.name}: {name} has {scale.free} elements per partition; one per packed "
                                   f"element ({columns}) is needed")


@instruction(engines=(TENSOR,), since=4, opcode="MATMUL_MX")
def nc_matmul_mx(dst: Update, stationary: Read, moving: Read, stationary_scale: Read, moving_scale: Read,
                 tile_position=None, tile_size=None, accumulate=None):
    """dst (+)= stationary.T @ moving over partitions and packed elements; a value is element * 2 ** (scale - 127)."""


@nc_matmul_mx.resolve
def _(rec, dst, stationary, moving, stationary_scale, moving_scale, tile_position, tile_size, accumulate):
    position = tuple(tile_position) if tile_position.__class__ is list else tile_position
    size = tuple(tile_size) if tile_size.__class__ is list else tile_size
    return dst, stationary, moving, stationary_scale, moving_scale, position, size, settle_accumulation(dst, accumulate)


@nc_matmul_mx.check
def _(v):
    dst, stationary, moving = v["dst"], v["stationary"], v["moving"]
    require(dst.buffer is psum, f"nisa.nc_matmul_mx: dst must be in PSUM, but is in {dst.buffer.value}")
    require(dst.dtype in ("float32", "bfloat16"), "nisa.nc_matmul_mx: dst must be float32 or "
                                                  f"bfloat16, but is {dst.dtype}")
    for name in ("stationary", "moving"):
        lay = v[name]
        require(lay.buffer is sbuf, f"nisa.nc_matmul_mx: {name} must be in SBUF, but is in {lay.buffer.value}")
        require(lay.dtype.packed is not None, f"nisa.nc_matmul_mx: {name} must be a packed x4 tile, but is {lay.dtype}")
    k = stationary.shape[0]
    require(k == moving.shape[0], f"nisa.nc_matmul_mx: stationary has {k} partitions, moving has {moving.shape[0]}; "
                                  "they are contracted and must agree")
    require(k % 32 == 0 and k <= 128, f"nisa.nc_matmul_mx: {k} partitions; 32, 64, 96 or 128 are possible")
    require(stationary.free <= 128 and stationary.free % 2 == 0,
            f"nisa.nc_matmul_mx: the stationary tile has {stationary.free} columns; an even "
            "number up to 128 is possible")
    limit = 4096 if dst.dtype == "float32" else 8192
    require(moving.free <= limit, f"nisa.nc_matmul_mx: the moving tile has {moving.free} columns; at most "
                                  f"{limit} into {dst.dtype}")
    require((dst.shape[0], dst.free) == (stationary.free, moving.free),
            f"nisa.nc_matmul_mx: dst is {dst.shape[0]}x{dst.free}; the operands give {stationary.free}x{moving.free}")
    check_scale(v, "stationary_scale", "stationary", stationary.free)
    check_scale(v, "moving_scale", "moving", moving.free)
    check_tiling(v, rows_only=True)


@nc_matmul_mx.values
def _(dst, stationary, moving, stationary_scale, moving_scale, accumulate):
    def operand(tile, scale):
        values = unpack(rows(tile.read()), tile.dtype) * exponents(scale, tile.shape[0])[..., None]
        return values.transpose(0, 2, 1).reshape(-1, values.shape[1])     # (partition, packed) contracted together

    product = np.matmul(operand(stationary, stationary_scale).T, operand(moving, moving_scale))
    if accumulate:
        product = product + rows(dst.array()).astype(np.float32)
    dst.write(product)


@nc_matmul_mx.flops
def _(v):
    return 8 * v["stationary"].shape[0] * v["dst"].shape[0] * v["moving"].free


@instruction(engines=(VECTOR,), since=4, opcode="QUANTIZE_MX")
def quantize_mx(dst: Write, src: Read, dst_scale: Write):
    """src (float16 or bfloat16) as packed MX elements and block scales 2 ** (floor(log2(max)) - (Emax - 1)).

    Up to release 0.4 the scale is the sample algorithm's of the OCP specification, 2 ** (floor(log2(max)) - Emax), half
    of that, and elements beyond the largest of their type become it (release notes of 0.5).
    """


@quantize_mx.check
def _(v):
    dst, src = v["dst"], v["src"]
    check_tiles(v, "dst", "src")
    check_sbuf(v, "dst", "src", "dst_scale")
    require(src.dtype in ("float16", "bfloat16"), "nisa.quantize_mx: src must be float16 or "
                                                  f"bfloat16, but is {src.dtype}")
    require(str(dst.dtype) in _ELEMENT_MAX, "nisa.quantize_mx: dst must be float8_e4m3fn_x4 or "
                                            f"float8_e5m2_x4, but is {dst.dtype}")
    require(src.shape[0] % 32 == 0, f"nisa.quantize_mx: src has {src.shape[0]} partitions; a multiple of 32 is needed")
    require(src.free % 4 == 0 and dst.free == src.free // 4,
            f"nisa.quantize_mx: src has {src.free} elements per partition, dst {dst.free}; dst holds "
            "four of them per element")
    check_scale(v, "dst_scale", "src", dst.free)


@quantize_mx.values
def _(dst, src, dst_scale):
    from simcore.frontend import state

    values = rows(f32(src))
    partitions = values.shape[0]
    blocks = values.reshape(partitions // 8, 8, -1, 4)
    top = np.abs(blocks).max((1, 3))
    emax, largest = _ELEMENT_MAX[str(dst.dtype)]
    if state.recorder.nki_release >= "0.5":
        emax -= 1
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.where(top > 0, np.frexp(top)[1] - 1 - emax, -127)
    exponent = np.clip(exponent, -127, 127).astype(np.int32)
    scaled = np.clip(np.ldexp(blocks, -exponent[:, None, :, None]), -largest, largest)
    dst.array()[...] = pack(scaled.reshape(partitions, -1, 4), dst.dtype).reshape(dst.shape)
    out = dst_scale.array()
    flat = (exponent + 127).astype(np.uint8)
    for row, line in zip(scale_rows(partitions), flat, strict=True):
        out[row] = line.reshape(out.shape[1:]).view(out.dtype)


@quantize_mx.flops
def _(v):
    return 2 * v["src"].size

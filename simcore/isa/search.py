"""Searching on the Vector engine: the eight largest values, where they are, and replacing them."""

from __future__ import annotations

import numpy as np

from simcore.dtypes import cast
from simcore.isa.operand import check_same_free, check_tiles, f32, rows
from simcore.isa.table import VECTOR, Read, Write, WriteOrNone, instruction, require


def check_length(v, name: str) -> None:
    n = v[name].free
    require(8 <= n <= 16384, f"nisa.{v.name}: {name} has {n} elements per partition; 8 to 16384 are possible")


@instruction(engines=(VECTOR,), opcode="MAX8")
def max8(dst: Write, src: Read):
    """The 8 largest values of each partition, in descending order."""


@max8.check
def _(v):
    check_tiles(v)
    check_length(v, "src")
    require(v["dst"].free == 8, f"nisa.max8: dst needs 8 elements per partition, but has {v['dst'].free}")


@max8.values
def _(dst, src):
    values = rows(f32(src))
    values = np.where(np.isnan(values), -np.inf, values)
    dst.write(np.ascontiguousarray(np.sort(values, axis=1)[:, ::-1][:, :8]))


@instruction(engines=(VECTOR,), opcode="FIND_INDEX8")
def nc_find_index8(dst: Write, data: Read, vals: Read):
    """Index of each of 8 values in data; equal values take successive places, ascending; missing gives all ones."""


@nc_find_index8.check
def _(v):
    check_tiles(v)
    check_length(v, "data")
    require(v["vals"].free == 8, f"nisa.nc_find_index8: vals needs 8 elements per partition, but has {v['vals'].free}")
    require(v["dst"].free == 8, f"nisa.nc_find_index8: dst needs 8 elements per partition, but has {v['dst'].free}")
    require(v["dst"].dtype in ("uint16", "uint32"), "nisa.nc_find_index8: dst must be uint16 or uint32, "
                                                    f"but is {v['dst'].dtype}")


def places(data: np.ndarray, vals: np.ndarray, order) -> np.ndarray:
    """[partitions, 8] positions in data of vals, slots visited in `order`; -1 where there is none (left)."""
    found = np.full(vals.shape, -1, np.int64)
    free = np.ones(data.shape, bool)
    lanes = np.arange(len(data))
    for slot in order:
        match = free & (data == vals[:, slot, None])
        at = match.argmax(1)
        hit = match[lanes, at]
        found[:, slot] = np.where(hit, at, -1)
        free[lanes[hit], at[hit]] = False
    return found


@nc_find_index8.values
def _(dst, data, vals):
    found = places(rows(f32(data)), rows(f32(vals)), range(8))
    limit = np.iinfo(dst.dtype.np).max
    dst.write(np.where(found < 0, limit, found).astype(dst.dtype.np))


@instruction(engines=(VECTOR,), opcode="MATCH_REPLACE8")
def nc_match_replace8(dst: Write, data: Read, vals: Read, imm, dst_idx: WriteOrNone = None):
    """dst = data, the first occurrence of each value replaced by imm; dst_idx gets the places (from slot 7 down)."""


@nc_match_replace8.check
def _(v):
    check_tiles(v)
    check_length(v, "data")
    check_same_free(v, "dst", "data")
    require(v["vals"].free == 8, "nisa.nc_match_replace8: vals needs 8 elements per partition, "
                                 f"but has {v['vals'].free}")
    idx = v.get("dst_idx")
    require(idx is None or (idx.free == 8 and idx.dtype.is_int),
            "nisa.nc_match_replace8: dst_idx must be an integer tile with 8 elements per partition")


@nc_match_replace8.values
def _(dst, data, vals, imm, dst_idx):
    values = rows(f32(data))
    found = places(values, rows(f32(vals)), range(7, -1, -1))
    out = values.copy()
    lane, slot = np.nonzero(found >= 0)
    out[lane, found[lane, slot]] = imm
    dst.write(out if data.dtype.is_float else cast(out, dst.dtype))
    if dst_idx is not None:
        limit = np.iinfo(dst_idx.dtype.np).max
        dst_idx.write(np.where(found < 0, limit, found).astype(dst_idx.dtype.np))

"""The GpSimd engine: index patterns, gathers, and reductions over partitions.

The engine has eight cores; each is connected to 16 neighbouring partitions of SBUF and cannot reach PSUM.
"""

from __future__ import annotations

import math

import numpy as np

from simcore.dtypes import cast
from simcore.isa.operand import check_op, check_same_free, check_sbuf, check_tiles, f32, rows
from simcore.isa.operators import to_operator
from simcore.isa.table import GPSIMD, Read, ReadOrScalar, Write, instruction, require
from simcore.tensor import Tensor

LANES = 16      # partitions connected to one GpSimd core


def freeze_pattern(pattern):
    """[[step, count], ...] as tuples of integers, so that variants are recognised quickly."""
    return tuple((int(s), int(n)) for s, n in pattern) if pattern.__class__ is list else pattern


def affine(pattern, offset, channel_multiplier, partitions: int) -> np.ndarray:
    """offset + p * channel_multiplier + sum(step * index), int32, [partitions, elements]."""
    free = np.zeros((), np.int64)
    for step, count in pattern:
        free = free[..., None] + np.arange(count, dtype=np.int64) * step
    values = np.arange(partitions, dtype=np.int64)[:,
                                                   None] * int(channel_multiplier) + free.reshape(1, -1) + int(offset)
    return values.astype(np.int32)


def check_pattern(v):
    pattern = v.params["pattern"]
    require(1 <= len(pattern) <= 4, f"nisa.{v.name}: pattern has {len(pattern)} dimensions; 1 to 4 are possible")
    count = math.prod(n for _, n in pattern)
    require(count == v["dst"].free, f"nisa.{v.name}: pattern describes {count} elements per partition, "
                                    f"dst has {v['dst'].free}")


@instruction(engines=(GPSIMD,), opcode="IOTA")
def iota(dst: Write, pattern, offset=0, channel_multiplier=0):
    """dst = offset + p * channel_multiplier + sum(step * index), in int32, cast to dst's dtype."""


@iota.resolve
def _(rec, dst, pattern, offset, channel_multiplier):
    return dst, freeze_pattern(pattern), number(offset), number(channel_multiplier)


def number(value):
    """An offset given as a register counts as its value (0 where only timing is computed)."""
    known = getattr(value, "known", value)
    return 0 if known is None else known


@iota.check
def _(v):
    check_tiles(v)
    check_sbuf(v, "dst")
    check_pattern(v)


@iota.values
def _(dst, pattern, offset, channel_multiplier):
    dst.write(cast(affine(pattern, offset, channel_multiplier, dst.shape[0]), dst.dtype))


@instruction(engines=(GPSIMD,), opcode="AFFINE_SELECT")
def affine_select(dst: Write, pattern, channel_multiplier, on_true_tile: ReadOrScalar, on_false_value: ReadOrScalar,
                  cmp_op="equal", offset=0):
    """dst = on_true_tile where cmp_op(offset + p * channel_multiplier + sum(step * index), 0), else on_false_value."""


@affine_select.resolve
def _(rec, dst, pattern, channel_multiplier, on_true_tile, on_false_value, cmp_op, offset):
    # up to release 0.2: (dst, pattern, offset, channel_multiplier, tile, value, cmp_op)
    if isinstance(on_false_value, Tensor):
        offset, channel_multiplier, on_true_tile, on_false_value, cmp_op = (
            channel_multiplier, on_true_tile, on_false_value, cmp_op, offset)
    return (dst, freeze_pattern(pattern), number(channel_multiplier), on_true_tile, on_false_value, cmp_op,
            number(offset))


@affine_select.check
def _(v):
    require(v.get("on_true_tile") is not None, "nisa.affine_select: on_true_tile must be a tile")
    check_tiles(v)
    check_sbuf(v, "dst", "on_true_tile")
    check_same_free(v, "dst", "on_true_tile")
    check_pattern(v)
    check_op(v, "cmp_op", kinds=("comparison",))


@affine_select.values
def _(dst, pattern, channel_multiplier, on_true_tile, on_false_value, cmp_op, offset):
    index = affine(pattern, offset, channel_multiplier, dst.shape[0])
    keep = to_operator(cmp_op).apply(index, np.int32(0)) != 0
    if on_true_tile.dtype is dst.dtype:
        dst.write(np.where(keep, rows(on_true_tile.read()), cast(np.asarray(on_false_value, np.float32), dst.dtype)))
    else:
        dst.write(np.where(keep, rows(f32(on_true_tile)), np.float32(on_false_value)))


@instruction(engines=(GPSIMD,), opcode="PARTITION_REDUCE")
def tensor_partition_reduce(dst: Write, op, data: Read):
    """dst = data reduced over its partitions."""


@tensor_partition_reduce.check
def _(v):
    check_tiles(v, "data")
    check_tiles(v, "dst")
    check_sbuf(v, "dst", "data")
    check_op(v, "op", names=("add", "average", "maximum", "bitwise_or", "bitwise_and"))
    require(v["dst"].shape[0] == 1, f"nisa.tensor_partition_reduce: dst has {v['dst'].shape[0]} "
                                    "partitions; the result has one")
    check_same_free(v, "dst", "data")


@tensor_partition_reduce.values
def _(dst, op, data):
    op = to_operator(op)
    values = rows(data.read())
    if op.kind != "bit":
        values = values.astype(np.float32)
    out = op.reduce.reduce(values, axis=0, keepdims=True)
    dst.write(out / np.float32(values.shape[0]) if op.name == "average" else out)


@tensor_partition_reduce.flops
def _(v):
    return v["data"].size


@instruction(engines=(GPSIMD,), opcode="GATHER")
def nc_n_gather(dst: Write, data: Read, indices: Read):
    """Within each partition: dst[i] = data.flat[indices[i]]."""


@nc_n_gather.check
def _(v):
    check_tiles(v)
    check_sbuf(v, "dst", "data", "indices")
    check_same_free(v, "dst", "indices")
    require(v["indices"].dtype == "uint32", f"nisa.nc_n_gather: indices must be uint32, but are {v['indices'].dtype}")
    require(v["dst"].dtype is v["data"].dtype, f"nisa.nc_n_gather: dst is {v['dst'].dtype}, data is "
                                               f"{v['data'].dtype}; they must agree")


@nc_n_gather.values
def _(dst, data, indices):
    values, index = rows(data.read()), rows(indices.read()).astype(np.int64)
    check_index(index, values.shape[1], "nisa.nc_n_gather", data)
    dst.write(np.take_along_axis(values, index, 1))


def check_index(index: np.ndarray, limit: int, what: str, tile) -> None:
    bad = index[(index < 0) | (index >= limit)]
    if bad.size:
        raise IndexError(f"index {int(bad.flat[0])} is out of bounds for axis 0 with size {limit} "
                         f"({what} from {tile.name})")


@instruction(engines=(GPSIMD,), opcode="LOCAL_GATHER")
def local_gather(dst: Write, src_buffer: Read, index: Read, num_elem_per_idx=1, num_valid_indices=None):
    """Per 16 partitions: each of their indices, partition first, reads num_elem_per_idx elements of every partition."""


@local_gather.check
def _(v):
    src, index, n = v["src_buffer"], v["index"], v.params["num_elem_per_idx"]
    check_tiles(v)
    check_sbuf(v, "dst", "src_buffer", "index")
    require(src.shape[0] % LANES == 0, f"nisa.local_gather: src_buffer has {src.shape[0]} partitions; a "
                                       f"multiple of {LANES} is needed")
    require(index.dtype == "uint16", f"nisa.local_gather: index must be uint16, but is {index.dtype}")
    require(n in (1, 2, 4, 8, 16, 32), f"nisa.local_gather: num_elem_per_idx {n} is not possible; "
                                       "use 1, 2, 4, 8, 16 or 32")
    valid = gathered(v["index"].free, v.params["num_valid_indices"])
    require(valid <= LANES * index.free, f"nisa.local_gather: num_valid_indices {valid} exceeds the "
                                         f"{LANES * index.free} indices of 16 partitions")
    require(valid <= 4096, f"nisa.local_gather: {valid} indices per 16 partitions; at most 4096")
    require(v["dst"].dtype is src.dtype, f"nisa.local_gather: dst is {v['dst'].dtype}, src_buffer is "
                                         f"{src.dtype}; they must agree")
    require(v["dst"].free == valid * n, f"nisa.local_gather: dst has {v['dst'].free} elements per partition; {valid} "
                                        f"indices of {n} elements give {valid * n}")


def gathered(index_free: int, num_valid) -> int:
    return LANES * index_free if num_valid is None else int(num_valid)


@local_gather.values
def _(dst, src_buffer, index, num_elem_per_idx, num_valid_indices):
    source, indices = rows(src_buffer.read()), rows(index.read())
    valid = gathered(indices.shape[1], num_valid_indices)
    out = np.empty((source.shape[0], valid * num_elem_per_idx), source.dtype)
    for at in range(0, source.shape[0], LANES):
        flat = indices[at:at + LANES].T.reshape(-1)[:valid].astype(np.int64)
        take = (flat[:, None] + np.arange(num_elem_per_idx)).reshape(-1)
        check_index(take, source.shape[1], "nisa.local_gather", src_buffer)
        out[at:at + LANES] = source[at:at + LANES][:, take]
    dst.write(out)


@instruction(engines=(GPSIMD,), since=3, opcode="NONZERO_WITH_COUNT")
def nonzero_with_count(dst: Write, src: Read, index_offset=0, padding_val=-1):
    """On partitions 0, 16, .., 112: the indices of the nonzero elements, padding, and their count last."""


@nonzero_with_count.check
def _(v):
    check_tiles(v)
    check_sbuf(v, "dst", "src")
    require(v["src"].dtype in ("float32", "int32"), "nisa.nonzero_with_count: src must be float32 or int32, "
                                                    f"but is {v['src'].dtype}")
    require(v["dst"].dtype == "int32", f"nisa.nonzero_with_count: dst must be int32, but is {v['dst'].dtype}")
    require(v["dst"].free == v["src"].free + 1, f"nisa.nonzero_with_count: dst has {v['dst'].free} elements per "
                                                f"partition; one more than the {v['src'].free} of src is needed")


@nonzero_with_count.values
def _(dst, src, index_offset, padding_val):
    values, out = rows(src.read()), rows(dst.read()).copy()
    for p in range(0, values.shape[0], LANES):
        found = np.flatnonzero(values[p])
        out[p, :-1] = padding_val
        out[p, :len(found)] = found + index_offset
        out[p, -1] = len(found)
    dst.write(out)


@instruction(engines=(GPSIMD,), since=3, opcode="TOPK")
def topk(val_dst: Write, idx_dst: Write, src: Read, n):
    """The K largest of n values, ascending, with their indices, for each 16 partitions read column by column.

    K is the free size of val_dst; all partitions of a group get the group's result.
    """


@topk.check
def _(v):
    check_tiles(v)
    check_sbuf(v, "val_dst", "idx_dst", "src")
    n, k, src = int(v.params["n"]), v["val_dst"].free, v["src"]
    require(src.dtype == "bfloat16" and v["val_dst"].dtype == "bfloat16", "nisa.topk: src and val_dst must be bfloat16")
    require(v["idx_dst"].dtype == "uint32", f"nisa.topk: idx_dst must be uint32, but is {v['idx_dst'].dtype}")
    require(8 <= n < 65536, f"nisa.topk: n is {n}; 8 to 65535 are possible")
    require(1 <= k < 32768 and k <= n, f"nisa.topk: val_dst holds {k} values; 1 to {min(n, 32767)} are possible")
    require(v["idx_dst"].free == k, f"nisa.topk: idx_dst has {v['idx_dst'].free} elements per "
                                    f"partition, val_dst has {k}")
    require(src.free >= -(-n // LANES), f"nisa.topk: src has {src.free} elements per partition; {-(-n // LANES)} "
                                        f"are needed for n = {n}")
    require(src.shape[0] % LANES == 0, f"nisa.topk: src has {src.shape[0]} partitions; a multiple of {LANES} is needed")


@topk.values
def _(val_dst, idx_dst, src, n):
    values, k = rows(f32(src)), val_dst.layout.free
    top, where = np.empty((values.shape[0], k), np.float32), np.empty((values.shape[0], k), np.uint32)
    for at in range(0, values.shape[0], LANES):
        flat = values[at:at + LANES].T.reshape(-1)[:n]
        order = np.argsort(-flat, kind="stable")[:k][::-1]
        top[at:at + LANES], where[at:at + LANES] = flat[order], order
    val_dst.write(top)
    idx_dst.write(where)


@topk.flops
def _(v):
    return int(v.params["n"]) * max(1, v["src"].shape[0] // LANES)


@instruction(engines=(GPSIMD,), opcode="SEQUENCE_BOUNDS")
def sequence_bounds(dst: Write, segment_ids: Read):
    """For each element the start and end index of its run of equal segment ids; id 0 is padding: (n, -1)."""


@sequence_bounds.check
def _(v):
    dst, ids = v["dst"], v["segment_ids"]
    check_tiles(v)
    require(ids.shape[0] == 1, f"nisa.sequence_bounds: segment_ids must lie on one partition, but has {ids.shape[0]}")
    require(dst.free == 2 * ids.free, f"nisa.sequence_bounds: dst has {dst.free} elements per partition; "
                                      f"2 x {ids.free} are needed")
    for name in ("dst", "segment_ids"):
        require(v[name].dtype in ("float32", "int32"), f"nisa.sequence_bounds: {name} must be float32 or int32, "
                                                       f"but is {v[name].dtype}")


@sequence_bounds.values
def _(dst, segment_ids):
    ids = rows(segment_ids.read())[0]
    n = len(ids)
    first = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    run = np.repeat(np.arange(len(first)), np.diff(np.r_[first, n]))
    start, end = first[run], np.r_[first[1:], n][run]
    dst.write(np.stack([np.where(ids == 0, n, start), np.where(ids == 0, -1, end)]).reshape(1, -1))

"""Reductions, scans and statistics of the Vector engine."""

from __future__ import annotations

import math

import numpy as np

from simcore.dtypes import to_float32
from simcore.isa.accumulator import IDENTITY, accumulate, check_accumulator, command, registers
from simcore.isa.elementwise import scalar_step, tensor_scalar_values
from simcore.isa.operand import (
    check_bit_dtypes,
    check_not_both_psum,
    check_op,
    check_per_partition,
    check_same_free,
    check_tiles,
    f32,
    like,
    rows,
)
from simcore.isa.operators import to_operator
from simcore.isa.table import VECTOR, Read, ReadOrScalar, ReduceCmd, Write, WriteOrNone, instruction, require


@instruction(engines=(VECTOR,), opcode="TENSOR_REDUCE")
def tensor_reduce(dst: Write, op, data: Read, axis, negate=False, keepdims=False):
    """dst = data reduced over free axes; negate flips the sign.

    The documentation asks for the last axes; published kernels that ran on the chip reduce others, which is the same
    instruction reading its access pattern in another order.
    """


@tensor_reduce.resolve
def _(rec, dst, op, data, axis, negate, keepdims):
    return dst, op, data, tuple(axis) if axis.__class__ is list else axis, negate, keepdims


@tensor_reduce.check
def _(v):
    check_tiles(v)
    op = check_op(v, "op", kinds=("arithmetic", "bit", "logical"))
    require(op.reduce is not None, f"nisa.tensor_reduce: nl.{op.name} cannot reduce")
    check_bit_dtypes(v, op)
    axes = axes_for(v.params["axis"], v["data"].shape, v["dst"].free)
    require(0 not in axes, "nisa.tensor_reduce: axis 0 is the partition dimension; reduce it with a matmul or "
                           "nisa.tensor_partition_reduce")
    require(not (v.params["negate"] and op.kind != "arithmetic"),
            f"nisa.tensor_reduce: negate needs an arithmetic operator, not nl.{op.name}")
    kept = math.prod(n for i, n in enumerate(v["data"].shape) if i not in axes and i != 0)
    require(v["dst"].free == kept, f"nisa.tensor_reduce: dst has {v['dst'].free} elements per partition; reducing "
                                   f"{v['data'].shape} over {axes} leaves {kept}")
    require(math.prod(v["data"].shape) > 0 or not v["dst"].free,
            f"nisa.tensor_reduce: data of shape {v['data'].shape} has no elements to reduce")


def axes_for(axis, shape: tuple[int, ...], kept: int) -> tuple[int, ...]:
    """The axes reduced when `kept` elements per partition remain: those named, or (as kernels of the first releases
    rely on) everything from the one named on."""
    axes = reduced_axes(axis, len(shape))
    left = math.prod(n for i, n in enumerate(shape) if i and i not in axes)
    if left != kept and kept == math.prod(shape[1:axes[0]]):
        return tuple(range(axes[0], len(shape)))
    return axes


def reduced_axes(axis, ndim: int) -> tuple[int, ...]:
    return tuple(sorted(int(a) % ndim for a in (axis if isinstance(axis, tuple | list) else (axis,))))


@tensor_reduce.values
def _(dst, op, data, axis, negate):
    op = to_operator(op)
    values = data.read()
    if op.kind != "bit":
        values = values.astype(np.float32)
    with np.errstate(all="ignore"):
        out = op.reduce.reduce(values, axis=axes_for(axis, values.shape, dst.layout.free))
    if op.kind == "logical":
        out = out.astype(np.float32)
    dst.write(-out if negate else out)


@tensor_reduce.flops
def _(v):
    return v["data"].size


@instruction(engines=(VECTOR,), opcode="TENSOR_SCALAR_REDUCE")
def tensor_scalar_reduce(dst: Write, data: Read, op0, operand0: ReadOrScalar, reduce_op, reduce_res: WriteOrNone = None,
                         reverse0=False,
                         reduce_cmd=ReduceCmd.reset_reduce, reduce_init: ReadOrScalar = None, reduce_res_negate=False):
    """dst = data op0 operand0, and reduce_op over each partition's results into reduce_res."""


@tensor_scalar_reduce.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "data")
    check_op(v, "op0", kinds=("arithmetic", "comparison", "logical", "unary"))
    require(to_operator(v.params["reduce_op"]) is not None, "nisa.tensor_scalar_reduce: reduce_op must be nl.add, "
                                                            "nl.multiply, nl.max or nl.min")
    check_per_partition(v, "operand0", "reduce_init")
    check_accumulator(v, ops=("add", "multiply", "maximum", "minimum"),
                      commands=("reset_reduce", "reduce", "load_reduce"))
    if command(v.params["reduce_cmd"]) == "load_reduce":
        require(v.get("reduce_init") is not None or v.params.get("reduce_init") is not None,
                "nisa.tensor_scalar_reduce: reduce_cmd load_reduce needs reduce_init")


@tensor_scalar_reduce.values
def _(dst, data, op0, operand0, reduce_op, reduce_res, reverse0, reduce_cmd, reduce_init, reduce_res_negate):
    values = tensor_scalar_values(data, op0, operand0, reverse0, None, None, False)
    dst.write(values)
    accumulate("vector", values, command(reduce_cmd), to_operator(reduce_op), reduce_res, reduce_init,
               reduce_res_negate)


@tensor_scalar_reduce.flops
def _(v):
    return 2 * v["data"].size


_SCAN_DTYPES = ("bfloat16", "float16", "float32", "float8_e4m3", "float8_e4m3fn", "float8_e5m2", "uint8", "uint16",
                "int8", "int16", "tfloat32")


@instruction(engines=(VECTOR,), opcode="TENSOR_SCALAR_CUMULATIVE")
def tensor_scalar_cumulative(dst: Write, src: Read, op0, op1, imm0: ReadOrScalar, imm1: ReadOrScalar = None,
                             reduce_cmd=ReduceCmd.reset_reduce):
    """dst[i] = op1(src[i] op0 imm0, dst[i - 1]): a running op1, started by reduce_cmd."""


@tensor_scalar_cumulative.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "src")
    check_op(v, "op0", kinds=("arithmetic",))
    check_op(v, "op1", names=("add", "subtract", "multiply", "maximum", "minimum"))
    check_per_partition(v, "imm0", "imm1")
    for name in ("dst", "src"):
        require(str(v[name].dtype) in _SCAN_DTYPES, f"nisa.tensor_scalar_cumulative: {name} cannot be {v[name].dtype}")
    cmd = command(v.params["reduce_cmd"])
    require(cmd in ("reset_reduce", "reduce", "load_reduce"),
            f"nisa.tensor_scalar_cumulative: reduce_cmd {cmd} is not possible")
    if cmd == "load_reduce":
        require(v.get("imm1") is not None or v.params.get("imm1") is not None,
                "nisa.tensor_scalar_cumulative: reduce_cmd load_reduce needs imm1")


@tensor_scalar_cumulative.values
def _(dst, src, op0, op1, imm0, imm1, reduce_cmd):
    values = to_float32(rows(src.read()))
    values = scalar_step(to_operator(op0), values, imm0, False, values.shape)
    op = to_operator(op1)
    register = registers("vector", values.shape[0])
    cmd = command(reduce_cmd)
    if cmd == "reset_reduce":
        register[...] = IDENTITY[op.name]
    elif cmd == "load_reduce":
        register[...] = like(imm1, (len(register), 1)).reshape(-1)
    out = _scan(op, values, register.copy())
    register[...] = out[:, -1]
    dst.write(out)


def _commutes(op) -> bool:
    return isinstance(op.reduce, np.ufunc) and op.name != "subtract"


def _scan(op, values: np.ndarray, state: np.ndarray) -> np.ndarray:
    """out[:, i] = values[:, i] op out[:, i - 1], from `state` on, one column after the other."""
    with np.errstate(all="ignore"):
        if _commutes(op):
            return op.reduce.accumulate(np.column_stack([state, values]), axis=1, dtype=np.float32)[:, 1:]
        out = np.empty(values.shape[::-1], np.float32)
        for i, column in enumerate(np.ascontiguousarray(values.T)):
            state = out[i] = op.apply(column, state)
    return out.T


@instruction(engines=(VECTOR,), opcode="TENSOR_TENSOR_SCAN")
def tensor_tensor_scan(dst: Write, data0: Read, data1: Read, initial: ReadOrScalar, op0, op1, reverse0=False,
                       reverse1=False):
    """dst[i] = (data0[i] op0 dst[i - 1]) op1 data1[i], with dst[-1] = initial, kept in float32 along the way."""


@tensor_tensor_scan.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "data0", "data1", broadcast=("data0", "data1"))
    check_not_both_psum(v, "data0", "data1")
    check_per_partition(v, "initial")
    for name in ("op0", "op1"):
        check_op(v, name, kinds=("arithmetic", "comparison", "logical"))


@tensor_tensor_scan.values
def _(dst, data0, data1, initial, op0, op1, reverse0, reverse1):
    shape = (dst.shape[0], dst.layout.free)
    a, b = (np.broadcast_to(like(x, shape), shape) for x in (data0, data1))
    op0, op1 = to_operator(op0), to_operator(op1)
    state = np.broadcast_to(like(initial, (shape[0], 1)).reshape(-1), (shape[0],))
    if op0.name == "multiply" and _commutes(op1) and (a == 1).all():
        dst.write(_scan(op1, b, state))
        return
    out = np.empty(shape[::-1], np.float32)
    with np.errstate(all="ignore"):
        for i, (x, y) in enumerate(zip(np.ascontiguousarray(a.T), np.ascontiguousarray(b.T), strict=True)):
            state = op0.apply(state, x) if reverse0 else op0.apply(x, state)
            state = out[i] = op1.apply(y, state) if reverse1 else op1.apply(state, y)
    dst.write(out.T)


@tensor_tensor_scan.flops
def _(v):
    return 2 * v["dst"].size


@instruction(engines=(VECTOR,), opcode="BN_STATS")
def bn_stats(dst: Write, data: Read):
    """Per partition: count, mean and variance * count of the even elements, then of the odd ones."""


@bn_stats.check
def _(v):
    check_tiles(v)
    require(v["data"].free <= 512, f"nisa.bn_stats: data has {v['data'].free} elements per partition; at most 512 "
                                   "(nl.tile_size.bn_stats_fmax)")
    require(v["dst"].free == 6, f"nisa.bn_stats: dst needs 6 elements per partition, but has {v['dst'].free}")


@bn_stats.values
def _(dst, data):
    dst.write(statistics(rows(f32(data))))


def statistics(values: np.ndarray) -> np.ndarray:
    """[partitions, 6]: count, mean, variance * count of even, then of odd elements."""
    parts = []
    for part in (values[:, 0::2], values[:, 1::2]):
        n = part.shape[1]
        mean = part.mean(1, dtype=np.float32) if n else np.zeros(len(part), np.float32)
        spread = ((part - mean[:, None]) ** 2).sum(1, dtype=np.float32)
        parts += [np.full(len(part), n, np.float32), mean, spread]
    return np.stack(parts, 1)


@bn_stats.flops
def _(v):
    return 4 * v["data"].size


@instruction(engines=(VECTOR,), opcode="BN_AGGR")
def bn_aggr(dst: Write, data: Read):
    """Mean and variance per partition from (count, mean, variance * count) triples."""


@bn_aggr.check
def _(v):
    check_tiles(v)
    require(v["data"].free % 3 == 0, f"nisa.bn_aggr: data has {v['data'].free} elements per partition; "
                                     "a multiple of 3 is needed")
    require(v["dst"].free == 2, "nisa.bn_aggr: dst needs 2 elements per partition (mean, variance), "
                                f"but has {v['dst'].free}")


@bn_aggr.values
def _(dst, data):
    triples = rows(f32(data)).reshape(data.shape[0], -1, 3)
    count, mean, spread = triples[..., 0], triples[..., 1], triples[..., 2]
    with np.errstate(all="ignore"):
        total = count.sum(1)
        center = (count * mean).sum(1) / total
        variance = (spread + count * (mean - center[:, None]) ** 2).sum(1) / total
    dst.write(np.stack([center, variance], 1))

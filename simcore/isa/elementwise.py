"""Elementwise instructions of the Vector, Scalar and GpSimd engines."""

from __future__ import annotations

import numpy as np

from simcore.dtypes import to_float32
from simcore.isa.accumulator import accumulate, check_accumulator, command
from simcore.isa.operand import (
    binary,
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
from simcore.isa.table import (
    GPSIMD,
    SCALAR,
    VECTOR,
    Engine,
    Read,
    ReadOrScalar,
    ReduceCmd,
    Write,
    WriteOrNone,
    instruction,
    require,
)
from simcore.layout import sbuf


@instruction(engines=(VECTOR, GPSIMD), opcode="TENSOR_TENSOR")
def tensor_tensor(dst: Write, data1: Read, data2: Read, op, engine=Engine.unknown):
    """dst = data1 op data2.  Two int32/uint32 tiles in SBUF give exact integers; all else computes in float32."""


@tensor_tensor.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "data1", "data2", broadcast=("data1", "data2"))
    check_not_both_psum(v, "data1", "data2")
    check_bit_dtypes(v, check_op(v, "op", kinds=("arithmetic", "comparison", "logical", "bit")))


@tensor_tensor.values
def _(dst, data1, data2, op):
    op = to_operator(op)
    exact = (all(t.dtype in ("int32", "uint32") and t.buffer is sbuf for t in (data1, data2))
             and op.kind == "arithmetic" and op.name not in ("divide", "power"))
    dst.write(binary(op, data1, data2, (dst.shape[0], dst.layout.free), exact=exact))


@instruction(engines=(VECTOR, SCALAR, GPSIMD), opcode="TENSOR_SCALAR")
def tensor_scalar(dst: Write, data: Read, op0, operand0: ReadOrScalar = None, reverse0=False, op1=None,
                  operand1: ReadOrScalar = None, reverse1=False, engine=Engine.unknown):
    """dst = (data op0 operand0) op1 operand1, operands being numbers or (P, 1) tiles; reverse flags swap the sides."""


@tensor_scalar.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "data")
    for name in ("operand0", "operand1"):
        lay = v.get(name)
        require(lay is None or lay.free == 1, f"nisa.tensor_scalar: {name} must be a number or one value per "
                                              f"partition, but has {lay and lay.free}")
    op0, op1 = check_op(v, "op0", kinds=("arithmetic", "comparison", "logical", "bit",
                                         "unary")), check_op(v, "op1", optional=True)
    check_bit_dtypes(v, op0)
    check_operand_dtypes(v, op0)
    if v.engine is SCALAR:
        pair = (op0.name, op1 and op1.name)
        require(pair in (("multiply", "add"), ("multiply", None), ("add", None)),
                "nisa.tensor_scalar: the Scalar engine has multiply, add, and multiply followed by add, not "
                f"{'/'.join(filter(None, pair))}")
    if op1 is not None:
        require((op0.kind == "bit") == (op1.kind == "bit"), f"nisa.tensor_scalar: nl.{op0.name} and nl.{op1.name} "
                                                            "cannot be mixed: both arithmetic or both bit operators")


def check_operand_dtypes(v, op):
    """Vector operands of arithmetic operators are float32."""
    for name in ("operand0", "operand1"):
        lay = v.get(name)
        require(op.kind == "bit" or lay is None or lay.dtype == "float32",
                f"nisa.{v.name}: {name} must be a float32 tile, but is {lay and lay.dtype}")


def scalar_step(op, values, operand, reverse, shape):
    """One op of a tensor_scalar chain on [partitions, free] values."""
    if op is None:
        return values
    if op.unary:
        return op.apply(values)
    if op.kind == "bit":
        if values.dtype.kind == "f":
            values = values.astype(np.int32)
        other = (rows(operand.read()).astype(values.dtype) if hasattr(operand, "layout")
                 else np.asarray(0 if operand is None else operand).astype(values.dtype))
        return (op.apply(other, values) if reverse
                else op.apply(values, np.broadcast_to(other, values.shape) if other.ndim else other))
    other = like(0.0 if operand is None else operand, shape)
    return op.apply(other, values) if reverse else op.apply(values, other)


def tensor_scalar_values(data, op0, operand0, reverse0, op1, operand1, reverse1):
    op0, op1 = to_operator(op0), to_operator(op1)
    raw = rows(data.read())
    values = raw if op0.kind == "bit" else to_float32(raw)
    values = scalar_step(op0, values, operand0, reverse0, values.shape)
    return scalar_step(op1, values, operand1, reverse1, values.shape)


@tensor_scalar.values
def _(dst, data, op0, operand0, reverse0, op1, operand1, reverse1):
    dst.write(tensor_scalar_values(data, op0, operand0, reverse0, op1, operand1, reverse1))


@instruction(engines=(VECTOR,), opcode="SCALAR_TENSOR_TENSOR")
def scalar_tensor_tensor(dst: Write, data: Read, op0, operand0: ReadOrScalar, op1, operand1: Read, reverse0=False,
                         reverse1=False):
    """dst = (data op0 operand0) op1 operand1, operand0 a number or (P, 1), operand1 a full tile."""


@scalar_tensor_tensor.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "data", "operand1", broadcast=("data", "operand1"))
    check_not_both_psum(v, "data", "operand1")
    check_op(v, "op0", kinds=("arithmetic", "comparison", "logical", "unary"))
    check_op(v, "op1", kinds=("arithmetic", "comparison", "logical"))


@scalar_tensor_tensor.values
def _(dst, data, op0, operand0, op1, operand1, reverse0, reverse1):
    shape = (dst.shape[0], dst.layout.free)
    values = scalar_step(to_operator(op0), to_float32(rows(data.read())), operand0, reverse0, shape)
    other = like(operand1, shape)
    op = to_operator(op1)
    dst.write(op.apply(other, values) if reverse1 else op.apply(values, other))


@instruction(engines=(VECTOR,), opcode="RECIPROCAL")
def reciprocal(dst: Write, data: Read):
    """dst = 1 / data."""


@reciprocal.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "data")


@reciprocal.values
def _(dst, data):
    with np.errstate(all="ignore"):
        dst.write(1.0 / rows(f32(data)))


@instruction(engines=(VECTOR,), since=4, opcode="EXPONENTIAL")
def exponential(dst: Write, src: Read, max_value: ReadOrScalar = 0.0, reduce_res: WriteOrNone = None,
                reduce_cmd=ReduceCmd.idle, reduce_init: ReadOrScalar = 0.0):
    """dst = exp(src - max_value), with a running sum beside it."""


@exponential.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "src")
    check_per_partition(v, "max_value", "reduce_init")
    for name in ("dst", "src"):
        require(len(v[name].shape) <= 4, f"nisa.exponential: {name} has {len(v[name].shape)} dimensions; "
                                         "at most 4 are possible")
    check_accumulator(v, ops=(), commands=("idle", "reset_reduce", "reduce", "load_reduce"))


@exponential.values
def _(dst, src, max_value, reduce_res, reduce_cmd, reduce_init):
    with np.errstate(all="ignore"):
        values = np.exp(rows(f32(src)) - like(max_value, (dst.shape[0], dst.layout.free)))
    dst.write(values)
    cmd = command(reduce_cmd)
    if cmd != "idle" or reduce_res is not None:
        accumulate("vector", values, cmd, None, reduce_res, reduce_init)

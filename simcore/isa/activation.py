"""The Scalar engine: func(data * scale + bias), with a running sum beside it."""

from __future__ import annotations

import numpy as np

from simcore.dtypes import to_float32
from simcore.isa.accumulator import accumulate, check_accumulator, command
from simcore.isa.operand import check_op, check_per_partition, check_same_free, check_tiles, generation, like, rows
from simcore.isa.operators import to_operator
from simcore.isa.table import SCALAR, Read, ReadOrScalar, ReduceCmd, Write, WriteOrNone, instruction, require


@instruction(engines=(SCALAR,), opcode="ACTIVATE")
def activation(dst: Write, op, data: Read, bias: ReadOrScalar = None, scale: ReadOrScalar = 1.0, reduce_op=None,
               reduce_res: WriteOrNone = None, reduce_cmd=ReduceCmd.idle):
    """dst = op(data * scale + bias) in float32; reduce_op (add) sums each partition's results into the accumulator."""


@activation.check
def _(v):
    check_activation(v)
    check_accumulator(v, ops=("add",), commands=("idle", "reset", "reduce", "reset_reduce"))


def check_activation(v):
    """What activation and activation_reduce have in common."""
    check_tiles(v)
    check_same_free(v, "dst", "data")
    op = check_op(v, "op", kinds=("activation", "unary"))
    require(op.name not in ("cos", "tan", "ceil", "floor", "trunc", "negative", "logical_not", "prelu"),
            f"nisa.{v.name}: the Scalar engine has no function nl.{op.name}")
    check_per_partition(v, "bias", "scale")
    bias = v.params.get("bias")
    if bias is not None and bias != 0 and generation() < 3:
        require(False, f"nisa.{v.name}: bias must be a (P, 1) tile on NeuronCore-v2; a number is possible from v3 on")
    for name in ("scale",):
        lay = v.get(name)
        require(lay is None or lay.dtype.is_float, f"nisa.{v.name}: {name} must be a float tile, "
                                                   f"but is {lay and lay.dtype}")


def activate(op, data, bias, scale, shape):
    """op(data * scale + bias) in float32, [partitions, free]."""
    values = to_float32(rows(data.read()))
    with np.errstate(all="ignore"):
        if hasattr(scale, "layout") or scale != 1.0:
            values = values * like(scale, shape)
        if bias is not None:
            values = values + like(bias, shape)
        return to_operator(op).on_scalar_engine(values)


@activation.values
def _(dst, op, data, bias, scale, reduce_op, reduce_res, reduce_cmd):
    values = activate(op, data, bias, scale, (dst.shape[0], dst.layout.free))
    dst.write(values)
    cmd = command(reduce_cmd)
    if cmd == "idle":
        if reduce_res is None:
            return
        cmd = "reset_reduce"       # a result asked for without a command: the sum of this instruction
    accumulate("scalar", values, cmd, to_operator(reduce_op), reduce_res)


@instruction(engines=(SCALAR,), opcode="ACTIVATE")
def activation_reduce(dst: Write, op, data: Read, reduce_op, reduce_res: WriteOrNone = None, bias: ReadOrScalar = None,
                      scale: ReadOrScalar = 1.0):
    """activation with reduce_cmd reset_reduce: the sum of each partition's results goes to reduce_res."""


@activation_reduce.check
def _(v):
    check_activation(v)
    check_op(v, "reduce_op", names=("add",))
    res = v.get("reduce_res")
    require(res is None or res.free == 1, "nisa.activation_reduce: reduce_res must have one element per partition, "
                                          f"but has {res and res.free}")


@activation_reduce.values
def _(dst, op, data, reduce_op, reduce_res, bias, scale):
    values = activate(op, data, bias, scale, (dst.shape[0], dst.layout.free))
    dst.write(values)
    accumulate("scalar", values, "reset_reduce", to_operator(reduce_op), reduce_res)


_PAIRS = {("multiply", "add"), ("multiply", "subtract"), ("multiply", "bypass"), ("add", "bypass"),
          ("subtract", "bypass"), ("bypass", "bypass")}


@instruction(engines=(SCALAR,), since=4, opcode="ACTIVATE2")
def activate2(dst: Write, op, data: Read, imm0: ReadOrScalar, imm1: ReadOrScalar, op0, op1,
              relu_param: ReadOrScalar = 0.0, reverse0=False,
              reverse1=False, reduce_op=None, reduce_res: WriteOrNone = None, reduce_cmd=ReduceCmd.idle):
    """dst = op((data op0 imm0) op1 imm1), with a running reduction beside it."""


@activate2.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "data")
    check_op(v, "op", kinds=("activation", "unary"))
    check_per_partition(v, "imm0", "imm1", "relu_param")
    pair = tuple(getattr(to_operator(v.params[n]), "name", "bypass") for n in ("op0", "op1"))
    require(pair in _PAIRS, f"nisa.activate2: (op0, op1) = {pair} is not possible; use one of "
                            f"{', '.join('/'.join(p) for p in sorted(_PAIRS))}")
    for i, name in enumerate(pair):
        require(name != "bypass" or not v.params[f"reverse{i}"], f"nisa.activate2: reverse{i} needs op{i}")
    a, b = v.get("imm0"), v.get("imm1")
    require(a is None or b is None or a.dtype is b.dtype, "nisa.activate2: imm0 and imm1 must have one "
                                                          "dtype when both are tiles")
    check_accumulator(v, ops=("add", "maximum", "minimum", "abs_max", "abs_min"),
                      commands=("idle", "reset", "reduce", "reset_reduce"))


@activate2.values
def _(dst, op, data, imm0, imm1, op0, op1, relu_param, reverse0, reverse1, reduce_op, reduce_res, reduce_cmd):
    shape = (dst.shape[0], dst.layout.free)
    values = to_float32(rows(data.read()))
    for step, imm, reverse in ((op0, imm0, reverse0), (op1, imm1, reverse1)):
        step = to_operator(step)
        if step is not None and step.name != "bypass":
            other = like(imm, shape)
            values = step.apply(other, values) if reverse else step.apply(values, other)
    op = to_operator(op)
    values = op.apply(values, like(relu_param, shape)) if op.name == "prelu" else op.on_scalar_engine(values)
    dst.write(values)
    cmd = command(reduce_cmd)
    if cmd != "idle" or reduce_res is not None:
        accumulate("scalar", values, cmd, to_operator(reduce_op), reduce_res)

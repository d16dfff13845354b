"""The Scalar engine: func(data * scale + bias), with a running sum beside it."""

from __future__ import annotations

import numpy as np

from simcore.isa.operand import check_op, check_same_free, check_tiles, like, rows
from simcore.isa.operators import to_operator
from simcore.isa.table import SCALAR, Read, ReadOrScalar, ReduceCmd, UpdateOrNone, Write, instruction, require


@instruction(engines=(SCALAR,), opcode="ACTIVATE")
def activation(dst: Write, op, data: Read, bias: ReadOrScalar = None, scale: ReadOrScalar = 1.0, reduce_op=None,
               reduce_res: UpdateOrNone = None, reduce_cmd=ReduceCmd.idle):
    """dst = op(data * scale + bias) in float32; reduce_op (add) sums the results of each partition into the accumulator."""


@activation.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "data")
    check_op(v, "op", kinds=("activation", "unary"))
    check_op(v, "reduce_op", names=("add",), optional=True)
    for name in ("bias", "scale", "reduce_res"):
        lay = v.get(name)
        require(lay is None or lay.free == 1, f"nisa.{v.name}: {name} must be a number or one value per partition, but has {lay and lay.free}")


def activate(op, data, bias, scale, shape):
    values = np.asarray(rows(data.read()), np.float32)
    if hasattr(scale, "layout") or scale != 1.0:
        values = values * like(scale, shape)
    if bias is not None:
        values = values + like(bias, shape)
    return to_operator(op).apply(values)


def command(cmd) -> str:
    return getattr(cmd, "name", str(cmd))


@activation.values
def _(dst, op, data, bias, scale, reduce_op, reduce_res, reduce_cmd):
    values = activate(op, data, bias, scale, (dst.shape[0], dst.layout.free))
    dst.write(values)
    cmd = command(reduce_cmd)
    if reduce_op is not None or cmd not in ("idle",):
        accumulate(data, "scalar", values, cmd, reduce_res, to_operator(reduce_op))


def accumulate(data, engine: str, values, cmd: str, reduce_res, op, init=None) -> np.ndarray:
    """One step of an engine's accumulator register (one float32 per partition); writes it to reduce_res where given."""
    from simcore.frontend import state

    registers = state.recorder.accumulators
    key = (state.recorder.core, engine)
    partitions = values.shape[0]
    if key not in registers:
        registers[key] = np.zeros(128, np.float32)
    register = registers[key][:partitions]
    apply = op.reduce if op is not None else np.add
    part = apply.reduce(values.astype(np.float32), axis=1)
    if cmd == "reset":
        register[...] = 0
    elif cmd in ("reset_reduce", "idle"):
        register[...] = part
    elif cmd == "load_reduce":
        register[...] = apply(np.broadcast_to(like(0.0 if init is None else init, (partitions, 1)).reshape(-1), (partitions,)), part)
    else:
        register[...] = apply(register, part)
    if reduce_res is not None:
        reduce_res.write(register.reshape(-1, 1).copy())
    return register


@instruction(engines=(SCALAR,), opcode="ACTIVATE")
def activation_reduce(dst: Write, op, data: Read, reduce_op, reduce_res: Write, bias: ReadOrScalar = None, scale: ReadOrScalar = 1.0):
    """activation with reduce_cmd reset_reduce: the sum of each partition's results goes to reduce_res."""


@activation_reduce.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "data")
    check_op(v, "op", kinds=("activation", "unary"))


@activation_reduce.values
def _(dst, op, data, reduce_op, reduce_res, bias, scale):
    values = activate(op, data, bias, scale, (dst.shape[0], dst.layout.free))
    dst.write(values)
    accumulate(data, "scalar", values, "reset_reduce", reduce_res, to_operator(reduce_op))

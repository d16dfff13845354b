"""Selection on the Vector engine, by predicate or by index range."""

from __future__ import annotations

import numpy as np

from simcore.isa.accumulator import accumulate, check_accumulator, command
from simcore.isa.operand import (
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

FP32_MIN = float(np.finfo(np.float32).min)
_BOUNDS = ("equal", "less", "less_equal", "greater", "greater_equal")


@instruction(engines=(VECTOR,), since=3, opcode="RANGE_SELECT")
def range_select(dst: Write, on_true_tile: Read, comp_op0, comp_op1, bound0: Read, bound1: Read,
                 reduce_cmd=ReduceCmd.reset_reduce,
                 reduce_res: WriteOrNone = None, reduce_op="maximum", range_start=0, on_false_value=FP32_MIN):
    """dst = on_true_tile where (range_start + i) comp_op0 bound0 and comp_op1 bound1, else on_false_value."""


@range_select.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "on_true_tile")
    for name in ("comp_op0", "comp_op1"):
        check_op(v, name, names=_BOUNDS)
    for name in ("bound0", "bound1"):
        lay = v[name]
        require(lay.free == 1, f"nisa.range_select: {name} must have one element per partition, but has {lay.free}")
        require(lay.dtype == "float32", f"nisa.range_select: {name} must be float32, but is {lay.dtype}")
    require(v["on_true_tile"].dtype.is_float, "nisa.range_select: on_true_tile must be a float tile, but is "
                                              f"{v['on_true_tile'].dtype}")
    start = int(v.params["range_start"])
    require(abs(start) + v["on_true_tile"].free <= 2**24,
            f"nisa.range_select: indices up to {start + v['on_true_tile'].free} exceed 2**24, "
            "which float32 cannot count")
    require(float(v.params["on_false_value"]) <= FP32_MIN, "nisa.range_select: on_false_value must be the "
                                                           f"smallest float32 ({FP32_MIN})")
    check_accumulator(v, ops=("maximum",), commands=("idle", "reset", "reduce", "reset_reduce"))


@range_select.values
def _(dst, on_true_tile, comp_op0, comp_op1, bound0, bound1, reduce_cmd, reduce_res, reduce_op, range_start,
      on_false_value):
    values = rows(f32(on_true_tile))
    at = np.arange(values.shape[1], dtype=np.float32)[None, :] + np.float32(range_start)
    keep = np.logical_and(to_operator(comp_op0).apply(at, rows(f32(bound0))),
                          to_operator(comp_op1).apply(at, rows(f32(bound1))))
    values = np.where(keep, values, np.float32(on_false_value))
    dst.write(values)
    cmd = command(reduce_cmd)
    if cmd != "idle" or reduce_res is not None:
        accumulate("vector", values, "reset_reduce" if cmd == "idle" else cmd, to_operator(reduce_op), reduce_res)


@instruction(engines=(VECTOR,), opcode="SELECT_REDUCE")
def select_reduce(dst: Write, predicate: Read, on_true: Read, on_false: ReadOrScalar, reduce_res: WriteOrNone = None,
                  reduce_cmd=ReduceCmd.idle, reduce_op="maximum", reverse_pred=False):
    """dst = on_true where predicate is not zero, else on_false; row maximum in reduce_res where asked."""


@select_reduce.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "predicate", "on_true")
    check_not_both_psum(v, "on_true", "predicate")
    check_per_partition(v, "on_false")
    pred = v["predicate"].dtype
    require(pred.is_int and pred.itemsize <= 2, "nisa.select_reduce: predicate must be an 8- or 16-bit "
                                                f"integer tile, but is {pred}")
    require(v["on_true"].dtype not in ("tfloat32", "int32", "uint32"),
            f"nisa.select_reduce: on_true cannot be {v['on_true'].dtype}")
    check_accumulator(v, ops=("maximum",), commands=("idle", "reduce", "reset_reduce"))
    res = v.get("reduce_res")
    require(res is None or res.dtype.is_float, "nisa.select_reduce: reduce_res must be a float tile, "
                                               f"but is {res and res.dtype}")


@select_reduce.values
def _(dst, predicate, on_true, on_false, reduce_res, reduce_cmd, reduce_op, reverse_pred):
    take = rows(predicate.read()) != 0
    if reverse_pred:
        take = ~take
    values = np.where(take, rows(f32(on_true)), like(on_false, take.shape))
    dst.write(values)
    cmd = command(reduce_cmd)
    if cmd != "idle" or reduce_res is not None:
        accumulate("vector", values, "reset_reduce" if cmd == "idle" else cmd, to_operator(reduce_op), reduce_res)

"""Reductions, scans and statistics of the Vector engine."""

from __future__ import annotations

import math

import numpy as np

from simcore.isa.operand import check_op, check_tiles
from simcore.isa.operators import to_operator
from simcore.isa.table import VECTOR, Read, Write, instruction, require


@instruction(engines=(VECTOR,), opcode="TENSOR_REDUCE")
def tensor_reduce(dst: Write, op, data: Read, axis, negate=False, keepdims=False):
    """dst = data reduced over its last free axes; negate flips the sign."""


@tensor_reduce.check
def _(v):
    check_tiles(v)
    check_op(v, "op", kinds=("arithmetic", "bit", "logical"))
    axes = reduced_axes(v.params["axis"], len(v["data"].shape))
    require(0 not in axes, "nisa.tensor_reduce: axis 0 is the partition dimension; reduce it with a matmul or nisa.tensor_partition_reduce")
    kept = math.prod(n for i, n in enumerate(v["data"].shape) if i not in axes and i != 0)
    require(v["dst"].free == kept, f"nisa.tensor_reduce: dst has {v['dst'].free} elements per partition; reducing {v['data'].shape} over {axes} leaves {kept}")


def reduced_axes(axis, ndim: int) -> tuple[int, ...]:
    return tuple(sorted(int(a) % ndim for a in (axis if isinstance(axis, tuple | list) else (axis,))))


@tensor_reduce.values
def _(dst, op, data, axis, negate):
    op = to_operator(op)
    values = data.read()
    if op.kind != "bit":
        values = values.astype(np.float32)
    out = op.reduce.reduce(values, axis=reduced_axes(axis, values.ndim))
    if op.kind == "logical":
        out = out.astype(np.float32)
    dst.write(-out if negate else out)

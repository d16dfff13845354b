"""Reductions and scans."""

from __future__ import annotations

from simcore.errors import NkiValidationError
from simcore.frontend.neuronxcc.calls import maybe, now, operand, result, result_dtype
from simcore.frontend.neuronxcc.nki.isa._elementwise import per_partition
from simcore.frontend.neuronxcc.nki.isa.constants import reduce_cmd
from simcore.isa.operators import to_operator


def tensor_reduce(op, data, axis, *, mask=None, dtype=None, negate=False, keepdims=False, **kwargs):
    """data reduced over free axes."""
    data = operand(data, "data")
    axes = tuple(sorted(int(a) % data.ndim for a in (axis if isinstance(axis, tuple | list) else (axis,))))
    return reduce(data, op, axes, mask, result_dtype(dtype, data), negate, keepdims)


def reduce(data, op, axes, mask, dtype, negate=False, keepdims=False):
    kept = [k for k in range(data.ndim) if k not in axes]
    if data.form.par_axis in axes:
        raise NkiValidationError("nisa.tensor_reduce: the partition dimension cannot be reduced; use "
                                 "nisa.tensor_partition_reduce or a matmul "
                                 "with ones")
    view, core_axes = _trailing(data, kept, axes)
    shape = (tuple(1 if k in axes else n for k, n in enumerate(data.shape)) if keepdims
             else tuple(data.shape[k] for k in kept))
    dims = tuple(None if k in axes else k for k in range(data.ndim)) if keepdims else tuple(kept)
    par = dims.index(data.form.par_axis) if data.form.par_axis in dims else 0
    if len(shape) == 1:
        shape, dims = (*shape, 1), (*dims, None)
    return result("tensor_reduce", shape, dtype, {"data": view},
                   {"op": to_operator(op), "axis": core_axes, "negate": negate, "keepdims": keepdims},
                   mask, grid=data.shape, dst_dims=dims, par=par, dims={"data": (*kept, *axes)} if view is not data
                   else None)


def _trailing(data, kept, axes):
    """A view whose reduced dimensions are the last ones (a permuted access pattern), and their places in it."""
    order = (*kept, *axes)
    if order != tuple(range(data.ndim)) or data.form.par_axis != 0:
        data = data.permuted(order)
    parts = data.form.splits
    count = len(axes) if parts is None else sum(1 if p is None else len(p) for p in parts[len(kept):])
    rank = data.ndim if parts is None else sum(1 if p is None else len(p) for p in parts)
    return data, tuple(range(rank - count, rank))


def tensor_partition_reduce(op, data, *, mask=None, dtype=None, **kwargs):
    """data reduced over its partitions: one partition."""
    data = operand(data, "data")
    return result("tensor_partition_reduce", (1, *data.shape[1:]), result_dtype(dtype, data), {"data": data},
                   {"op": to_operator(op)}, mask, grid=data.shape, dst_dims=(None, *range(1, data.ndim)))


def tensor_scalar_reduce(*, data, op0, operand0, reduce_op, reduce_res, reverse0=False, dtype=None, mask=None,
                         **kwargs):
    """tensor_scalar with one operator, and the reduction of its result in reduce_res."""
    data = operand(data, "data")
    return result("tensor_scalar_reduce", data.shape, result_dtype(dtype, data),
                   {"data": data, "operand0": per_partition(operand0, op0, mask),
                    "reduce_res": operand(reduce_res, "reduce_res")},
                   {"op0": to_operator(op0), "reduce_op": to_operator(reduce_op), "reverse0": reverse0}, mask,
                   writes=("reduce_res",))


def tensor_scalar_cumulative(*, src, op0, op1, imm0, dst=None, imm1=None, reduce_cmd=reduce_cmd.reset_reduce,
                             dtype=None, mask=None, **kwargs):
    """Running op1 over (src op0 imm0)."""
    src = operand(src, "src")
    operands, params = {"src": src, "imm0": maybe(imm0),
                        "imm1": maybe(imm1)}, {"op0": to_operator(op0), "op1": to_operator(op1),
                                                "reduce_cmd": reduce_cmd}
    if dst is not None:
        return now("tensor_scalar_cumulative", operand(dst, "dst"), operands, params, mask)
    return result("tensor_scalar_cumulative", src.shape, result_dtype(dtype, src), operands, params, mask)


def tensor_tensor_scan(data0, data1, initial, op0, op1, reverse0=False, reverse1=False, *, dtype=None, mask=None,
                       **kwargs):
    """r[i] = (data0[i] op0 r[i-1]) op1 data1[i]."""
    a, b = operand(data0, "data0"), operand(data1, "data1")
    return result("tensor_tensor_scan", a.shape, result_dtype(dtype, a, b),
                   {"data0": a, "data1": b, "initial": maybe(initial)},
                   {"op0": to_operator(op0), "op1": to_operator(op1), "reverse0": reverse0, "reverse1": reverse1}, mask)


def bn_stats(data, *, mask=None, dtype=None, **kwargs):
    """Count, mean and sum of squared differences of the even and of the odd elements of each partition."""
    data = operand(data, "data")
    return result("bn_stats", (data.shape[0], 6), result_dtype(dtype, data), {"data": data}, {}, mask, grid=data.shape,
                   dst_dims=(0, None))


def bn_aggr(data, *, mask=None, dtype=None, **kwargs):
    """Mean and variance from the triples bn_stats gives."""
    data = operand(data, "data")
    return result("bn_aggr", (data.shape[0], 2), result_dtype(dtype, data), {"data": data}, {}, mask, grid=data.shape,
                   dst_dims=(0, None))

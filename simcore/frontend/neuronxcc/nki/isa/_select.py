"""Selection and search, and index expressions as values."""

from __future__ import annotations

import math

import numpy as np

from simcore.dtypes import to_dtype
from simcore.errors import KernelError, NkiValidationError
from simcore.frontend.neuronxcc import calls
from simcore.frontend.neuronxcc.calls import maybe, now, operand, result, result_dtype
from simcore.frontend.neuronxcc.grids import Grid
from simcore.frontend.neuronxcc.index import Index, Predicate
from simcore.frontend.neuronxcc.nki.isa._elementwise import tensor_copy, unsigned
from simcore.frontend.neuronxcc.nki.isa.constants import reduce_cmd
from simcore.isa.operators import to_operator
from simcore.layout import psum


def _affine(expr):
    """(pattern, offset, channel_multiplier, shape) of an index expression: partition first, then free dimensions."""
    if isinstance(expr, int | np.integer):
        return ((0, 1),), int(expr), 0, (1, 1)
    if isinstance(expr, Grid) or not isinstance(expr, Index):
        raise KernelError("an index expression such as nl.arange(128)[:, None] is needed here")
    if expr.table is not None:
        raise NkiValidationError("GpSimd can generate affine sequences only; this index expression uses // or %")
    shape, coefs = (expr.shape, expr.coefs) if expr.ndim > 1 else ((1, *expr.shape), (0, *expr.coefs))
    return (tuple((c, n) for c, n in zip(coefs[1:], shape[1:], strict=True)), expr.const, coefs[0] if shape[0] > 1
            else 0, shape)


def iota(expr, dtype, *, mask=None, **kwargs):
    """The values of an index expression."""
    if isinstance(expr, Index) and expr.table is not None:
        from simcore.frontend.neuronxcc.creation import constant_tile

        return constant_tile(expr.dense(), to_dtype(dtype))
    pattern, offset, channel, shape = _affine(expr)
    return result("iota", shape, to_dtype(dtype), {},
                   {"pattern": [list(p) for p in pattern], "offset": offset, "channel_multiplier": channel}, mask)


def affine_select(pred, on_true_tile, on_false_value, *, mask=None, dtype=None, **kwargs):
    """on_true_tile where a comparison of index expressions holds, else on_false_value."""
    data = operand(on_true_tile, "on_true_tile")
    dt = result_dtype(dtype, data)
    if data.buffer is psum:                          # GpSimd cannot reach PSUM
        data = tensor_copy(data)
    if not isinstance(pred, Predicate):
        return tensor_copy(data, mask=mask, dtype=dt) if calls.truth(pred) else result(
            "memset", data.shape, dt, {}, {"value": on_false_value}, mask)
    if pred.compare is None and pred.terms is not None and len(pred.terms) > 1:
        for term in pred.terms:                      # a conjunction is one selection after another
            data = affine_select(Predicate(pred.shape, (term,), None, (term, "greater_equal")), data, on_false_value,
                                 mask=mask, dtype=dt)
        return data
    if pred.compare is not None:
        expression, op = pred.compare
    elif pred.terms:
        expression, op = pred.terms[0], "greater_equal"
    else:
        raise NkiValidationError("nisa.affine_select takes one comparison of affine index expressions "
                                 "(or several joined by &)")
    pattern, offset, channel, _ = _affine(expression.expanded(data.shape) if expression.ndim <= data.ndim
                                          else expression)
    return result("affine_select", data.shape, dt, {"on_true_tile": data, "on_false_value": maybe(on_false_value)},
                   {"pattern": [list(p) for p in pattern], "offset": offset, "channel_multiplier": channel,
                    "cmp_op": to_operator(op)}, mask)


def range_select(*, on_true_tile, comp_op0, comp_op1, bound0, bound1, reduce_cmd=reduce_cmd.idle, reduce_res=None,
                 reduce_op=np.amax, range_start=0, on_false_value=-3.4028235e38, mask=None, dtype=None, **kwargs):
    """on_true_tile where its column number lies within two bounds, else on_false_value."""
    data = operand(on_true_tile, "on_true_tile")
    return result("range_select", data.shape, result_dtype(dtype, data),
                   {"on_true_tile": data, "bound0": operand(bound0, "bound0"), "bound1": operand(bound1, "bound1"),
                    "reduce_res": maybe(reduce_res)},
                   {"comp_op0": to_operator(comp_op0), "comp_op1": to_operator(comp_op1), "reduce_cmd": reduce_cmd,
                    "reduce_op": to_operator(reduce_op), "range_start": range_start, "on_false_value": on_false_value},
                   mask, writes=("reduce_res",))


def select_reduce(*, dst, predicate, on_true, on_false, reduce_res=None, reduce_cmd=reduce_cmd.idle, reduce_op=np.amax,
                  reverse_pred=False, mask=None, dtype=None, **kwargs):
    """dst = on_true or on_false by predicate, with the row maximum where asked."""
    dst = operand(dst, "dst")
    now("select_reduce", dst, {"predicate": unsigned(predicate), "on_true": operand(on_true, "on_true"),
                                "on_false": maybe(on_false), "reduce_res": maybe(reduce_res)},
         {"reduce_cmd": reduce_cmd, "reduce_op": to_operator(reduce_op), "reverse_pred": reverse_pred}, mask,
         writes=("reduce_res",))
    return dst


def max8(*, src, mask=None, dtype=None, **kwargs):
    """The 8 largest values of each partition, descending."""
    src = operand(src, "src")
    return result("max8", (src.shape[0], 8), result_dtype(dtype, src), {"src": src}, {}, mask, grid=src.shape,
                   dst_dims=(0, None))


def nc_find_index8(*, data, vals, mask=None, dtype=None, **kwargs):
    """The places of 8 values in each partition."""
    data, vals = operand(data, "data"), operand(vals, "vals")
    return result("nc_find_index8", (data.shape[0], 8), to_dtype(dtype or "uint32"), {"data": data, "vals": vals}, {},
                   mask, grid=data.shape, dst_dims=(0, None))


def nc_match_replace8(*, data, vals, imm, dst_idx=None, mask=None, dtype=None, **kwargs):
    """data with the first occurrence of each of 8 values replaced."""
    data = operand(data, "data")
    return result("nc_match_replace8", data.shape, result_dtype(dtype, data),
                   {"data": data, "vals": operand(vals, "vals"), "dst_idx": maybe(dst_idx)},
                   {"imm": imm}, mask, writes=("dst_idx",))


def local_gather(src_buffer, index, num_elem_per_idx=1, num_valid_indices=None, *, mask=None, **kwargs):
    """Per 16 partitions: elements at a shared list of offsets."""
    src, index = operand(src_buffer, "src_buffer"), operand(index, "index")
    count = (index.size // index.shape[0]) * 16
    valid = count if num_valid_indices is None else int(num_valid_indices)
    shape = ((src.shape[0], valid * num_elem_per_idx) if num_elem_per_idx == 1
             else (src.shape[0], valid, num_elem_per_idx))
    return result("local_gather", shape, src.form.dtype, {"src_buffer": src, "index": index},
                   {"num_elem_per_idx": num_elem_per_idx, "num_valid_indices": num_valid_indices}, mask)


def sequence_bounds(*, segment_ids, dtype=None, **kwargs):
    """Start and end index of each element's segment."""
    ids = operand(segment_ids, "segment_ids")
    return result("sequence_bounds", (ids.shape[0], 2, math.prod(ids.shape[1:])), result_dtype(dtype, ids),
                   {"segment_ids": ids}, {})


def dropout(data, prob, *, mask=None, dtype=None, **kwargs):
    """Zero with probability prob."""
    data = operand(data, "data")
    return result("dropout", data.shape, result_dtype(dtype, data), {"data": data, "prob": maybe(prob)}, {}, mask)

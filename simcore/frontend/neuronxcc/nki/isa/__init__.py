"""`neuronxcc.nki.isa`: instructions that give tiles, over the rows of the instruction table."""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

from simcore.dtypes import to_dtype
from simcore.errors import KernelError, NkiValidationError, nearest
from simcore.frontend import launch as _launch
from simcore.frontend import state as _state
from simcore.frontend.instructions import nisa as _rows
from simcore.frontend.neuronxcc import calls as _calls
from simcore.frontend.neuronxcc.calls import maybe as _maybe
from simcore.frontend.neuronxcc.calls import now as _now
from simcore.frontend.neuronxcc.calls import operand as _operand
from simcore.frontend.neuronxcc.calls import result as _result
from simcore.frontend.neuronxcc.calls import result_dtype as _dtype
from simcore.frontend.neuronxcc.index import Grid, Index, Predicate
from simcore.frontend.neuronxcc.results import Result, flush, wait
from simcore.frontend.neuronxcc.spread import broadcast_shape as _broadcast_shape
from simcore.frontend.neuronxcc.spread import spread as _spread
from simcore.frontend.neuronxcc.tile import Tile
from simcore.isa.operators import to_operator
from simcore.isa.table import DmaEngine as dma_engine
from simcore.isa.table import Engine as engine
from simcore.isa.table import MatmulPerfMode as matmul_perf_mode
from simcore.isa.table import NcVersion as nc_version
from simcore.isa.table import OobMode as oob_mode
from simcore.isa.table import ReduceCmd as reduce_cmd
from simcore.layout import psum, sbuf
from simcore.machine import generation as _generation

unknown_engine, tensor_engine, vector_engine = engine.unknown, engine.tensor, engine.vector
scalar_engine, gpsimd_engine = engine.scalar, engine.gpsimd
pe_engine, act_engine, pool_engine, dve_engine = tensor_engine, scalar_engine, gpsimd_engine, vector_engine


class dge_mode(Enum):
    """Who generates the descriptors of a DMA (this dialect's numbers)."""

    none = 0
    swdge = 1
    hwdge = 2
    unknown = 3


def get_nc_version():
    """The NeuronCore generation of the target: gen2 trn1, gen3 trn2, gen4 trn3 (ordered)."""
    return nc_version(_generation(_launch.session().target))


# ------------------------------------------------------------------------------------------------ Tensor engine


def nc_matmul(stationary, moving, *, is_stationary_onezero=False, is_moving_onezero=False, is_transpose=False,
              tile_position=(), tile_size=(), perf_mode=matmul_perf_mode.none, mask=None, **kwargs):
    """A PSUM tile: stationary.T @ moving.  `psum += nc_matmul(...)` accumulates there."""
    a, b = (_reachable(_operand(t, what), mask) for t, what in ((stationary, "stationary"), (moving, "moving")))
    pair = 2 if getattr(perf_mode, "name", str(perf_mode)).startswith("double_row") else 1
    columns = math.prod(a.shape[1:]) // pair
    width = b.shape[1:] if pair == 1 else (math.prod(b.shape[1:]) // pair,)
    shape = (columns, *width)
    transposing = is_transpose is True
    dtype = b.form.dtype if transposing and b.form.dtype.itemsize == 2 else to_dtype("float32")
    return _matmul(a, b, shape, dtype, mask,
                   dict(is_stationary_onezero=bool(is_stationary_onezero), is_moving_onezero=bool(is_moving_onezero),
                        is_transpose=bool(is_transpose), tile_position=tuple(tile_position), tile_size=tuple(tile_size),
                        perf_mode=perf_mode))


def _reachable(t, mask):
    """The Tensor engine reads SBUF: an operand in PSUM is copied there first, as the compiler does."""
    return t if t.buffer is sbuf else tensor_copy(t, mask=mask if not isinstance(mask, Predicate) else None)


def _not_both_psum(a, b, mask):
    """An instruction reads one operand from PSUM at most: the second is copied to SBUF."""
    return tensor_copy(b, mask=mask) if a.buffer is psum and b.buffer is psum else b


def _matmul(a, b, shape, dtype, mask, params):
    site = _state.site(_state.recorder, 3)
    flush()
    where = _matmul_mask(mask, a, b)
    made: list[Result] = []

    def emit(dst):
        if where is False:
            return
        x, y, into = a, b, dst
        if where is not None:
            rows, columns, width = where
            x, y = x.clipped((rows, columns,
                              *((0, n) for n in x.shape[2:]))), y.clipped((rows, width, *((0, n) for n in y.shape[2:])))
            into = dst.clipped((columns, width, *((0, n) for n in dst.shape[2:])))
        accumulate = _calls.accumulates(into) if made[0].accumulate else False
        _calls.call("nc_matmul", into, {"stationary": x, "moving": y}, params | {"accumulate": accumulate})

    carried = where
    if where:
        rows, columns, width = where
        carried = _calls.Mask(tuple(shape), (columns, width, *((0, n) for n in shape[2:])), None)
    made.append(wait(Result(shape, dtype, psum, emit, site=site, kind="matmul", targets=(psum,), mask=carried)))
    return made[0]


def _matmul_mask(mask, a, b):
    """Ranges of the contraction, the stationary columns and the moving width.

    A mask speaks of a grid (partition, free): the partition is the contraction, the free dimension the moving operand's
    where its sizes agree, else the stationary's.
    """
    where = _calls.resolve(mask, b.shape[:2] if not isinstance(mask, Predicate) or mask.shape[-1] in (1, b.shape[1])
                           else a.shape[:2])
    if where is None or where is False:
        return where
    if where.keep is not None:
        raise KernelError("nisa.nc_matmul: the mask must be a rectangle")
    of_moving = where.shape == b.shape[:2]
    return where.box[0], (0, a.shape[1]) if of_moving else where.box[1], where.box[1] if of_moving else (0, b.shape[1])


def nc_transpose(data, *, mask=None, dtype=None, engine=unknown_engine, **kwargs):
    """The transpose, in PSUM from the Tensor engine, in SBUF from the Vector engine up to 32x32.

    A larger tile goes to the Tensor engine whatever engine is asked for, copied to SBUF first if it is in PSUM: kernels
    that ask the Vector engine for one run on chips; that the compiler does it this way is inferred.
    """
    data = _operand(data, "data")
    rows, columns = data.shape[0], math.prod(data.shape[1:])
    small = rows <= 32 and columns <= 32
    on_vector = small and engine in (vector_engine, unknown_engine)
    if not on_vector:
        data = _reachable(data, mask)
    buffer = sbuf if on_vector else psum
    dt = _dtype(dtype, data)
    return _result("nc_transpose", (columns, rows), dt, {"data": data},
                   {"engine": vector_engine if on_vector else tensor_engine}, mask,
                   buffer=buffer, targets=(sbuf, psum) if on_vector else (psum,), grid=data.shape,
                   dst_dims=(1, 0) if data.ndim == 2 else (None, 0))


# ------------------------------------------------------------------------------------------------ elementwise


def tensor_tensor(data1, data2, op, *, dtype=None, mask=None, engine=unknown_engine, **kwargs):
    """data1 op data2."""
    a, b = _operand(data1, "data1"), _operand(data2, "data2")
    shape = _broadcast_shape(a, b)
    b = _not_both_psum(a, b, mask)
    return _result("tensor_tensor", shape, _dtype(dtype, a, b),
                   {"data1": _spread(a, shape), "data2": _spread(b, shape)},
                   {"op": to_operator(op), "engine": engine}, mask, par=a.form.par_axis)


def tensor_scalar(data, op0, operand0, reverse0=False, op1=None, operand1=None, reverse1=False, *, dtype=None,
                  mask=None, engine=unknown_engine, **kwargs):
    """(data op0 operand0) op1 operand1, operands being numbers or one value per partition."""
    data = _operand(data, "data")
    operand0, operand1 = _column(operand0, op0, mask), _column(operand1, op1, mask)
    return _result("tensor_scalar", data.shape, _dtype(dtype, data),
                   {"data": data, "operand0": operand0, "operand1": operand1},
                   {"op0": to_operator(op0), "op1": to_operator(op1), "reverse0": reverse0, "reverse1": reverse1,
                    "engine": engine}, mask,
                   par=data.form.par_axis)


def _column(value, op, mask):
    """A number, or one value per partition: arithmetic wants float32, so tiles of other dtypes are cast first."""
    value = _maybe(value)
    if isinstance(value, Tile) and value.form.dtype != "float32" and to_operator(op).kind != "bit":
        return tensor_copy(value, dtype="float32", mask=mask)
    return value


def scalar_tensor_tensor(*, data, op0, operand0, op1, operand1, reverse0=False, reverse1=False, dtype=None, mask=None,
                         **kwargs):
    """(data op0 operand0) op1 operand1, operand1 a full tile."""
    data, other = _operand(data, "data"), _operand(operand1, "operand1")
    other = _not_both_psum(data, other, mask)
    return _result("scalar_tensor_tensor", data.shape, _dtype(dtype, data, other),
                   {"data": data, "operand0": _column(operand0, op0, mask), "operand1": other},
                   {"op0": to_operator(op0), "op1": to_operator(op1), "reverse0": reverse0, "reverse1": reverse1}, mask,
                   par=data.form.par_axis)


def activation(op, data, *, bias=None, scale=1.0, reduce_op=None, reduce_res=None, reduce_cmd=reduce_cmd.idle,
               mask=None, dtype=None, **kwargs):
    """op(data * scale + bias) on the Scalar engine."""
    data = _operand(data, "data")
    return _result("activation", data.shape, _dtype(dtype, data),
                   {"data": data, "bias": _maybe(bias), "scale": _maybe(scale), "reduce_res": _maybe(reduce_res)},
                   {"op": to_operator(op), "reduce_op": to_operator(reduce_op), "reduce_cmd": reduce_cmd}, mask,
                   par=data.form.par_axis, writes=("reduce_res",))


def activation_reduce(op, data, *, reduce_op, reduce_res, bias=None, scale=1.0, mask=None, dtype=None, **kwargs):
    """activation, with the sum of each partition in reduce_res."""
    data = _operand(data, "data")
    return _result("activation_reduce", data.shape, _dtype(dtype, data),
                   {"data": data, "bias": _maybe(bias), "scale": _maybe(scale),
                    "reduce_res": _operand(reduce_res, "reduce_res")},
                   {"op": to_operator(op), "reduce_op": to_operator(reduce_op)}, mask, par=data.form.par_axis,
                   writes=("reduce_res",))


def reciprocal(data, *, dtype=None, mask=None, **kwargs):
    """1 / data on the Vector engine."""
    data = _operand(data, "data")
    return _result("reciprocal", data.shape, _dtype(dtype, data), {"data": data}, {}, mask, par=data.form.par_axis)


def tensor_copy(src, *, mask=None, dtype=None, engine=unknown_engine, **kwargs):
    """A copy, with a cast where a dtype is given."""
    src = _operand(src, "src")
    return _result("tensor_copy", src.shape, _dtype(dtype, src), {"src": src}, {"engine": engine}, mask,
                   par=src.form.par_axis)


tensor_copy_dynamic_src = tensor_copy


def tensor_copy_dynamic_dst(*, dst, src, mask=None, dtype=None, engine=unknown_engine, **kwargs):
    """A copy to an address from a tile of indices."""
    _now("tensor_copy", _operand(dst, "dst"), {"src": _operand(src, "src")}, {"engine": engine}, mask)


def _predicate(value):
    """A predicate as unsigned integers: the same bits where the size fits, else a cast."""
    t = _operand(value, "predicate")
    if t.form.dtype in ("uint8", "uint16", "uint32"):
        return t
    same = {"bool": "uint8", "int8": "uint8", "int16": "uint16", "int32": "uint32"}.get(str(t.form.dtype))
    return t.view(same) if same else tensor_copy(t, dtype="uint8")


def tensor_copy_predicated(*, src, dst, predicate, reverse_pred=False, mask=None, dtype=None, **kwargs):
    """dst = src where predicate is not zero; the rest keeps its value."""
    dst = _operand(dst, "dst")
    src = _maybe(src)
    src = _spread(src, dst.shape) if isinstance(src, Tile) else src
    _now("tensor_copy_predicated", dst, {"src": src, "predicate": _spread(_predicate(predicate), dst.shape)},
         {"reverse_pred": reverse_pred}, mask, reads_dst=True)
    return dst


def memset(shape, value, dtype, *, mask=None, engine=unknown_engine, **kwargs):
    """A new tile filled with a value."""
    from simcore.frontend.neuronxcc.creation import split

    blocks, own, par = split(shape)
    return _result("memset", (*blocks, *own), to_dtype(dtype), {}, {"value": _number(value), "engine": engine}, mask,
                   par=par)


def _number(value):
    return value.item() if isinstance(value, np.generic) else value


# ------------------------------------------------------------------------------------------------ reductions and scans


def tensor_reduce(op, data, axis, *, mask=None, dtype=None, negate=False, keepdims=False, **kwargs):
    """data reduced over free axes."""
    data = _operand(data, "data")
    axes = tuple(sorted(int(a) % data.ndim for a in (axis if isinstance(axis, tuple | list) else (axis,))))
    return _reduce(data, op, axes, mask, _dtype(dtype, data), negate, keepdims)


def _reduce(data, op, axes, mask, dtype, negate=False, keepdims=False):
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
    return _result("tensor_reduce", shape, dtype, {"data": view},
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
    data = _operand(data, "data")
    return _result("tensor_partition_reduce", (1, *data.shape[1:]), _dtype(dtype, data), {"data": data},
                   {"op": to_operator(op)}, mask, grid=data.shape, dst_dims=(None, *range(1, data.ndim)))


def tensor_scalar_reduce(*, data, op0, operand0, reduce_op, reduce_res, reverse0=False, dtype=None, mask=None,
                         **kwargs):
    """tensor_scalar with one operator, and the reduction of its result in reduce_res."""
    data = _operand(data, "data")
    return _result("tensor_scalar_reduce", data.shape, _dtype(dtype, data),
                   {"data": data, "operand0": _column(operand0, op0, mask),
                    "reduce_res": _operand(reduce_res, "reduce_res")},
                   {"op0": to_operator(op0), "reduce_op": to_operator(reduce_op), "reverse0": reverse0}, mask,
                   writes=("reduce_res",))


def tensor_scalar_cumulative(*, src, op0, op1, imm0, dst=None, imm1=None, reduce_cmd=reduce_cmd.reset_reduce,
                             dtype=None, mask=None, **kwargs):
    """Running op1 over (src op0 imm0)."""
    src = _operand(src, "src")
    operands, params = {"src": src, "imm0": _maybe(imm0),
                        "imm1": _maybe(imm1)}, {"op0": to_operator(op0), "op1": to_operator(op1),
                                                "reduce_cmd": reduce_cmd}
    if dst is not None:
        return _now("tensor_scalar_cumulative", _operand(dst, "dst"), operands, params, mask)
    return _result("tensor_scalar_cumulative", src.shape, _dtype(dtype, src), operands, params, mask)


def tensor_tensor_scan(data0, data1, initial, op0, op1, reverse0=False, reverse1=False, *, dtype=None, mask=None,
                       **kwargs):
    """r[i] = (data0[i] op0 r[i-1]) op1 data1[i]."""
    a, b = _operand(data0, "data0"), _operand(data1, "data1")
    return _result("tensor_tensor_scan", a.shape, _dtype(dtype, a, b),
                   {"data0": a, "data1": b, "initial": _maybe(initial)},
                   {"op0": to_operator(op0), "op1": to_operator(op1), "reverse0": reverse0, "reverse1": reverse1}, mask)


def bn_stats(data, *, mask=None, dtype=None, **kwargs):
    """Count, mean and sum of squared differences of the even and of the odd elements of each partition."""
    data = _operand(data, "data")
    return _result("bn_stats", (data.shape[0], 6), _dtype(dtype, data), {"data": data}, {}, mask, grid=data.shape,
                   dst_dims=(0, None))


def bn_aggr(data, *, mask=None, dtype=None, **kwargs):
    """Mean and variance from the triples bn_stats gives."""
    data = _operand(data, "data")
    return _result("bn_aggr", (data.shape[0], 2), _dtype(dtype, data), {"data": data}, {}, mask, grid=data.shape,
                   dst_dims=(0, None))


# ------------------------------------------------------------------------------------------------ selection and search


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
    return _result("iota", shape, to_dtype(dtype), {},
                   {"pattern": [list(p) for p in pattern], "offset": offset, "channel_multiplier": channel}, mask)


def affine_select(pred, on_true_tile, on_false_value, *, mask=None, dtype=None, **kwargs):
    """on_true_tile where a comparison of index expressions holds, else on_false_value."""
    data = _operand(on_true_tile, "on_true_tile")
    dt = _dtype(dtype, data)
    if data.buffer is psum:                          # GpSimd cannot reach PSUM
        data = tensor_copy(data)
    if not isinstance(pred, Predicate):
        return tensor_copy(data, mask=mask, dtype=dt) if _calls.truth(pred) else _result(
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
    return _result("affine_select", data.shape, dt, {"on_true_tile": data, "on_false_value": _maybe(on_false_value)},
                   {"pattern": [list(p) for p in pattern], "offset": offset, "channel_multiplier": channel,
                    "cmp_op": to_operator(op)}, mask)


def range_select(*, on_true_tile, comp_op0, comp_op1, bound0, bound1, reduce_cmd=reduce_cmd.idle, reduce_res=None,
                 reduce_op=np.amax, range_start=0, on_false_value=-3.4028235e38, mask=None, dtype=None, **kwargs):
    """on_true_tile where its column number lies within two bounds, else on_false_value."""
    data = _operand(on_true_tile, "on_true_tile")
    return _result("range_select", data.shape, _dtype(dtype, data),
                   {"on_true_tile": data, "bound0": _operand(bound0, "bound0"), "bound1": _operand(bound1, "bound1"),
                    "reduce_res": _maybe(reduce_res)},
                   {"comp_op0": to_operator(comp_op0), "comp_op1": to_operator(comp_op1), "reduce_cmd": reduce_cmd,
                    "reduce_op": to_operator(reduce_op), "range_start": range_start, "on_false_value": on_false_value},
                   mask, writes=("reduce_res",))


def select_reduce(*, dst, predicate, on_true, on_false, reduce_res=None, reduce_cmd=reduce_cmd.idle, reduce_op=np.amax,
                  reverse_pred=False, mask=None, dtype=None, **kwargs):
    """dst = on_true or on_false by predicate, with the row maximum where asked."""
    dst = _operand(dst, "dst")
    _now("select_reduce", dst, {"predicate": _predicate(predicate), "on_true": _operand(on_true, "on_true"),
                                "on_false": _maybe(on_false), "reduce_res": _maybe(reduce_res)},
         {"reduce_cmd": reduce_cmd, "reduce_op": to_operator(reduce_op), "reverse_pred": reverse_pred}, mask,
         writes=("reduce_res",))
    return dst


def max8(*, src, mask=None, dtype=None, **kwargs):
    """The 8 largest values of each partition, descending."""
    src = _operand(src, "src")
    return _result("max8", (src.shape[0], 8), _dtype(dtype, src), {"src": src}, {}, mask, grid=src.shape,
                   dst_dims=(0, None))


def nc_find_index8(*, data, vals, mask=None, dtype=None, **kwargs):
    """The places of 8 values in each partition."""
    data, vals = _operand(data, "data"), _operand(vals, "vals")
    return _result("nc_find_index8", (data.shape[0], 8), to_dtype(dtype or "uint32"), {"data": data, "vals": vals}, {},
                   mask, grid=data.shape, dst_dims=(0, None))


def nc_match_replace8(*, data, vals, imm, dst_idx=None, mask=None, dtype=None, **kwargs):
    """data with the first occurrence of each of 8 values replaced."""
    data = _operand(data, "data")
    return _result("nc_match_replace8", data.shape, _dtype(dtype, data),
                   {"data": data, "vals": _operand(vals, "vals"), "dst_idx": _maybe(dst_idx)},
                   {"imm": imm}, mask, writes=("dst_idx",))


def local_gather(src_buffer, index, num_elem_per_idx=1, num_valid_indices=None, *, mask=None, **kwargs):
    """Per 16 partitions: elements at a shared list of offsets."""
    src, index = _operand(src_buffer, "src_buffer"), _operand(index, "index")
    count = (index.size // index.shape[0]) * 16
    valid = count if num_valid_indices is None else int(num_valid_indices)
    shape = ((src.shape[0], valid * num_elem_per_idx) if num_elem_per_idx == 1
             else (src.shape[0], valid, num_elem_per_idx))
    return _result("local_gather", shape, src.form.dtype, {"src_buffer": src, "index": index},
                   {"num_elem_per_idx": num_elem_per_idx, "num_valid_indices": num_valid_indices}, mask)


def sequence_bounds(*, segment_ids, dtype=None, **kwargs):
    """Start and end index of each element's segment."""
    ids = _operand(segment_ids, "segment_ids")
    return _result("sequence_bounds", (ids.shape[0], 2, math.prod(ids.shape[1:])), _dtype(dtype, ids),
                   {"segment_ids": ids}, {})


def dropout(data, prob, *, mask=None, dtype=None, **kwargs):
    """Zero with probability prob."""
    data = _operand(data, "data")
    return _result("dropout", data.shape, _dtype(dtype, data), {"data": data, "prob": _maybe(prob)}, {}, mask)


# ------------------------------------------------------------------------------------------------ data movement


def dma_copy(*, dst, src, mask=None, dst_rmw_op=None, oob_mode=oob_mode.error, dge_mode=dge_mode.unknown, **kwargs):
    """dst = src by DMA, at once."""
    from simcore.frontend.neuronxcc.memory import move

    move(_operand(dst, "dst"), _operand(src, "src"), mask, oob_mode=_core_oob(oob_mode), dge_mode=_core_dge(dge_mode),
         dst_rmw_op=to_operator(dst_rmw_op))


def _core_dge(mode):
    from simcore.isa.table import DgeMode

    return DgeMode[getattr(mode, "name", str(mode))]


def _core_oob(mode):
    from simcore.isa.table import OobMode

    return OobMode[getattr(mode, "name", str(mode))]


def dma_transpose(src, *, axes=None, mask=None, dtype=None, dge_mode=dge_mode.unknown, oob_mode=oob_mode.error,
                  **kwargs):
    """A transpose by DMA into SBUF."""
    src = _operand(src, "src")
    order = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}.get(src.ndim)
    if order is None:
        raise NkiValidationError(f"nisa.dma_transpose: src has {src.ndim} dimensions; 2, 3 and 4 are possible")
    if axes is not None and tuple(axes) != order:
        raise NkiValidationError(f"nisa.dma_transpose: axes {tuple(axes)} is not possible; use {order}")
    return _result("dma_transpose", tuple(src.shape[k] for k in order), _dtype(dtype, src), {"src": src},
                   {"dge_mode": _core_dge(dge_mode), "oob_mode": _core_oob(oob_mode)}, mask, targets=(sbuf,),
                   grid=src.shape, dst_dims=order)


def nc_stream_shuffle(src, dst, shuffle_mask, *, dtype=None, mask=None, **kwargs):
    """Within each 32 partitions: dst[i] = src[shuffle_mask[i]]."""
    _now("nc_stream_shuffle", _operand(dst, "dst"), {"src": _operand(src, "src")},
         {"shuffle_mask": tuple(int(m) for m in shuffle_mask)}, mask, reads_dst=True)


def core_barrier(data, cores, engine=engine.gpsimd, **kwargs):
    """Both cores wait for each other."""
    flush()
    _rows.core_barrier(data=_operand(data, "data").tensor(), cores=tuple(cores), engine=engine)


def sendrecv(*, src, dst, send_to_rank, recv_from_rank, pipe_id=0, use_gpsimd_dma=False, mask=None, **kwargs):
    """Exchange tiles between the two cores of LNC 2."""
    flush()
    _rows.sendrecv(src=_operand(src, "src").tensor(), dst=_operand(dst, "dst").tensor(), send_to_rank=send_to_rank,
                   recv_from_rank=recv_from_rank,
                   pipe_id=pipe_id, dma_engine=dma_engine.gpsimd_dma if use_gpsimd_dma else dma_engine.dma)


def _tiled_offloaded_memcpy(dst=None, src=None, *args, **kwargs):
    """Used by collectives helpers: a copy by DMA."""
    dma_copy(dst=dst, src=src)


def _tiled_offloaded_fma(*tensors, scales=None, dst=None, **kwargs):
    """Used by collectives helpers: dst = sum of scaled tensors, by DMA."""
    raise KernelError("nisa._tiled_offloaded_fma is internal to the vendor's collectives and is not modelled")


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError("neuronxcc.nki.isa has no "
                         f"{name!r}.{nearest(name, [n for n in globals() if not n.startswith('_')])}")



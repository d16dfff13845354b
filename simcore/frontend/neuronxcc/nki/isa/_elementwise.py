"""Element by element: arithmetic, activation functions, copies."""

from __future__ import annotations

import numpy as np

from simcore.dtypes import to_dtype
from simcore.frontend.neuronxcc.calls import maybe, now, operand, result, result_dtype
from simcore.frontend.neuronxcc.nki.isa.constants import engine, reduce_cmd
from simcore.frontend.neuronxcc.spread import broadcast_shape, spread
from simcore.frontend.neuronxcc.tile import Tile
from simcore.isa.operators import to_operator
from simcore.layout import psum


def tensor_tensor(data1, data2, op, *, dtype=None, mask=None, engine=engine.unknown, **kwargs):
    """data1 op data2."""
    a, b = operand(data1, "data1"), operand(data2, "data2")
    b = _same_elements(a, b)
    shape = broadcast_shape(a, b)
    b = not_both_psum(a, b, mask)
    return result("tensor_tensor", shape, result_dtype(dtype, a, b),
                   {"data1": spread(a, shape), "data2": spread(b, shape)},
                   {"op": to_operator(op), "engine": engine}, mask, par=a.form.par_axis)


def _same_elements(a, b):
    """Instructions ask for as many elements per partition, not for one shape: b shaped as a is, where that fits."""
    if a.ndim != b.ndim and a.size == b.size != a.shape[0] == b.shape[0] and a.form.par_axis == b.form.par_axis == 0:
        return b.reshape(a.shape)
    return b


def tensor_scalar(data, op0, operand0, reverse0=False, op1=None, operand1=None, reverse1=False, *, dtype=None,
                  mask=None, engine=engine.unknown, **kwargs):
    """(data op0 operand0) op1 operand1, operands being numbers or one value per partition."""
    data = operand(data, "data")
    operand0, operand1 = per_partition(operand0, op0, mask), per_partition(operand1, op1, mask)
    return result("tensor_scalar", data.shape, result_dtype(dtype, data),
                   {"data": data, "operand0": operand0, "operand1": operand1},
                   {"op0": to_operator(op0), "op1": to_operator(op1), "reverse0": reverse0, "reverse1": reverse1,
                    "engine": engine}, mask,
                   par=data.form.par_axis)


def per_partition(value, op, mask):
    """A number, or one value per partition: arithmetic wants float32, so tiles of other dtypes are cast first."""
    value = maybe(value)
    if isinstance(value, Tile) and value.form.dtype != "float32" and to_operator(op).kind != "bit":
        return tensor_copy(value, dtype="float32", mask=mask)
    return value


def not_both_psum(a, b, mask):
    """An instruction reads one operand from PSUM at most: the second is copied to SBUF."""
    return tensor_copy(b, mask=mask) if a.buffer is psum and b.buffer is psum else b


def scalar_tensor_tensor(*, data, op0, operand0, op1, operand1, reverse0=False, reverse1=False, dtype=None, mask=None,
                         **kwargs):
    """(data op0 operand0) op1 operand1, operand1 a full tile."""
    data, other = operand(data, "data"), operand(operand1, "operand1")
    other = not_both_psum(data, other, mask)
    return result("scalar_tensor_tensor", data.shape, result_dtype(dtype, data, other),
                   {"data": data, "operand0": per_partition(operand0, op0, mask), "operand1": other},
                   {"op0": to_operator(op0), "op1": to_operator(op1), "reverse0": reverse0, "reverse1": reverse1}, mask,
                   par=data.form.par_axis)


def activation(op, data, *, bias=None, scale=1.0, reduce_op=None, reduce_res=None, reduce_cmd=reduce_cmd.idle,
               mask=None, dtype=None, **kwargs):
    """op(data * scale + bias) on the Scalar engine."""
    data = operand(data, "data")
    return result("activation", data.shape, result_dtype(dtype, data),
                   {"data": data, "bias": maybe(bias), "scale": maybe(scale), "reduce_res": maybe(reduce_res)},
                   {"op": to_operator(op), "reduce_op": to_operator(reduce_op), "reduce_cmd": reduce_cmd}, mask,
                   par=data.form.par_axis, writes=("reduce_res",))


def activation_reduce(op, data, *, reduce_op, reduce_res, bias=None, scale=1.0, mask=None, dtype=None, **kwargs):
    """activation, with the sum of each partition in reduce_res."""
    data = operand(data, "data")
    return result("activation_reduce", data.shape, result_dtype(dtype, data),
                   {"data": data, "bias": maybe(bias), "scale": maybe(scale),
                    "reduce_res": operand(reduce_res, "reduce_res")},
                   {"op": to_operator(op), "reduce_op": to_operator(reduce_op)}, mask, par=data.form.par_axis,
                   writes=("reduce_res",))


def reciprocal(data, *, dtype=None, mask=None, **kwargs):
    """1 / data on the Vector engine."""
    data = operand(data, "data")
    return result("reciprocal", data.shape, result_dtype(dtype, data), {"data": data}, {}, mask, par=data.form.par_axis)


def tensor_copy(src, *, mask=None, dtype=None, engine=engine.unknown, **kwargs):
    """A copy, with a cast where a dtype is given."""
    src = operand(src, "src")
    return result("tensor_copy", src.shape, result_dtype(dtype, src), {"src": src}, {"engine": engine}, mask,
                   par=src.form.par_axis)


tensor_copy_dynamic_src = tensor_copy


def tensor_copy_dynamic_dst(*, dst, src, mask=None, dtype=None, engine=engine.unknown, **kwargs):
    """A copy to an address from a tile of indices."""
    now("tensor_copy", operand(dst, "dst"), {"src": operand(src, "src")}, {"engine": engine}, mask)


def unsigned(value):
    """A predicate as unsigned integers: the same bits where the size fits, else a cast."""
    t = operand(value, "predicate")
    if t.form.dtype in ("uint8", "uint16", "uint32"):
        return t
    same = {"bool": "uint8", "int8": "uint8", "int16": "uint16", "int32": "uint32"}.get(str(t.form.dtype))
    return t.view(same) if same else tensor_copy(t, dtype="uint8")


def tensor_copy_predicated(*, src, dst, predicate, reverse_pred=False, mask=None, dtype=None, **kwargs):
    """dst = src where predicate is not zero; the rest keeps its value."""
    dst = operand(dst, "dst")
    src = maybe(src)
    src = spread(src, dst.shape) if isinstance(src, Tile) else src
    now("tensor_copy_predicated", dst, {"src": src, "predicate": spread(unsigned(predicate), dst.shape)},
         {"reverse_pred": reverse_pred}, mask, reads_dst=True)
    return dst


def memset(shape, value, dtype, *, mask=None, engine=engine.unknown, **kwargs):
    """A new tile filled with a value."""
    from simcore.frontend.neuronxcc.creation import split

    blocks, own, par = split(shape)
    return result("memset", (*blocks, *own), to_dtype(dtype), {}, {"value": _number(value), "engine": engine}, mask,
                   par=par)


def _number(value):
    return value.item() if isinstance(value, np.generic) else value

"""`nl` operators: functions on tiles, lowered as the vendor documents them, and tokens for op= fields."""

from __future__ import annotations

import math

import numpy as np

from simcore.dtypes import to_dtype
from simcore.frontend.neuronxcc import nki
from simcore.frontend.neuronxcc.calls import maybe, operand, result, result_dtype
from simcore.frontend.neuronxcc.index import Index
from simcore.frontend.neuronxcc.memory import copy, in_sbuf
from simcore.frontend.neuronxcc.spread import broadcast_shape, spread
from simcore.frontend.neuronxcc.tile import Tile
from simcore.isa.operators import OPERATORS, Operator
from simcore.layout import psum
from simcore.tensor import Tensor

_TENSORS = (Tile, Tensor)


def _on_chip(x):
    """Operands of nl functions may lie in HBM by mistake only; PSUM and SBUF are as they are."""
    return operand(x, "operand") if isinstance(x, _TENSORS) else maybe(x)


def _index_tile(x):
    return nki.isa.iota(x, dtype="int32") if isinstance(x, Index) else x


def _binary(op: Operator):
    def function(x, y, *, dtype=None, mask=None, **kwargs):
        x, y = _index_tile(_on_chip(x)), _index_tile(_on_chip(y))
        if not isinstance(x, Tile) and not isinstance(y, Tile):
            return op.apply(np.asarray(x), np.asarray(y)).item()
        dt = result_dtype(dtype, x, y)
        if not isinstance(x, Tile) or not isinstance(y, Tile):
            data, number, swap = (y, x, True) if not isinstance(x, Tile) else (x, y, False)
            return result("tensor_scalar", data.shape, _result_kind(dtype, dt, number, op),
                          {"data": data, "operand0": number},
                          {"op0": op, "reverse0": swap}, mask, par=data.form.par_axis)
        shape = broadcast_shape(x, y)
        for data, other, swap in ((x, y, False), (y, x, True)):
            if data.shape == shape and other.shape != shape and _per_partition(other, data):
                if (other.form.dtype.is_int if op.kind == "bit" else other.form.dtype == "float32"):
                    return result("tensor_scalar", shape, dt, {"data": data, "operand0": other},
                                  {"op0": op, "reverse0": swap}, mask, par=data.form.par_axis)
        if x.buffer is psum and y.buffer is psum:
            y = in_sbuf(y)
        return result("tensor_tensor", shape, dt, {"data1": spread(x, shape), "data2": spread(y, shape)}, {"op": op},
                      mask, par=x.form.par_axis if x.shape == shape else y.form.par_axis)

    function.__name__ = op.name
    return function


def _result_kind(asked, dt, number, op):
    """An integer tile with a fractional number, or divided, gives float32 unless a dtype is asked for."""
    if asked is None and dt.is_int and op.kind == "arithmetic" and (isinstance(number, float) or op.name == "divide"):
        return to_dtype("float32")
    return dt


def _per_partition(t: Tile, data: Tile) -> bool:
    axis = t.form.par_axis
    return (t.size == t.shape[axis] and (t.ndim == data.ndim or axis == 0) and axis == data.form.par_axis
            and t.shape[axis] == data.shape[axis])


def _activation(op: Operator):
    def function(x, *, dtype=None, mask=None, **kwargs):
        x = _index_tile(_on_chip(x))
        if not isinstance(x, Tile):
            return float(op.apply(np.float32(x)))
        return result("activation", x.shape, result_dtype(dtype, x), {"data": x}, {"op": op}, mask, par=x.form.par_axis)

    function.__name__ = op.name
    return function


def _vector_unary(op: Operator):
    def function(x, *, dtype=None, mask=None, **kwargs):
        x = operand(_index_tile(x), "x")
        return result("tensor_scalar", x.shape, result_dtype(dtype, x), {"data": x, "operand0": None}, {"op0": op},
                      mask, par=x.form.par_axis)

    function.__name__ = op.name
    return function


class Function:
    """An `nl` operator: a function on tiles, a token for op= fields; equal to NumPy's function of its meaning."""

    __slots__ = ("operator", "function", "__name__")

    def __init__(self, operator: Operator, function, name=None):
        self.operator, self.function = operator, function
        self.__name__ = name or operator.name

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"nl.{self.__name__}"

    def __hash__(self) -> int:
        return hash(self.operator)

    def __eq__(self, other) -> bool:
        return getattr(other, "operator", other) is self.operator


def negative(x, *, dtype=None, mask=None, **kwargs):
    return multiply(x, -1, dtype=dtype, mask=mask)


def reciprocal(x, *, dtype=None, mask=None, **kwargs):
    x = operand(x, "x")
    return result("reciprocal", x.shape, result_dtype(dtype, x), {"data": x}, {}, mask, par=x.form.par_axis)


FUNCTIONS: dict[str, Function] = {}
for _op in dict.fromkeys(OPERATORS.values()):
    if _op.name in ("bypass", "average", "identity"):
        _made = None
    elif _op.kind in ("arithmetic", "comparison", "logical", "bit") and _op.name != "invert":
        _made = _binary(_op)
    elif _op.name in ("invert", "logical_not"):
        _made = _vector_unary(_op)
    else:
        _made = _activation(_op)
    if _made is not None:
        FUNCTIONS[_op.name] = Function(_op, _made)
def floor(x, *, dtype=None, mask=None, **kwargs):
    """Rounded down: a cast to integers and back rounds to nearest, and what came out larger is lowered by one."""
    x = operand(_index_tile(x), "x")
    near = copy(copy(x, dtype="int32", mask=mask), dtype="float32", mask=mask)
    return subtract(near, FUNCTIONS["greater"](near, x, dtype="float32", mask=mask), dtype=result_dtype(dtype, x),
                    mask=mask)


def ceil(x, *, dtype=None, mask=None, **kwargs):
    x = operand(_index_tile(x), "x")
    near = copy(copy(x, dtype="int32", mask=mask), dtype="float32", mask=mask)
    return add(near, FUNCTIONS["less"](near, x, dtype="float32", mask=mask), dtype=result_dtype(dtype, x), mask=mask)


def trunc(x, *, dtype=None, mask=None, **kwargs):
    x = operand(_index_tile(x), "x")
    down = floor(FUNCTIONS["abs"](x, dtype="float32", mask=mask), mask=mask)
    return multiply(down, FUNCTIONS["sign"](x, dtype="float32", mask=mask), dtype=result_dtype(dtype, x), mask=mask)


def cos(x, *, dtype=None, mask=None, **kwargs):
    """sin(x + pi/2)."""
    return FUNCTIONS["sin"](add(x, math.pi / 2, dtype="float32", mask=mask), dtype=result_dtype(dtype, x), mask=mask)


def tan(x, *, dtype=None, mask=None, **kwargs):
    """sin(x) / cos(x)."""
    x = operand(x, "x")
    return divide(FUNCTIONS["sin"](x, dtype="float32", mask=mask), cos(x, dtype="float32", mask=mask),
                  dtype=result_dtype(dtype, x), mask=mask)


for _composed in (floor, ceil, trunc, cos, tan):
    FUNCTIONS[_composed.__name__] = Function(OPERATORS[_composed.__name__], _composed)
FUNCTIONS["negative"] = Function(OPERATORS["negative"], negative)
FUNCTIONS["reciprocal"] = Function(OPERATORS["reciprocal"], reciprocal)
FUNCTIONS["copy"] = Function(OPERATORS["copy"], copy)
add, subtract, multiply, divide, power, mod = (FUNCTIONS[n]
                                               for n in ("add", "subtract", "multiply", "divide", "power", "mod"))
less, less_equal, greater, greater_equal, equal, not_equal = (FUNCTIONS[n]
                                                              for n in ("less", "less_equal", "greater",
                                                                        "greater_equal", "equal", "not_equal"))
bitwise_and, bitwise_or, bitwise_xor, left_shift, right_shift = (FUNCTIONS[n]
                                                                 for n in ("bitwise_and", "bitwise_or", "bitwise_xor",
                                                                           "left_shift", "right_shift"))
invert, exp, square, sqrt, rsqrt = (FUNCTIONS[n] for n in ("invert", "exp", "square", "sqrt", "rsqrt"))

"""`nl` reductions over free axes, and what is built from them."""

from __future__ import annotations

import math

from simcore.dtypes import to_dtype
from simcore.frontend.neuronxcc import calls
from simcore.frontend.neuronxcc.calls import operand, result_dtype
from simcore.frontend.neuronxcc.functions import Function, exp, multiply, reciprocal, square, subtract
from simcore.frontend.neuronxcc.memory import copy
from simcore.isa.operators import OPERATORS, Operator


def _axes(axis, ndim: int) -> tuple[int, ...]:
    return tuple(sorted(int(a) % ndim for a in (axis if isinstance(axis, tuple | list) else (axis,))))


def _reduction(op: Operator):
    def function(x, axis, *, dtype=None, mask=None, keepdims=False, **kwargs):
        from simcore.frontend.neuronxcc.nki.isa._reduce import reduce, tensor_partition_reduce

        x = operand(x, "x")
        axes = _axes(axis, x.ndim)
        if x.form.par_axis in axes:
            out = tensor_partition_reduce(op, x, mask=mask, dtype=dtype)
            rest = tuple(a for a in axes if a != x.form.par_axis)
            return reduce(out, op, rest, None, result_dtype(dtype, x), False, keepdims) if rest else out
        return reduce(x, op, axes, mask, result_dtype(dtype, x), False, keepdims)

    return function


REDUCTIONS = {name: Function(OPERATORS[name], _reduction(OPERATORS[name]), name)
              for name in ("max", "min", "sum", "prod", "all")}


def mean(x, axis, *, dtype=None, mask=None, keepdims=False, **kwargs):
    """sum / count, where the count leaves masked elements out."""
    x = operand(x, "x")
    axes = _axes(axis, x.ndim)
    where = calls.resolve(mask, x.shape)
    sizes = [high - low for low, high in where.box] if where else x.shape
    total = REDUCTIONS["sum"](x, axes, dtype="float32", mask=mask, keepdims=keepdims)
    return multiply(total, 1.0 / math.prod(sizes[a] for a in axes), dtype=result_dtype(dtype, x))


def var(x, axis, *, dtype=None, mask=None, keepdims=False, **kwargs):
    x = operand(x, "x")
    centred = subtract(x, mean(x, axis, dtype="float32", mask=mask, keepdims=True), dtype="float32", mask=mask)
    return mean(square(centred, mask=mask), axis, dtype=result_dtype(dtype, x), mask=mask, keepdims=keepdims)


def softmax(x, axis, *, dtype=None, compute_dtype=None, mask=None, **kwargs):
    """exp(x - max) / sum over free axes."""
    from simcore.frontend.neuronxcc.nki.isa import activation

    x = operand(x, "x")
    axes = _axes(axis, x.ndim)
    dt = result_dtype(dtype, x)
    work = to_dtype(compute_dtype or "float32")
    high = REDUCTIONS["max"](x, axes, dtype=work, mask=mask, keepdims=True)
    if high.size == x.shape[0]:
        scores = activation(OPERATORS["exp"], x, bias=multiply(high, -1.0), dtype=work, mask=mask)
    else:
        scores = exp(subtract(x, high, dtype=work, mask=mask), mask=mask)
    total = REDUCTIONS["sum"](scores, axes, dtype=work, mask=mask, keepdims=True)
    return multiply(scores, reciprocal(total), dtype=dt, mask=mask)


def rms_norm(x, w, axis, n, epsilon=1e-6, *, dtype=None, compute_dtype=None, mask=None, **kwargs):
    """x / sqrt(mean(x^2) + epsilon) * w."""
    from simcore.frontend.neuronxcc.nki.isa import activation, tensor_scalar

    x = operand(x, "x")
    work = to_dtype(compute_dtype or "float32")
    axes = _axes(axis, x.ndim)
    total = REDUCTIONS["sum"](square(x, dtype=work, mask=mask), axes, dtype=work, mask=mask, keepdims=True)
    scaled = tensor_scalar(total, OPERATORS["multiply"], 1.0 / n, op1=OPERATORS["add"], operand1=float(epsilon))
    root = activation(OPERATORS["rsqrt"], scaled)
    out = multiply(x, root, dtype=work, mask=mask)
    return (multiply(out, w, dtype=result_dtype(dtype, x), mask=mask) if w is not None
            else copy(out, dtype=result_dtype(dtype, x), mask=mask))

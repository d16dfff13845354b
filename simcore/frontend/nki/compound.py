"""`nl` functions that take several instructions: rounding, trigonometry, statistics, normalisation, random numbers."""

from __future__ import annotations

import math

from simcore.dtypes import to_dtype
from simcore.errors import KernelError
from simcore.frontend import state
from simcore.frontend.instructions import nisa
from simcore.frontend.nki.functions import _expand, tile
from simcore.isa.operators import OPERATORS
from simcore.tensor import Tensor

__all__ = ["all", "ceil", "cos", "device_print", "dropout", "floor", "gather_flattened", "mean", "negative", "rand",
           "random_seed", "rms_norm", "sin", "softmax", "tan", "trunc", "var"]

_add, _multiply, _subtract, _divide = (OPERATORS[n] for n in ("add", "multiply", "subtract", "divide"))
_mod, _fmod, _max = OPERATORS["mod"], OPERATORS["fmod"], OPERATORS["maximum"]


def _like(x, dtype=None, shape=None) -> Tensor:
    return tile(shape or x.shape, dtype or x.dtype)


# ------------------------------------------------------------------------------------------------ rounding


def floor(x, dtype=None, **ignored):
    """x - (x mod 1)."""
    return _without(x, _mod, dtype)


def trunc(x, dtype=None, **ignored):
    """x - fmod(x, 1)."""
    return _without(x, _fmod, dtype)


def _without(x, op, dtype):
    part, out = _like(x, "float32"), _like(x, dtype)
    nisa.tensor_scalar(dst=part, data=x, op0=op, operand0=1.0)
    nisa.tensor_tensor(dst=out, data1=x, data2=part, op=_subtract)
    return out


def ceil(x, dtype=None, **ignored):
    """x + (-x mod 1)."""
    part, out = _like(x, "float32"), _like(x, dtype)
    nisa.tensor_scalar(dst=part, data=x, op0=_multiply, operand0=-1.0, op1=_mod, operand1=1.0)
    nisa.tensor_tensor(dst=out, data1=x, data2=part, op=_add)
    return out


def negative(x, dtype=None, **ignored):
    """-x."""
    out = _like(x, dtype)
    nisa.tensor_scalar(dst=out, data=x, op0=_multiply, operand0=-1.0)
    return out


# ------------------------------------------------------------------------------------------------ trigonometry


def sin(x, dtype=None, **ignored):
    """Sine over all inputs: the argument is brought into -pi..pi before the Scalar engine's function."""
    return _sine(x, 0.0, dtype)


def cos(x, dtype=None, **ignored):
    """sin(x + pi / 2)."""
    return _sine(x, math.pi / 2, dtype)


def _sine(x, shift, dtype):
    turned, reduced, out = _like(x, "float32"), _like(x, "float32"), _like(x, dtype)
    nisa.tensor_scalar(dst=turned, data=x, op0=_add, operand0=shift + math.pi, op1=_mod, operand1=2 * math.pi)
    nisa.tensor_scalar(dst=reduced, data=turned, op0=_subtract, operand0=math.pi, op1=OPERATORS["minimum"],
                       operand1=3.1415925)
    nisa.activation(dst=out, op=OPERATORS["sin"], data=reduced)
    return out


def tan(x, dtype=None, **ignored):
    """sin(x) / cos(x)."""
    s, c, out = sin(x, "float32"), cos(x, "float32"), _like(x, dtype)
    nisa.tensor_tensor(dst=out, data1=s, data2=c, op=_divide)
    return out


# ------------------------------------------------------------------------------------------------ statistics


def _axes(x, axis) -> tuple[int, ...]:
    return tuple(sorted(a % x.ndim for a in (axis if isinstance(axis, tuple | list) else (axis,))))


def _kept(x, axes) -> tuple[int, ...]:
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape))


def _drop(t, axes, keepdims):
    if keepdims:
        return t
    shape = tuple(n for i, n in enumerate(t.shape) if i not in axes)
    return t.reshape(shape if len(shape) > 1 else (*shape, 1))


def _reduce(op, x, axes, dtype="float32") -> Tensor:
    out = tile(_kept(x, axes), dtype)
    nisa.tensor_reduce(dst=out, op=op, data=x, axis=axes, keepdims=True)
    return out


def _count(x, axes) -> int:
    return math.prod(x.shape[a] for a in axes)


def mean(x, axis, dtype=None, keepdims=False, **ignored):
    """Mean over free axes."""
    axes = _axes(x, axis)
    total, out = _reduce(_add, x, axes), tile(_kept(x, axes), dtype or x.dtype)
    nisa.tensor_scalar(dst=out, data=total, op0=_multiply, operand0=1.0 / _count(x, axes))
    return _drop(out, axes, keepdims)


def var(x, axis, dtype=None, keepdims=False, **ignored):
    """Variance over free axes (of the whole population)."""
    axes = _axes(x, axis)
    center = mean(x, axes, "float32", True)
    spread = _like(x, "float32")
    nisa.tensor_tensor(dst=spread, data1=x, data2=_expand(center, x.shape), op=_subtract)
    nisa.activation(dst=spread, op=OPERATORS["square"], data=spread)
    return mean(spread, axes, dtype or x.dtype, keepdims)


def all(x, axis, dtype=None, **ignored):
    """1 where all elements along free axes are not zero."""
    axes = _axes(x, axis)
    flags = _like(x, "float32")
    nisa.tensor_scalar(dst=flags, data=x, op0=OPERATORS["not_equal"], operand0=0.0)
    return _drop(_reduce(OPERATORS["minimum"], flags, axes, dtype or x.dtype), axes, False)


def softmax(x, axis=-1, dtype=None, **ignored):
    """exp(x - max) / sum over free axes."""
    axes = _axes(x, axis)
    top = _reduce(_max, x, axes)
    shifted, exponents, out = _like(x, "float32"), _like(x, "float32"), _like(x, dtype)
    nisa.tensor_tensor(dst=shifted, data1=x, data2=_expand(top, x.shape), op=_subtract)
    nisa.activation(dst=exponents, op=OPERATORS["exp"], data=shifted)
    total = _reduce(_add, exponents, axes)
    inverse = _like(total)
    nisa.reciprocal(dst=inverse, data=total)
    nisa.tensor_tensor(dst=out, data1=exponents, data2=_expand(inverse, x.shape), op=_multiply)
    return out


def rms_norm(x, w, axis, n, epsilon=1e-06, dtype=None, compute_dtype=None, **ignored):
    """x / sqrt(sum(x * x) / n + epsilon) * w."""
    axes, work = _axes(x, axis), to_dtype(compute_dtype or "float32")
    squares = _like(x, work)
    nisa.activation(dst=squares, op=OPERATORS["square"], data=x)
    total = _reduce(_add, squares, axes)
    scaled, inverse = _like(total), _like(total)
    nisa.tensor_scalar(dst=scaled, data=total, op0=_multiply, operand0=1.0 / n, op1=_add, operand1=float(epsilon))
    nisa.activation(dst=inverse, op=OPERATORS["rsqrt"], data=scaled)
    normal, out = _like(x, work), _like(x, dtype)
    nisa.tensor_tensor(dst=normal, data1=x, data2=_expand(inverse, x.shape), op=_multiply)
    nisa.tensor_tensor(dst=out, data1=normal, data2=_expand(w, x.shape), op=_multiply)
    return out


# ---------------------------------------------------------------------------------------------- random numbers, gathers


def rand(shape, dtype="float32", buffer="sbuf", name=None, **ignored):
    """Uniform numbers in [0, 1): 24 random bits scaled."""
    bits, high = tile(shape, "uint32"), tile(shape, "uint32")
    nisa.rng(dst=bits)
    nisa.tensor_scalar(dst=high, data=bits, op0=OPERATORS["right_shift"], operand0=8)
    out = tile(shape, dtype)
    nisa.tensor_scalar(dst=out, data=high, op0=_multiply, operand0=2.0**-24)
    if buffer in ("sbuf", None) or getattr(buffer, "name", "") == "sbuf":
        return out
    moved = tile(shape, dtype, buffer)
    (nisa.tensor_copy if moved.buffer.on_chip else nisa.dma_copy)(dst=moved, src=out)
    return moved


def random_seed(seed, **ignored):
    """Seed the Vector engine's generator from a (1, 1) tile (or an integer)."""
    if not isinstance(seed, Tensor):
        value, seed = int(seed), tile((1, 1), "int32")
        nisa.memset(dst=seed, value=value)
    nisa.set_rng_seed(src_seeds=seed)


def dropout(x, rate, dtype=None, **ignored):
    """x with each element set to zero with probability `rate`."""
    out = _like(x, dtype)
    nisa.dropout(dst=out, data=x, prob=rate)
    return out


def gather_flattened(data, indices, axis=0, dtype=None, **ignored):
    """Within each partition: data.flat[indices]."""
    if indices.dtype != "uint32":
        wide = tile(indices.shape, "uint32")
        nisa.tensor_copy(dst=wide, src=indices)
        indices = wide
    out = tile(indices.shape, data.dtype)
    nisa.nc_n_gather(dst=out, data=data, indices=indices)
    if dtype is None or to_dtype(dtype) is data.dtype:
        return out
    cast = tile(indices.shape, dtype)
    nisa.tensor_copy(dst=cast, src=out)
    return cast


def device_print(print_prefix, tensor, **ignored) -> None:
    """Print a tensor with a prefix; on the chip its data goes to a debug buffer in HBM, which is what is recorded."""
    rec = state.current("nl.device_print")
    if not isinstance(tensor, Tensor):
        raise KernelError(f"nl.device_print needs a tensor, not {type(tensor).__name__}", site=state.user_site())
    source = tensor
    if source.is_psum():
        source = tile(tensor.shape, tensor.dtype)
        nisa.tensor_copy(dst=source, src=tensor)
    nisa.dma_copy(dst=tile(tensor.shape, tensor.dtype, "private_hbm"), src=source)
    print(print_prefix, tensor.read() if rec.values else f"{tensor!r} (values not computed)")

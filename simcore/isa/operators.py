"""Operators: what an `op=` field of an instruction may name.

In the current dialect each is also a function on tiles (`nl.add(x, y)`); the front end gives it that meaning by setting
`function`.  NumPy functions are accepted as names of operators, as the older dialect's kernels use them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from simcore.errors import NkiValidationError, nearest


class Operator:
    """An operator with its NumPy meaning on float32 (or integer, for bit operators) arrays.

    kind    "arithmetic", "comparison", "logical", "bit", "unary", "activation"
    apply   NumPy function of one or two arrays
    reduce  NumPy ufunc for reductions, or None
    """

    __slots__ = ("name", "kind", "apply", "reduce", "function")

    def __init__(self, name: str, kind: str, apply: Callable | None, reduce=None):
        self.name, self.kind, self.apply, self.reduce = name, kind, apply, reduce
        self.function: Callable | None = None

    def __call__(self, *args, **kwargs):
        if self.function is None:
            raise NkiValidationError(f"{self.name} is an operator for op= fields, not a function on tiles")
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return self.name

    def __getattr__(self, name: str):
        if name == "__name__":
            return self.name
        raise AttributeError(name)

    @property
    def unary(self) -> bool:
        return self.kind in ("unary", "activation")

    @property
    def on_scalar_engine(self) -> Callable:
        """The function as the Scalar engine evaluates it, where that differs outside the documented range."""
        return _ON_SCALAR_ENGINE.get(self.name, self.apply)


OPERATORS: dict[str, Operator] = {}


def _op(name, kind, apply, reduce=None) -> Operator:
    OPERATORS[name] = Operator(name, kind, apply, reduce)
    return OPERATORS[name]


def _quiet(fn):
    def call(*args):
        with np.errstate(all="ignore"):
            return fn(*args)

    return call


def _float(fn):
    """Comparisons and logic give 1.0 or 0.0."""

    def call(*args):
        with np.errstate(all="ignore"):
            return fn(*args).astype(np.float32)

    return call


def _shift(fn):
    """Logical shifts: on the unsigned bit pattern."""

    def call(a, b):
        a = np.asarray(a)
        unsigned = np.dtype(f"u{a.dtype.itemsize}")
        width = a.dtype.itemsize * 8
        amount = np.asarray(b).astype(np.int64)
        out = fn(a.view(unsigned) if a.flags.c_contiguous else np.ascontiguousarray(a).view(unsigned),
                 np.clip(amount, 0, width - 1).astype(unsigned))
        return np.where((amount >= 0) & (amount < width), out, unsigned.type(0)).view(a.dtype)

    return call


def _erf(x):
    """Error function, exact and elementwise: the rational approximation of Abramowitz & Stegun is too coarse."""
    x = np.asarray(x, np.float32)
    return _erf_series(x.astype(np.float64)).astype(np.float32)


def _erf_series(x):
    """erf by W. J. Cody's rational approximations (Mathematics of Computation 23, 1969), about 1e-15."""
    ax = np.abs(x)
    out = np.empty_like(ax)
    small = ax <= 0.5
    z = np.where(small, ax * ax, 0.0)
    p = (3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03,
         1.85777706184603153e-1)
    q = (2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03)
    num, den = p[4] * z, z
    for i in range(3):
        num, den = (num + p[i]) * z, (den + q[i]) * z
    out_small = ax * (num + p[3]) / (den + q[3])
    c = (5.64188496988670089e-1, 8.88314979438837594e00, 6.61191906371416295e01, 2.98635138197400131e02,
         8.81952221241769090e02,
         1.71204761263407058e03, 2.05107837782607147e03, 1.23033935479799725e03, 2.15311535474403846e-8)
    d = (1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03,
         3.29079923573345963e03, 4.36261909014324716e03, 3.43936767414372164e03, 1.23033935480374942e03)
    y = np.clip(ax, 0.46875, 4.0)
    num, den = c[8] * y, y
    for i in range(7):
        num, den = (num + c[i]) * y, (den + d[i]) * y
    middle = 1.0 - np.exp(-y * y) * (num + c[7]) / (den + d[7])
    out = np.where(small, out_small, np.where(ax < 4.0, middle, 1.0))
    return np.where(np.isnan(x), np.nan, np.sign(x) * out)


def _sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def _gelu(x):
    return 0.5 * x * (1.0 + _erf(x * np.float32(1 / math.sqrt(2))))


def _softplus(x):
    return np.logaddexp(x, np.float32(0))


def _gelu_dx(x):
    return 0.5 * (1.0 + _erf(x * np.float32(1 / math.sqrt(2)))) + x * np.exp(-0.5 * x
                                                                             * x) / np.float32(math.sqrt(2 * math.pi))


def _scalar_engine_sin(x):
    """sin on -pi..pi; outside, the outermost segment's cubic goes on (the vendor's example: sin(9.0) = 27.65)."""
    pi = np.float32(math.pi)
    beyond = x - np.copysign(pi, x)
    with np.errstate(all="ignore"):
        return np.where(np.abs(x) <= pi, np.sin(x), beyond**3 / np.float32(6) - beyond)


class _BySize:
    """abs_max and abs_min: the operand of larger (smaller) magnitude with its sign; the second when equal."""

    def __init__(self, compare: Callable):
        self.compare = compare

    def __call__(self, a, b):
        return np.where(self.compare(np.abs(a), np.abs(b)), a, b)

    def reduce(self, values, axis=0, keepdims=False):
        axes = tuple(a % values.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
        kept = [i for i in range(values.ndim) if i not in axes]
        flat = values.transpose(*kept, *axes).reshape(*[values.shape[i] for i in kept], -1)
        out = flat[..., 0]
        for i in range(1, flat.shape[-1]):
            out = self(out, flat[..., i])
        return out.reshape([1 if i in axes else n for i, n in enumerate(values.shape)]) if keepdims else out


add = _op("add", "arithmetic", _quiet(np.add), np.add)
subtract = _op("subtract", "arithmetic", _quiet(np.subtract), np.subtract)
multiply = _op("multiply", "arithmetic", _quiet(np.multiply), np.multiply)
maximum = _op("maximum", "arithmetic", _quiet(np.fmax), np.fmax)
minimum = _op("minimum", "arithmetic", _quiet(np.fmin), np.fmin)
divide = _op("divide", "arithmetic", _quiet(np.true_divide))
power = _op("power", "arithmetic", _quiet(np.power))
mod = _op("mod", "arithmetic", _quiet(np.mod))
fmod = _op("fmod", "arithmetic", _quiet(np.fmod))
abs_max = _op("abs_max", "arithmetic", _quiet(_BySize(np.greater)), _BySize(np.greater))
abs_min = _op("abs_min", "arithmetic", _quiet(_BySize(np.less)), _BySize(np.less))
average = _op("average", "arithmetic", None, np.add)
bypass = _op("bypass", "arithmetic", lambda a, *b: a)

equal = _op("equal", "comparison", _float(np.equal))
not_equal = _op("not_equal", "comparison", _float(np.not_equal))
less = _op("less", "comparison", _float(np.less))
less_equal = _op("less_equal", "comparison", _float(np.less_equal))
greater = _op("greater", "comparison", _float(np.greater))
greater_equal = _op("greater_equal", "comparison", _float(np.greater_equal))

logical_and = _op("logical_and", "logical", _float(np.logical_and), np.logical_and)
logical_or = _op("logical_or", "logical", _float(np.logical_or), np.logical_or)
logical_xor = _op("logical_xor", "logical", _float(np.logical_xor), np.logical_xor)
logical_not = _op("logical_not", "unary", _float(lambda a, *b: np.logical_not(a)))

bitwise_and = _op("bitwise_and", "bit", np.bitwise_and, np.bitwise_and)
bitwise_or = _op("bitwise_or", "bit", np.bitwise_or, np.bitwise_or)
bitwise_xor = _op("bitwise_xor", "bit", np.bitwise_xor, np.bitwise_xor)
invert = _op("invert", "bit", lambda a, *b: np.invert(a))
left_shift = _op("left_shift", "bit", _shift(np.left_shift))
right_shift = _op("right_shift", "bit", _shift(np.right_shift))
arith_shift_right = _op("arith_shift_right", "bit", lambda a, b: np.right_shift(a, np.asarray(b).astype(a.dtype)))

_UNARY = {
    "abs": np.abs, "square": np.square, "relu": lambda x: np.maximum(x, np.float32(0)),
    "rsqrt": lambda x: 1.0 / np.sqrt(x), "reciprocal": lambda x: 1.0 / x,
}
_ACTIVATION = {
    "exp": np.exp, "copy": lambda x: x, "identity": lambda x: x, "sqrt": np.sqrt, "log": np.log,
    "silu": lambda x: x * _sigmoid(x),
    "silu_dx": lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))), "sigmoid": _sigmoid, "tanh": np.tanh, "gelu": _gelu,
    "gelu_apprx_tanh": lambda x: 0.5 * x
    * (1 + np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x))),
    "gelu_apprx_sigmoid": lambda x: x * _sigmoid(np.float32(1.702) * x), "gelu_dx": _gelu_dx,
    "gelu_apprx_sigmoid_dx": lambda x: (_sigmoid(np.float32(1.702) * x)
                                        * (1 + np.float32(1.702) * x * (1 - _sigmoid(np.float32(1.702) * x)))),
    "softplus": _softplus, "mish": lambda x: x * np.tanh(_softplus(x)), "erf": _erf,
    "erf_dx": lambda x: np.float32(2 / math.sqrt(math.pi)) * np.exp(-x * x), "sin": np.sin, "arctan": np.arctan,
    "sign": np.sign,
    "prelu": lambda x, slope=0.0: np.where(x < 0, x * slope, x), "cos": np.cos, "tan": np.tan, "ceil": np.ceil,
    "floor": np.floor, "trunc": np.trunc, "negative": np.negative,
}
_ON_SCALAR_ENGINE = {"sin": _scalar_engine_sin}
for _name, _fn in _UNARY.items():
    _op(_name, "unary", _quiet(_fn))
for _name, _fn in _ACTIVATION.items():
    _op(_name, "activation", _quiet(_fn))

# reductions used as op= tokens: nl.max is np.max is maximum
for _alias, _target in {"max": "maximum", "min": "minimum", "sum": "add", "prod": "multiply",
                        "all": "logical_and"}.items():
    OPERATORS[_alias] = OPERATORS[_target]

_NUMPY = {
    np.add: "add", np.sum: "add", np.subtract: "subtract", np.multiply: "multiply", np.prod: "multiply",
    np.maximum: "maximum",
    np.max: "maximum", np.amax: "maximum", np.fmax: "maximum", np.minimum: "minimum", np.min: "minimum",
    np.amin: "minimum",
    np.divide: "divide", np.true_divide: "divide", np.power: "power", np.mod: "mod", np.fmod: "fmod", np.equal: "equal",
    np.not_equal: "not_equal", np.less: "less", np.less_equal: "less_equal", np.greater: "greater",
    np.greater_equal: "greater_equal", np.logical_and: "logical_and", np.logical_or: "logical_or",
    np.logical_xor: "logical_xor",
    np.logical_not: "logical_not", np.bitwise_and: "bitwise_and", np.bitwise_or: "bitwise_or",
    np.bitwise_xor: "bitwise_xor",
    np.invert: "invert", np.left_shift: "left_shift", np.right_shift: "right_shift", np.exp: "exp", np.square: "square",
    np.sqrt: "sqrt", np.log: "log", np.tanh: "tanh", np.abs: "abs", np.sign: "sign", np.sin: "sin", np.cos: "cos",
    np.arctan: "arctan",
    np.negative: "negative", np.copy: "copy", np.reciprocal: "reciprocal", np.mean: "average", np.all: "logical_and",
    np.any: "logical_or", np.floor: "floor", np.ceil: "ceil", np.trunc: "trunc", np.absolute: "abs",
}


def to_operator(op) -> Operator | None:
    """The Operator of a token: an Operator, a NumPy function, a front-end function with one, a name, or None."""
    if op is None or op.__class__ is Operator:
        return op
    found = getattr(op, "operator", None)
    if found is not None:
        return found
    name = op if isinstance(op, str) else _lookup_numpy(op)
    if name is None or name not in OPERATORS:
        text = op if isinstance(op, str) else getattr(op, "__name__", repr(op))
        raise NkiValidationError(f"{text} is not an operator of the NeuronCore.{nearest(str(text), OPERATORS)}")
    return OPERATORS[name]


def _lookup_numpy(op) -> str | None:
    try:
        return _NUMPY.get(op)
    except TypeError:
        return None

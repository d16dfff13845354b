"""`nl` functions on tiles, lowered to instructions as the vendor documents them."""

from __future__ import annotations

from simcore.dtypes import to_dtype, wider
from simcore.errors import KernelError
from simcore.frontend.instructions import nisa
from simcore.frontend.launch import allocate
from simcore.isa.operators import OPERATORS
from simcore.layout import psum, sbuf
from simcore.tensor import Tensor

__all__ = ["broadcast_to", "copy", "expand_dims", "full", "load", "load_transpose2d", "matmul", "ones", "store",
           "transpose", "where", "zeros", "zeros_like", "empty_like"]


def tile(shape, dtype, buffer=sbuf) -> Tensor:
    return allocate(shape, dtype, buffer)


def full(shape, fill_value, dtype, buffer=sbuf, name=None, **ignored):
    """A tensor filled with a value."""
    t = allocate(shape, dtype, buffer, name=name)
    if t.buffer.on_chip:
        nisa.memset(dst=t, value=fill_value)
        return t
    flat = t.reshape(-1)
    columns = max((n for n in range(1, min(t.size, 4096) + 1) if t.size % n == 0), default=1)
    rows = t.size // columns
    for at in range(0, rows, 128):
        part = tile((min(128, rows - at), columns), t.dtype)
        nisa.memset(dst=part, value=fill_value)
        nisa.dma_copy(dst=flat[at * columns:(at + part.shape[0]) * columns].reshape(part.shape), src=part)
    return t


def zeros(shape, dtype, buffer=sbuf, name=None, **ignored):
    return full(shape, 0, dtype, buffer, name)


def ones(shape, dtype, buffer=sbuf, name=None, **ignored):
    return full(shape, 1, dtype, buffer, name)


def zeros_like(x, dtype=None, buffer=None, **ignored):
    return full(x.shape, 0, dtype or x.dtype, buffer or x.buffer)


def empty_like(x, dtype=None, buffer=None, **ignored):
    return tile(x.shape, dtype or x.dtype, buffer or x.buffer)


def load(src, dtype=None, **ignored):
    """HBM to a new SBUF tile, with an optional cast; a 1-D source gives (n, 1)."""
    if src.ndim == 1:
        src = src.reshape(src.size, 1)
    t = tile(src.shape, dtype or src.dtype)
    nisa.dma_copy(dst=t, src=src)
    return t


def store(dst, value, **ignored):
    """SBUF tile to an HBM region."""
    if not isinstance(value, Tensor):
        value = full(dst.shape if dst.ndim > 1 else (1, dst.size), value, dst.dtype)
    elif value.buffer is psum:
        value = copy(value, dst.dtype)
    nisa.dma_copy(dst=dst, src=value)


def load_transpose2d(src, dtype=None, **ignored):
    """HBM (a, b) to a new SBUF tile (b, a)."""
    t = tile(src.shape[::-1], dtype or src.dtype)
    nisa.dma_transpose(dst=t, src=src)
    return t


def copy(x, dtype=None, **ignored):
    """A new SBUF tile with the values of x."""
    t = tile(x.shape, dtype or x.dtype)
    nisa.tensor_copy(dst=t, src=x)
    return t


def broadcast_to(x, shape, dtype=None):
    """A new tile with dimensions of size 1 repeated; the partition dimension by a shuffle per 32 partitions."""
    shape = tuple(int(n) for n in shape)
    dt = to_dtype(dtype or x.dtype)
    if len(shape) != x.ndim:
        raise KernelError(f"nl.broadcast_to: shape {shape} must have the {x.ndim} dimensions of {x.shape}")
    if x.shape == shape:
        return x if dt is x.dtype else copy(x, dt)
    if x.shape[0] == 1 and shape[0] > 1 and x.buffer.on_chip:
        x = over_partitions(x, shape[0])
    t = tile(shape, dt)
    nisa.tensor_copy(dst=t, src=x.broadcast_to(*shape))
    return t


def over_partitions(x, partitions: int) -> Tensor:
    """A new tile that repeats the one partition of x."""
    t = tile((partitions, *x.shape[1:]), x.dtype)
    for at in range(0, partitions, 32):
        nisa.nc_stream_shuffle(dst=t[at:min(at + 32, partitions)], src=x, shuffle_mask=(0,) * 32)
    return t


def expand_dims(x, axis):
    """A view with one more axis of size 1."""
    return x.expand_dim(axis)


def transpose(x, dtype=None):
    """2-D transpose into a new PSUM tile, through the Tensor engine (cast into SBUF for another dtype)."""
    out = tile((x.layout.free, x.shape[0]), x.dtype, psum)
    nisa.nc_transpose(dst=out, data=x)
    return out if dtype is None or to_dtype(dtype) is x.dtype else copy(out, dtype)


def matmul(x, y, transpose_x=False, **ignored):
    """x @ y (or x.T @ y) into a new float32 PSUM tile, the stationary side transposed first where it has to be."""
    stationary = x if transpose_x else copy(transpose(x))
    out = tile((stationary.shape[1], y.shape[1]), "float32", psum)
    nisa.nc_matmul(dst=out, stationary=stationary, moving=y)
    return out


def where(condition, x, y, dtype=None, **ignored):
    """x where condition is not zero, else y."""
    tiles = [t for t in (x, y) if isinstance(t, Tensor)]
    dt = to_dtype(dtype) if dtype is not None else tiles[0].dtype if tiles else to_dtype("float32")
    shape = condition.shape
    t = tile(shape, dt)
    if isinstance(y, Tensor):
        nisa.tensor_copy(dst=t, src=_expand(y, shape))
    else:
        nisa.memset(dst=t, value=y)
    mask = condition
    if mask.dtype not in ("uint8", "uint16", "uint32"):
        mask = tile(shape, "uint8")
        nisa.tensor_scalar(dst=mask, data=condition, op0=OPERATORS["not_equal"], operand0=0.0)
    if isinstance(x, Tensor) and (x.dtype is not dt or x.shape != shape):
        cast = tile(shape, dt)
        nisa.tensor_copy(dst=cast, src=_expand(x, shape))
        x = cast
    nisa.tensor_copy_predicated(dst=t, src=x, predicate=mask)
    return t


# ------------------------------------------------------------------------------------------------ operators on tiles


def _result(op, tiles, dtype, shape):
    if dtype is None:
        dtype = tiles[0].dtype
        for t in tiles[1:]:
            dtype = wider(dtype, t.dtype)
    return tile(shape, to_dtype(dtype))


def _shape(a, b):
    if not isinstance(a, Tensor):
        return b.shape
    if not isinstance(b, Tensor):
        return a.shape
    n = max(a.ndim, b.ndim)
    sa, sb = (1,) * (n - a.ndim) + a.shape, (1,) * (n - b.ndim) + b.shape
    out = []
    for x, y in zip(sa, sb, strict=True):
        if x != y and 1 not in (x, y):
            raise KernelError(f"shapes {a.shape} and {b.shape} do not broadcast")
        out.append(max(x, y))
    return tuple(out)


def _binary(op):
    def function(x, y, dtype=None, **ignored):
        shape = _shape(x, y)
        tiles = [t for t in (x, y) if isinstance(t, Tensor)]
        if not tiles:
            return op.apply(x, y)
        out = _result(op, tiles, dtype, shape)
        if len(tiles) == 1 or (y.size == y.shape[0]
                               and x.size != y.size) or (x.size == x.shape[0] and x.size != y.size):
            swap = not isinstance(x, Tensor) or (isinstance(y, Tensor) and x.size < y.size)
            data, other = (y, x) if swap else (x, y)
            if not isinstance(other, Tensor) or (other.shape[0] == data.shape[0] and data.shape == shape):
                nisa.tensor_scalar(dst=out, data=data, op0=op, operand0=other, reverse0=swap)
                return out
        nisa.tensor_tensor(dst=out, data1=_expand(x, shape), data2=_expand(y, shape), op=op)
        return out

    return function


def _expand(t, shape):
    if t.shape == shape:
        return t
    if t.shape[0] == 1 and shape[0] > 1:
        t = over_partitions(t, shape[0])
    return t.broadcast_to(*shape)


def _unary_vector(op):
    def function(x, dtype=None, **ignored):
        out = _result(op, [x], dtype, x.shape)
        nisa.tensor_scalar(dst=out, data=x, op0=op, operand0=None)
        return out

    return function


def _activation(op):
    def function(x, dtype=None, **ignored):
        out = _result(op, [x], dtype, x.shape)
        nisa.activation(dst=out, op=op, data=x)
        return out

    return function


def _reduction(op):
    def function(x, axis, dtype=None, keepdims=False, **ignored):
        axes = tuple(sorted(a % x.ndim for a in (axis if isinstance(axis, tuple | list) else (axis,))))
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        out = tile(shape, dtype or x.dtype)
        nisa.tensor_reduce(dst=out, op=op, data=x, axis=axes, keepdims=True)
        if keepdims:
            return out
        kept = tuple(n for i, n in enumerate(shape) if i not in axes)
        return out.reshape(kept if len(kept) > 1 else (*kept, 1))

    return function


class Reduction:
    """nl.max, nl.sum ...: a function on tiles, and the same operator as a token (`op=nl.max`)."""

    def __init__(self, name, operator):
        self.__name__, self.operator = name, operator
        self._function = _reduction(operator)

    def __call__(self, x, axis, dtype=None, keepdims=False, **ignored):
        return self._function(x, axis, dtype, keepdims)

    def __repr__(self):
        return self.__name__

    def __hash__(self):
        return hash(self.operator)

    def __eq__(self, other):
        return getattr(other, "operator", other) is self.operator


def reciprocal(x, dtype=None, **ignored):
    out = _result(None, [x], dtype, x.shape)
    nisa.reciprocal(dst=out, data=x)
    return out


for _op in set(OPERATORS.values()):
    if _op.kind in ("arithmetic", "comparison", "logical", "bit") and _op.name not in ("invert", "bypass", "average"):
        _op.function = _binary(_op)
    elif _op.kind == "unary" or _op.name == "invert":
        _op.function = _unary_vector(_op)
    elif _op.kind == "activation":
        _op.function = _activation(_op)
OPERATORS["reciprocal"].function = reciprocal
OPERATORS["copy"].function = copy

REDUCTIONS = {name: Reduction(name, OPERATORS[name]) for name in ("max", "min", "sum", "prod")}
__all__.remove("copy")      # nl.copy is the operator, whose function is copy

"""`nl` functions on tiles, lowered to instructions as the vendor documents them.  Each returns a tile."""

from __future__ import annotations

import math

import numpy as np

from simcore.dtypes import to_dtype
from simcore.errors import KernelError
from simcore.frontend import state
from simcore.frontend.neuronxcc import calls
from simcore.frontend.neuronxcc import tile as tiles
from simcore.frontend.neuronxcc.calls import maybe, operand, result, result_dtype
from simcore.frontend.neuronxcc.index import Index, Predicate, broadcast
from simcore.frontend.neuronxcc.tile import Result, Tile, flush, wait
from simcore.isa.operators import OPERATORS, Operator
from simcore.tensor import Tensor, psum, sbuf

# ---------------------------------------------------------------------------------------- shapes


def broadcast_shape(a, b) -> tuple[int, ...]:
    """The shape of `a op b`: as NumPy says, and one value per partition fits any free dimensions."""
    for one, other in ((a, b), (b, a)):
        alone = one.size == one.shape[0] > 1 and one.form.par_axis == 0
        if alone and 2 <= one.ndim != other.ndim >= 2 and other.shape[0] == one.size and other.form.par_axis == 0:
            return other.shape
    try:
        return broadcast(a.shape, b.shape)
    except KernelError:
        raise KernelError(f"tiles of shapes {a.shape} and {b.shape} do not broadcast",
                          site=state.user_site(3)) from None


def spread(t: Tile, shape) -> Tile:
    """A tile repeated to `shape`: free dimensions by a stride of 0, partitions by data movement."""
    if t.shape == tuple(shape):
        return t
    if t.size == t.shape[t.form.par_axis] == shape[0] and t.form.par_axis == 0:
        return t                      # one value per partition: the instructions take it as it is
    return t.broadcast_to(shape)


def broadcast_partitions(t: Tile, shape) -> Tile:
    """One row repeated over partitions: the Tensor engine multiplies it with a column of ones."""
    from simcore.frontend.neuronxcc.creation import one_tile
    from simcore.frontend.neuronxcc.nki.isa import nc_matmul, tensor_copy

    extra = len(shape) - t.ndim
    row = t
    for _ in range(extra):
        row = row[None]
    partitions = shape[0]
    if row.shape[1:] != tuple(shape[1:]) and row.size == row.shape[0]:
        row = row.broadcast_to((1, *shape[1:]))
    elif row.shape[1:] != tuple(shape[1:]):
        row = row.broadcast_to((1, *shape[1:]))
    dt = t.form.dtype
    site = state.site(state.recorder, 2)
    if dt.is_int or t.buffer is not sbuf:
        row = tensor_copy(row, dtype="float32" if dt.is_int else dt)
    work = row.form.dtype
    flush()
    ones = one_tile((1, partitions), work, sbuf, site, None, None, 1.0)
    out = one_tile((partitions, *shape[1:]), dt, sbuf, site, None, None, None)
    flat_in, flat_out = (row.reshape(1, -1) if _flat(row) else tensor_copy(row).reshape(1, -1),
                         out.reshape(partitions, -1))
    for at in range(0, flat_in.shape[1], 512):
        part = slice(at, min(at + 512, flat_in.shape[1]))
        flat_out[:, part] = tensor_copy(nc_matmul(ones, flat_in[:, part], is_stationary_onezero=True), dtype=dt)
    return out


def _flat(t: Tile) -> bool:
    step = 1
    for n, s in zip(reversed(t.shape[1:]), reversed(t.form.strides[1:]), strict=True):
        if n != 1 and s != step:
            return False
        step *= n
    return True


def broadcast_to(src, *, shape, **kwargs):
    """A tile repeated along dimensions of size 1."""
    return operand(src, "src").broadcast_to(shape)


def expand_dims(data, axis):
    return operand(data, "data").expand_dims(axis)


# ---------------------------------------------------------------------------------------- memory


def load(src, *, mask=None, dtype=None, **kwargs):
    """HBM to a new SBUF tile; a 1-D source gives (n, 1)."""
    src = operand(src, "src")
    if src.ndim == 0:
        src = src[None, None]
    elif src.ndim == 1:
        src = src[:, None]
        if isinstance(mask, Predicate) and mask.ndim == 1:
            mask = _deeper(mask)
    params = _out_of_bounds(kwargs)
    if src.buffer.on_chip:
        return result("tensor_copy", src.shape, result_dtype(dtype, src), {"src": src}, {}, mask, par=src.form.par_axis)
    return result("dma_copy", src.shape, result_dtype(dtype, src), {"src": src}, params, mask, targets=(sbuf,))


def _deeper(mask: Predicate) -> Predicate:
    if mask.terms is not None:
        return Predicate((*mask.shape, 1), tuple(t.expand_dims(t.ndim) for t in mask.terms))
    return Predicate((*mask.shape, 1), None, lambda: mask.dense()[..., None])


def _out_of_bounds(kwargs: dict) -> dict:
    """The instruction's oob_mode from `mode=` or `oob_mode=`."""
    from simcore.isa.table import OobMode

    given = [v for k, v in kwargs.items() if k in ("mode", "oob_mode")]
    return {"oob_mode": OobMode[getattr(given[-1], "name", str(given[-1]))]} if given else {}


def store(dst, value, *, mask=None, **kwargs):
    """An SBUF tile (or a number) to an HBM region."""
    dst = operand(dst, "dst")
    params = _out_of_bounds(kwargs)
    if isinstance(value, bool | int | float | np.number):
        shape = dst.shape if dst.ndim > 1 else (1, dst.size)
        if dst.buffer.on_chip:
            dst[...] = value
            return
        if shape[0] > 128:
            from simcore.frontend.neuronxcc.creation import fill_hbm

            flush()
            fill_hbm(dst, value)
            return
        value = result("memset", shape, dst.form.dtype, {},
                       {"value": value.item() if isinstance(value, np.generic) else value})
    value = operand(value, "value")
    move(dst, value, mask if mask is not None else value.mask, **params)


def move(dst: Tile, src: Tile, mask=None, **params) -> None:
    """dst = src by DMA, element for element in the order of each side's shape."""
    flush()
    if src.buffer is psum:                        # DMA cannot reach PSUM
        src = result("tensor_copy", src.shape, src.form.dtype, {"src": src}, {}, mask if src.shape == dst.shape
                     else None)
        flush()
    if dst.buffer is psum:
        staged = result("dma_copy", src.shape, src.form.dtype, {"src": src}, params, mask, targets=(sbuf,))
        dst[...] = staged
        return
    if dst.size != src.size:
        src = _fitted(src, dst.shape)
    where = calls.resolve(mask, dst.shape)
    if where is False:
        return
    if where is not None:
        if src.shape != dst.shape:
            src = src.reshape(dst.shape) if src.dynamic is None else src
        dst, src = where.clip(dst), where.clip(src)
    chip = dst if dst.buffer.on_chip else src
    other = src if chip is dst else dst
    if chip.buffer.on_chip:
        order = chip.form.core[1] if not chip.form.limits else tuple(range(chip.ndim))
        if order != tuple(range(chip.ndim)) and len(order) == other.ndim:
            if other.buffer.on_chip:
                pass
            elif chip is dst:
                src = src.permuted(order)
            else:
                dst = dst.permuted(order)
    calls.call("dma_copy", dst, {"src": src}, params, keep=where.keep if where is not None else None,
               reads_dst=params.get("dst_rmw_op") is not None)


def _fitted(src: Tile, shape) -> Tile:
    if src.ndim > len(shape) and src.shape[0] == 1:
        src = src[0] if not src.buffer.on_chip else src
    if src.ndim < len(shape):
        src = src[(None,) * (len(shape) - src.ndim)]
    return src.broadcast_to(shape)


def load_transpose2d(src, *, mask=None, dtype=None, **kwargs):
    """HBM (a, b) to a new SBUF tile (b, a), transposed by the DMA."""
    src = operand(src, "src")
    return result("dma_transpose", src.shape[::-1], result_dtype(dtype, src), {"src": src}, {}, mask, targets=(sbuf,),
                  grid=src.shape, dst_dims=tuple(range(src.ndim))[::-1])


def copy(src, *, mask=None, dtype=None, **kwargs):
    """A new SBUF tile with the values of src."""
    src = operand(src, "src")
    if not src.buffer.on_chip:
        return load(src, mask=mask, dtype=dtype)
    return result("tensor_copy", src.shape, result_dtype(dtype, src), {"src": src}, {}, mask, par=src.form.par_axis)


def cast(src, dtype, **kwargs):
    return copy(src, dtype=dtype)


def transpose(x, *, dtype=None, mask=None, **kwargs):
    """The 2-D transpose, through the Tensor engine."""
    from simcore.frontend.neuronxcc.nki.isa import nc_transpose

    return nc_transpose(x, mask=mask, dtype=dtype)


def matmul(x, y, *, transpose_x=False, mask=None, **kwargs):
    """x @ y (x.T @ y with transpose_x) in PSUM; x is transposed first where the Tensor engine needs that."""
    from simcore.frontend.neuronxcc.nki import isa

    x, y = operand(x, "x"), operand(y, "y")
    if not transpose_x:
        x = isa.tensor_copy(isa.nc_transpose(x, engine=isa.tensor_engine))
    x, y = _in_sbuf(x), _in_sbuf(y)
    if (x.form.dtype.itemsize == 4) != (y.form.dtype.itemsize == 4):
        x, y = (isa.tensor_copy(t, dtype="float32") if t.form.dtype.itemsize != 4 else t for t in (x, y))
    return isa.nc_matmul(x, y, mask=mask)


def _in_sbuf(t: Tile) -> Tile:
    from simcore.frontend.neuronxcc.nki.isa import tensor_copy

    return t if t.buffer is sbuf else load(t) if not t.buffer.on_chip else tensor_copy(t)


# ---------------------------------------------------------------------------------------- operators


def _on_chip(x):
    """Operands of nl functions may lie in HBM by mistake only; PSUM and SBUF are as they are."""
    return operand(x, "operand") if isinstance(x, Tile | Tensor) else maybe(x)


def _index_tile(x):
    from simcore.frontend.neuronxcc.nki.isa import iota

    return iota(x, dtype="int32") if isinstance(x, Index) else x


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
            y = _in_sbuf(y)
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


# ---------------------------------------------------------------------------------------- reductions


def _axes(axis, ndim: int) -> tuple[int, ...]:
    return tuple(sorted(int(a) % ndim for a in (axis if isinstance(axis, tuple | list) else (axis,))))


def _reduction(op: Operator):
    def function(x, axis, *, dtype=None, mask=None, keepdims=False, **kwargs):
        from simcore.frontend.neuronxcc.nki.isa import _reduce, tensor_partition_reduce

        x = operand(x, "x")
        axes = _axes(axis, x.ndim)
        if x.form.par_axis in axes:
            out = tensor_partition_reduce(op, x, mask=mask, dtype=dtype)
            rest = tuple(a for a in axes if a != x.form.par_axis)
            return _reduce(out, op, rest, None, result_dtype(dtype, x), False, keepdims) if rest else out
        return _reduce(x, op, axes, mask, result_dtype(dtype, x), False, keepdims)

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


def where(condition, x, y, *, dtype=None, mask=None, **kwargs):
    """x where the condition is not zero, else y."""
    if isinstance(condition, Predicate):
        from simcore.frontend.neuronxcc.nki.isa import affine_select

        return affine_select(condition, operand(x, "x"), y, mask=mask, dtype=dtype)
    condition = operand(condition, "condition")
    x, y = maybe(x), maybe(y)
    shape = condition.shape
    for t in (x, y):
        if isinstance(t, Tile):
            shape = broadcast(shape, t.shape)
    dt = result_dtype(dtype, *(t for t in (x, y) if isinstance(t, Tile)))
    if condition.form.dtype not in ("uint8", "uint16", "uint32"):
        condition = copy(condition, dtype="uint8")
    out = (result("tensor_copy", shape, dt, {"src": spread(y, shape)}, {}, mask) if isinstance(y, Tile)
           else result("memset", shape, dt, {}, {"value": y}, mask))
    flush()
    source = x
    if isinstance(x, Tile):
        source = spread(x, shape)
        if source.form.dtype is not dt or source.shape != shape or source.size == source.shape[0] != math.prod(shape):
            source = copy(x.broadcast_to(shape), dtype=dt)
    calls.now("tensor_copy_predicated", Tile(out.storage, out.form, out.offset),
              {"src": source, "predicate": _full(condition, shape)}, {}, mask, reads_dst=True)
    return out


def _full(t: Tile, shape) -> Tile:
    return t if t.shape == tuple(shape) else t.broadcast_to(shape)


def gather_flattened(data, indices, *, mask=None, dtype=None, **kwargs):
    """Within each partition: data.flat[indices]."""
    data, indices = operand(data, "data"), operand(indices, "indices")
    if indices.form.dtype != "uint32":
        indices = copy(indices, dtype="uint32")
    out = result("nc_n_gather", indices.shape, data.form.dtype, {"data": data, "indices": indices}, {}, mask)
    return out if dtype is None or to_dtype(dtype) is data.form.dtype else copy(out, dtype=dtype)


def dropout(x, rate, *, dtype=None, mask=None, **kwargs):
    x = operand(x, "x")
    return result("dropout", x.shape, result_dtype(dtype, x), {"data": x, "prob": maybe(rate)}, {}, mask)


def rand(shape, dtype=np.float32, **kwargs):
    """Uniform in [0, 1): random bits, scaled."""
    from simcore.frontend.neuronxcc.nki.isa import tensor_scalar

    bits = result("rng", shape, to_dtype("uint32"), {}, {})
    high = tensor_scalar(bits, OPERATORS["right_shift"], 8, dtype="uint32")
    return multiply(high, 2.0**-24, dtype=dtype)


def random_seed(seed, *, mask=None, **kwargs):
    """Seed the random numbers from a one-element tile."""
    from simcore.frontend.instructions import nisa

    seed = operand(seed, "seed")
    flush()
    if calls.resolve(mask, seed.shape) is False:
        return
    calls.before_read(seed)
    nisa.set_rng_seed(src_seeds=seed.tensor())


def atomic_rmw(dst, value, op, *, mask=None, **kwargs):
    """dst = dst op value in HBM."""
    move(operand(dst, "dst"), operand(value, "value"), mask, dst_rmw_op=getattr(op, "operator", op))


# ---------------------------------------------------------------------------------------- loops and programs


class LoopSum(Result):
    """What loop_reduce gives: accumulates over loops in the region it is assigned to (else in a tile of its own)."""

    __slots__ = ("inner", "operator", "key", "kept")

    def __init__(self, inner: Tile, operator: Operator, key, kept: dict, dtype, mask):
        super().__init__(inner.shape, dtype, sbuf, lambda dst: None, site=state.site(state.recorder, 2),
                         par=inner.form.par_axis, targets=(sbuf, psum))
        self.inner, self.operator, self.key, self.kept = inner, operator, key, kept
        self.mask = mask

    def write_into(self, region: Tile) -> None:
        """First iteration: the value; later ones: the region and the value."""
        from simcore.frontend.neuronxcc.assign import accumulate, assign

        tiles.pending.clear()
        self.ready = True
        if self.mask is not False:
            where = (*self.key, region.storage, region.form, region.offset)
            inner = self.inner
            if isinstance(inner, Result) and not inner.ready:
                wait(inner)
            if where not in self.kept:
                assign(region, inner)
                self.kept[where] = region
            elif self.operator.name == "add":
                accumulate(region, inner)
            else:
                assign(region, FUNCTIONS[self.operator.name](region, inner, dtype=region.form.dtype))
            flush()
        self._storage, self.form, self.offset = region.storage, region.form, region.offset
        self.dynamic, self._tensor = region.dynamic, None

    def settle(self) -> None:
        total = self.kept.get(self.key)
        if total is None:
            from simcore.frontend.neuronxcc.creation import one_tile

            f = self.form
            buffer = psum if isinstance(self.inner, Result) and self.inner.kind == "matmul" else sbuf
            total = self.kept[self.key] = one_tile(f.shape, f.dtype, buffer, self.site, None, None, None)
        self.write_into(total)


def loop_reduce(x, op, loop_indices, *, dtype=None, mask=None, **kwargs):
    """x accumulated over the iterations of the named loops: the running value, complete after their last iteration."""
    from simcore.isa.operators import to_operator

    x = operand(x, "x")
    rec = state.recorder
    loops = [i.loop for i in (loop_indices if isinstance(loop_indices, tuple | list) else (loop_indices,))
             if hasattr(i, "loop")]
    kept = rec.__dict__.setdefault("loop_sums", {})
    waiting = isinstance(x, Result) and not x.ready
    if waiting:
        tiles.pending.clear()       # it is recorded where the sum goes
    else:
        flush()
    where = calls.resolve(mask, x.shape)
    made = LoopSum(x, to_operator(op), (state.site(rec, 2), rec.core, *loops), kept, result_dtype(dtype, x), where)
    tiles.pending.append(made)
    return made


def all_reduce(x, op, program_axes, *, dtype=None, mask=None, parallel_reduce=True, asynchronous=False, **kwargs):
    """x reduced over the programs of a launch; with one program, x itself."""
    rec = state.current("nl.all_reduce")
    if len(rec.programs.programs) == 1:
        return copy(x, dtype=dtype, mask=mask)
    raise KernelError("nl.all_reduce over several programs is not possible: the programs of a grid "
                      "run one after the other")


def device_print(prefix, x, *, mask=None, **kwargs):
    """Printing on the device is left out: it costs nothing and computes nothing."""


def settle(t: Tile) -> Tile:
    flush()
    return t



"""Forms: what a view of a tensor looks like, and how indexing makes one view from another.

A form is shape, strides, and which dimensions walk over partitions.  The older dialect has block dimensions in front of
the partition, and index expressions may run past the end of a tensor where a mask hides the part outside; such a form
carries `limits`, affine conditions that must hold at the time of use.  Forms are interned and remember how they were
cut, because a kernel cuts the same way in every iteration.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from simcore.dtypes import DType
from simcore.errors import KernelError
from simcore.frontend.neuronxcc.grids import Grid
from simcore.frontend.neuronxcc.index import Index, broadcast
from simcore.frontend.neuronxcc.loops import LoopIndex
from simcore.layout import Layout, MemoryRegion, layout
from simcore.tensor import DynamicSlice

Limit = tuple[int, int, tuple[int, ...]]      # 0 <= const + sum(coef * i) < size


class Form:
    """shape, strides (elements) and par (does the dimension walk partitions?) of a view; interned by `form()`."""

    __slots__ = ("shape", "strides", "par", "dtype", "buffer", "limits", "splits", "cuts", "clips", "reshaped",
                 "repeated", "__dict__")

    def __init__(self, shape, strides, par, dtype, buffer, limits, splits):
        self.shape, self.strides, self.par, self.dtype, self.buffer = shape, strides, par, dtype, buffer
        self.limits: tuple[Limit, ...] = limits
        self.splits = splits        # per dimension: None, or the (count, stride) pairs it really consists of
        self.cuts: dict = {}
        self.clips: dict = {}
        self.reshaped: dict[tuple, Form] = {}
        self.repeated: dict[tuple, Form] = {}

    @cached_property
    def size(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def par_axis(self) -> int:
        """The dimension that walks partitions (0 where none moves)."""
        return next((k for k, (p, n) in enumerate(zip(self.par, self.shape, strict=True)) if p and n > 1),
                    next((k for k, p in enumerate(self.par) if p), 0))

    @cached_property
    def core(self) -> tuple[Layout, tuple[int, ...]]:
        """(layout as the instruction table wants it: the partition first, this form's dimensions in that order)."""
        shape, strides, order = self.shape, self.strides, tuple(range(len(self.shape)))
        if self.splits is not None:
            return self._split_core(), order
        if not self.buffer.on_chip:
            return layout(shape, strides, self.dtype, self.buffer), order
        walking = [k for k, (p, n) in enumerate(zip(self.par, shape, strict=True)) if p and n > 1]
        if len(walking) > 1:
            shape, strides, walking = self._merged(walking)
            order = tuple(range(len(shape)))
        if not walking:
            walking = [k for k, p in enumerate(self.par) if p and shape[k] == 1][:1]
        if walking:
            k = walking[0]
            order = (k, *order[:k], *order[k + 1:])
            shape, strides = tuple(shape[j] for j in order), tuple(strides[j] for j in order)
        elif not shape or shape[0] != 1:
            shape, strides = (1, *shape), (0, *strides)
        if len(shape) == 1:
            shape, strides = (*shape, 1), (*strides, 1)
        return layout(shape, strides, self.dtype, self.buffer), order

    def _merged(self, walking):
        first, last = walking[0], walking[-1]
        inner = self.strides[last]
        step = inner
        for k in range(last, first - 1, -1):
            if self.shape[k] > 1 and self.strides[k] != step:
                raise KernelError(f"dimensions {walking} of a view of shape {self.shape} all walk over "
                                  "partitions, but not in one "
                                  "evenly spaced sequence; index the partition with one expression")
            step *= self.shape[k]
        shape = (*self.shape[:first], math.prod(self.shape[first:last + 1]), *self.shape[last + 1:])
        strides = (*self.strides[:first], inner, *self.strides[last + 1:])
        return shape, strides, [first]

    def _split_core(self) -> Layout:
        shape, strides = [], []
        for k, n in enumerate(self.shape):
            parts = self.splits[k]
            for count, stride in ((n, self.strides[k]),) if parts is None else parts:
                shape.append(count)
                strides.append(stride)
        if self.buffer.on_chip and self.par_axis != 0:
            raise KernelError("an index expression with // or % needs the partition as its first dimension")
        return layout(tuple(shape), tuple(strides), self.dtype, self.buffer)

    def clipped(self, box) -> tuple[Form, int]:
        """(form, offset change) of the part inside `box`, a (low, high) range per dimension."""
        found = self.clips.get(box)
        if found is None:
            if self.splits is not None and any((low, high) != (0, n)
                                               for (low, high), n in zip(box, self.shape, strict=True)):
                raise KernelError("a mask on an access with // or % in its index expression must be decided "
                                  "by loop variables alone")
            shape = tuple(high - low for low, high in box)
            offset = sum(low * s for (low, _), s in zip(box, self.strides, strict=True))
            limits = []
            for size, const, coefs in self.limits:
                limits.append((size, const + sum(c * low for c, (low, _) in zip(coefs, box, strict=True)), coefs))
            found = self.clips[box] = form(shape, self.strides, self.par, self.dtype, self.buffer,
                                           _needed(limits, shape), self.splits), offset
        return found

    def derive(self, shape, strides, par) -> Form:
        return form(tuple(shape), tuple(strides), tuple(par), self.dtype, self.buffer)


_forms: dict = {}


def form(shape, strides, par, dtype: DType, buffer: MemoryRegion, limits=(), splits=None) -> Form:
    key = (shape, strides, par, dtype, buffer, limits, splits)
    found = _forms.get(key)
    if found is None:
        found = _forms[key] = Form(*key)
    return found


def _needed(limits, shape) -> tuple[Limit, ...]:
    """The limits that do not hold everywhere in a grid of `shape`."""
    keep = []
    for size, const, coefs in limits:
        low = const + sum(c * (n - 1) for c, n in zip(coefs, shape, strict=True) if c < 0)
        high = const + sum(c * (n - 1) for c, n in zip(coefs, shape, strict=True) if c > 0)
        if (low < 0 or high >= size) and math.prod(shape):
            keep.append((size, const, coefs))
    return tuple(dict.fromkeys(keep))


# ---------------------------------------------------------------------------------------- keys


def frozen(key: tuple):
    """A hashable stand-in for a key, or None where it holds run-time values or tables."""
    out = []
    for k in key:
        cls = k.__class__
        if cls is slice:
            out.append((k.start, k.stop, k.step))
        elif cls is int or cls is LoopIndex or k is None or k is Ellipsis:
            out.append(k)
        elif cls is Index:
            if k.table is not None:
                return None
            out.append((k.shape, k.const, k.coefs))
        elif cls is DynamicSlice:
            out.append((k.start, k.size))
        elif isinstance(k, int | np.integer):
            out.append(int(k))
        else:
            return None
    return tuple(out)


def expand(key: tuple, ndim: int, what) -> tuple:
    """The key with `...`, grids and missing dimensions written out."""
    if any(isinstance(k, Grid) for k in key):
        key = tuple(x for k in key for x in (k if isinstance(k, Grid) else (k,)))
    given = sum(k is not None and k is not Ellipsis for k in key)
    if given > ndim:
        raise KernelError(f"{given} indices for {what}, which has {ndim} dimensions")
    at = next((i for i, k in enumerate(key) if k is Ellipsis), len(key))
    rest = tuple(k for k in key[at + 1:] if k is not Ellipsis)
    return key[:at] + (slice(None),) * (ndim - given) + rest


class Term:
    """One tensor dimension of a cut: const + sum(coef * i) over the result's dimensions, or a table of values."""

    __slots__ = ("const", "coefs", "table")

    def __init__(self, const: int, coefs: dict[int, int], table=None):
        self.const, self.coefs, self.table = const, coefs, table


def _range(k: slice, n: int):
    """(start, count, step) of a slice that may run past the end."""
    step = 1 if k.step is None else int(k.step)
    if step <= 0:
        raise KernelError("slices with a negative step do not exist; use an index expression")
    if n == 0:
        return 0, 0, step
    start = 0 if k.start is None else int(k.start)
    stop = n if k.stop is None else int(k.stop)
    if start < 0:
        start += n
    if stop < 0:
        stop += n
    return start, max(0, -(-(stop - start) // step)), step


def plan(f: Form, key: tuple, what) -> tuple[tuple[int, ...], list[Term]]:
    """(shape of the result, one Term per dimension of the form).  Run-time indices: an Index over their own shape."""
    key = expand(key, len(f.shape), what)
    grids = [k for k in key if isinstance(k, Index)]
    if grids:
        return _plan_advanced(f, key, grids)
    shape: list[int] = []
    terms: list[Term] = []
    dropped: list[tuple[int, int]] = []      # (position in the result it would take, dimension of the form)
    dim = 0
    for k in key:
        if k is None:
            shape.append(1)
            continue
        n = f.shape[dim]
        if isinstance(k, DynamicSlice):
            k = slice(int(k.start), int(k.start) + k.size)
        if isinstance(k, slice):
            start, count, step = _range(k, n)
            terms.append(Term(start, {len(shape): step}))
            shape.append(count)
        else:
            i = _integer(k, what)
            terms.append(Term(i + n if -n <= i < 0 else i, {}))
            if f.buffer.on_chip and f.par[dim] and not any(f.par[d] and d != dim for d in range(len(f.shape))):
                shape.append(1)
            else:
                dropped.append((len(shape), dim))
        dim += 1
    if f.buffer.on_chip and len(shape) < 2 and dropped:      # an on-chip tile keeps a partition and a free dimension
        for position, _ in reversed(dropped):
            if len(shape) >= 2:
                break
            shape.insert(position, 1)
            for t in terms:
                t.coefs = {j + (j >= position): c for j, c in t.coefs.items()}
    return tuple(shape), terms


def _plan_advanced(f: Form, key, grids):
    """NumPy's rules for index arrays; a slice beside grids of full rank takes the grid dimension that has its place."""
    base = broadcast(*(g.shape for g in grids))
    slices = [j for j, k in enumerate(key) if isinstance(k, slice | DynamicSlice)]
    inline = bool(slices) and len(base) == sum(isinstance(k, slice | DynamicSlice | Index) for k in key)
    positions = [j for j, k in enumerate(key) if not isinstance(k, slice | DynamicSlice) and k is not None]
    together = positions == list(range(positions[0], positions[-1] + 1))
    terms: list[Term] = []
    shape = list(base)
    if inline:
        rank, order, place = len(base), [j for j, k in enumerate(key)
                                         if isinstance(k, slice | DynamicSlice | Index)], {}
        place = {j: order.index(j) for j in slices}
        inline = all(base[place[j]] == 1 for j in slices)
    before: list[int] = []
    after: list[int] = []
    if not inline:
        for j, k in enumerate(key):
            if k is None or j in slices:
                (before if together and j < positions[0] else after).append(j)
        rank = len(base) + len(before) + len(after)
        place = {j: i for i, j in enumerate(before)} | {j: len(before) + len(base) + i for i, j in enumerate(after)}
        shape = [1] * len(before) + list(base) + [1] * len(after)
    shift = len(before)
    dim = 0
    for j, k in enumerate(key):
        if k is None:
            continue
        n = f.shape[dim]
        dim += 1
        if isinstance(k, DynamicSlice):
            k = slice(int(k.start), int(k.start) + k.size)
        if isinstance(k, slice):
            start, count, step = _range(k, n)
            shape[place[j]] = count
            terms.append(Term(start, {place[j]: step}))
        elif isinstance(k, Index):
            k = k.expanded((1,) * (len(base) - k.ndim) + k.shape)
            if k.table is not None:
                terms.append(Term(0, {}, k.table.reshape((1,) * shift + k.shape + (1,) * (rank - shift - len(base)))))
            else:
                terms.append(Term(k.const, {shift + d: c for d, (c, m) in enumerate(zip(k.coefs, k.shape, strict=True))
                                            if c and m > 1}))
        else:
            i = _integer(k, f)
            terms.append(Term(i + n if -n <= i < 0 else i, {}))
    return tuple(shape), terms


def _integer(k, what) -> int:
    try:
        return k.__index__()
    except (AttributeError, TypeError):
        raise KernelError(f"{what} cannot be indexed with {k!r} ({type(k).__name__}); use integers, slices, "
                          "nl.ds, index expressions "
                          "or tiles of integers") from None


def cut(f: Form, key: tuple, what) -> tuple[Form, int, np.ndarray | None]:
    """(form, offset change, addresses) of a static key; addresses only where no strides describe the access."""
    shape, terms = plan(f, key, what)
    return apply(f, shape, terms)


def apply(f: Form, shape: tuple[int, ...], terms: list[Term]) -> tuple[Form, int, np.ndarray | None]:
    rank = len(shape)
    strides, par, offset = [0] * rank, [False] * rank, 0
    limits: list[Limit] = []
    tables = []
    for d, t in enumerate(terms):
        if t.table is not None:
            tables.append((d, t.table))
            if t.table.size and (t.table.min() < 0 or t.table.max() >= f.shape[d]):
                raise KernelError(f"an index expression reaches {int(t.table.max())} in a dimension "
                                  f"of {f.shape[d]} elements")
            continue
        offset += t.const * f.strides[d]
        for k, c in t.coefs.items():
            strides[k] += c * f.strides[d]
            par[k] = par[k] or f.par[d]
        limits.append((f.shape[d], t.const, tuple(t.coefs.get(k, 0) for k in range(rank))))
    for size, const, coefs in f.limits:
        new = [0] * rank
        for d, t in enumerate(terms):
            const += coefs[d] * t.const
            for k, c in t.coefs.items():
                new[k] += coefs[d] * c
        limits.append((size, const, tuple(new)))
    if f.buffer.on_chip:
        for d, t in enumerate(terms):       # a partition index that does not move still marks where the partition is
            if f.par[d] and not any(par) and rank and shape[0] == 1 and not t.coefs:
                par[0] = True
            for k in t.coefs:
                par[k] = par[k] or f.par[d]
    result = form(shape, tuple(strides), tuple(par), f.dtype, f.buffer, _needed(limits, shape))
    if not tables:
        if f.splits is not None:
            raise KernelError("a view made with // or % in its index expression cannot be indexed "
                              "again; index the tile itself")
        return result, offset, None
    table = sum(np.broadcast_to(values, shape) * f.strides[d] for d, values in tables)
    return _factor(result, offset, table, {d for d, _ in tables}, f)


def _factor(result: Form, offset: int, table: np.ndarray, dims, f: Form):
    """A table of offsets as nested strides where it is separable and regular, else as plain addresses."""
    base = int(table.flat[0])
    splits: list = []
    total = np.full((1,) * table.ndim, base, np.int64)
    for k, n in enumerate(table.shape):
        line = table[tuple(slice(None) if d == k else 0 for d in range(table.ndim))] - base
        place = [1] * table.ndim
        place[k] = n
        total = total + line.reshape(place)
        parts = _nested(line + np.arange(n) * result.strides[k]) if line.any() else None
        splits.append(parts)
    if np.array_equal(np.broadcast_to(total, table.shape), table) and all(p is None or p for p in splits):
        made = form(result.shape, result.strides, result.par, result.dtype, result.buffer, result.limits, tuple(splits))
        return made, offset + base, None
    addresses = np.broadcast_to(table, result.shape).copy()
    for k, (n, s) in enumerate(zip(result.shape, result.strides, strict=True)):
        place = [1] * len(result.shape)
        place[k] = n
        addresses = addresses + (np.arange(n) * s).reshape(place)
    return result, offset, addresses


def _nested(line: np.ndarray) -> tuple[tuple[int, int], ...]:
    """(count, stride) pairs, outermost first, whose sums run through `line`; empty where there are none."""
    n = len(line)
    if n == 1:
        return ((1, 0),)
    step = int(line[1])
    run = 1
    while run < n and line[run] == run * step:
        run += 1
    while run > 1:
        if n % run == 0:
            outer = line[::run]
            if np.array_equal((outer[:, None] + np.arange(run) * step).reshape(-1), line):
                if run == n:
                    return ((n, step),)
                more = _nested(outer)
                if more:
                    return (*more, (run, step))
        run -= 1
    return ()

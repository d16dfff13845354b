"""Index expressions and predicates of the older dialect.

`nl.arange(128)[:, None] + 128 * i` is an integer for every point of a grid.  Loop variables are plain integers here, so
an expression is nearly always affine in the grid's coordinates: const + sum(coef[k] * i[k]).  Whatever is not (`i //
3`) keeps its table of values.  Comparisons give predicates, which masks are made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from simcore.errors import KernelError

_INTEGERS = (int, np.integer)


class Index:
    """An integer for each point of a grid of `shape`; `table` holds the values where they are not affine."""

    __slots__ = ("shape", "const", "coefs", "table", "column", "row")
    __hash__ = None  # type: ignore[assignment]   comparison gives a predicate

    def __init__(self, shape: tuple[int, ...], const: int, coefs: tuple[int, ...], table: np.ndarray | None = None):
        self.shape, self.const, self.coefs, self.table = shape, const, coefs, table
        self.column = self.row = None       # [:, None] and [None, :] of a line, once made

    @property
    def key(self):
        """What makes two expressions the same, hashable; None for tables."""
        return (self.shape, self.const, self.coefs) if self.table is None else None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def dense(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """The values, int64, over the grid (broadcast to `shape`)."""
        if self.table is not None:
            values = self.table
        else:
            values = np.full((1,) * len(self.shape), self.const, np.int64)
            for k, (n, c) in enumerate(zip(self.shape, self.coefs, strict=True)):
                if n > 1:
                    place = [1] * len(self.shape)
                    place[k] = n
                    values = values + (np.arange(n, dtype=np.int64) * c).reshape(place)
        return np.broadcast_to(values, self.shape if shape is None else shape)

    def bounds(self) -> tuple[int, int]:
        """(lowest, highest) value."""
        if self.table is not None:
            return int(self.table.min()), int(self.table.max())
        low = high = self.const
        for n, c in zip(self.shape, self.coefs, strict=True):
            if c < 0:
                low += c * (n - 1)
            else:
                high += c * (n - 1)
        return low, high

    def expanded(self, shape: tuple[int, ...]) -> Index:
        """The same expression over a grid of `shape` (NumPy broadcasting)."""
        if shape == self.shape:
            return self
        extra = len(shape) - len(self.shape)
        for n, want in zip((1,) * extra + self.shape, shape, strict=True):
            if n not in (1, want):
                raise KernelError(f"index expressions over grids {self.shape} and {shape} do not broadcast")
        if self.table is not None:
            return Index(shape, 0, (), np.broadcast_to(self.table, shape))
        coefs = (0,) * extra + tuple(c if n > 1 else 0 for n, c in zip(self.shape, self.coefs, strict=True))
        return Index(shape, self.const, coefs)

    # ------------------------------------------------------------------------------ shape

    def __getitem__(self, key) -> Index:
        if key.__class__ is tuple and len(key) == 2 and len(self.shape) == 1:
            first, second = key
            if second is None and first.__class__ is slice and first == _ALL:
                if self.column is None:
                    self.column = self._view(key)
                return self.column
            if first is None and second.__class__ is slice and second == _ALL:
                if self.row is None:
                    self.row = self._view(key)
                return self.row
        return self._view(key if isinstance(key, tuple) else (key,))

    def _view(self, key: tuple) -> Index:
        if any(k is Ellipsis for k in key):
            at = next(i for i, k in enumerate(key) if k is Ellipsis)
            given = sum(k is not None and k is not Ellipsis for k in key)
            key = key[:at] + (slice(None),) * (self.ndim - given) + key[at + 1:]
        if self.table is not None:
            return _table(self.table[key])
        shape, coefs, const, dim = [], [], self.const, 0
        for k in key:
            if k is None:
                shape.append(1)
                coefs.append(0)
                continue
            if dim >= self.ndim:
                raise KernelError(f"{len(key)} indices for an index expression over a grid of shape {self.shape}")
            n, c = self.shape[dim], self.coefs[dim]
            dim += 1
            if isinstance(k, slice):
                start, stop, step = k.indices(n)
                shape.append(max(0, -(-(stop - start) // step)))
                coefs.append(c * step)
                const += c * start
            else:
                const += c * (int(k) % n if n else 0)
        return Index((*shape, *self.shape[dim:]), const, (*coefs, *self.coefs[dim:]))

    def reshape(self, *shape) -> Index:
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        return _table(self.dense().reshape(shape))

    def expand_dims(self, axis: int) -> Index:
        axis %= self.ndim + 1
        return self[(slice(None),) * axis + (None,)]

    def broadcast_to(self, shape) -> Index:
        return self.expanded(tuple(shape))

    # ------------------------------------------------------------------------------ arithmetic

    def _with(self, other: Index) -> tuple[Index, Index]:
        if self.shape == other.shape:
            return self, other
        shape = broadcast(self.shape, other.shape)
        return self.expanded(shape), other.expanded(shape)

    def __add__(self, other):
        if isinstance(other, _INTEGERS):
            if self.table is not None:
                return Index(self.shape, 0, (), self.table + int(other))
            return Index(self.shape, self.const + int(other), self.coefs)
        if not isinstance(other, Index):
            return NotImplemented
        a, b = self._with(other)
        if a.table is not None or b.table is not None:
            return _table(a.dense() + b.dense())
        return Index(a.shape, a.const + b.const, tuple(x + y for x, y in zip(a.coefs, b.coefs, strict=True)))

    __radd__ = __add__

    def __neg__(self):
        return self * -1

    def __pos__(self):
        return self

    def __sub__(self, other):
        return self + -other if isinstance(other, int | np.integer | Index) else NotImplemented

    def __rsub__(self, other):
        return -self + other if isinstance(other, _INTEGERS) else NotImplemented

    def __mul__(self, other):
        if isinstance(other, _INTEGERS):
            other = int(other)
            if self.table is not None:
                return Index(self.shape, 0, (), self.table * other)
            return Index(self.shape, self.const * other, tuple(c * other for c in self.coefs))
        if not isinstance(other, Index):
            return NotImplemented
        a, b = self._with(other)
        for x, y in ((a, b), (b, a)):
            if y.table is None and not any(y.coefs):
                return x * y.const
        return _table(a.dense() * b.dense())

    __rmul__ = __mul__

    def __floordiv__(self, other):
        return _tabled(np.floor_divide, self, other)

    def __rfloordiv__(self, other):
        return _tabled(np.floor_divide, other, self)

    def __mod__(self, other):
        return _tabled(np.mod, self, other)

    def __rmod__(self, other):
        return _tabled(np.mod, other, self)

    def __lshift__(self, other):
        return _tabled(np.left_shift, self, other)

    def __rshift__(self, other):
        return _tabled(np.right_shift, self, other)

    def __and__(self, other):
        return _tabled(np.bitwise_and, self, other)

    def __or__(self, other):
        return _tabled(np.bitwise_or, self, other)

    def __xor__(self, other):
        return _tabled(np.bitwise_xor, self, other)

    # ------------------------------------------------------------------------------ comparison

    def __ge__(self, other):
        return _compare(self, other, "greater_equal")

    def __gt__(self, other):
        return _compare(self, other, "greater")

    def __le__(self, other):
        return _compare(self, other, "less_equal")

    def __lt__(self, other):
        return _compare(self, other, "less")

    def __eq__(self, other):
        return _compare(self, other, "equal")

    def __ne__(self, other):
        return _compare(self, other, "not_equal")

    def __repr__(self) -> str:
        if self.table is not None:
            return f"<index table {self.shape}>"
        return "<index " + " + ".join([str(self.const),
                                       *(f"{c}*i{k}" for k, c in enumerate(self.coefs) if c)]) + f" over {self.shape}>"


def _tabled(fn, a, b):
    for x in (a, b):
        if not isinstance(x, int | np.integer | Index):
            return NotImplemented
    if isinstance(a, Index) and isinstance(b, Index):
        a, b = a._with(b)
    return _table(fn(*(x.dense() if isinstance(x, Index) else int(x) for x in (a, b))))


def _table(values: np.ndarray) -> Index:
    """An expression from its values: affine again where they happen to be."""
    values = np.asarray(values, np.int64)
    if values.size == 0:
        return Index(values.shape, 0, (0,) * values.ndim)
    const = int(values.flat[0])
    coefs = []
    for k, n in enumerate(values.shape):
        second = tuple(1 if d == k else 0 for d in range(values.ndim))
        coefs.append(int(values[second]) - const if n > 1 else 0)
    affine = Index(values.shape, const, tuple(coefs))
    return affine if np.array_equal(affine.dense(), values) else Index(values.shape, 0, (), values)


def grid(shape, coefs) -> np.ndarray:
    """sum(coef[k] * i[k]) for each point of a grid, int64."""
    return Index(tuple(shape), 0, tuple(coefs)).dense()


def broadcast(*shapes) -> tuple[int, ...]:
    rank = max(map(len, shapes))
    out = [1] * rank
    for shape in shapes:
        for k, n in enumerate(shape, rank - len(shape)):
            if n != 1:
                if out[k] not in (1, n):
                    raise KernelError(f"grids of shapes {' and '.join(map(str, shapes))} do not broadcast")
                out[k] = n
    return tuple(out)


_ALL = slice(None)


class Predicate:
    """True or false for each point of a grid.

    terms    affine expressions that must all be >= 0; None where it is not a conjunction of those
    evaluate the values over the grid, where terms is None
    compare  (expression, operator): the single comparison `expression operator 0` it was written as, for affine_select
    """

    __slots__ = ("shape", "terms", "evaluate", "compare")
    __hash__ = object.__hash__

    def __init__(self, shape, terms: tuple[Index, ...] | None, evaluate: Callable[[], np.ndarray] | None = None,
                 compare=None):
        self.shape, self.terms, self.evaluate, self.compare = shape, terms, evaluate, compare

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def dense(self, shape=None) -> np.ndarray:
        shape = self.shape if shape is None else shape
        if self.terms is None:
            return np.broadcast_to(self.evaluate(), shape)
        out = np.ones((1,) * len(self.shape), bool)
        for term in self.terms:
            out = out & (term.dense() >= 0)
        return np.broadcast_to(out, shape)

    def box(self, shape) -> tuple[tuple[int, int], ...] | None:
        """The range per dimension of a grid of `shape` where it holds, if that is a rectangle; None if it is not."""
        if self.terms is None:
            return None
        ranges = [[0, n] for n in shape]
        extra = len(shape) - len(self.shape)
        for term in self.terms:
            if term.table is not None:
                return None
            moving = [k for k, (n, c) in enumerate(zip(term.shape, term.coefs, strict=True)) if c and n > 1]
            if len(moving) > 1:
                return None
            if not moving:
                if term.const < 0:
                    return tuple((0, 0) for _ in shape)
                continue
            k = moving[0]
            c, at = term.coefs[k], k + extra + len(self.shape) - len(term.shape)
            if c > 0:                                # const + c * i >= 0
                ranges[at][0] = max(ranges[at][0], -(term.const // c))
            else:
                ranges[at][1] = min(ranges[at][1], term.const // -c + 1)
        return tuple((low, max(low, high)) for low, high in ranges)

    def __and__(self, other):
        if isinstance(other, bool | int | np.bool_):
            return self if truth(other) else FALSE
        if not isinstance(other, Predicate):
            return NotImplemented
        shape = broadcast(self.shape, other.shape)
        if self.terms is not None and other.terms is not None:
            return Predicate(shape, self.terms + other.terms)
        return Predicate(shape, None, lambda: self.dense(shape) & other.dense(shape))

    __rand__ = __and__

    def __or__(self, other):
        if isinstance(other, bool | int | np.bool_):
            return TRUE if truth(other) else self
        if not isinstance(other, Predicate):
            return NotImplemented
        shape = broadcast(self.shape, other.shape)
        return Predicate(shape, None, lambda: self.dense(shape) | other.dense(shape))

    __ror__ = __or__

    def __xor__(self, other):
        shape = broadcast(self.shape, other.shape) if isinstance(other, Predicate) else self.shape
        return Predicate(shape, None, lambda: self.dense(shape) ^ (other.dense(shape) if isinstance(other, Predicate)
                                                                   else truth(other)))

    __rxor__ = __xor__

    def __invert__(self):
        if self.terms is not None and len(self.terms) == 1:
            return Predicate(self.shape, (-self.terms[0] - 1,))
        return Predicate(self.shape, None, lambda: ~self.dense())

    def __bool__(self) -> bool:
        """`a and b` on masks gives b alone, as in the vendor's tracer; a kernel that meant `a & b` is warned."""
        from simcore.frontend import state

        if state.recorder is not None:
            state.recorder.warnings.setdefault(f"{state.user_site(1)}: a mask has one truth value per element; `a and "
                                               "b` keeps b only, write `a & b`")
        return True

    def __getitem__(self, key) -> Predicate:
        return Predicate(np.empty(self.shape, bool)[key].shape, None, lambda: self.dense()[key])


TRUE = Predicate((), ())
FALSE = Predicate((), (Index((), -1, ()),))


def truth(mask) -> bool:
    """A mask of loop variables only is an integer here; `~True` is -2, so the lowest bit is what counts."""
    return bool(int(mask) & 1)


_MEANING = {"greater_equal": lambda d: (d,), "greater": lambda d: (d - 1,), "less_equal": lambda d: (-d,),
            "less": lambda d: (-d - 1,), "equal": lambda d: (d, -d)}


def _compare(a, b, op: str):
    if not isinstance(b, int | float | np.integer | np.floating | Index):
        return NotImplemented
    if isinstance(b, float | np.floating):       # an integer compared with a fraction
        b = math.floor(b) if op in ("greater", "less_equal") else math.ceil(b)
    difference = a - b
    if op == "not_equal":
        return Predicate(difference.shape, None, lambda: difference.dense() != 0, (difference, op))
    return Predicate(difference.shape, _MEANING[op](difference), None, (difference, op))

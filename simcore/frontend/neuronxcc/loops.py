"""Loops run in order; their variables are integers that know whose iteration they count (for loop_reduce)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from simcore.frontend import state


class LoopIndex(int):
    """A loop variable.  loop numbers this run of the loop: of two nested runs the outer one has the smaller."""

    loop: int


_runs = itertools.count()
_latest = -1        # the run that started last


class _Loop:
    __slots__ = ("items",)

    def __init__(self, items: range):
        self.items = items

    def __iter__(self) -> Iterator[LoopIndex]:
        global _latest
        run = _latest = next(_runs)
        for i in self.items:
            index = LoopIndex(i)
            index.loop = run
            yield index

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class _ParallelLoop(_Loop):
    """A loop whose iterations do not depend on each other.  The trace keeps the innermost ones (Trace.loops)."""

    __slots__ = ()

    def __iter__(self) -> Iterator[LoopIndex]:
        global _latest
        run = _latest = next(_runs)
        rec = state.recorder
        marks: list[int] = []
        for i in self.items:
            marks.append(len(rec) if rec is not None else 0)
            index = LoopIndex(i)
            index.loop = run
            yield index
        if rec is None or _latest != run or len(marks) < 2:
            return
        marks.append(len(rec))
        each = marks[2] - marks[1]
        # a load is recorded where it is first used: the first iteration may hold more
        if 0 < each <= marks[1] - marks[0] and all(b - a == each for a, b in itertools.pairwise(marks[1:])):
            rec.loops.append((marks[1] - each, each, len(self.items)))


def affine_range(*args, **ignored) -> _Loop:
    """A parallel loop; directives such as multi_buffer do not change values."""
    return _ParallelLoop(range(*(int(a) for a in args)))


def sequential_range(*args, **ignored) -> _Loop:
    """A loop whose iterations follow each other."""
    return _Loop(range(*(int(a) for a in args)))


def static_range(*args, **ignored) -> _Loop:
    """A loop that is unrolled."""
    return sequential_range(*args)

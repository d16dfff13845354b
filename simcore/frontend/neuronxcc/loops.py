"""Loops run in order; their variables are integers that know whose iteration they count (for loop_reduce)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator


class LoopIndex(int):
    """A loop variable.  loop numbers this run of the loop: of two nested runs the outer one has the smaller."""

    loop: int


_runs = itertools.count()


class _Loop:
    __slots__ = ("items",)

    def __init__(self, items: range):
        self.items = items

    def __iter__(self) -> Iterator[LoopIndex]:
        run = next(_runs)
        for i in self.items:
            index = LoopIndex(i)
            index.loop = run
            yield index

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def affine_range(*args, **ignored) -> _Loop:
    """A loop, as are sequential_range and static_range; directives such as multi_buffer do not change values."""
    return _Loop(range(*(int(a) for a in args)))


def sequential_range(*args, **ignored) -> _Loop:
    return affine_range(*args)


def static_range(*args, **ignored) -> _Loop:
    return affine_range(*args)

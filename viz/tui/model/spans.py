"""One lane's busy intervals, and what they look like per column of the screen.

Everything is a binary search over sorted starts: a frame costs columns x log(rows), whatever the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Spans:
    """Disjoint intervals in order, made of rows that may overlap: a row keeps what earlier rows left it.

    `start`, `end` in ps; `before` the busy time before each interval; `kind` a small number per interval (its
    opcode); `place` which of the lane's rows it came from.  Rows without duration are in no interval.
    """

    start: np.ndarray
    end: np.ndarray
    before: np.ndarray
    kind: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, start: np.ndarray, end: np.ndarray, kind: np.ndarray) -> Spans:
        """From rows ordered by start."""
        if not len(start):
            empty = np.zeros(0, np.int64)
            return cls(empty, empty, empty, empty, empty)
        reached = np.maximum.accumulate(end)
        begin = start.copy()
        np.maximum(begin[1:], reached[:-1], out=begin[1:])
        length = reached - begin
        keep = np.flatnonzero(length)
        if len(keep) < len(length):
            begin, reached, length, kind = begin[keep], reached[keep], length[keep], kind[keep]
        return cls(begin, reached, np.cumsum(length) - length, kind, keep)

    def __len__(self) -> int:
        return len(self.start)

    def select(self, keep: np.ndarray) -> Spans:
        """Only some of the intervals (an index array or mask)."""
        start, end = self.start[keep], self.end[keep]
        length = end - start
        return Spans(start, end, np.cumsum(length) - length, self.kind[keep], self.place[keep])

    @cached_property
    def by_kind(self) -> dict[int, Spans]:
        """The intervals of each kind."""
        order = np.argsort(self.kind, kind="stable")
        kinds, first = np.unique(self.kind[order], return_index=True)
        return {int(k): self.select(rows) for k, rows in zip(kinds, np.split(order, first[1:]))}

    def busy_before(self, times: np.ndarray) -> np.ndarray:
        """Busy picoseconds before each time."""
        if not len(self):
            return np.zeros(len(times), np.int64)
        i = np.searchsorted(self.start, times, "right") - 1
        at = np.maximum(i, 0)
        inside = np.minimum(times, self.end[at]) - self.start[at]
        return np.where(i < 0, 0, self.before[at] + inside)

    def busy(self, edges: np.ndarray) -> np.ndarray:
        """Busy picoseconds of each column."""
        return np.diff(self.busy_before(edges))

    def fraction(self, edges: np.ndarray) -> np.ndarray:
        """Busy share of each column, 0 to 1."""
        return self.busy(edges) / np.maximum(np.diff(edges), 1)

    def kinds(self, edges: np.ndarray) -> np.ndarray:
        """The kind that takes most of each column's time, -1 where nothing does."""
        best = np.full(len(edges) - 1, -1)
        most = np.zeros(len(edges) - 1, np.int64)
        for kind, spans in self.by_kind.items():
            busy = spans.busy(edges)
            best[busy > most] = kind
            most = np.maximum(most, busy)
        return best


@dataclass(frozen=True, eq=False)
class Cells:
    """What a lane looks like: one entry per column.

    `fraction` busy share; `kind` the opcode that takes most of the time (-1: none); `block` the place of the row that
    fills the whole column (-1: several, or not all of it); `head`/`tail` the column is filled only from where a block
    starts, or only until where it ends; `tick` something without duration starts here.
    """

    fraction: np.ndarray
    kind: np.ndarray
    block: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    tick: np.ndarray


def cells(spans: Spans, starts: np.ndarray, edges: np.ndarray) -> Cells:
    """A lane's columns.  `starts` are the starts of all its rows, also those without duration."""
    width = len(edges) - 1
    fraction = spans.fraction(edges)
    kind = spans.kinds(edges)
    tick = (np.diff(np.searchsorted(starts, edges)) > 0) & (fraction == 0)
    none = np.full(width, -1)
    off = np.zeros(width, bool)
    if not len(spans):
        return Cells(fraction, kind, none, off, off, tick)
    left, right = edges[:-1], edges[1:]
    i = np.searchsorted(spans.start, left, "right") - 1  # interval that began at or before the column
    j = np.searchsorted(spans.start, right, "left") - 1  # interval that began last before the column's end
    at, last = np.maximum(i, 0), np.maximum(j, 0)
    full = (i >= 0) & (spans.end[at] >= right)
    block = np.where(full, spans.place[at], -1)
    before = np.concatenate([[False], full[:-1]])
    after = np.concatenate([full[1:], [False]])
    tail = before & ~full & (i == j) & (i >= 0)
    head = after & ~full & (j == i + 1) & (spans.end[last] >= right) & ((i < 0) | (spans.end[at] <= left))
    return Cells(fraction, kind, block, head, tail, tick)

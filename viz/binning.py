"""Many intervals on few pixels: exact while they fit, shares per pixel column when they do not.

A million instructions on 2000 columns would be drawn 500 times over each other; instead each column shows how much of
it was busy, and with what mostly.  Pure NumPy, no drawing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Bars(NamedTuple):
    """Intervals to draw: `share` is how much of the interval is busy (1 where it is exact)."""

    start: np.ndarray
    end: np.ndarray
    category: np.ndarray
    share: np.ndarray
    row: np.ndarray  # the row an exact bar stands for, -1 where it stands for several


def bars(start, end, category, window: tuple[int, int], columns: int = 2000, row=None) -> Bars:
    """The intervals inside the window; merged per column when there are more than `columns`."""
    first, last = window
    inside = np.flatnonzero((end > first) & (start < last))
    start, end = np.maximum(start[inside], first), np.minimum(end[inside], last)
    category = np.asarray(category)[inside]
    if len(inside) <= columns:
        row = inside if row is None else np.asarray(row)[inside]
        return Bars(start, end, category, np.ones(len(inside)), row)
    kinds = np.unique(category)
    shares = np.stack([shares_of(start[category == k], end[category == k], window, columns) for k in kinds])
    best = shares.argmax(axis=0)
    total = np.minimum(shares.sum(axis=0), 1.0)
    edges = np.linspace(first, last, columns + 1)
    level = np.ceil(total * 8).astype(int)  # few shades, so that equal neighbours become one bar
    key = np.where(level > 0, best * 16 + level, -1)
    change = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    stop = np.r_[change[1:], columns]
    keep = key[change] >= 0
    change, stop = change[keep], stop[keep]
    return Bars(
        edges[change].astype(np.int64),
        edges[stop].astype(np.int64),
        kinds[best[change]],
        level[change] / 8,
        np.full(len(change), -1),
    )


def shares_of(start, end, window: tuple[int, int], columns: int) -> np.ndarray:
    """How much of each column the intervals cover; overlapping ones count once each, so a share may exceed 1."""
    first, last = window
    scale = columns / (last - first)
    a, b = (np.asarray(start) - first) * scale, (np.asarray(end) - first) * scale
    a, b = np.clip(a, 0, columns), np.clip(b, 0, columns)
    ia, ib = np.minimum(a.astype(int), columns - 1), np.minimum(b.astype(int), columns - 1)
    slope = np.zeros(columns + 1)  # whole columns between the ends, by differences
    np.add.at(slope, ia + 1, 1.0)
    np.add.at(slope, ib, -1.0)
    share = np.cumsum(slope)[:columns]
    # the columns of the two ends get their parts; where both ends are in one column this adds up to b - a
    share += np.bincount(ia, weights=1 - (a - ia), minlength=columns)[:columns]
    share += np.bincount(ib, weights=b - ib, minlength=columns)[:columns]
    return share


class Steps(NamedTuple):
    """A step function to draw: from time[i] on between low[i] and high[i], mean[i] on average; the last ends it."""

    time: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray


def steps(time, value, window: tuple[int, int], columns: int = 2000) -> Steps:
    """A step function inside the window; exact while it has few steps, else per column."""
    first, last = window
    time, value = np.asarray(time), np.asarray(value)
    if not len(time):
        return Steps(np.array([first, last]), np.zeros(2), np.zeros(2), np.zeros(2))
    a, b = np.searchsorted(time, first, "right") - 1, np.searchsorted(time, last, "left")
    before = value[a] if a >= 0 else 0.0
    t = np.r_[first, time[a + 1 : b], last]
    v = np.r_[before, value[a + 1 : b]]
    v = np.r_[v, v[-1]]
    if len(t) <= columns:
        return Steps(t, v, v, v)
    edges = np.linspace(first, last, columns + 1)
    column = np.minimum(((t[:-1] - first) * (columns / (last - first))).astype(int), columns - 1)
    # a column holds the value it began with, and those of the steps in it
    low = high = v[np.searchsorted(t, edges[:-1], "right") - 1]
    low, high = low.copy(), high.copy()
    np.minimum.at(low, column, v[:-1])
    np.maximum.at(high, column, v[:-1])
    area = np.r_[0.0, np.cumsum(np.diff(t) * v[:-1])]
    at = np.minimum(np.searchsorted(t, edges, "right") - 1, len(t) - 2)
    mean = np.diff(area[at] + (edges - t[at]) * v[at]) / np.diff(edges)
    return Steps(edges, np.r_[low, low[-1]], np.r_[high, high[-1]], np.r_[mean, mean[-1]])

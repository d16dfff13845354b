"""Which instructions touch the same memory: regions cut into cells.

A storage is cut at the boundaries of all regions that touch it, so every region is a set of whole cells and two regions
overlap exactly when they share one.  Storages cut in the same way (the tiles of a loop) share one decomposition.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from simcore.layout import Layout
from simcore.ordering import runs, stable_order
from simcore.tensor import Storage
from simcore.trace import Trace

MAX_RUNS = 64             # of a region within a row; beyond, it counts as one piece
MAX_CELLS = 1 << 16      # per storage; beyond, the columns of the cut are merged and regions overlap more than they do


def cells(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """(start, cell): region r covers the cells cell[start[r]:start[r + 1]]."""
    order = stable_order(trace.region_storage)
    owner = trace.region_storage[order]
    first = np.flatnonzero(runs(owner))
    size = np.diff(first, append=len(owner))
    kinds, kind = trace.storage_kinds
    # storages of one kind whose regions are the same are cut once; a single region is one cell
    lengths, parts, begin, total, count_of_parts = [np.ones(1, np.int64)], [np.zeros(1, np.int64)], [0], [1], 1
    cut = np.zeros(len(first), np.int64)
    text = np.stack([trace.region_layout[order], trace.region_offset[order]], 1, dtype=np.int64).tobytes()
    known: dict[tuple[int, bytes], int] = {}
    several = np.flatnonzero(size > 1)
    found = []
    for k, a, n in zip(kind[owner[first[several]]].tolist(), first[several].tolist(), size[several].tolist(),
                       strict=True):
        key = (k, text[16 * a:16 * (a + n)])
        number = known.get(key)
        if number is None:
            number = known[key] = len(begin)
            mine = order[a:a + n]
            used, layout_of = np.unique(trace.region_layout[mine], return_inverse=True)
            length, part, cells_of = _cut(kinds[k], [trace.layouts[i] for i in used.tolist()],
                                          layout_of.reshape(-1), trace.region_offset[mine])
            begin.append(count_of_parts)
            total.append(cells_of)
            lengths.append(length)
            parts.append(part)
            count_of_parts += n
        found.append(number)
    cut[several] = found
    base = np.cumsum(np.array(total)[cut]) - np.array(total)[cut]
    length = np.concatenate(lengths)
    at = np.cumsum(length) - length
    # per region: which part, and the first cell of its storage
    which, first_cell = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    which[order] = np.repeat(np.array(begin)[cut] - first, size) + np.arange(len(order))
    first_cell[order] = np.repeat(base, size)
    count = length[which]
    start = np.zeros(len(count) + 1, np.int64)
    np.cumsum(count, out=start[1:])
    region = np.repeat(np.arange(len(count)), count)
    cell = np.concatenate(parts)[np.arange(len(region)) + (at[which] - start[:-1])[region]] + first_cell[region]
    return start, cell


def _cut(storage: Storage, layouts: list[Layout], which: np.ndarray,
         offset: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """(cells per region, the cells one region after the other, how many the storage has): a cell is a range of rows by
    an interval of bytes within a row.

    layouts, which, offset  region r is layouts[which[r]] at offset[r]
    """
    pitch = _pitch(storage, layouts)
    row0, row1, pattern, shift, patterns = _boxes(storage, layouts, which, offset, pitch)
    # regions that lie alike within a row
    alike, member = np.unique(pattern * (pitch + 1) + shift, return_inverse=True)
    pieces = [patterns[p] + s for p, s in zip(*(x.tolist() for x in np.divmod(alike, pitch + 1)), strict=True)]
    count = np.array([len(p) for p in pieces], np.int64)
    start = np.cumsum(count) - count
    interval = np.concatenate(pieces)
    rows, columns = np.unique(np.concatenate([row0, row1])), np.unique(interval)
    if len(rows) * len(columns) > MAX_CELLS:
        interval = np.stack([np.minimum.reduceat(interval[:, 0], start), np.maximum.reduceat(interval[:, 1], start)], 1)
        count, start = np.ones_like(count), np.arange(len(count))
        columns = np.unique(interval)
        if len(rows) * len(columns) > MAX_CELLS:
            columns = columns[[0, -1]]
    width = len(columns) - 1
    first, last = np.searchsorted(columns, interval[:, 0], "right") - 1, np.searchsorted(columns, interval[:, 1])
    # the columns of a region: from `begin` on in a table that starts with all of them
    table, begin, length, end = [np.arange(width)], first[start], (last - first)[start], width
    for k in np.flatnonzero(count > 1).tolist():
        piece = range(start[k], start[k] + count[k])
        mine = np.unique(np.concatenate([np.arange(first[x], last[x]) for x in piece]))
        begin[k], length[k], end = end, len(mine), end + len(mine)
        table.append(mine)
    top, across = np.searchsorted(rows, row0), length[member]
    cells_of = np.maximum(np.searchsorted(rows, row1) - top, 0) * across
    region = np.repeat(np.arange(len(which)), cells_of)
    down, right = np.divmod(np.arange(len(region)) - np.repeat(np.cumsum(cells_of) - cells_of, cells_of),
                            across[region])
    cell = (top[region] + down) * width + np.concatenate(table)[begin[member][region] + right]
    return cells_of, cell, (len(rows) - 1) * width


def _pitch(storage: Storage, layouts: list[Layout]) -> int:
    """Bytes of a row: a partition on chip; in HBM the step between the runs of the regions that are cut most finely."""
    if storage.buffer.on_chip:
        return max(1, storage.bytes_per_partition)
    size = max(1, storage.nbytes)
    steps = []
    for lay in layouts:
        if lay.indirect is not None:
            continue
        real = sorted({abs(s) * lay.dtype.itemsize for s, n in zip(lay.strides, lay.shape, strict=True) if n > 1 and s})
        if len(real) > 1:
            run = lay.run * lay.dtype.itemsize
            outer = [s for s in real if s >= run]
            if outer:
                steps.append(outer[0])
    pitch = max(steps, default=size)
    return pitch if pitch and size % pitch == 0 else math.gcd(pitch, size) if math.gcd(pitch, size) > 1 else size


def _boxes(storage: Storage, layouts: list[Layout], which: np.ndarray, offset: np.ndarray,
           pitch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Per region: first row, past last row, and the byte intervals in a row: a pattern, and by how much it is shifted.

    An indirect region may be anywhere.
    """
    n = len(which)
    row0, row1 = np.zeros(n, np.int64), np.full(n, max(1, -(-storage.nbytes // pitch)), np.int64)
    pattern, shift = np.zeros(n, np.int64), np.zeros(n, np.int64)
    patterns = [np.array([[0, pitch]], np.int64)]
    for k, lay in enumerate(layouts):
        if lay.indirect is not None:
            continue
        size = lay.dtype.itemsize
        below = extent = 0
        inner = []
        for count, s in zip(lay.shape, lay.byte_strides, strict=True):
            span = (count - 1) * s
            below += min(span, 0)
            extent += abs(span)
            if abs(s) < pitch and count > 1 and s:
                inner.append((abs(s), count))
        mine = which == k
        low = offset[mine] * size + below
        row0[mine], column = np.divmod(low, pitch)
        row1[mine] = (low + extent + size - 1) // pitch + 1
        fits = column + sum(s * (count - 1) for s, count in inner) + size <= pitch
        shift[mine], pattern[mine] = np.where(fits, column, 0), np.where(fits, len(patterns), 0)
        patterns.append(_intervals(tuple(inner), size))
    return row0, row1, pattern, shift, patterns


@lru_cache(maxsize=4096)
def _intervals(dims: tuple[tuple[int, int], ...], size: int) -> np.ndarray:
    """[start, end) of the runs of a pattern of (stride, count), from 0; one interval over all where there are many."""
    run, outer = size, list[tuple[int, int]]()
    for stride, count in sorted(dims):
        if stride <= run and not outer:
            run = stride * (count - 1) + run
        else:
            outer.append((stride, count))
    starts = np.zeros(1, np.int64)
    for stride, count in outer:
        if len(starts) * count > MAX_RUNS:
            end = sum(s * (n - 1) for s, n in outer) + run
            return np.array([[0, end]], np.int64)
        starts = (starts[:, None] + np.arange(count) * stride).reshape(-1)
    starts = np.unique(starts)
    return np.stack([starts, starts + run], 1)

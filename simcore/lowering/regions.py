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
    parts, begin, total = [np.zeros(1, np.int64)], [0], [1]
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
            mine, cells_of = _cut(kinds[k], [(trace.layouts[trace.region_layout[r]], int(trace.region_offset[r]))
                                             for r in order[a:a + n].tolist()])
            begin.append(len(parts))
            total.append(cells_of)
            parts += mine
        found.append(number)
    cut[several] = found
    base = np.cumsum(np.array(total)[cut]) - np.array(total)[cut]
    length = np.array([len(p) for p in parts], np.int64)
    at = np.cumsum(length) - length
    # per region: which part, and the first cell of its storage
    part, first_cell = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    part[order] = np.repeat(np.array(begin)[cut] - first, size) + np.arange(len(order))
    first_cell[order] = np.repeat(base, size)
    count = length[part]
    start = np.zeros(len(count) + 1, np.int64)
    np.cumsum(count, out=start[1:])
    region = np.repeat(np.arange(len(count)), count)
    cell = np.concatenate(parts)[np.arange(len(region)) + (at[part] - start[:-1])[region]] + first_cell[region]
    return start, cell


def _cut(storage: Storage, regions: list[tuple[Layout, int]]) -> tuple[list[np.ndarray], int]:
    """Cells of each region of one storage: [row range) x byte intervals within a row."""
    pitch = _pitch(storage, regions)
    boxes = [_box(storage, lay, offset, pitch) for lay, offset in regions]
    rows = np.unique([r for r0, r1, _ in boxes for r in (r0, r1)])
    columns = np.unique(np.concatenate([c.reshape(-1) for _, _, c in boxes]))
    if len(rows) * len(columns) > MAX_CELLS:
        boxes = [(r0, r1, np.array([[c.min(), c.max()]])) for r0, r1, c in boxes]
        columns = np.unique(np.concatenate([c.reshape(-1) for _, _, c in boxes]))
        if len(rows) * len(columns) > MAX_CELLS:
            columns = columns[[0, -1]]
    width = len(columns) - 1
    out = []
    for r0, r1, intervals in boxes:
        i = np.arange(np.searchsorted(rows, r0), np.searchsorted(rows, r1))
        first = np.searchsorted(columns, intervals[:, 0], "right") - 1
        last = np.searchsorted(columns, intervals[:, 1])
        j = np.arange(first[0], last[0]) if len(intervals) == 1 else \
            np.unique(np.concatenate([np.arange(x, y) for x, y in zip(first.tolist(), last.tolist(), strict=True)]))
        out.append((i[:, None] * width + j).reshape(-1))
    return out, (len(rows) - 1) * width


def _pitch(storage: Storage, regions) -> int:
    """Bytes of a row: a partition on chip; in HBM the step between the runs of the regions that are cut most finely."""
    if storage.buffer.on_chip:
        return max(1, storage.bytes_per_partition)
    size = max(1, storage.nbytes)
    steps = []
    for lay, _ in regions:
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


def _box(storage: Storage, lay: Layout, offset: int, pitch: int) -> tuple[int, int, np.ndarray]:
    """(first row, past last row, byte intervals in a row) of a region; an indirect one may be anywhere."""
    total = max(1, -(-storage.nbytes // pitch))
    whole = np.array([[0, pitch]], np.int64)
    if lay.indirect is not None:
        return 0, total, whole
    size = lay.dtype.itemsize
    low = high = offset * size
    inner = []
    for n, s in zip(lay.shape, lay.byte_strides, strict=True):
        span = (n - 1) * s
        if span < 0:
            low += span
        else:
            high += span
        if abs(s) < pitch and n > 1 and s:
            inner.append((abs(s), n))
    high += size
    row0, column0 = divmod(low, pitch)
    width = sum(s * (n - 1) for s, n in inner) + size
    row1 = (high - 1) // pitch + 1
    if column0 + width > pitch:
        return row0, row1, whole
    return row0, row1, column0 + _intervals(tuple(inner), size)


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

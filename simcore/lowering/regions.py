"""Which instructions touch the same memory: regions cut into cells.

A storage is cut at the boundaries of all regions that touch it, so every region is a set of whole cells and two regions
overlap exactly when they share one.  Storages cut in the same way (the tiles of a loop) share one decomposition.
"""

from __future__ import annotations

import math

import numpy as np

from simcore.tensor import Layout, Storage
from simcore.trace import Trace

MAX_CELLS = 1 << 16      # per storage; beyond, the columns of the cut are merged and regions overlap more than they do


def cells(trace: Trace) -> tuple[np.ndarray, np.ndarray, int]:
    """(start, cell): region r covers the cells cell[start[r]:start[r + 1]]; and the number of cells of the trace."""
    order = np.argsort(trace.region_storage, kind="stable")
    storages, first = np.unique(trace.region_storage[order], return_index=True)
    bounds = np.append(first, len(order))
    counts = np.zeros(len(order), np.int64)
    pieces: list[np.ndarray] = [np.zeros(0, np.int64)] * len(order)
    known: dict = {}
    base = 0
    layouts, offsets = trace.region_layout.tolist(), trace.region_offset.tolist()
    one = np.zeros(1, np.int64)
    for s, a, b in zip(storages.tolist(), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        regions = order[a:b].tolist()
        if len(regions) == 1:
            pieces[regions[0]] = one + base
            base += 1
            continue
        storage = trace.storages[s]
        key = (storage.shape, storage.dtype, tuple([(layouts[r], offsets[r]) for r in regions]))
        cut = known.get(key)
        if cut is None:
            cut = known[key] = _cut(storage, [(trace.layouts[layouts[r]], offsets[r]) for r in regions])
        parts, total = cut
        for r, part in zip(regions, parts, strict=True):
            pieces[r] = part + base
        base += total
    counts = np.fromiter((len(p) for p in pieces), np.int64, len(pieces))
    start = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum(counts, out=start[1:])
    return start, np.concatenate(pieces) if pieces else np.zeros(0, np.int64), base


def _cut(storage: Storage, regions: list[tuple[Layout, int]]) -> tuple[list[np.ndarray], int]:
    """Cells of each region of one storage: boxes [row range) x [byte range within a row)."""
    pitch = _pitch(storage, regions)
    boxes = np.array([_box(storage, lay, offset, pitch) for lay, offset in regions], np.int64)
    rows = np.unique(boxes[:, :2])
    columns = np.unique(boxes[:, 2:])
    if len(rows) * len(columns) > MAX_CELLS:
        columns = columns[[0, -1]]
    width = len(columns) - 1
    out = []
    for r0, r1, c0, c1 in boxes.tolist():
        i = np.arange(np.searchsorted(rows, r0), np.searchsorted(rows, r1))
        j = np.arange(np.searchsorted(columns, c0, "right") - 1, np.searchsorted(columns, c1))
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


def _box(storage: Storage, lay: Layout, offset: int, pitch: int) -> tuple[int, int, int, int]:
    """The smallest box that holds a region.  An indirect region may be anywhere in its storage."""
    total = max(1, -(-storage.nbytes // pitch))
    if lay.indirect is not None:
        return 0, total, 0, pitch
    size = lay.dtype.itemsize
    low = high = offset * size
    inner = 0
    for n, s in zip(lay.shape, lay.byte_strides, strict=True):
        span = (n - 1) * s
        if span < 0:
            low += span
        else:
            high += span
        if abs(s) < pitch:
            inner += abs(span)
    high += size
    row0, column0 = divmod(low, pitch)
    if column0 + inner + size <= pitch:
        return row0, (high - 1) // pitch + 1, column0, column0 + inner + size
    return row0, (high - 1) // pitch + 1, 0, pitch

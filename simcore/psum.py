"""PSUM accumulation: which locations of a tile hold a sum that later matmuls add to.

Tracked per partition and byte, on the storage (`Storage.started`), because kernels interleave parts of a bank.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from simcore.dtypes import DType
from simcore.layout import Layout
from simcore.tensor import Tensor


def settle_accumulation(dst, accumulate) -> bool:
    """Does this matmul add to its PSUM location?  Tracked per location: kernels interleave column ranges of a bank."""
    try:
        storage, key = dst.storage, (dst.layout, dst.offset)
    except AttributeError:
        return bool(accumulate)
    started = storage.started
    if started is None:
        started = storage.started = {}
    going_on = key in started
    if not going_on:
        box = psum_box(dst)
        going_on = bool(started) and covered(box, started.values())
        started[key] = box
    return going_on if accumulate is None else bool(accumulate)


def reset_accumulation(t: Tensor) -> None:
    """A write by another engine ends the accumulation of the PSUM locations it touches."""
    started = t.storage.started
    if started:
        p0, p1, low, high = psum_box(t)
        for key, (q0, q1, a, b) in list(started.items()):
            if q0 < p1 and p0 < q1 and a < high and low < b:
                del started[key]


def psum_box(t: Tensor) -> tuple[int, int, int, int]:
    """(first, past last) partition and (first, past last) byte within the partitions that a PSUM view touches."""
    return _box(t.layout, t.offset, t.storage.shape, t.storage.dtype)


@lru_cache(maxsize=4096)
def _box(lay: Layout, offset: int, shape: tuple[int, ...], dtype: DType) -> tuple[int, int, int, int]:
    size = lay.dtype.itemsize
    first, low = divmod(offset, math.prod(shape[1:]) * dtype.itemsize // size)
    span = sum((n - 1) * s for n, s in zip(lay.shape[1:], lay.strides[1:], strict=True))
    return first, first + lay.shape[0], low * size, (low + span + 1) * size


def covered(box: tuple[int, int, int, int], boxes) -> bool:
    """Do these boxes together hold all of `box`?"""
    p0, p1, low, high = box
    touching = [b for b in boxes if b[0] < p1 and p0 < b[1] and b[2] < high and low < b[3]]
    if any(q0 <= p0 and p1 <= q1 and a <= low and high <= b for q0, q1, a, b in touching):
        return True
    if len(touching) < 2:
        return False
    seen = np.zeros((p1 - p0, high - low), bool)
    for q0, q1, a, b in touching:
        seen[max(q0 - p0, 0):q1 - p0, max(a - low, 0):b - low] = True
    return bool(seen.all())

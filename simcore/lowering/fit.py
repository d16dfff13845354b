"""Addresses where the rotation of lowering/allocate.py finds no room: largest tile first, with all lifetimes known.

A tile of fewer partitions than the memory has may lie in any quarter (32 partitions) that engines can address it in,
so that two tiles of 64 partitions can lie at one byte; and small PSUM tiles share a bank.  That the compiler does both
is inferred: the test suite of nki-library expects kernels to compile that need it.
"""

from __future__ import annotations

import numpy as np

_QUARTER = 32


def masks(partitions: int, start: int | None = None) -> list[int]:
    """The sets of quarters (bits) that a tile may lie in, those its address says where it has one."""
    count = min(4, -(-partitions // _QUARTER))
    if start is not None:
        return [((1 << count) - 1) << start // _QUARTER & 15]
    return [[1, 2, 4, 8], [3, 12], [15], [15]][count - 1]


def quarters(mask: int) -> list[int]:
    return [q for q in range(4) if mask >> q & 1]


def fit(size: int, cell: int, born: np.ndarray, died: np.ndarray, need: np.ndarray, partitions: np.ndarray,
        asked: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(byte within the partition, set of quarters) per tile; the byte is -1 for the first that has no place.

    size     bytes per partition
    cell     a smaller tile lies within one piece of so many bytes (a PSUM bank), a larger one starts with one
    asked    the byte a tile has to lie at (start: its first partition), -1 where it may lie anywhere
    """
    at, where = np.full(len(need), -1, np.int64), np.zeros(len(need), np.int64)
    for i in np.flatnonzero(asked >= 0).tolist():
        at[i], where[i] = asked[i], masks(int(partitions[i]), int(start[i]))[0]
    placed = np.flatnonzero(asked >= 0).tolist()
    order = np.lexsort((born, -partitions, -need))
    for i in order.tolist():
        if asked[i] >= 0:
            continue
        others = np.array(placed, np.int64)
        if len(others):
            # a result may lie where an input lay that dies there
            others = others[(born[others] < died[i]) & (died[others] > born[i]) | (born[others] == born[i])]
        choices = []
        for mask in masks(int(partitions[i])):
            mine = others[where[others] & mask != 0]
            found = _first_gap(size, cell, int(need[i]), at[mine], at[mine] + need[mine])
            if found is not None:
                choices.append((found, mask))
        if not choices:
            return at, where
        at[i], where[i] = min(choices)
        placed.append(i)
    return at, where


def _first_gap(size: int, cell: int, need: int, starts: np.ndarray, ends: np.ndarray) -> int | None:
    """The lowest place of `need` bytes that touches none of the spans."""
    by_start = np.argsort(starts, kind="stable")
    free = 0
    for a, b in zip(starts[by_start].tolist(), ends[by_start].tolist(), strict=True):
        free = _in_cell(free, need, cell)
        if a - free >= need:
            return free
        free = max(free, b)
    free = _in_cell(free, need, cell)
    return free if size - free >= need else None


def _in_cell(at: int, need: int, cell: int) -> int:
    """The first byte from `at` on where a tile does not lie across the edge of a cell without need."""
    room = cell - at % cell
    return at if cell == 1 or room == cell or need <= room else at + room

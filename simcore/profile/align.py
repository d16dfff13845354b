"""Which instruction of one run is which of another.

Engine by engine, streams are matched one to one where they are equal and by alignment where not: what is the same at
both ends, then instructions that occur once in both (they anchor the rest), then what is left between the anchors.
Close to linear; never quadratic on long streams.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from simcore.analysis import kernel_rows
from simcore.profile import vendor
from simcore.timeline import Timeline

_SAME = {"CAST": "COPY"}        # the compiler picks one of the two by dtype alone
_SMALL = 400                    # longest block matched exactly, in quadratic time
_ROUNDS = 16                    # of alignments of what is left
_WINDOWS = (6, 3, 1)            # instructions in a row that make an anchor, longest first


def match(a: Timeline, b: Timeline) -> np.ndarray:
    """Matched rows as an array [n, 2] (row of a, row of b), ordered by the row of a.

    Physical cores are matched in the order of those that do the kernel's work.  What found no partner in its engine's
    stream may have one at another place or on another engine: DMA triggers by the bytes they move, in order; the rest
    by alignments of what is left, whatever its engine, again and again (a block that moved is found in the next round).
    """
    pairs: list[tuple[int, int]] = []
    left: tuple[list[int], list[int]] = ([], [])
    streams_a, streams_b = _streams(a), _streams(b)
    for key in sorted(set(streams_a) | set(streams_b)):
        rows_a, rows_b = streams_a.get(key, []), streams_b.get(key, [])
        found = align([_key(a, r) for r in rows_a], [_key(b, r) for r in rows_b])
        pairs += [(rows_a[i], rows_b[j]) for i, j in found]
        for side, rows, used in ((0, rows_a, {i for i, _ in found}), (1, rows_b, {j for _, j in found})):
            left[side].extend(r for k, r in enumerate(rows) if k not in used)
    left_a, left_b = sorted(left[0]), sorted(left[1])
    pairs += _triggers(a, b, left_a, left_b)
    left_a, left_b = ([r for r in side if not vendor.is_dma(t.opcode(r))] for t, side in ((a, left_a), (b, left_b)))
    for _ in range(_ROUNDS):
        found = align([_key(a, r) for r in left_a], [_key(b, r) for r in left_b])
        if not found:
            break
        pairs += [(left_a[i], left_b[j]) for i, j in found]
        used_a, used_b = {i for i, _ in found}, {j for _, j in found}
        left_a = [r for k, r in enumerate(left_a) if k not in used_a]
        left_b = [r for k, r in enumerate(left_b) if k not in used_b]
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _streams(t: Timeline) -> dict[tuple[int, int], list[int]]:
    """(place of the core among those at work, engine) -> rows in order of start."""
    rows, i = kernel_rows(t), t.instructions
    cores = {c: k for k, c in enumerate(np.unique(i.core[rows]).tolist())}
    out: dict[tuple[int, int], list[int]] = {}
    for row, core, engine in zip(rows.tolist(), i.core[rows].tolist(), i.engine[rows].tolist()):
        out.setdefault((cores[core], engine), []).append(row)
    return out


def _key(t: Timeline, row: int) -> tuple:
    """What two instructions must share to be the same one."""
    i = t.instructions
    opcode = t.opcode(row)
    if vendor.is_dma(opcode):
        return ("DMA", int(i.hbm_read_bytes[row]), int(i.hbm_write_bytes[row]))
    if opcode in ("MATMUL", "LDWEIGHTS"):
        transposes = bool(i.elements[row]) and not i.flops[row]
        return (opcode, transposes, t.dtypes[i.dtype[row]] if i.dtype[row] >= 0 else "")
    return (_SAME.get(opcode, opcode),)


def _triggers(a: Timeline, b: Timeline, left_a: list[int], left_b: list[int]) -> list[tuple[int, int]]:
    """DMA triggers of other engines, by bytes and order."""
    waiting: dict[tuple, list[int]] = {}
    for row in left_b:
        if vendor.is_dma(b.opcode(row)):
            waiting.setdefault(_key(b, row), []).append(row)
    pairs = []
    for row in left_a:
        if vendor.is_dma(a.opcode(row)) and (rest := waiting.get(_key(a, row))):
            pairs.append((row, rest.pop(0)))
    return pairs


def align(a: list, b: list) -> list[tuple[int, int]]:
    """Increasing pairs of positions with equal items."""
    pairs: list[tuple[int, int]] = []
    work = [(0, len(a), 0, len(b), 0)]
    while work:
        a0, a1, b0, b1, level = work.pop()
        while a0 < a1 and b0 < b1 and a[a0] == b[b0]:
            pairs.append((a0, b0))
            a0, b0 = a0 + 1, b0 + 1
        while a0 < a1 and b0 < b1 and a[a1 - 1] == b[b1 - 1]:
            a1, b1 = a1 - 1, b1 - 1
            pairs.append((a1, b1))
        if a0 == a1 or b0 == b1:
            continue
        if a1 - a0 <= _SMALL and b1 - b0 <= _SMALL:
            pairs += [(a0 + i, b0 + j) for i, j in _longest(a[a0:a1], b[b0:b1])]
            continue
        anchors: list[tuple[int, int]] = []
        while level < len(_WINDOWS) and not anchors:
            anchors = _unique_anchors(a, b, a0, a1, b0, b1, _WINDOWS[level])
            level += not anchors
        if not anchors:
            pairs += _greedy(a, b, a0, a1, b0, b1)
            continue
        for i, j in [*anchors, (a1, b1)]:
            work.append((a0, i, b0, j, level))
            if i < a1:
                pairs.append((i, j))
            a0, b0 = i + 1, j + 1
    return sorted(pairs)


def _longest(a: list, b: list) -> list[tuple[int, int]]:
    """A longest common subsequence, by the textbook: a table of lengths, row by row, then back through it."""
    code: dict = {}
    x = np.array([code.setdefault(item, len(code)) for item in a])
    y = np.array([code.setdefault(item, len(code)) for item in b])
    best = np.zeros((len(a) + 1, len(b) + 1), np.int32)
    for i, item in enumerate(x):
        best[i + 1, 1:] = np.maximum.accumulate(np.maximum(best[i, 1:], best[i, :-1] + (y == item)))
    pairs, i, j = [], len(a), len(b)
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs


def _unique_anchors(a, b, a0, a1, b0, b1, window) -> list[tuple[int, int]]:
    """Positions of windows that occur once in both, the longest increasing run of them."""
    def once(items, low, high):
        places: dict[tuple, int] = {}
        for k in range(low, high - window + 1):
            key = tuple(items[k:k + window])
            places[key] = -1 if key in places else k
        return places

    places = once(b, b0, b1)
    both = [(i, places[key]) for key, i in once(a, a0, a1).items() if i >= 0 and places.get(key, -1) >= 0]
    return [both[k] for k in increasing([j for _, j in both])]


def increasing(values: list[int]) -> list[int]:
    """Positions of a longest increasing subsequence (by binary search on the smallest ends of each length)."""
    tails: list[int] = []
    ends: list[int] = []
    back: list[int] = []
    for k, value in enumerate(values):
        at = bisect_left(tails, value)
        back.append(ends[at - 1] if at else -1)
        tails[at:at + 1], ends[at:at + 1] = [value], [k]
    out, k = [], ends[-1] if ends else -1
    while k >= 0:
        out.append(k)
        k = back[k]
    return out[::-1]


def _greedy(a, b, a0, a1, b0, b1) -> list[tuple[int, int]]:
    """Long streams without anchors (the same loop over and over): step together, else skip the shorter way."""
    pairs = []
    while a0 < a1 and b0 < b1:
        if a[a0] == b[b0]:
            pairs.append((a0, b0))
            a0, b0 = a0 + 1, b0 + 1
            continue
        skip_a = next((k for k in range(1, 65) if a0 + k < a1 and a[a0 + k] == b[b0]), 65)
        skip_b = next((k for k in range(1, 65) if b0 + k < b1 and a[a0] == b[b0 + k]), 65)
        if skip_a == skip_b == 65:
            a0, b0 = a0 + 1, b0 + 1
        elif skip_a <= skip_b:
            a0 += skip_a
        else:
            b0 += skip_b
    return pairs




"""Sorting rows of large tables by integer keys."""

from __future__ import annotations

import numpy as np


def stable_order(*keys: np.ndarray) -> np.ndarray:
    """Row numbers sorted by integer keys, the first the most significant; equal rows stay in order.

    The same as np.lexsort(keys[::-1]), several times as fast: keys and row number are packed into one integer where 63
    bits hold them.
    """
    n = len(keys[0])
    if not n:
        return np.zeros(0, np.int64)
    low = [int(k.min()) for k in keys]
    bits = [(int(k.max()) - a).bit_length() for k, a in zip(keys, low, strict=True)]
    last = (n - 1).bit_length()
    if sum(bits) + last > 63:
        return np.lexsort(keys[::-1])
    packed = np.zeros(n, np.int64)
    for key, a, width in zip(keys, low, bits, strict=True):
        packed <<= width
        packed |= key.astype(np.int64) - a
    packed <<= last
    packed |= np.arange(n)
    packed.sort()
    packed &= (1 << last) - 1
    return packed


def runs(column: np.ndarray) -> np.ndarray:
    """Where each run of equal values of a column begins, as a mask."""
    first = np.ones(len(column), bool)
    np.not_equal(column[1:], column[:-1], out=first[1:])
    return first

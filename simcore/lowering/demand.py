"""Other orders of the instructions, where tiles do not fit in the order written.

By demand: every instruction as late as its result allows.  Loops that fill tiles, loops that use them and loops that
store them are fused this way: each store is preceded by just what it needs, so that a tile lives from shortly before
its first use.  Evicted early: what reads PSUM follows its input at once.  Both are inferred: kernels whose arrays are
larger than SBUF, written as separate loops, run on chips.
"""

from __future__ import annotations

import numpy as np

from simcore.layout import psum
from simcore.lowering.dependences import accesses
from simcore.lowering.units import Units
from simcore.ordering import stable_order
from simcore.trace import Trace


def as_written(trace: Trace, producer, consumer, cause) -> Units:
    """One unit per instruction, in the order written."""
    return _ordered(np.arange(len(trace)), producer, consumer, cause)


def by_demand(trace: Trace, producer, consumer, cause) -> Units:
    """One unit per instruction, ordered as the results are asked for; all dependences hold."""
    n = len(trace)
    needs: list[list[int]] = [[] for _ in range(n)]
    wanted = np.zeros(n, bool)
    for p, c in zip(producer.tolist(), consumer.tolist(), strict=True):
        needs[c].append(p)
        wanted[p] = True
    number = np.full(n, -1, np.int64)
    order: list[int] = []
    for last in np.nonzero(~wanted)[0].tolist():
        stack = [(last, iter(sorted(needs[last])))]
        while stack:
            i, rest = stack[-1]
            p = next(rest, None)
            if p is None:
                stack.pop()
                if number[i] < 0:
                    number[i] = len(order)
                    order.append(i)
            elif number[p] < 0:
                stack.append((p, iter(sorted(needs[p]))))
    return _ordered(np.array(order, np.int64), producer, consumer, cause)


def evicted_early(trace: Trace, producer, consumer, cause) -> Units:
    """One unit per instruction, as written but for those that only read PSUM: they follow what they need."""
    kinds, kind = trace.storage_kinds
    in_psum = np.array([k.buffer is psum for k in kinds], bool)[kind]
    instruction, _, writes = accesses(trace)
    there = in_psum[trace.region_storage[trace.access]]
    moves = np.zeros(len(trace), bool)
    moves[instruction[there]] = True
    moves[instruction[there & writes]] = False
    at = np.arange(len(trace), dtype=np.int64)
    if moves.any():
        by_consumer = stable_order(consumer)
        first = np.searchsorted(consumer[by_consumer], np.arange(len(trace) + 1))
        before = producer[by_consumer]
        for i in np.flatnonzero(moves).tolist():
            at[i] = at[before[first[i]:first[i + 1]]].max(initial=0)
    return _ordered(stable_order(at), producer, consumer, cause)


def _ordered(order: np.ndarray, producer, consumer, cause) -> Units:
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    return Units(number, order, np.ones(len(order), np.int64), number[producer], number[consumer], cause)

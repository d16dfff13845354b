"""The last resort of the older compiler where tiles do not fit: every instruction as late as its result allows.

Loops that fill tiles, loops that use them and loops that store them are fused this way: each store is preceded by just
what it needs, so that a tile lives from shortly before its first use.  The order is inferred: kernels whose arrays are
larger than SBUF, written as separate loops, run on chips.
"""

from __future__ import annotations

import numpy as np

from simcore.lowering.units import Units
from simcore.trace import Trace


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
    return Units(number, np.array(order, np.int64), np.ones(n, np.int64), number[producer], number[consumer], cause)

"""Which engine does a copy or a constant, where the kernel leaves it open: the older compiler's choice.

The profiles show copies out of PSUM on Scalar while it is idle, on Vector while Scalar is busy, and taking turns when
they come faster than one engine can take them.  That is what a list scheduler does that gives each instruction to the
engine that would be free again first.  So the program is scheduled once by estimates: of what lies within the reorder
window, the instruction that can start first; the Tensor engine at one cycle per column of either operand and the 64
cycles an engine needs between instructions.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

from simcore.isa.table import GPSIMD, SCALAR, TENSOR, VECTOR, Engine, Op
from simcore.layout import psum
from simcore.lowering.costs import ops_of
from simcore.lowering.costs_tensor import operands
from simcore.lowering.units import Units
from simcore.machine import Machine
from simcore.trace import Trace, Variant

OTHER = {"tensor_copy": SCALAR, "memset": GPSIMD}      # what Vector need not do


def choose_engines(trace: Trace, machine: Machine, units: Units, kinds: list, kind: np.ndarray,
                   kind_ops: list[tuple[Op, ...]]) -> tuple[list, np.ndarray, list[tuple[Op, ...]]]:
    """Kinds of units, the kind of each unit and the chip instructions of each kind, with every open choice made."""
    kinds, kind_ops = list(kinds), list(kind_ops)
    other: dict[int, int] = {}                  # a kind whose engine is open -> the same on the other engine
    for k, old in enumerate(kinds[:]):
        variant = trace.variants[old.variant]
        to = OTHER.get(variant.name)
        if to is None or variant.engine is not Engine.unknown or kind_ops[k][0].engine is not VECTOR:
            continue
        if to is GPSIMD and any(o.layout.buffer is psum for o in variant.operands):
            continue
        other[k] = len(kinds)
        kinds.append(old._replace(chosen=to))
        kind_ops.append(ops_of(variant, machine, *kinds[-1][1:]))
    if not other:
        return kinds, kind, kind_ops
    estimate = [_estimate(trace.variants[k.variant], ops, machine) for k, ops in zip(kinds, kind_ops, strict=True)]
    queue = [ops[0].dma.mode if ops[0].dma is not None else ops[0].engine.name for ops in kind_ops]
    chosen, core = kind.tolist(), trace.core[units.row].tolist()
    free: dict[tuple[int, str], int] = {}

    def place(k: int, u: int, at: int) -> tuple[int, int]:
        """(when its engine would be free again, when its result would be there)"""
        issue, latency = estimate[k]
        begin = max(at, free.get((core[u], queue[k]), 0))
        return begin + issue, begin + latency

    product = np.array([q == TENSOR.name for q in queue], bool)[kind].tolist()
    for u, at, done in _in_order_of_readiness(units, product, machine.compiler.legacy_reorder_window):
        k = chosen[u]
        again, result = place(k, u, at)
        if k in other:
            there, then = place(other[k], u, at)
            if there < again:
                chosen[u] = k = other[k]
                again, result = there, then
        free[core[u], queue[k]] = again
        done[u] = result
    return kinds, np.array(chosen, kind.dtype), kind_ops


def _in_order_of_readiness(units: Units, product: list[bool], window: int) -> Iterator[tuple[int, int, list[int]]]:
    """(unit, when it can start, where to note when it is done), of those in the window always the first to start.

    A product that adds to the one before follows it without waiting for its result.
    """
    n = len(product)
    waits = np.bincount(units.consumer, minlength=n).tolist()
    by = np.argsort(units.producer, kind="stable")
    start = np.searchsorted(units.producer[by], np.arange(n + 1)).tolist()
    follow = units.consumer[by].tolist()
    ready, done, gone, head = [0] * n, [0] * n, [False] * n, 0
    now = [(0, u) for u in range(min(n, window)) if not waits[u]]
    later = [u for u in range(window, n) if not waits[u]]           # ready, but beyond the window
    while now:
        at, u = heapq.heappop(now)
        yield u, at, done
        gone[u] = True
        while head < n and gone[head]:
            head += 1
        for v in follow[start[u]:start[u + 1]]:
            ready[v] = max(ready[v], at if product[u] and product[v] else done[u])
            waits[v] -= 1
            if not waits[v]:
                heapq.heappush(later, v)
        while later and later[0] < head + window:
            v = heapq.heappop(later)
            heapq.heappush(now, (ready[v], v))


def _estimate(v: Variant, ops: tuple[Op, ...], machine: Machine) -> tuple[int, int]:
    """(until the engine can take the next, until the result is there) as the compiler may see it."""
    first = ops[0]
    if first.dma is not None:
        return first.dma.issue_ps, first.dma.first_ps + max(first.dma.work_ps)
    if first.opcode == "LDWEIGHTS":
        stationary, moving, _ = operands(v)
        columns = stationary.free + (moving.shape[0] if v.name == "nc_transpose" else moving.free)
        ps = machine.tensor.ps(columns + machine.tensor.min_issue_cycles)
        return ps, ps
    issue = sum(o.issue_ps for o in ops)
    return issue, issue - ops[-1].issue_ps + ops[-1].latency_ps

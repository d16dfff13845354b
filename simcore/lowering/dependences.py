"""Who waits for whom: read after write, write after read, write after write, on the cells actually touched."""

from __future__ import annotations

import numpy as np

from simcore.lowering.regions import cells
from simcore.ordering import runs, stable_order
from simcore.timeline import CAUSES
from simcore.trace import Trace

DATA, REUSE, ORDER = CAUSES.index("data"), CAUSES.index("reuse"), CAUSES.index("order")


def accesses(trace: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat (instruction, reads, writes), one entry per operand of each instruction."""
    arity = np.diff(trace.access_start)
    instruction = np.repeat(np.arange(len(trace)), arity)
    position = np.arange(len(instruction)) - trace.access_start[instruction]
    widest = int(arity.max(initial=0))
    reads = np.zeros((len(trace.variants), widest), bool)
    writes = np.zeros((len(trace.variants), widest), bool)
    for v in trace.variants:
        for i, o in enumerate(v.operands):
            reads[v.index, i], writes[v.index, i] = "r" in o.access, "w" in o.access
            if o.name == "dst" and v.params.get("accumulate") is False:
                reads[v.index, i] = False      # an overwriting matmul does not read what was there
    variant = trace.variant[instruction]
    return instruction, reads[variant, position], writes[variant, position]


def dependences(trace: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(producer, consumer, cause), instructions numbered as in the trace; one edge per pair."""
    instruction, reads, writes = accesses(trace)
    written = np.zeros(len(trace.storages), bool)
    written[trace.region_storage[trace.access[writes]]] = True
    keep = np.flatnonzero(written[trace.region_storage[trace.access]])
    # an instruction reads before it writes: one that works in place needs what was there
    keep = keep[stable_order(2 * instruction[keep] + (writes & ~reads)[keep])]
    instruction, reads, writes = instruction[keep], reads[keep], writes[keep]
    start, cell = cells(trace)
    region = trace.access[keep]
    count = (start[1:] - start[:-1])[region]
    entry = np.repeat(np.arange(len(region)), count)
    within = np.arange(len(entry)) - np.repeat(np.cumsum(count) - count, count)
    touched = cell[start[region][entry] + within]

    order = stable_order(touched)      # accesses of a cell in program order
    entry, touched = entry[order], touched[order]
    n = len(entry)
    at = np.arange(n)
    who, w, r = instruction[entry], writes[entry], reads[entry]
    fresh = runs(touched)
    segment = np.maximum.accumulate(np.where(fresh, at, 0)) if n else at
    last_write = np.concatenate([[-1], np.maximum.accumulate(np.where(w, at, -1))[:-1]]) if n else at
    has_write = last_write >= segment
    # a later write of the cell: reversed, the next one; beyond the cell's last access there is none
    next_write = np.minimum.accumulate(np.where(w, at, n)[::-1])[::-1] if n else at
    next_write = np.concatenate([next_write[1:], [n]]) if n else at
    segment_end = np.append(np.flatnonzero(fresh), n)[np.cumsum(fresh)] if n else at

    out = []
    read_after = np.flatnonzero(r & has_write)
    out.append((who[last_write[read_after]], who[read_after], DATA))
    write_after = np.flatnonzero(w & ~r & has_write)
    out.append((who[last_write[write_after]], who[write_after], REUSE))
    overwritten = np.flatnonzero(r & (next_write < segment_end))
    out.append((who[overwritten], who[next_write[overwritten]], REUSE))
    if len(trace.order):
        out.append((trace.order[:, 0], trace.order[:, 1], ORDER))
    producer = np.concatenate([p for p, _, _ in out])
    consumer = np.concatenate([c for _, c, _ in out])
    cause = np.concatenate([np.full(len(p), why, np.int8) for p, _, why in out])
    return unique_edges(producer, consumer, cause)


def unique_edges(producer, consumer, cause):
    """One edge per (consumer, producer): data before reuse before order; no edge to oneself or backwards."""
    real = producer < consumer
    return one_per_pair(producer[real], consumer[real], cause[real])


def one_per_pair(producer, consumer, cause):
    """One edge per (consumer, producer), sorted by them, with the first of its causes."""
    if not len(producer):
        return producer, consumer, cause
    size = int(max(consumer.max(), producer.max())) + 1
    key = (consumer * size + producer) * 16 + cause
    key.sort()
    pair, cause = key >> 4, (key & 15).astype(np.int8)
    first = runs(pair)
    consumer, producer = np.divmod(pair[first], size)
    return producer, consumer, cause[first]

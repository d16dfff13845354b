"""Who waits for whom: read after write, write after read, write after write, on the cells actually touched."""

from __future__ import annotations

import numpy as np

from simcore.lowering.regions import cells
from simcore.ordering import runs, stable_order
from simcore.timeline import CAUSES
from simcore.trace import Trace

DATA, REUSE, ORDER = CAUSES.index("data"), CAUSES.index("reuse"), CAUSES.index("order")

MAX_ENTRIES = 1 << 24     # (access, cell) pairs; beyond, cells are merged (some 2 GB)


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
    storage = trace.region_storage[region]
    inner, first, last = _wide(storage, count, start[region], cell, writes)
    count[inner] = 1
    if len(count) and count.sum() > MAX_ENTRIES:
        start, cell = _merged(start, cell, trace.region_storage, np.bincount(storage, count))
        count = np.where(inner, 1, (start[1:] - start[:-1])[region])
    entry = np.repeat(np.arange(len(region)), count)
    within = np.arange(len(entry)) - np.repeat(np.cumsum(count) - count, count)
    touched = cell[start[region][entry] + within]
    forward, backward = ~(first[entry] & (within > 0)), ~(last[entry] & (within > 0))

    order = stable_order(touched)      # accesses of a cell in program order
    entry, touched = entry[order], touched[order]
    n = len(entry)
    at = np.arange(n)
    forward, backward = forward[order], backward[order]
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
    read_after = np.flatnonzero(r & has_write & backward)
    out.append((who[last_write[read_after]], who[read_after], DATA))
    write_after = np.flatnonzero(w & ~r & has_write & backward)
    out.append((who[last_write[write_after]], who[write_after], REUSE))
    overwritten = np.flatnonzero(r & (next_write < segment_end) & forward)
    out.append((who[overwritten], who[next_write[overwritten]], REUSE))
    if len(trace.order):
        out.append((trace.order[:, 0], trace.order[:, 1], ORDER))
    producer = np.concatenate([p for p, _, _ in out])
    consumer = np.concatenate([c for _, c, _ in out])
    cause = np.concatenate([np.full(len(p), why, np.int8) for p, _, why in out])
    return unique_edges(producer, consumer, cause)


def _wide(storage, count, start, cell, writes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which accesses lie between two others that write all cells of the storage, with nothing narrower between them.

    Returns (inner, first, last): inner accesses have the same neighbours in every cell, so that one cell tells all;
    `first` and `last` are the writes around them.  Without this, thousands of writes at run-time addresses of a tensor
    of thousands of cells are hundreds of millions of entries.
    """
    n = len(storage)
    inner, first, last = (np.zeros(n, bool) for _ in range(3))
    if not n:
        return inner, first, last
    low = np.full(int(storage.max()) + 1, np.iinfo(np.int64).max)
    high = np.full(len(low), -1, np.int64)
    np.minimum.at(low, storage, cell[start])
    np.maximum.at(high, storage, cell[start + count - 1])
    wide = (count > 1) & (count == (high - low + 1)[storage])
    order = stable_order(storage)
    mine = storage[order]
    w = wide[order]
    # stretches of wide accesses to one storage
    stretch = np.cumsum(runs(mine) | ~w | np.concatenate([[True], ~w[:-1]]))
    position = np.arange(n)
    write = w & writes[order]
    begin = np.full(int(stretch[-1]) + 1, n)
    end = np.full(len(begin), -1)
    np.minimum.at(begin, stretch[write], position[write])
    np.maximum.at(end, stretch[write], position[write])
    a, b = begin[stretch], end[stretch]
    several = a < b
    inner[order] = several & (position > a) & (position < b)
    first[order] = several & (position == a)
    last[order] = several & (position == b)
    return inner, first, last


def _merged(start, cell, storage_of, entries) -> tuple[np.ndarray, np.ndarray]:
    """`cells` with neighbouring cells of one storage put together where its accesses are too many: regions then overlap
    more than they do."""
    size = np.diff(start)
    parts = np.split(cell, start[1:-1])
    for s in np.flatnonzero(entries > MAX_ENTRIES // 4).tolist():
        mine = np.flatnonzero(storage_of == s).tolist()
        low, high = min(parts[r][0] for r in mine), max(parts[r][-1] for r in mine)
        merged = max(1, int((high - low + 1) * (MAX_ENTRIES // 4) / entries[s]))
        for r in mine:
            parts[r] = np.unique((parts[r] - low) * merged // (high - low + 1)) + low
            size[r] = len(parts[r])
    return np.concatenate([[0], np.cumsum(size)]), np.concatenate(parts)


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

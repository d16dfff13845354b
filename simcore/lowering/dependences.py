"""Who waits for whom: read after write, write after read, write after write, on the cells actually touched."""

from __future__ import annotations

import numpy as np

from simcore.lowering.regions import cells
from simcore.timeline import CAUSES
from simcore.trace import Trace

DATA, REUSE, ORDER = CAUSES.index("data"), CAUSES.index("reuse"), CAUSES.index("order")


def accesses(trace: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Flat (instruction, operand position, reads, writes), one entry per operand of each instruction."""
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
                reads[v.index, i] = False      # overwriting matmul: does not read what was there
    variant = trace.variant[instruction]
    return instruction, position, reads[variant, position], writes[variant, position]


def dependences(trace: Trace, stream: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(producer, consumer, operand position of the consumer, cause), instructions numbered as in the trace.

    stream  which in-order queue each instruction completes on; of several earlier readers on one stream only the last counts
    """
    instruction, position, reads, writes = accesses(trace)
    written = np.zeros(len(trace.storages), bool)
    written[trace.region_storage[trace.access[writes]]] = True
    keep = written[trace.region_storage[trace.access]]
    instruction, position, reads, writes = instruction[keep], position[keep], reads[keep], writes[keep]
    start, cell, _ = cells(trace)
    region = trace.access[keep]
    count = (start[1:] - start[:-1])[region]
    entry = np.repeat(np.arange(len(region)), count)
    within = np.arange(len(entry)) - np.repeat(np.cumsum(count) - count, count)
    touched = cell[start[region][entry] + within]

    order = np.argsort(touched, kind="stable")
    entry, touched = entry[order], touched[order]
    at = np.arange(len(entry))
    fresh = np.ones(len(entry), bool)
    fresh[1:] = touched[1:] != touched[:-1]
    segment = np.maximum.accumulate(np.where(fresh, at, 0))
    who, w, r = instruction[entry], writes[entry], reads[entry]

    out = []

    def edges(mask, source, cause):
        producer, consumer = who[source[mask]], who[at[mask]]
        real = producer != consumer
        out.append((producer[real], consumer[real], position[entry[mask]][real], np.full(int(real.sum()), cause, np.int8)))

    last_write = _before(w, at)
    has_write = last_write >= segment
    edges(r & has_write, last_write, DATA)
    edges(w & ~r & has_write, last_write, REUSE)
    barrier = np.maximum(np.where(has_write, last_write, -1), segment - 1)
    streams = stream[who]
    for s in np.unique(streams[r]) if len(streams) else ():
        last_read = _before(r & (streams == s), at)
        edges(w & (last_read > barrier), last_read, REUSE)
    if len(trace.order):
        out.append((trace.order[:, 0], trace.order[:, 1], np.zeros(len(trace.order), np.int64),
                    np.full(len(trace.order), ORDER, np.int8)))
    producer, consumer, operand, cause = (np.concatenate(c) if out else np.zeros(0, np.int64) for c in zip(*out, strict=True)) if out else (np.zeros(0, np.int64),) * 4
    return _unique(producer, consumer, operand, cause)


def _before(mask: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Position of the last True strictly before each position, -1 for none."""
    last = np.maximum.accumulate(np.where(mask, at, -1)) if len(at) else at
    return np.concatenate([[-1], last[:-1]]) if len(at) else at


def _unique(producer, consumer, operand, cause):
    """One edge per (consumer, producer): data before reuse."""
    if not len(producer):
        return producer, consumer, operand, cause
    order = np.lexsort((cause, producer, consumer))
    producer, consumer, operand, cause = producer[order], consumer[order], operand[order], cause[order]
    first = np.ones(len(producer), bool)
    first[1:] = (producer[1:] != producer[:-1]) | (consumer[1:] != consumer[:-1])
    return producer[first], consumer[first], operand[first], cause[first]

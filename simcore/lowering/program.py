"""lower(): from what the kernel asked for to what the chip executes.

A Program is columns over the trace's instructions (what the schedule orders) and over chip instructions (what it shows: a
matmul is LDWEIGHTS and MATMUL, in float32 twice).  Costs are worked out once per variant and gathered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from simcore.isa.table import ENGINE_INDEX, Op
from simcore.lowering.allocate import Placement, place
from simcore.lowering.costs import ops_of
from simcore.lowering.dependences import DATA, REUSE, accesses, dependences, unique_edges
from simcore.machine import Machine
from simcore.tensor import psum, sbuf
from simcore.trace import Trace, Variant


@dataclass(eq=False, kw_only=True)
class Program:
    """Instructions in program order, and the chip instructions each becomes.

    trace_row    per chip instruction: instruction of the trace
    op           per chip instruction: row of the op tables (one row per chip instruction of a variant)
    first_chip   per instruction: its first chip instruction; the others follow
    stream       per instruction: what it is executed by, an index into `streams`
    producer, consumer, cause, soft
                 dependences between instructions of the trace; a soft one asks for the order only (one in-order engine)
    occupancy    "SBUF"/"PSUM": (first chip instruction, last, bytes over all partitions) per tile
    """

    cores: int
    trace_row: np.ndarray
    op: np.ndarray
    core: np.ndarray
    engine: np.ndarray
    first_chip: np.ndarray
    last_chip: np.ndarray
    first_op: np.ndarray
    stream: np.ndarray
    streams: list[Stream]
    variant: np.ndarray
    variant_ops: list[tuple[Op, ...]]
    producer: np.ndarray
    consumer: np.ndarray
    cause: np.ndarray
    soft: np.ndarray
    ops: list[Op]
    opcodes: list[str]
    dtypes: list[str]
    elements: np.ndarray
    flops: np.ndarray
    hbm_read_bytes: np.ndarray
    hbm_write_bytes: np.ndarray
    sbuf_read_bytes: np.ndarray
    sbuf_write_bytes: np.ndarray
    psum_read_bytes: np.ndarray
    psum_write_bytes: np.ndarray
    placement: Placement
    occupancy: dict[str, tuple] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """Something that executes instructions one after the other: an engine, or a DMA queue of an engine."""

    core: int
    engine: str
    queue: str = ""         # "hw", "sw", "static" for DMA queues


def lower(trace: Trace, machine: Machine) -> Program:
    """Costs, addresses and dependences.  Raises CapacityError when a memory cannot hold the tiles alive at once."""
    variant_ops = [ops_of(v, machine) for v in trace.variants]
    ops = [o for mine in variant_ops for o in mine]
    count = np.array([len(mine) for mine in variant_ops], np.int64)
    first_op = np.cumsum(count) - count
    per = count[trace.variant]
    trace_row = np.repeat(np.arange(len(trace)), per)
    first_chip = np.cumsum(per) - per
    op = first_op[trace.variant][trace_row] + np.arange(len(trace_row)) - first_chip[trace_row]
    engines = np.array([ENGINE_INDEX[o.engine] for o in ops], np.int8)
    last_chip = first_chip + per - 1
    stream, streams = _streams(trace, variant_ops)

    placement = place(trace, machine)
    producer, consumer, cause = dependences(trace)
    producer, consumer, cause = _with_reuse(trace, placement, stream, producer, consumer, cause)
    producer, consumer, cause, soft = _simplify(producer, consumer, cause, stream, streams)
    table = {name: np.array(column, np.int64) for name, column in _bytes(trace, ops, first_op, count).items()}
    return Program(
        cores=trace.cores, trace_row=trace_row, op=op, core=trace.core[trace_row],
        engine=engines[op] if len(op) else np.zeros(0, np.int8), first_chip=first_chip, last_chip=last_chip,
        first_op=first_op, stream=stream, streams=streams, variant=trace.variant, variant_ops=variant_ops,
        producer=producer, consumer=consumer, cause=cause, soft=soft, ops=ops, opcodes=[o.opcode for o in ops],
        dtypes=[o.dtype for o in ops], elements=np.array([o.elements for o in ops], np.int64),
        flops=np.array([o.flops for o in ops], np.int64), placement=placement,
        occupancy=_occupancy(trace, placement, first_chip, last_chip), **table,
    )


def _streams(trace: Trace, variant_ops) -> tuple[np.ndarray, list[Stream]]:
    """What executes each instruction."""
    names = [(mine[0].engine.display, mine[0].dma.mode if mine[0].dma is not None else "") for mine in variant_ops]
    kinds = list(dict.fromkeys(names))
    kind = np.array([kinds.index(n) for n in names], np.int64)[trace.variant] if len(trace) else np.zeros(0, np.int64)
    code = trace.core.astype(np.int64) * len(kinds) + kind
    used, stream = np.unique(code, return_inverse=True)
    return stream.reshape(-1), [Stream(int(c) // len(kinds), *kinds[int(c) % len(kinds)]) for c in used]


def _simplify(producer, consumer, cause, stream, streams: list[Stream]):
    """Drop what the order of an engine already guarantees.

    The Tensor engine forwards accumulations, so its own instructions only follow each other; on the other engines a result
    must be written before the same engine can read it, but overwriting what it has read needs no wait.
    """
    tensor = np.array([s.engine == "Tensor" for s in streams], bool)
    queue = np.array([bool(s.queue) for s in streams], bool)
    same = (stream[producer] == stream[consumer]) & ~queue[stream[consumer]]
    soft = same & ((cause != DATA) | tensor[stream[consumer]])
    return producer, consumer, cause, soft


def _with_reuse(trace: Trace, placement: Placement, stream, producer, consumer, cause):
    """Add what follows from addresses: the first writes of a tile wait for the last accesses of the tiles whose place it takes."""
    if not placement.before:
        return producer, consumer, cause
    instruction, reads, writes = accesses(trace)
    storage = trace.region_storage[trace.access]
    order = np.lexsort((instruction, storage))
    start = np.searchsorted(storage[order], np.arange(len(trace.storages) + 1))
    extra = []
    for old, new in placement.before:
        a = order[start[old]:start[old + 1]]
        b = order[start[new]:start[new + 1]]
        last = {}
        for i in instruction[a].tolist():
            last[int(stream[i])] = i
        first_read = next((k for k, x in enumerate(b.tolist()) if reads[x]), len(b))
        for x in b[:max(1, first_read)].tolist():
            if writes[x] or not len(b):
                for i in last.values():
                    if i < instruction[x]:
                        extra.append((i, int(instruction[x])))
    if not extra:
        return producer, consumer, cause
    e = np.array(extra, np.int64)
    return unique_edges(np.concatenate([producer, e[:, 0]]), np.concatenate([consumer, e[:, 1]]),
                        np.concatenate([cause, np.full(len(e), REUSE, np.int8)]))


_NAMES = {"SBUF": "sbuf", "PSUM": "psum", "HBM": "hbm"}


def _bytes(trace: Trace, ops: list[Op], first_op, count) -> dict[str, list[int]]:
    """Bytes each chip instruction reads and writes per memory."""
    table = {f"{m}_{d}_bytes": [0] * len(ops) for m in ("hbm", "sbuf", "psum") for d in ("read", "write")}
    for v in trace.variants:
        for k in range(first_op[v.index], first_op[v.index] + count[v.index]):
            _add_bytes(table, v, ops[k], k)
    return table


def _add_bytes(table, v: Variant, op: Op, k: int) -> None:
    for o in v.operands:
        memory = o.layout.buffer.value if o.layout.on_chip else "hbm"
        size = o.layout.nbytes
        if o.name in op.reads and "r" in o.access:
            table[f"{memory}_read_bytes"][k] += size
        if o.name in op.writes:
            table[f"{memory}_write_bytes"][k] += size


def _occupancy(trace: Trace, placement: Placement, first_chip, last_chip) -> dict[str, tuple]:
    out = {}
    for name, buffer in (("SBUF", sbuf), ("PSUM", psum)):
        ids = np.array([s.id for s in trace.storages if s.buffer is buffer and placement.born[s.id] >= 0], np.int64)
        if len(ids):
            size = np.array([trace.storages[i].shape[0] for i in ids], np.int64) * placement.size[ids]
            out[name] = (first_chip[placement.born[ids]], last_chip[placement.died[ids]], size)
    return out

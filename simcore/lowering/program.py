"""lower(): from what the kernel asked for to what the chip executes.

A Program is columns over chip instructions (a matmul is LDWEIGHTS and MATMUL, in float32 twice), their dependences, and the
transfers of the DMA triggers.  Costs are worked out once per variant and gathered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from simcore.isa.table import ENGINE_INDEX, Op
from simcore.lowering.allocate import Placement, place
from simcore.lowering.costs import ops_of
from simcore.lowering.dependences import REUSE, accesses, dependences
from simcore.lowering.dma import Transfer
from simcore.machine import Machine
from simcore.tensor import psum, sbuf
from simcore.trace import Trace, Variant


@dataclass(eq=False, kw_only=True)
class Program:
    """Chip instructions in program order.

    trace_row   instruction of the trace
    op          row of the op tables (opcodes, dtypes, flops, bytes), one per chip instruction of a variant
    edge_start  edges edge_start[i]:edge_start[i + 1] lead to chip instruction i, from `producer`, for `cause`
    transfers   Transfer of a DMA trigger, else None
    occupancy   "SBUF"/"PSUM": (first chip instruction, last, bytes over all partitions) per tile
    """

    cores: int
    trace_row: np.ndarray
    op: np.ndarray
    core: np.ndarray
    engine: np.ndarray
    issue_ps: np.ndarray
    latency_ps: np.ndarray
    pe_cycles: np.ndarray
    transfers: list[Transfer | None]
    edge_start: np.ndarray
    producer: np.ndarray
    cause: np.ndarray
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


def lower(trace: Trace, machine: Machine) -> Program:
    """Costs, addresses and dependences.  Raises CapacityError when a memory cannot hold the tiles alive at once."""
    ops: list[Op] = []
    first_op, count = [], []
    for v in trace.variants:
        mine = ops_of(v, machine)
        first_op.append(len(ops))
        count.append(len(mine))
        ops.extend(mine)
    first_op, count = np.array(first_op, np.int64), np.array(count, np.int64)
    per = count[trace.variant]
    trace_row = np.repeat(np.arange(len(trace)), per)
    first_chip = np.cumsum(per) - per
    op = first_op[trace.variant][trace_row] + np.arange(len(trace_row)) - first_chip[trace_row]
    engines = np.array([ENGINE_INDEX[o.engine] for o in ops], np.int8)
    last_chip = first_chip + per - 1

    stream = engines[first_op + count - 1][trace.variant] if len(trace) else np.zeros(0, np.int8)
    is_dma = np.array([ops[i].dma is not None for i in first_op], bool)
    if len(trace):
        stream = np.where(is_dma[trace.variant], stream + 8, stream) + 32 * trace.core
    placement = place(trace, machine)
    producer, consumer, operand, cause = dependences(trace, stream)
    producer, consumer, operand, cause = _with_reuse(trace, placement, stream, producer, consumer, operand, cause)
    reader = _reader(trace, ops, first_op)
    chip = first_chip[consumer] + reader[trace.variant[consumer], operand] if len(consumer) else consumer
    order = np.argsort(chip, kind="stable")
    edge_start = np.zeros(len(trace_row) + 1, np.int64)
    np.cumsum(np.bincount(chip, minlength=len(trace_row)), out=edge_start[1:])
    dma = [o.dma for o in ops]
    table = {name: np.array(column, np.int64) for name, column in _bytes(trace, ops, first_op, count).items()}
    return Program(
        cores=trace.cores, trace_row=trace_row, op=op, core=trace.core[trace_row], engine=engines[op] if len(op) else np.zeros(0, np.int8),
        issue_ps=np.array([o.issue_ps for o in ops], np.int64)[op], latency_ps=np.array([o.latency_ps for o in ops], np.int64)[op],
        pe_cycles=np.array([o.pe_cycles for o in ops], np.int64)[op], transfers=[dma[i] for i in op.tolist()],
        edge_start=edge_start, producer=last_chip[producer][order], cause=cause[order].astype(np.int8), ops=ops,
        opcodes=[o.opcode for o in ops], dtypes=[o.dtype for o in ops], elements=np.array([o.elements for o in ops], np.int64),
        flops=np.array([o.flops for o in ops], np.int64), placement=placement,
        occupancy=_occupancy(trace, placement, first_chip, last_chip), **table,
    )


def _reader(trace: Trace, ops: list[Op], first_op) -> np.ndarray:
    """Which chip instruction of a variant first touches each operand."""
    widest = max((len(v.operands) for v in trace.variants), default=0)
    out = np.zeros((len(trace.variants), max(widest, 1)), np.int64)
    for v in trace.variants:
        mine = ops[first_op[v.index]:first_op[v.index + 1]] if v.index + 1 < len(first_op) else ops[first_op[v.index]:]
        for i, o in enumerate(v.operands):
            out[v.index, i] = next((k for k, x in enumerate(mine) if o.name in x.reads or o.name in x.writes), 0)
    return out


def _with_reuse(trace: Trace, placement: Placement, stream, producer, consumer, operand, cause):
    """Add what follows from addresses: the first writes of a tile wait for the last accesses of the tiles whose place it takes."""
    if not placement.before:
        return producer, consumer, operand, cause
    instruction, position, reads, writes = accesses(trace)
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
                        extra.append((i, int(instruction[x]), int(position[x])))
    if not extra:
        return producer, consumer, operand, cause
    e = np.array(extra, np.int64)
    return (np.concatenate([producer, e[:, 0]]), np.concatenate([consumer, e[:, 1]]), np.concatenate([operand, e[:, 2]]),
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

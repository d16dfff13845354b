"""lower(): from what the kernel asked for to what the chip executes.

A Program is columns over the trace's instructions (what the schedule orders) and over chip instructions (what it shows:
a matmul is LDWEIGHTS and MATMUL, in float32 twice).  Costs are worked out once per variant and gathered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, get_args

import numpy as np

from simcore.errors import CapacityError
from simcore.isa.table import ENGINE_INDEX, Engine, Op
from simcore.layout import psum, sbuf
from simcore.lowering.allocate import Mode, Placement, capacity, place
from simcore.lowering.casts import with_casts
from simcore.lowering.costs import ops_of
from simcore.lowering.demand import as_written, by_demand, evicted_early
from simcore.lowering.dependences import DATA, REUSE, accesses, dependences, unique_edges
from simcore.lowering.engines import choose_engines
from simcore.lowering.evict import evicted
from simcore.lowering.identities import with_identities
from simcore.lowering.tables import insert_table_loads
from simcore.lowering.units import LEGACY, Units, rewritten, units_of
from simcore.lowering.versions import privatize
from simcore.lowering.written import Written
from simcore.machine import Machine
from simcore.ordering import runs, stable_order
from simcore.trace import Trace

Edges = tuple[np.ndarray, np.ndarray, np.ndarray]               # producer, consumer, cause


@dataclass(eq=False, kw_only=True)
class Program:
    """Units in program order, and the chip instructions each becomes.

    unit_row     per chip instruction: its unit (lowering/units.py: an instruction, or several done at once)
    trace_row    per chip instruction: instruction of the trace
    op           per chip instruction: row of the op tables (one row per chip instruction of a kind)
    kind         per unit: an index into `kinds` (the variant and how it is done) and `kind_ops`
    first_chip   per unit: its first chip instruction; the others follow
    stream       per unit: what it is executed by, an index into `streams`
    producer, consumer, cause, soft
                 dependences between units; a soft one asks for the order only (one engine)
    occupancy    "SBUF"/"PSUM": (first chip instruction, last, bytes over all partitions) per tile
    """

    cores: int
    unit_row: np.ndarray
    trace_row: np.ndarray
    op: np.ndarray
    core: np.ndarray
    engine: np.ndarray
    first_chip: np.ndarray
    last_chip: np.ndarray
    first_op: np.ndarray
    stream: np.ndarray
    streams: list[Stream]
    kind: np.ndarray
    kinds: list[Kind]
    kind_ops: list[tuple[Op, ...]]
    legacy: bool
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
    trace: Trace | None = None      # where instructions were added or changed: the trace that trace_row speaks of


@dataclass(frozen=True, slots=True)
class Stream:
    """Something that executes instructions one after the other: an engine, or a DMA queue of an engine."""

    core: int
    engine: str
    queue: str = ""         # "hw", "sw", "static" for DMA queues


def lower(trace: Trace, machine: Machine, spill: bool = True) -> Program:
    """Costs, addresses and dependences.  Raises CapacityError when a memory cannot hold the tiles alive at once."""
    written = trace.variants
    trace, units, placement = _plan(trace, machine, spill)
    kinds, kind = _kinds(trace, units)
    variant_ops = [ops_of(trace.variants[k.variant], machine, *k[1:]) for k in kinds]
    if trace.info.get("dialect") == LEGACY:
        kinds, kind, variant_ops = choose_engines(trace, machine, units, kinds, kind, variant_ops)
    kinds, kind, variant_ops = insert_table_loads(trace, machine, trace.core[units.row], kinds, kind, variant_ops)
    ops = [o for mine in variant_ops for o in mine]
    count = np.array([len(mine) for mine in variant_ops], np.int64)
    first_op = np.cumsum(count) - count
    per = count[kind]
    unit_row = np.repeat(np.arange(len(kind)), per)
    first_chip = np.cumsum(per) - per
    last_chip = first_chip + per - 1
    op = first_op[kind][unit_row] + np.arange(len(unit_row)) - first_chip[unit_row]
    engines = np.array([ENGINE_INDEX[o.engine] for o in ops], np.int8)
    core = trace.core[units.row]
    stream, streams = _streams(core, kind, variant_ops)

    producer, consumer, cause = _with_reuse(trace, units, placement, stream)
    soft = _soft(producer, consumer, cause, stream, streams)
    table = {name: np.array(column, np.int64) for name, column in _bytes(trace, kinds, variant_ops).items()}
    return Program(
        cores=trace.cores, unit_row=unit_row, trace_row=units.row[unit_row], op=op, core=core[unit_row],
        engine=engines[op] if len(op) else np.zeros(0, np.int8), first_chip=first_chip, last_chip=last_chip,
        first_op=first_op, stream=stream, streams=streams, kind=kind, kinds=kinds, kind_ops=variant_ops,
        legacy=trace.info.get("dialect") == LEGACY,
        producer=producer, consumer=consumer, cause=cause, soft=soft, ops=ops, opcodes=[o.opcode for o in ops],
        dtypes=[o.dtype for o in ops], elements=np.array([o.elements for o in ops], np.int64),
        flops=np.array([o.flops for o in ops], np.int64), placement=placement,
        occupancy=_occupancy(trace, placement, first_chip, last_chip),
        trace=trace if trace.variants is not written else None, **table,
    )


def _plan(trace: Trace, machine: Machine, spill: bool) -> tuple[Trace, Units, Placement]:
    """Units and addresses.  The older compiler keeps fewer loads for later when they do not fit."""
    if trace.info.get("dialect") != LEGACY:
        edges = dependences(trace)
        units = units_of(trace, machine, *edges)
        try:
            return trace, units, place(trace, machine, units)
        except CapacityError as e:
            found = _fitted(trace, machine, edges) if spill else _closer(trace, machine, units)
            if found is None:
                raise e from None
            return found
    trace = with_casts(with_identities(trace, machine))
    renamed = privatize(trace)
    edges = dependences(renamed)
    found = _rewritten(renamed, machine, edges)
    if found is not None:
        return found
    edges = dependences(trace)
    units = units_of(trace, machine, *edges, 0.0)
    try:
        return trace, units, place(trace, machine, units)
    except CapacityError as e:
        try:
            units = by_demand(trace, *edges)
            return trace, units, place(trace, machine, units)
        except CapacityError:
            orders = [np.arange(len(renamed)), by_demand(renamed, *dependences(renamed)).row]
            found = (_spilled(renamed, machine, orders, "apart")
                     or _fitted(renamed, machine, dependences(renamed)))
            if found is None:
                raise e from None
            return found


def _closer(trace: Trace, machine: Machine, units: Units) -> tuple[Trace, Units, Placement] | None:
    modes: tuple[Mode, ...] = get_args(Mode)
    for mode in modes:
        try:
            return trace, units, place(trace, machine, units, mode)
        except CapacityError:
            continue
    return None


def _fitted(trace: Trace, machine: Machine, edges: Edges) -> tuple[Trace, Units, Placement] | None:
    """The order written with closer addresses, else with PSUM evicted early or by demand, else with tiles spilled; and
    all of it again with PSUM tiles moved to SBUF.

    The compiler schedules instructions itself and inserts spills where the live data overflows a memory
    (documented: "memory hierarchy overview"); in which order it tries is not.
    """
    found = _reordered(trace, machine, edges)
    if found is None:
        moved = evicted(trace, machine.psum.banks)
        found = None if moved is None else _reordered(moved, machine, dependences(moved))
    return found


def _reordered(trace: Trace, machine: Machine, edges: Edges) -> tuple[Trace, Units, Placement] | None:
    orders: list[Units] = []
    for make in (as_written, evicted_early, by_demand):
        orders.append(make(trace, *edges))
        found = _closer(trace, machine, orders[-1])
        if found is not None:
            return found
    return _spilled(trace, machine, [o.row for o in orders], "fitted")


def _rewritten(trace: Trace, machine: Machine, edges: Edges) -> tuple[Trace, Units, Placement] | None:
    """With fewer iterations done at once where a memory overflows, and with fewer loads kept where SBUF still does.

    What the compiler gives up last is known from the bytes read: a matmul whose right side fills two thirds of SBUF is
    read once, though merging the small reductions around it would keep whole rows of several iterations alive
    (NKIBench matmul_add_rmsnorm on trn1: 98 MB, 604 MB if loads went first).
    """
    widest = machine.compiler.merge_iterations_without_psum
    given = Written(trace, *edges)
    for room in (1.0, 0.5, 0.1):
        width = widest
        while width:
            found, full = _with_width(given, machine, room, width)
            if found is not None:
                return found
            if full == "psum":
                widest = width // 2
            elif width == widest and _with_width(given, machine, room, 1)[1] == "sbuf":
                break                       # one at a time is too much: only fewer loads can help
            width //= 2
    return None


def _with_width(given: Written, machine: Machine, room: float,
                width: int) -> tuple[tuple[Trace, Units, Placement] | None, str]:
    """Units with as many iterations done at once, and addresses; or None and the memory that overflows."""
    narrow = machine.replace(**{f"compiler.{name}": min(width, getattr(machine.compiler, name))
                                for name in ("merge_iterations", "merge_iterations_without_psum")})
    trace, units = given.trace, rewritten(given, narrow, room)
    modes: tuple[Mode, ...] = get_args(Mode)
    full = ""
    for mode in modes[:3]:
        try:
            return (trace, units, place(trace, machine, units, mode)), ""
        except CapacityError as e:
            full = e.memory
    return None, full


def _spilled(trace: Trace, machine: Machine, orders: list[np.ndarray],
             mode: Mode) -> tuple[Trace, Units, Placement] | None:
    """With tiles spilled to HBM, in the one of these orders that moves least.

    Using less of SBUF leaves room for gaps.
    """
    from simcore.lowering.spill import spill

    size, grain = capacity(machine, sbuf)
    found: list[tuple[Trace, Units, Placement]] = []
    for order in orders:
        for share in (0.95, 0.8, 0.7, 0.6, 0.5):
            try:
                spilled = spill(trace, int(share * size), grain, order)
                units = as_written(spilled, *dependences(spilled))
                way: Mode = "packed" if mode == "apart" and share == 0.5 else mode
                found.append((spilled, units, place(spilled, machine, units, way)))
                break
            except CapacityError as e:
                if e.memory == "psum":
                    break
    return min(found, key=lambda f: f[0].info["spilled_bytes"], default=None)


class Kind(NamedTuple):
    """What units with the same chip instructions share: the variant, and the arguments of `ops_of`."""

    variant: int
    times: int
    argument: bool
    psum: int
    chosen: Engine | None = None


def _kinds(trace: Trace, units: Units) -> tuple[list[Kind], np.ndarray]:
    """The distinct kinds of the units, and which one each unit is."""
    widest = int(units.times.max(initial=1)) + 1
    argument = np.zeros(len(units.row), np.int64)
    if len(trace):
        # the compiler moves arguments and results by software descriptors, what lies between by hardware ones
        outer = np.array([s.kind != "tile" for s in trace.storages], bool)[trace.region_storage[trace.access]]
        some = np.zeros(len(trace), bool)
        some[np.repeat(np.arange(len(trace)), np.diff(trace.access_start))[outer]] = True
        argument = some[units.row].astype(np.int64)
    psum_bits = np.zeros(len(trace), np.int64)
    if units.in_psum:
        moved = np.zeros(len(trace.storages), bool)
        moved[list(units.in_psum)] = True
        instruction = np.repeat(np.arange(len(trace)), np.diff(trace.access_start))
        position = np.arange(len(instruction)) - trace.access_start[instruction]
        hit = moved[trace.region_storage[trace.access]] & (position < 8)
        np.bitwise_or.at(psum_bits, instruction[hit], 1 << position[hit])
    code = ((trace.variant[units.row].astype(np.int64) * widest + units.times) * 2
            + argument) * 256 + psum_bits[units.row]
    code, kind = np.unique(code, return_inverse=True)
    return [Kind(int(c) // 512 // widest, int(c) // 512 % widest, bool(c >> 8 & 1), int(c) & 255)
            for c in code], kind.reshape(-1)


def _streams(core, kind, kind_ops) -> tuple[np.ndarray, list[Stream]]:
    """What executes each unit."""
    names = [(mine[0].engine.display, mine[0].dma.mode if mine[0].dma is not None else "") for mine in kind_ops]
    distinct = list(dict.fromkeys(names))
    which = np.array([distinct.index(n) for n in names], np.int64)[kind] if len(kind) else np.zeros(0, np.int64)
    used, stream = np.unique(core.astype(np.int64) * max(1, len(distinct)) + which, return_inverse=True)
    return stream.reshape(-1), [Stream(int(c) // len(distinct), *distinct[int(c) % len(distinct)]) for c in used]


def _soft(producer, consumer, cause, stream, streams: list[Stream]) -> np.ndarray:
    """Which dependences the order of an engine already guarantees.

    The Tensor engine forwards accumulations, so its own instructions only follow each other; on the other engines a
    result must be written before the same engine can read it, but overwriting what it has read needs no wait.
    """
    tensor = np.array([s.engine == "Tensor" for s in streams], bool)
    queue = np.array([bool(s.queue) for s in streams], bool)
    same = (stream[producer] == stream[consumer]) & ~queue[stream[consumer]]
    return same & ((cause != DATA) | tensor[stream[consumer]])


def _with_reuse(trace: Trace, units: Units, placement: Placement, stream):
    """Dependences between units, with what follows from addresses: the first writes of a tile wait for the last
    accesses of the tiles whose place it takes."""
    old, new = placement.before.T
    if not len(old):
        return units.producer, units.consumer, units.cause
    instruction, reads, _ = accesses(trace)
    unit, storage = units.unit[instruction], trace.region_storage[trace.access]
    of_interest = np.zeros(len(trace.storages), bool)
    of_interest[old] = of_interest[new] = True
    entry = np.flatnonzero(of_interest[storage])
    order = entry[stable_order(storage[entry], unit[entry])]
    unit, storage, reads = unit[order], storage[order], reads[order]
    at = np.arange(len(order))
    head = runs(storage)
    begin = np.maximum.accumulate(np.where(head, at, 0))
    # up to the first read, beside what comes first; of each unit once
    stop = np.cumsum(reads & ~head)
    first = at[(stop == stop[begin]) & (head | runs(unit))]
    # the last on each stream
    by_stream = stable_order(storage, stream[unit])
    key = storage[by_stream].astype(np.int64) * (int(stream.max()) + 1) + stream[unit[by_stream]]
    last = by_stream[np.append(key[1:] != key[:-1], True)]
    producer, consumer = _pairs(unit[last], storage[last], unit[first], storage[first], old, new)
    if not (producer < consumer).any():
        return units.producer, units.consumer, units.cause
    return unique_edges(np.concatenate([units.producer, producer]), np.concatenate([units.consumer, consumer]),
                        np.concatenate([units.cause, np.full(len(producer), REUSE, np.int8)]))


def _pairs(a, group_a, b, group_b, old, new) -> tuple[np.ndarray, np.ndarray]:
    """Every a of group `old` with every b of group `new`, for all (old, new); the groups are ascending."""
    start, count = np.searchsorted(group_a, old), np.searchsorted(group_a, old, "right")
    count -= start
    width_start, width = np.searchsorted(group_b, new), np.searchsorted(group_b, new, "right")
    width -= width_start
    pairs = count * width
    row = np.repeat(np.arange(len(old)), pairs)
    within = np.arange(len(row)) - (np.cumsum(pairs) - pairs)[row]
    across, down = np.divmod(within, width[row])
    return a[start[row] + across], b[width_start[row] + down]


def _bytes(trace: Trace, kinds, kind_ops) -> dict[str, list[int]]:
    """Bytes each chip instruction reads and writes per memory."""
    total = sum(len(mine) for mine in kind_ops)
    table = {f"{m}_{d}_bytes": [0] * total for m in ("hbm", "sbuf", "psum") for d in ("read", "write")}
    k = 0
    for (variant, times, *_), mine in zip(kinds, kind_ops, strict=True):
        v = trace.variants[variant]
        for op in mine:
            for o in v.operands:
                memory = o.layout.buffer.value if o.layout.on_chip else "hbm"
                if o.name in op.reads and "r" in o.access:
                    table[f"{memory}_read_bytes"][k] += times * o.layout.nbytes
                if o.name in op.writes:
                    table[f"{memory}_write_bytes"][k] += times * o.layout.nbytes
            k += 1
    return table


def _occupancy(trace: Trace, placement: Placement, first_chip, last_chip) -> dict[str, tuple]:
    kinds, kind = trace.storage_kinds
    partitions = np.array([k.shape[0] if k.buffer.on_chip else 0 for k in kinds], np.int64)
    out = {}
    for name, buffer in (("SBUF", sbuf), ("PSUM", psum)):
        here = np.array([k.buffer is buffer for k in kinds], bool)
        ids = np.flatnonzero(here[kind] & (placement.born >= 0))
        if len(ids):
            size = partitions[kind[ids]] * placement.size[ids]
            out[name] = (first_chip[placement.born[ids]], last_chip[placement.died[ids]], size)
    return out

"""From the rows of a vendor's profile to a Timeline, whatever file they came in.

Readers fill `Rows` (the profile's own units turned into picoseconds, bytes as the vendor
counts them); `assemble` sorts, links DMA packets to their triggers, finds what every
instruction waited for, and scales SBUF and PSUM bytes to all partitions.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simcore.errors import FileError
from simcore.profile import vendor
from simcore.profile.counters import derived_counters
from simcore.profile.links import find_waits, finish_triggers, infer_triggers
from simcore.timeline import (
    CAUSES,
    MEMORIES,
    ClockStates,
    Counter,
    Dependences,
    DmaTransfers,
    Instructions,
    Site,
    Timeline,
)

MAX_TIME_PS = 10**18     # eleven days
MAX_AMOUNT = 1 << 48      # bytes or multiply-adds of one instruction
TRAFFIC = tuple(f"{memory}_{way}_bytes" for memory in ("hbm", "sbuf", "psum") for way in ("read", "write"))
"""Columns of bytes, named alike in the vendor's files and in Instructions."""


def _q() -> array:
    return array("q")


class Words:
    """Text to small numbers, in order of appearance."""

    def __init__(self, what: str = "texts", most: int = 1 << 30):
        self.index: dict[str, int] = {}
        self.what, self.most = what, most

    def __call__(self, word: str) -> int:
        number = self.index.setdefault(word, len(self.index))
        if number >= self.most:
            raise FileError(f"the profile has more than {self.most:,} different {self.what}, which no profile has")
        return number

    def all(self) -> tuple[str, ...]:
        return tuple(self.index)


@dataclass
class Rows:
    """What a reader collects.  Arrays of one table have one length; times in ps; bytes as the vendor counts them."""

    opcodes: Words = field(default_factory=lambda: Words("opcodes", 1 << 12))
    strings: Words = field(default_factory=Words)
    sites: Words = field(default_factory=Words)
    queues: Words = field(default_factory=lambda: Words("queues", 1 << 12))
    # instructions
    id: array = field(default_factory=_q)
    core: array = field(default_factory=_q)
    engine: array = field(default_factory=_q)
    opcode: array = field(default_factory=_q)
    operands: array = field(default_factory=_q)
    site: array = field(default_factory=_q)
    start: array = field(default_factory=_q)
    duration: array = field(default_factory=_q)
    done: array = field(default_factory=_q)          # when a trigger's transfer is done, 0 unknown; empty: not said
    wait: array = field(default_factory=_q)
    transpose: array = field(default_factory=_q)
    elements: array = field(default_factory=_q)
    per_partition: bool = True                       # SBUF and PSUM bytes of compute rows, as the vendor counts
    traffic: dict[str, array] = field(default_factory=lambda: {name: _q() for name in TRAFFIC})
    # edges, by instruction id
    edge_in: array = field(default_factory=_q)
    edge_out: array = field(default_factory=_q)
    edge_cause: array = field(default_factory=_q)
    # DMA packets
    dma_core: array = field(default_factory=_q)
    dma_engine: array = field(default_factory=_q)
    dma_queue: array = field(default_factory=_q)
    dma_start: array = field(default_factory=_q)
    dma_duration: array = field(default_factory=_q)
    dma_read: array = field(default_factory=_q)
    dma_write: array = field(default_factory=_q)
    dma_order: array = field(default_factory=_q)     # position within its queue where starts are equal
    dma_kind: array = field(default_factory=_q)      # index into kinds
    dma_trigger: array = field(default_factory=_q)   # id of the instruction, -1 unknown; empty: nothing is said
    dma_source: array = field(default_factory=_q)    # index into MEMORIES; empty: as its trigger's bytes say
    dma_dest: array = field(default_factory=_q)
    kinds: Words = field(default_factory=Words)      # the vendor's queue_type
    # limiter: (core, start, duration, k, n)
    clock: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    # counters: name -> [(core, time, value)]
    counters: dict[str, list[tuple[int, int, float]]] = field(default_factory=lambda: defaultdict(list))
    semaphore_owner: dict[int, str] = field(default_factory=dict)


def assemble(rows: Rows, *, name: str, target: str, totals: dict[str, int], info: dict[str, Any]) -> Timeline:
    """The Timeline of a measured profile.  Raises FileError where times or amounts cannot be true."""
    _check(rows)
    columns, waited, order = _instruction_columns(rows)
    opcodes, strings = rows.opcodes.all(), rows.strings.all()
    names, texts = [opcodes[i] for i in columns["opcode"]], [strings[i] for i in columns["operands"]]
    if rows.per_partition:
        _scale_bytes(columns, names, texts)
    dtypes = _dtypes(columns, strings)

    dma, packet_order, kind = _dma_columns(rows)
    fetch = np.array([k == "instruction" for k in rows.kinds.all()] or [False], bool)[kind]
    row_of = _row_of_id(_np(rows.id)[order].tolist())
    if any(trigger >= 0 for trigger in rows.dma_trigger):
        recorded = [row_of.get(i, -1) for i in rows.dma_trigger]
        dma["instruction"] = np.array(recorded, np.int64)[packet_order]
    else:
        infer_triggers(columns, names, texts, dma, fetch, rows.queues.all(), rows.semaphore_owner)
    linked = finish_triggers(columns, dma)
    for side, given in (("source", rows.dma_source), ("dest", rows.dma_dest)):
        if len(given):
            known = _np(given)[packet_order]
            dma[side] = np.where(known < MEMORIES.index("?"), known, dma[side])

    edges = _edges(rows, row_of, columns, names)
    find_waits(columns, names, texts, waited, edges)

    table, packets = Instructions(**columns), DmaTransfers(**dma)
    counters = {n: _counter(points) for n, points in sorted(rows.counters.items()) if points}
    derived = derived_counters(table, packets) if linked else {}
    info = info | {
        "setup_opcodes": sorted(vendor.SETUP_OPCODES), "dma_packets_linked": linked,
        "derived_counters": sorted(set(derived) - set(counters)), "queue_types": _queue_types(rows, dma, kind),
    }
    clock = sorted(rows.clock)
    return Timeline(
        name=name, kind="measured", target=target, instructions=table, dma=packets, dependences=edges,
        clock=ClockStates(core=_c(clock, 0), start_ps=_c(clock, 1), end_ps=_c(clock, 1) + _c(clock, 2),
                          k=_c(clock, 3), n=_c(clock, 4)),
        opcodes=opcodes, strings=strings, sites=tuple(_site(s) for s in rows.sites.all()), queues=rows.queues.all(),
        dtypes=dtypes, counters=dict(sorted((derived | counters).items())),
        totals=_kernel_totals(table, packets, names, fetch) | totals, info=info,
    )


def _check(rows: Rows) -> None:
    _check_times("instruction", _np(rows.start), _np(rows.duration))
    _check_times("dma", _np(rows.dma_start), _np(rows.dma_duration))
    for what, amount in (*rows.traffic.items(), ("elements", rows.elements)):
        _check_amount("instruction", what, _np(amount))
    _check_amount("dma", "read_bytes", _np(rows.dma_read))
    _check_amount("dma", "write_bytes", _np(rows.dma_write))


def _instruction_columns(rows: Rows) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """(columns of Instructions, how long each row waited, the rows' places in the file), ordered by start."""
    start, duration, waited = _np(rows.start).copy(), _np(rows.duration).copy(), _np(rows.wait).copy()
    # EVENT_SEMAPHORE rows are nothing but waiting: they take no time of the engine when it comes
    pure_wait = np.array([op in vendor.WAITING_OPCODES for op in rows.opcodes.all()] or [False], bool)[_np(rows.opcode)]
    start[pure_wait] += duration[pure_wait]
    waited[pure_wait] = duration[pure_wait]
    duration[pure_wait] = 0
    # the file's order is kept among equals, so that the same file always gives the same rows
    order = np.argsort(start, kind="stable")
    end = start + duration
    done = np.maximum(end, _np(rows.done)) if len(rows.done) else end
    elements, transpose = _np(rows.elements), _np(rows.transpose) != 0
    # the profiler counts an fp32 product's multiply-adds in each of its two passes; the arithmetic is done once
    half = np.array(["fp32_mode=" in text for text in rows.strings.all()] or [False],
                    bool)[_np(rows.operands)] & (_np(rows.operands) >= 0)
    given = {"core": _np(rows.core), "engine": _np(rows.engine), "opcode": _np(rows.opcode),
             "operands": _np(rows.operands), "site": _np(rows.site), "start_ps": start, "end_ps": end, "done_ps": done,
             "elements": elements, "flops": np.where(transpose, 0, np.where(half, elements, 2 * elements))}
    given |= {name: _np(column) for name, column in rows.traffic.items()}
    table = Instructions.filled(len(order), source_row=order, **{name: column[order] for name, column in given.items()})
    return {f: getattr(table, f).copy() for f in Instructions.__dataclass_fields__}, waited[order], order


def _dma_columns(rows: Rows) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """(columns of DmaTransfers, the packets' places in the file, the queue_type of each), ordered by start."""
    start = _np(rows.dma_start)
    order = np.lexsort((_np(rows.dma_order), start))
    unknown = np.full(len(order), MEMORIES.index("?"))
    columns = {
        "core": _np(rows.dma_core)[order], "engine": _np(rows.dma_engine)[order], "queue": _np(rows.dma_queue)[order],
        "instruction": np.full(len(order), -1), "start_ps": start[order],
        "end_ps": (start + _np(rows.dma_duration))[order], "read_bytes": _np(rows.dma_read)[order],
        "write_bytes": _np(rows.dma_write)[order], "descriptors": np.ones(len(order)),
        "source": unknown, "dest": unknown.copy(),
    }
    return columns, order, _np(rows.dma_kind)[order]


def _dtypes(columns: dict, strings: tuple[str, ...]) -> tuple[str, ...]:
    """The dtype of the arithmetic, from the operands' text."""
    words = Words("dtypes", 100)
    of_text = np.array([words(d) if (d := vendor.dtype_of(text)) else -1 for text in strings] or [-1], np.int8)
    columns["dtype"] = of_text[columns["operands"]]
    return words.all()


def _kernel_totals(i: Instructions, d: DmaTransfers, names: list[str], fetch: np.ndarray) -> dict[str, int]:
    """Where the kernel's own work begins and ends between the runtime's set-up, and the whole."""
    kernel = np.array([name not in vendor.SETUP_OPCODES for name in names], bool)
    start = np.concatenate([i.start_ps[kernel], d.start_ps[~fetch]])
    end = np.concatenate([i.end_ps[kernel], d.end_ps[~fetch]])
    totals = {"profiled_ps": int(max(i.end_ps.max(initial=0), d.end_ps.max(initial=0)))}
    if len(start):
        first, last = int(start.min()), int(end.max())
        totals |= {"kernel_start_ps": first, "kernel_end_ps": last, "kernel_ps": last - first}
    return totals


def _np(column: array) -> np.ndarray:
    return np.frombuffer(column, np.int64) if len(column) else np.zeros(0, np.int64)


def _c(rows: list[tuple], i: int) -> np.ndarray:
    return np.array([r[i] for r in rows], np.int64)


def _check_times(table: str, start: np.ndarray, duration: np.ndarray) -> None:
    if not len(start):
        return
    for what, column in (("timestamp", start), ("duration", duration)):
        if column.min() < 0:
            raise FileError(f"row {int(column.argmin())} of {table!r} has the negative {what} {int(column.min())} ps")
        if column.max() > MAX_TIME_PS:
            raise FileError(
                f"row {int(column.argmax())} of {table!r} has the {what} {int(column.max())} ps, "
                "longer than eleven days")


def _check_amount(table: str, what: str, amount: np.ndarray) -> None:
    if len(amount) and not 0 <= amount.min() <= amount.max() <= MAX_AMOUNT:
        row = int(amount.argmin() if amount.min() < 0 else amount.argmax())
        raise FileError(f"row {row} of {table!r} has {what} {int(amount[row])}, which no instruction can have")


def _site(text: str) -> Site:
    file, _, line = text.rpartition(":")
    return Site(file, int(line)) if file and line.isdigit() and len(line) < 9 else Site(text, 0)


def _queue_types(rows: Rows, dma: dict, kind: np.ndarray) -> dict[str, str]:
    """Queue name -> the vendor's queue_type (one each)."""
    pairs = {(int(q), int(k)) for q, k in zip(dma["queue"], kind)} if len(kind) else set()
    return {rows.queues.all()[q]: rows.kinds.all()[k] for q, k in sorted(pairs)}


def _scale_bytes(columns: dict, names: list[str], texts: list[str]) -> None:
    """SBUF and PSUM bytes of compute rows from one partition to all of them."""
    known: dict[tuple[str, str], tuple[int, int]] = {}
    read, written = np.ones(len(names), np.int64), np.ones(len(names), np.int64)
    for i, key in enumerate(zip(names, texts)):
        if key not in known:
            known[key] = vendor.partitions(*key)
        read[i], written[i] = known[key]
    for memory in ("sbuf", "psum"):
        columns[f"{memory}_read_bytes"] *= read
        columns[f"{memory}_write_bytes"] *= written


def _row_of_id(ids: list[int]) -> dict[int, int]:
    """The first row of each id (a damaged profile may have several)."""
    rows: dict[int, int] = {}
    for row, i in enumerate(ids):
        rows.setdefault(i, row)
    return rows


def _edges(rows: Rows, row_of: dict[int, int], columns: dict, names: list[str]) -> Dependences:
    """The profile's `predecessors` as edges between rows, without those that say only "same engine, in order"."""
    producer = np.array([row_of.get(i, -1) for i in rows.edge_in], np.int64)
    consumer = np.array([row_of.get(i, -1) for i in rows.edge_out], np.int64)
    cause = _np(rows.edge_cause).copy()
    keep = (producer >= 0) & (consumer >= 0) & (producer != consumer)
    same = np.zeros(len(keep), bool)
    same[keep] = columns["engine"][producer[keep]] == columns["engine"][consumer[keep]]
    keep &= ~(same & (cause == CAUSES.index("order")))
    # An edge says the consumer needed the producer; one that the clock contradicts is the compiler's, not the run's.
    keep[keep] &= columns["start_ps"][producer[keep]] <= columns["start_ps"][consumer[keep]]
    producer, consumer, cause = producer[keep], consumer[keep], cause[keep]
    trigger = np.array([vendor.is_dma(n) for n in names], bool)
    if len(cause):
        cause[trigger[producer] & (cause == CAUSES.index("data"))] = CAUSES.index("dma")
    by = np.lexsort((producer, consumer))
    return Dependences(producer=producer[by], consumer=consumer[by], cause=cause[by])


def _counter(points: list[tuple[int, int, float]]) -> Counter:
    """A step function, summed over the physical cores."""
    points = sorted(points, key=lambda p: p[1])
    now: dict[int, float] = {}
    times: list[int] = []
    values: list[float] = []
    for core, time, value in points:
        now[core] = value
        total = sum(now.values())
        if times and times[-1] == time:
            values[-1] = total
        else:
            times.append(time)
            values.append(total)
    return Counter(time_ps=np.array(times, np.int64), value=np.array(values, np.float64))

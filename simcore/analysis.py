"""Why a timeline looks as it does: chains of waits, the critical path, stalls, figures per kernel line.

Every view asks here, so the terminal, the report, `explain` and `compare` cannot disagree.  All functions work on
simulated and on measured timelines; where a measured profile does not say what an instruction waited for, the
latest of its known producers and of its engine's previous instruction is taken (an inference, not a record).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simcore.timeline import CAUSES, ENGINES, Site, Timeline, union_ps

SETUP_OPCODES = frozenset(
    {
        "NOP",
        "SET_ORDERING_MODE",
        "EVENT_SEMAPHORE",
        "EVENT_SEMAPHORE_RANGE_CLEAR",
        "NOTIFY",
        "COMPARE_BRANCH",
        "DRAIN",
        "WRITE",
        "TENSOR_LOAD",
        "MODIFY_POOL_CONFIG",
    }
)
"""Opcodes of the runtime, not of the kernel.  Source: the vendor's profile schema, definition of total_exec_time."""

LANES = (*ENGINES, "DMA")
"""What a stretch of the critical path can be spent on: the engines, then DMA transfers in flight."""


def kernel_rows(timeline: Timeline) -> np.ndarray:
    """Rows that are the kernel's own work: all of a simulated run; a measured one has the runtime's rows too."""
    t = timeline.instructions
    if timeline.kind == "simulated":
        return np.arange(len(t))
    setup = np.array([name in SETUP_OPCODES for name in timeline.opcodes], bool)
    return np.flatnonzero(~setup[t.opcode]) if len(setup) else np.arange(len(t))


def kernel_transfers(timeline: Timeline) -> np.ndarray:
    """Rows of `dma` that are the kernel's own traffic: a measured profile also has the fetching of instructions."""
    kinds = timeline.info.get("queue_types", {})
    fetch = np.array([kinds.get(name) == "instruction" for name in timeline.queues], bool)
    return np.flatnonzero(~fetch[timeline.dma.queue]) if fetch.any() else np.arange(len(timeline.dma))


def span_ps(timeline: Timeline) -> tuple[int, int]:
    """From the kernel's first start to its last end; the runtime's set-up rows of a measured profile are outside."""
    rows = kernel_rows(timeline)
    t = timeline.instructions
    if timeline.kind == "simulated" or not len(rows):
        return 0, timeline.end_ps
    ends = (t.end_ps[rows], t.done_ps[rows], timeline.dma.end_ps[kernel_transfers(timeline)])
    return int(t.start_ps[rows].min()), max(int(end.max()) for end in ends if len(end))


@lru_cache(maxsize=8)
def occupied_ps(timeline: Timeline) -> np.ndarray:
    """Per row, its share of its engine's busy time: moments that several instructions overlap in are divided equally.

    Instructions of one engine may overlap (a MATMUL lasts until its result is there, the next is fed long before), so
    durations add up to more than the engine was busy.  These shares add up to it (float64 picoseconds).
    """
    t = timeline.instructions
    occupied = np.zeros(len(t), np.float64)
    rows = kernel_rows(timeline)
    key = t.core[rows].astype(np.int64) * len(ENGINES) + t.engine[rows]
    for lane in np.unique(key):
        start, end = t.start_ps[rows[key == lane]], t.end_ps[rows[key == lane]]
        moment = np.unique(np.concatenate([start, end]))
        running = np.searchsorted(np.sort(start), moment, "right") - np.searchsorted(np.sort(end), moment, "right")
        each = np.diff(moment, append=moment[-1]) / np.maximum(running, 1)  # a moment's length for one of those running
        until = np.concatenate([[0.0], np.cumsum(each)])
        at_start, at_end = np.searchsorted(moment, start), np.searchsorted(moment, end)
        occupied[rows[key == lane]] = until[at_end] - until[at_start]
    occupied.setflags(write=False)
    return occupied


# ---------------------------------------------------------------------------------------------------- chains of waits


@lru_cache(maxsize=8)
def waited_on(timeline: Timeline) -> np.ndarray:
    """Per row, the row it waited for last, -1 for none; always an earlier row, so chains end."""
    t = timeline.instructions
    n = len(t)
    on = t.wait_on.astype(np.int64)
    rows = np.arange(n)
    on = np.where(on < rows, on, -1)
    unknown = (on < 0) & (t.wait_cause != CAUSES.index("start"))
    if not unknown.any():
        return on
    previous = _previous_on_engine(timeline)
    best, ready = previous.copy(), np.where(previous >= 0, t.end_ps[previous], -1)
    d = timeline.dependences
    ok = d.producer < d.consumer
    producer, consumer = d.producer[ok], d.consumer[ok]
    done = np.maximum(t.done_ps[producer], t.end_ps[producer])
    order = np.lexsort((done, consumer))
    producer, consumer, done = producer[order], consumer[order], done[order]
    last = np.flatnonzero(np.diff(consumer, append=-1))  # the latest producer of each consumer
    later = done[last] > ready[consumer[last]]
    best[consumer[last][later]] = producer[last][later]
    return np.where(unknown, best, on)


def _previous_on_engine(timeline: Timeline) -> np.ndarray:
    t = timeline.instructions
    key = t.core.astype(np.int64) * len(ENGINES) + t.engine
    order = np.argsort(key, kind="stable")
    previous = np.full(len(t), -1, np.int64)
    same = key[order][1:] == key[order][:-1]
    previous[order[1:][same]] = order[:-1][same]
    return previous


def chain_back(timeline: Timeline, row: int) -> Iterator[int]:
    """`row`, then what it waited for, and what that waited for, to the first instruction."""
    on = waited_on(timeline)
    while row >= 0:
        yield int(row)
        row = on[row]


def waiters(timeline: Timeline, row: int) -> np.ndarray:
    """Rows that waited for `row` last, ordered by start."""
    return np.flatnonzero(waited_on(timeline) == row)


# ---------------------------------------------------------------------------------------------------- critical path

KINDS = ("run", "dma", "handoff", "launch")
"""What a stretch of the critical path is: an engine works, a DMA transfer is in flight, a result travels (semaphore,
pipeline), or nothing had started yet."""


@dataclass(frozen=True, eq=False)
class CriticalPath:
    """The chain of waits that ends with the last row done, cut into stretches that add up to the whole time.

    Stretch i belongs to instruction `row[i]` and lasts from `start_ps[i]` to `end_ps[i]`; `kind[i]` indexes KINDS.
    """

    timeline: Timeline
    row: np.ndarray
    kind: np.ndarray
    start_ps: np.ndarray
    end_ps: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Instructions on the path, first to last."""
        return np.unique(self.row)

    @property
    def total_ps(self) -> int:
        return int((self.end_ps - self.start_ps).sum())

    def by_lane(self) -> dict[str, int]:
        """Picoseconds by engine, "DMA" for transfers in flight, "handoff" and "launch"; largest first, none 0."""
        length = self.end_ps - self.start_ps
        engine = self.timeline.instructions.engine[self.row]
        sums = {name: int(length[(self.kind == 0) & (engine == i)].sum()) for i, name in enumerate(ENGINES)}
        sums["DMA"] = int(length[self.kind == 1].sum())
        sums["handoff"] = int(length[self.kind == 2].sum())
        sums["launch"] = int(length[self.kind == 3].sum())
        return dict(sorted(((k, v) for k, v in sums.items() if v), key=lambda item: -item[1]))

    def by_line(self) -> list[tuple[Site | None, int]]:
        """Picoseconds by the kernel line whose instruction the stretch belongs to, largest first."""
        site = self.timeline.instructions.site[self.row]
        sums = np.bincount(site + 1, weights=(self.end_ps - self.start_ps).astype(np.float64))
        return _merge_lines(self.timeline, sums)


def _merge_lines(timeline: Timeline, sums: np.ndarray) -> list[tuple[Site | None, int]]:
    """Sums by site index + 1 -> by file and line (one line may appear as several sites), largest first."""
    lines: dict[tuple[str, int] | None, tuple[Site | None, int]] = {}
    for i in np.flatnonzero(sums):
        site = timeline.sites[i - 1] if i else None
        key = (site.file, site.line) if site else None
        first, total = lines.get(key, (site, 0))
        lines[key] = (first, total + int(sums[i]))
    return sorted(lines.values(), key=lambda item: (-item[1], str(item[0])))


@lru_cache(maxsize=8)
def critical_path(timeline: Timeline) -> CriticalPath:
    """Walk back from the row that is done last.  The stretches are contiguous: their sum is the kernel's span."""
    t = timeline.instructions
    rows = kernel_rows(timeline)
    if not len(rows):
        nothing = np.zeros(0, np.int64)
        return CriticalPath(timeline, nothing, nothing.astype(np.int8), nothing, nothing)
    done = np.maximum(t.done_ps, t.end_ps)
    last = int(rows[np.argmax(done[rows])])
    path = np.fromiter(chain_back(timeline, last), np.int64)[::-1]
    begin, _ = span_ps(timeline)
    path = path[np.isin(path, rows)] if timeline.kind == "measured" else path
    starts = t.start_ps[path]
    until = np.append(starts[1:], done[last])  # each row's stretch ends where the next row starts
    engine_end = np.minimum(np.maximum(t.end_ps[path], starts), until)
    transfer = done[path] > t.end_ps[path]
    dma_end = np.where(transfer & _is_trigger(timeline)[path], np.minimum(done[path], until), engine_end)
    dma_end = np.maximum(dma_end, engine_end)
    head = np.array([[path[0], 3, min(begin, starts[0]), starts[0]]], np.int64)
    parts = np.stack(
        [
            np.stack([path, np.zeros_like(path), starts, engine_end], 1),
            np.stack([path, np.ones_like(path), engine_end, dma_end], 1),
            np.stack([path, np.full_like(path, 2), dma_end, until], 1),
        ],
        1,
    ).reshape(-1, 4)
    parts = np.concatenate([head, parts])
    parts = parts[parts[:, 3] > parts[:, 2]]
    return CriticalPath(timeline, parts[:, 0], parts[:, 1].astype(np.int8), parts[:, 2], parts[:, 3])


def _is_trigger(timeline: Timeline) -> np.ndarray:
    """Per row, whether it triggered DMA transfers."""
    trigger = np.zeros(len(timeline.instructions), bool)
    owner = timeline.dma.instruction
    trigger[owner[owner >= 0]] = True
    return trigger


# ---------------------------------------------------------------------------------------------------- stalls


@lru_cache(maxsize=8)
def stall_ps(timeline: Timeline) -> np.ndarray:
    """Per row, how long its engine did nothing at all before it because of what the row waited for.

    At most `wait_ps`: a DMA trigger may wait in its queue while the engine goes on with other instructions.
    """
    t = timeline.instructions
    stall = np.zeros(len(t), np.int64)
    rows = kernel_rows(timeline)
    begin, _ = span_ps(timeline)
    key = t.core[rows].astype(np.int64) * len(ENGINES) + t.engine[rows]
    for lane in np.unique(key):
        mine = rows[key == lane]
        reach = np.maximum.accumulate(np.r_[begin, t.end_ps[mine][:-1]])
        stall[mine] = np.minimum(np.maximum(t.start_ps[mine] - reach, 0), t.wait_ps[mine])
    stall.setflags(write=False)
    return stall


def stalls(timeline: Timeline, rows: np.ndarray | None = None) -> dict[str, dict[str, int]]:
    """Picoseconds each engine stood idle, by engine and cause; causes largest first, none 0."""
    t = timeline.instructions
    rows = kernel_rows(timeline) if rows is None else rows
    table = np.zeros((len(ENGINES), len(CAUSES)), np.int64)
    np.add.at(table, (t.engine[rows], t.wait_cause[rows]), stall_ps(timeline)[rows])
    return {
        engine: {CAUSES[j]: int(table[i, j]) for j in np.argsort(-table[i], kind="stable") if table[i, j] > 0}
        for i, engine in enumerate(ENGINES)
    }


# ---------------------------------------------------------------------------------------------------- kernel lines


@dataclass(frozen=True)
class LineFigures:
    """What one line of the kernel costs."""

    site: Site | None
    instructions: int
    busy_ps: dict[str, int]  # by engine: its share of the busy time; the lines' shares add up to it
    dma_ps: int  # union of its transfers
    wait_ps: int  # engines stood idle before its instructions
    critical_ps: int  # its share of the critical path
    hbm_bytes: int
    flops: int


def lines(timeline: Timeline) -> list[LineFigures]:
    """Figures per kernel line, the largest share of the critical path first."""
    t, d = timeline.instructions, timeline.dma
    critical = {_line(s): ps for s, ps in critical_path(timeline).by_line()}
    line_of_site, keys = _line_index(timeline)
    rows = kernel_rows(timeline)
    line = line_of_site[t.site[rows] + 1]
    count = len(keys)

    def total(values):
        return np.bincount(line, weights=values.astype(np.float64), minlength=count)

    number = np.bincount(line, minlength=count)
    busy = [total(np.where(t.engine[rows] == i, occupied_ps(timeline)[rows], 0)) for i in range(len(ENGINES))]
    wait, flops = total(stall_ps(timeline)[rows]), total(t.flops[rows])
    hbm = total((t.hbm_read_bytes + t.hbm_write_bytes)[rows])
    owner = np.where(d.instruction >= 0, line_of_site[t.site[np.maximum(d.instruction, 0)] + 1] if len(t) else 0, -1)
    figures = []
    for k, key in enumerate(keys):
        if not number[k]:
            continue
        mine = owner == k
        figures.append(
            LineFigures(
                site=key,
                instructions=int(number[k]),
                busy_ps={e: round(busy[i][k]) for i, e in enumerate(ENGINES) if busy[i][k]},
                dma_ps=union_ps(d.start_ps[mine], d.end_ps[mine]),
                wait_ps=int(wait[k]),
                critical_ps=critical.get(_line(key), 0),
                hbm_bytes=int(hbm[k]),
                flops=int(flops[k]),
            )
        )
    return sorted(figures, key=lambda f: (-f.critical_ps, -sum(f.busy_ps.values()), str(f.site)))


def _line(site: Site | None) -> tuple[str, int] | None:
    return (site.file, site.line) if site else None


def _line_index(timeline: Timeline) -> tuple[np.ndarray, list[Site | None]]:
    """(line number by site index + 1, the site of each line)."""
    keys: dict[tuple[str, int] | None, int] = {None: 0}
    sites: list[Site | None] = [None]
    index = [0]
    for site in timeline.sites:
        key = _line(site)
        if key not in keys:
            keys[key] = len(sites)
            sites.append(site)
        index.append(keys[key])
    return np.array(index), sites

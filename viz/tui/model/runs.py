"""One or two timelines as lanes and graphs on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from simcore.analysis import kernel_rows, span_ps
from simcore.timeline import ENGINES, MEMORIES, Timeline
from simcore.viz.tui.model.graphs import Graph, graphs
from simcore.viz.tui.model.spans import Cells, Spans, cells

Table = Literal["instruction", "transfer"]


@dataclass(frozen=True)
class Item:
    """One row of one timeline: an instruction or a DMA transfer."""

    run: int
    table: Table
    row: int


@dataclass(frozen=True, eq=False)
class Lane:
    """One line of the screen: an engine's instructions, one DMA engine's transfers, or all DMA engines folded.

    `rows` are row numbers of the timeline's table ordered by start; `start`, `end`, `kind` are theirs.
    `parts` are the busy intervals per engine: one, or as many as DMA engines are folded.
    """

    run: int
    core: int
    engine: str  # a name of ENGINES, or "DMA"
    queue: int  # DMA engine number, -1 otherwise
    table: Table
    rows: np.ndarray
    start: np.ndarray
    end: np.ndarray
    kind: np.ndarray
    parts: tuple[Spans, ...]
    names: tuple[str, ...]  # of the kinds
    part_rows: tuple[np.ndarray, ...]  # per part: the table rows its `place` counts

    @property
    def name(self) -> str:
        return f"{self.engine} {self.queue}" if self.queue >= 0 else self.engine

    @cached_property
    def longest_before(self) -> np.ndarray:
        """The latest end among the rows up to and including each."""
        return np.maximum.accumulate(self.end) if len(self.end) else self.end

    @cached_property
    def ordered_ends(self) -> np.ndarray:
        return np.sort(self.end)

    def item(self, place: int) -> Item:
        return Item(self.run, self.table, int(self.rows[place]))

    def fraction(self, edges: np.ndarray) -> np.ndarray:
        """Busy share per column; folded engines count in equal parts."""
        return sum((p.fraction(edges) for p in self.parts), np.zeros(len(edges) - 1)) / max(len(self.parts), 1)

    def cells(self, edges: np.ndarray) -> Cells:
        if len(self.parts) == 1:
            return cells(self.parts[0], self.start, edges)
        width = len(edges) - 1
        best, most = np.full(width, -1), np.zeros(width, np.int64)
        for kind in range(len(self.names)):
            busy = sum(
                (p.by_kind[kind].busy(edges) for p in self.parts if kind in p.by_kind), np.zeros(width, np.int64)
            )
            best[busy > most] = kind
            most = np.maximum(most, busy)
        none, off = np.full(width, -1), np.zeros(width, bool)
        return Cells(self.fraction(edges), best, none, off, off, off)

    def matching(self, keep: np.ndarray) -> Lane:
        """The same lane with only the rows (of the timeline's table) for which the mask is true."""
        rows = np.flatnonzero(keep[self.rows])
        parts = tuple(p.select(keep[own[p.place]]) for p, own in zip(self.parts, self.part_rows))
        return replace(
            self, rows=self.rows[rows], start=self.start[rows], end=self.end[rows], kind=self.kind[rows], parts=parts
        )

    # ------------------------------------------------------------------------------------ finding rows

    def at(self, time_ps: int) -> int | None:
        """The place of the row that runs at a time (the one that began last), or None."""
        place = int(np.searchsorted(self.start, time_ps, "right")) - 1
        first = place
        while place >= 0 and self.longest_before[place] > time_ps and first - place < 64:
            if self.end[place] > time_ps:
                return place
            place -= 1
        return None

    def near(self, time_ps: int) -> int | None:
        """The row that runs at a time, else the one whose start is closest."""
        if not len(self.start):
            return None
        place = self.at(time_ps)
        if place is not None:
            return place
        after = int(np.searchsorted(self.start, time_ps))
        choices = [p for p in (after - 1, after) if 0 <= p < len(self.start)]
        return min(choices, key=lambda p: abs(int(self.start[p]) - time_ps))

    def longest(self, start_ps: int, end_ps: int) -> int | None:
        """The row that covers most of an interval (a column under the mouse)."""
        low = int(np.searchsorted(self.longest_before, start_ps, "right"))
        high = int(np.searchsorted(self.start, end_ps))
        if high <= low:
            return None
        covered = np.minimum(self.end[low:high], end_ps) - np.maximum(self.start[low:high], start_ps)
        return low + int(np.argmax(covered))

    def place(self, row: int) -> int | None:
        """Where a row of the table is in this lane, or None."""
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else None


TRANSFER_KINDS = tuple(f"{a}→{b}" for a in MEMORIES for b in MEMORIES)


def engine_lanes(timeline: Timeline, run: int) -> list[Lane]:
    """A lane per core and engine that executed anything."""
    t = timeline.instructions
    found = []
    for core in timeline.cores:
        for number, engine in enumerate(ENGINES):
            rows = np.flatnonzero((t.engine == number) & (t.core == core))
            if not len(rows):
                continue
            start, end, kind = t.start_ps[rows], t.end_ps[rows], t.opcode[rows]
            if (np.diff(start) < 0).any():
                order = np.argsort(start, kind="stable")
                rows, start, end, kind = rows[order], start[order], end[order], kind[order]
            parts = (Spans.of(start, end, kind),)
            found.append(
                Lane(run, core, engine, -1, "instruction", rows, start, end, kind, parts, timeline.opcodes, (rows,))
            )
    return found


def _runs_of(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of an ordered array, and where each begins."""
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return ordered[first], first


def dma_lanes(timeline: Timeline, run: int) -> tuple[list[Lane], list[Lane]]:
    """(one folded lane per core, one lane per DMA engine)."""
    d = timeline.dma
    folded, single = [], []
    kinds = d.source.astype(np.int16) * len(MEMORIES) + d.dest
    for core in timeline.cores:
        rows = np.flatnonzero(d.core == core)
        if not len(rows):
            continue
        if (np.diff(d.start_ps[rows]) < 0).any():
            rows = rows[np.argsort(d.start_ps[rows], kind="stable")]
        by_engine = rows[np.argsort(d.engine[rows], kind="stable")]
        engines, first = _runs_of(d.engine[by_engine])
        columns = (by_engine, d.start_ps[by_engine], d.end_ps[by_engine], kinds[by_engine])
        lanes = []
        for engine, own, start, end, kind in zip(engines, *(np.split(c, first[1:]) for c in columns)):
            busy = (Spans.of(start, end, kind),)
            lanes.append(
                Lane(run, core, "DMA", int(engine), "transfer", own, start, end, kind, busy, TRANSFER_KINDS, (own,))
            )
        single += lanes
        parts = tuple(lane.parts[0] for lane in lanes)
        folded.append(
            Lane(
                run,
                core,
                "DMA",
                -1,
                "transfer",
                rows,
                d.start_ps[rows],
                d.end_ps[rows],
                kinds[rows],
                parts,
                TRANSFER_KINDS,
                tuple(lane.rows for lane in lanes),
            )
        )
    return folded, single


@dataclass(frozen=True, eq=False)
class Runs:
    """The timelines on the screen, at most a few, with the lanes and graphs they give."""

    timelines: tuple[Timeline, ...]

    @cached_property
    def end_ps(self) -> int:
        return max((t.end_ps for t in self.timelines), default=0)

    @cached_property
    def _engines(self) -> list[Lane]:
        return [lane for i, t in enumerate(self.timelines) for lane in engine_lanes(t, i)]

    @cached_property
    def _dma(self) -> tuple[list[Lane], list[Lane]]:
        pairs = [dma_lanes(t, i) for i, t in enumerate(self.timelines)]
        return [lane for p in pairs for lane in p[0]], [lane for p in pairs for lane in p[1]]

    @cached_property
    def working(self) -> set[tuple[int, int]]:
        """(run, core) of the cores that did any of the kernel's own work; a measured logical core of two physical
        ones often has one on which only the runtime's set-up ran."""
        found = {
            (i, int(c)) for i, t in enumerate(self.timelines) for c in np.unique(t.instructions.core[kernel_rows(t)])
        }
        return found or {(lane.run, lane.core) for lane in self._engines}

    @cached_property
    def folded(self) -> tuple[Lane, ...]:
        """A lane per engine and one for all DMA engines, on the cores that work."""
        return tuple(
            lane for lane in self._ordered(self._engines + self._dma[0]) if (lane.run, lane.core) in self.working
        )

    @cached_property
    def everything(self) -> tuple[Lane, ...]:
        """A lane per engine and per DMA engine, on every core."""
        return self._ordered(self._engines + self._dma[1])

    def _ordered(self, lanes: list[Lane]) -> tuple[Lane, ...]:
        """By core, then engine, then run: the same engine of two runs is drawn one under the other."""
        order = {name: i for i, name in enumerate((*ENGINES, "DMA"))}
        return tuple(sorted(lanes, key=lambda lane: (lane.core, order[lane.engine], lane.queue, lane.run)))

    def lanes(self, folded: bool) -> tuple[Lane, ...]:
        return self.folded if folded else self.everything

    @cached_property
    def graphs(self) -> tuple[Graph, ...]:
        """Graphs of all runs, the same curve of two runs one under the other."""
        found = [g for i, t in enumerate(self.timelines) for g in graphs(t, i)]
        names = list(dict.fromkeys(g.name for g in found))
        return tuple(sorted(found, key=lambda g: (names.index(g.name), g.run)))

    def title(self, run: int) -> str:
        """ "A" and "B" when there are several runs, nothing for one."""
        return "ABCDEFGH"[run] if len(self.timelines) > 1 else ""

    def several_cores(self, folded: bool) -> bool:
        """Whether lanes must say their core: what is on the screen comes from more than one."""
        return len({lane.core for lane in self.lanes(folded)}) > 1

    def label(self, lane: Lane, folded: bool = True) -> str:
        """A lane's name with its run and core where these tell anything."""
        parts = [self.title(lane.run), f"c{lane.core}" if self.several_cores(folded) else "", lane.name]
        return " ".join(p for p in parts if p)

    def span(self, item: Item) -> tuple[int, int]:
        """When an item starts and ends, ps."""
        t = self.timelines[item.run]
        table = t.instructions if item.table == "instruction" else t.dma
        return int(table.start_ps[item.row]), int(table.end_ps[item.row])

    def lane_of(self, item: Item, folded: bool) -> int | None:
        """The lane an item is drawn on."""
        t = self.timelines[item.run]
        for i, lane in enumerate(self.lanes(folded)):
            if lane.run != item.run or lane.table != item.table:
                continue
            if item.table == "instruction":
                same = (
                    t.instructions.engine[item.row] == ENGINES.index(lane.engine)
                    and t.instructions.core[item.row] == lane.core
                )
            else:
                same = t.dma.core[item.row] == lane.core and lane.queue in (-1, int(t.dma.engine[item.row]))
            if same:
                return i
        return None


def align(timelines: Sequence[Timeline]) -> tuple[Runs, tuple[int, ...]]:
    """Runs whose kernels start at the same moment, and by how many ps each was moved to the right.

    A simulated run starts at 0, a measured one after the runtime's set-up: unmoved they would not lie side by side.
    """
    starts = [span_ps(t)[0] for t in timelines]
    moved = tuple(max(starts, default=0) - s for s in starts)
    return Runs(tuple(shift(t, by) for t, by in zip(timelines, moved))), moved


def shift(timeline: Timeline, by_ps: int) -> Timeline:
    """The same run, every time later by `by_ps`."""
    if not by_ps:
        return timeline
    t, d, c = timeline.instructions, timeline.dma, timeline.clock
    return replace(
        timeline,
        instructions=replace(t, start_ps=t.start_ps + by_ps, end_ps=t.end_ps + by_ps, done_ps=t.done_ps + by_ps),
        dma=replace(d, start_ps=d.start_ps + by_ps, end_ps=d.end_ps + by_ps),
        clock=replace(c, start_ps=c.start_ps + by_ps, end_ps=c.end_ps + by_ps),
        counters={name: replace(x, time_ps=x.time_ps + by_ps) for name, x in timeline.counters.items()},
    )

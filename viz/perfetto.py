"""A timeline as a Perfetto trace: the engines as tracks, arrows for dependences, counters below.

Laid out like the vendor's own trace (tracks Tensor, TensorMatrix, Vector, Scalar, GpSimd, Sync and the DMA engines;
slices named by opcode) with what a simulator knows besides: the kernel's line, what each instruction waited for.
Bytes are deterministic, memory does not grow with the timeline, and the file appears whole or not at all.
"""

from __future__ import annotations

import gzip
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from simcore.analysis import span_ps, stall_ps
from simcore.files import replacing
from simcore.profile.counters import derived_counters
from simcore.timeline import CAUSES, ENGINES, MEMORIES, Timeline
from simcore.viz.perfetto_proto import Argument, Trace, Track

_TRACKS = ("Tensor", "TensorMatrix", "Vector", "Scalar", "GpSimd", "Sync")
_UNITS = {"bytes": "bytes", "GB/s": "GB/s", "DMAs": "DMAs", "%": "%"}
_BYTES = tuple(f"{memory}_{way}_bytes" for memory in ("hbm", "sbuf", "psum") for way in ("read", "write"))


def write(timelines: Timeline | Sequence[Timeline], output: str | Path, *, flows: bool = True) -> Path:
    """Write one timeline, or several whose kernels start together, as `.pftrace` (gzip where the name ends in .gz)."""
    if isinstance(timelines, Timeline):
        timelines = [timelines]
    output = Path(output)
    with replacing(output) as part, open(part, "wb") as raw:
        if output.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
                _write_all(packed, timelines, flows)
        else:
            _write_all(raw, timelines, flows)
    return output


def _write_all(file, timelines: Sequence[Timeline], flows: bool) -> None:
    trace = Trace(file)
    next_flow = 1
    several = len(timelines) > 1
    begins = [span_ps(timeline)[0] if several else 0 for timeline in timelines]
    for timeline, begin in zip(timelines, begins):
        # a measured kernel starts after the runtime's set-up, which nobody may cut off: the others wait for it
        next_flow = _Writer(trace, timeline, next_flow, several, max(begins) - begin).write(flows)


class _Writer:
    def __init__(self, trace: Trace, timeline: Timeline, first_flow: int, several: bool, later_ps: int):
        self.trace, self.timeline, self.first_flow, self.later_ps = trace, timeline, first_flow, later_ps
        self.prefix = f"{timeline.name} " if several else ""
        self.lines: dict[int, str] = {}
        self.stall = stall_ps(timeline)
        self.texts = {name: text.splitlines() for name, text in timeline.sources.items()}

    def write(self, flows: bool) -> int:
        t, used = self.timeline, self.first_flow
        self.arrows = _Arrows(t, self.first_flow) if flows else None
        if self.arrows is not None:
            used += self.arrows.count
        for core in t.cores or (0,):
            about = f"{t.name}: {t.origin}"
            root = self.trace.track(f"{self.prefix}NeuronCore {core}", children_in_order=True, about=about)
            for rank, name in enumerate(_TRACKS, 1):
                self._engine(root, name, rank, core)
            self._dma(root, len(_TRACKS) + 1, core)
            self._clock(root, len(_TRACKS) + 2, core)
        self._counters()
        return used

    def _ns(self, ps) -> np.ndarray:
        """Whole nanoseconds, each time rounded by itself (order is kept, so lanes stay free of overlaps)."""
        return (np.asarray(ps, np.int64) + (self.later_ps + 500)) // 1000

    # -------------------------------------------------------------------------------- engines

    def _engine(self, root: Track, name: str, rank: int, core: int) -> None:
        t = self.timeline
        engine = name.removesuffix("Matrix")
        rows = t.rows(engine, core)
        if engine == "Tensor":
            # as the vendor does: a MATMUL row lasts as long as its result takes, so they get a track of their own
            matmul = np.array([op.startswith("MATMUL") for op in t.opcodes] or [False], bool)
            rows = rows[matmul[t.instructions.opcode[rows]] == (name == "TensorMatrix")]
        start, end = self._ns(t.instructions.start_ps[rows]), self._ns(t.instructions.end_ps[rows])
        for lane in _lanes(start, end):
            track = self.trace.track(name, parent=root, rank=rank)
            for i in lane:
                row = int(rows[i])
                leaves, arrives = self.arrows.of_instruction(row) if self.arrows else ((), ())
                track.begin(int(start[i]), t.opcode(row), self._arguments(row), leaves, arrives)
                track.end(int(end[i]))

    def _arguments(self, row: int) -> Iterator[tuple[str, Argument]]:
        t, c = self.timeline, self.timeline.instructions
        yield "id", row
        yield "opcode", t.opcode(row)
        if operands := t.operands(row):
            yield "operands", operands
        if (site := int(c.site[row])) >= 0:
            yield "nki_source_location", str(t.sites[site])
            if code := self._line(site):
                yield "kernel_line", code
        yield "waited_for", CAUSES[c.wait_cause[row]]
        if stall := int(self.stall[row]):
            yield "stall_ns", stall / 1000
        if (on := int(c.wait_on[row])) >= 0:
            yield "waited_on", f"{t.opcode(on)} (id {on}, {ENGINES[c.engine[on]]})"
        yield "start_ps", int(c.start_ps[row])
        yield "duration_ps", int(c.end_ps[row] - c.start_ps[row])
        if c.done_ps[row] > c.end_ps[row]:
            yield "done_ps", int(c.done_ps[row])
        if c.dtype[row] >= 0:
            yield "dtype", t.dtypes[c.dtype[row]]
        if c.elements[row]:
            yield "elements", int(c.elements[row])
        if c.flops[row]:
            yield "flops", int(c.flops[row])
        for name in _BYTES:
            if n := int(getattr(c, name)[row]):
                yield name, n

    def _line(self, site: int) -> str:
        if site not in self.lines:
            where = self.timeline.sites[site]
            text = self.texts.get(where.file, ())
            self.lines[site] = text[where.line - 1].strip() if 0 < where.line <= len(text) else ""
        return self.lines[site]

    # -------------------------------------------------------------------------------- DMA

    def _dma(self, root: Track, rank: int, core: int) -> None:
        t, d = self.timeline, self.timeline.dma
        mine = np.flatnonzero(d.core == core)
        if not len(mine):
            return
        group = self.trace.track("DMA engines", parent=root, rank=rank, children_in_order=True)
        for engine in np.unique(d.engine[mine]):
            rows = mine[d.engine[mine] == engine]
            rows = rows[np.argsort(d.start_ps[rows], kind="stable")]
            start, end = self._ns(d.start_ps[rows]), self._ns(d.end_ps[rows])
            for lane in _lanes(start, end):
                track = self.trace.track(f"DMA Engine {engine}", parent=group, rank=int(engine) + 1)
                for i in lane:
                    row = int(rows[i])
                    leaves, arrives = self.arrows.of_transfer(row) if self.arrows else ((), ())
                    name = t.queues[d.queue[row]] if t.queues else "DMA"
                    track.begin(int(start[i]), name, self._transfer(row), leaves, arrives)
                    track.end(int(end[i]))

    def _transfer(self, row: int) -> Iterator[tuple[str, Argument]]:
        d = self.timeline.dma
        yield "id", row
        yield "read_bytes", int(d.read_bytes[row])
        yield "write_bytes", int(d.write_bytes[row])
        yield "descriptors", int(d.descriptors[row])
        yield "source", MEMORIES[d.source[row]]
        yield "dest", MEMORIES[d.dest[row]]
        yield "duration_ps", int(d.end_ps[row] - d.start_ps[row])
        if (trigger := int(d.instruction[row])) >= 0:
            yield "trigger", trigger
            if (site := int(self.timeline.instructions.site[trigger])) >= 0:
                yield "nki_source_location", str(self.timeline.sites[site])

    # -------------------------------------------------------------------------------- counters

    def _clock(self, root: Track, rank: int, core: int) -> None:
        c = self.timeline.clock
        rows = np.flatnonzero(c.core == core)
        if not len(rows):
            return
        track = self.trace.track("PE clock %", parent=root, rank=rank, unit="%",
                                 about="share of its clock the Tensor engine may use; 0 where nothing was recorded")
        until = -1
        for row in rows.tolist():
            start, end = int(self._ns(c.start_ps[row])), int(self._ns(c.end_ps[row]))
            if 0 <= until < start:
                track.count(until, 0.0)
            track.count(start, 100 * int(c.k[row]) / max(int(c.n[row]), 1))
            until = end
        track.count(until, 0.0)

    def _counters(self) -> None:
        t = self.timeline
        counters = dict(sorted((derived_counters(t.instructions, t.dma) | t.counters).items()))
        if not counters:
            return
        group = self.trace.track(f"{self.prefix}NeuronCores: memory and bandwidth", children_in_order=True)
        for rank, (name, counter) in enumerate(counters.items(), 1):
            unit = next((u for end, u in _UNITS.items() if name.endswith(end)), name.rsplit(" ", 1)[-1])
            track = self.trace.track(name, parent=group, rank=rank, unit=unit)
            for when, what in zip(self._ns(counter.time_ps).tolist(), counter.value.tolist()):
                track.count(when, what)


class _Arrows:
    """Ids of the arrows that leave and reach each slice.

    A dependence is an arrow from producer to consumer; where the producer triggered a DMA, from its last transfer.
    A trigger has one arrow to its first transfer.  Engines work in order, so what an earlier instruction of the
    engine already waited for needs no arrow: those that stay are the hand-offs.  Ids are positions among them.
    """

    def __init__(self, t: Timeline, first: int):
        edges, d = t.dependences.take(_handoffs(t)), t.dma
        n_edges = len(edges)
        self.first = first
        self.count = n_edges + len(t.instructions)
        last, begin = np.full(len(t.instructions), -1, np.int64), np.full(len(t.instructions), -1, np.int64)
        owned = np.flatnonzero(d.instruction >= 0)
        by_end = owned[np.argsort(d.end_ps[owned], kind="stable")]
        last[d.instruction[by_end]] = by_end                       # the last one written wins
        by_start = owned[::-1][np.argsort(-d.start_ps[owned[::-1]], kind="stable")]
        begin[d.instruction[by_start]] = by_start
        self.begin = begin
        transfer = last[edges.producer]
        through_dma = transfer >= 0
        at = through_dma.nonzero()[0]
        through_dma[at] = d.end_ps[transfer[at]] <= t.instructions.start_ps[edges.consumer[at]]
        ids = np.arange(n_edges) + first
        self.out_row = _Groups(edges.producer[~through_dma], ids[~through_dma])
        self.out_transfer = _Groups(last[edges.producer[through_dma]], ids[through_dma])
        self.into_row = _Groups(edges.consumer, ids)
        trigger = np.flatnonzero(begin >= 0)
        self.into_transfer = _Groups(begin[trigger], trigger + first + n_edges)
        self.trigger_base = first + n_edges

    def of_instruction(self, row: int) -> tuple[list[int], list[int]]:
        leaves = self.out_row.of(row)
        if self.begin[row] >= 0:
            leaves = leaves + [self.trigger_base + row]
        return leaves, self.into_row.of(row)

    def of_transfer(self, row: int) -> tuple[list[int], list[int]]:
        return self.out_transfer.of(row), self.into_transfer.of(row)


def _handoffs(t: Timeline) -> np.ndarray:
    """Mask of the dependences that no earlier one implies: per pair of engines, each waits for something later."""
    i, edges, n = t.instructions, t.dependences, len(t.instructions)
    lane = i.core.astype(np.int64) * len(ENGINES) + i.engine
    pair = lane[edges.producer] * (int(lane.max(initial=0)) + 1) + lane[edges.consumer]
    order = np.lexsort((-edges.producer.astype(np.int64), edges.consumer, pair))
    place = pair[order] * n + edges.producer[order]
    newest = np.r_[-1, np.maximum.accumulate(place)[:-1]] if len(place) else place
    keep = np.zeros(len(edges), bool)
    # a DMA is done in its own time, whatever its engine's order says: its dependences all stay
    keep[order] = (place > newest) | (edges.cause[order] == CAUSES.index("dma"))
    return keep


class _Groups:
    """Values grouped by key (row numbers), without a dictionary: sorted values and where each key's begin."""

    def __init__(self, key: np.ndarray, value: np.ndarray):
        order = np.argsort(key, kind="stable")
        self.value = value[order]
        self.begin = np.searchsorted(key[order], np.arange(int(key.max(initial=-1)) + 2))

    def of(self, key: int) -> list[int]:
        if key + 1 >= len(self.begin):
            return []
        return self.value[self.begin[key]:self.begin[key + 1]].tolist()


def _lanes(start: np.ndarray, end: np.ndarray) -> list[list[int]]:
    """Positions in lanes without overlap, each on the lowest lane that is free.  `start` is ascending."""
    lanes: list[list[int]] = []
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    for i, (s, e) in enumerate(zip(start.tolist(), end.tolist())):
        while busy and busy[0][0] <= s:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane = len(lanes)
            lanes.append([])
        lanes[lane].append(i)
        heapq.heappush(busy, (e, lane))
    return lanes


def serve(path: str | Path, port: int = 0) -> None:
    """Show a trace in the bundled Perfetto UI on this machine only, until interrupted (see perfetto_ui)."""
    from simcore.viz.perfetto_ui import serve as run

    run(path, port)

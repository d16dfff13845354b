"""Why something started when it did: chains of waits, stalls, and the critical path of a timeline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simcore.timeline import CAUSES, ENGINES, Timeline
from simcore.viz.tui.model.runs import Lane
from simcore.viz.tui.model.spans import Spans

PATH_KINDS = (*ENGINES, "DMA")
"""What the critical path can be in: an engine's instruction, or a transfer on its way."""


@dataclass(frozen=True)
class Wait:
    """`row` could not start before `on` was done.  `idle_ps`: how long its engine stood still for it."""

    row: int
    on: int
    cause: str
    idle_ps: int


@dataclass(frozen=True, eq=False)
class Waits:
    """Who waits for whom in one timeline.  Sorted once, when first asked."""

    timeline: Timeline

    def back(self, row: int) -> Wait | None:
        """What a row waited for last, or None where nothing is known or it is the first of its engine."""
        t = self.timeline.instructions
        cause = CAUSES[t.wait_cause[row]]
        on = int(self.on[row])
        if on < 0 and len(self.timeline.dependences):
            edges = self.timeline.dependences
            known = np.flatnonzero(edges.consumer == row)
            if len(known):
                last = known[int(np.argmax(t.done_ps[edges.producer[known]]))]
                on, cause = int(edges.producer[last]), CAUSES[edges.cause[last]]
        return Wait(row, on, cause, int(t.wait_ps[row])) if on >= 0 else None

    @cached_property
    def on(self) -> np.ndarray:
        """For every row the row it waited for, -1 for none.  Behind its own engine: the engine's previous row."""
        t = self.timeline.instructions
        on = t.wait_on.astype(np.int64)
        missing = (on < 0) & (t.wait_cause == CAUSES.index("engine"))
        if missing.any():
            stream = t.core.astype(np.int64) * len(ENGINES) + t.engine
            order = np.argsort(stream, kind="stable")
            previous = np.full(len(t), -1)
            same = stream[order[1:]] == stream[order[:-1]]
            previous[order[1:][same]] = order[:-1][same]
            on = np.where(missing, previous, on)
        return on

    @cached_property
    def _by_producer(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.on, kind="stable")
        return order, self.on[order]

    def forward(self, row: int) -> list[Wait]:
        """Who waited for a row, in order of their starts."""
        t = self.timeline.instructions
        order, sorted_on = self._by_producer
        low, high = np.searchsorted(sorted_on, [row, row + 1])
        rows = order[low:high]
        if not len(rows) and len(self.timeline.dependences):
            edges = self.timeline.dependences
            rows = np.unique(edges.consumer[edges.producer == row])
        rows = rows[np.argsort(t.start_ps[rows], kind="stable")]
        return [Wait(int(r), row, CAUSES[t.wait_cause[r]], int(t.wait_ps[r])) for r in rows]

    def chain(self, row: int, length: int) -> list[Wait]:
        """Up to `length` waits back from a row, the row's own first."""
        found: list[Wait] = []
        while len(found) < length and (wait := self.back(row)) is not None and wait.on != row:
            found.append(wait)
            row = wait.on
        return found

    @cached_property
    def path(self) -> np.ndarray:
        """Rows of the critical path in order of time: back along the waits from whatever is done last."""
        t = self.timeline.instructions
        if not len(t):
            return np.zeros(0, np.int64)
        row, on = int(np.argmax(t.done_ps)), self.on.tolist()
        found = [row]
        while 0 <= on[row] != row and len(found) <= len(on):
            row = on[row]
            found.append(row)
        return np.asarray(found[::-1], np.int64)

    @cached_property
    def critical(self) -> np.ndarray:
        """A mask over the rows: on the critical path."""
        mask = np.zeros(len(self.timeline.instructions), bool)
        mask[self.path] = True
        return mask

    def path_lane(self, run: int) -> Lane | None:
        """The critical path drawn as one lane: who holds the run up at each moment.

        A row holds it from its start until the next row of the path starts; where that next row waited for the row's
        transfer, the part after the trigger itself counts as DMA.  None when no waits are recorded.
        """
        rows = self.path
        if len(rows) < 2:
            return None
        t = self.timeline.instructions
        start = t.start_ps[rows]
        until = np.maximum(np.append(start[1:], t.done_ps[rows[-1]]), start)
        by_dma = np.append(t.wait_cause[rows[1:]] == CAUSES.index("dma"), t.done_ps[rows[-1]] > t.end_ps[rows[-1]])
        issued = np.where(by_dma, np.clip(t.end_ps[rows], start, until), until)
        order = np.argsort(np.concatenate([start, issued]), kind="stable")
        pieces = (np.concatenate([start, issued]), np.concatenate([issued, until]),
                  np.concatenate([t.engine[rows].astype(np.int64), np.full(len(rows), len(ENGINES))]),
                  np.concatenate([rows, rows]))
        begin, end, kind, row = (p[order] for p in pieces)
        keep = end > begin
        begin, end, kind, row = begin[keep], end[keep], kind[keep], row[keep]
        core = int(t.core[rows[-1]])
        return Lane(run, core, "Critical", -1, "instruction", row, begin, end, kind, (Spans.of(begin, end, kind),), PATH_KINDS,
                    (row,))


@dataclass(frozen=True, eq=False)
class Gaps:
    """The idle stretches of a lane: before the row at `place`, from `start` to `end`."""

    place: np.ndarray
    start: np.ndarray
    end: np.ndarray


def gaps(lane: Lane) -> Gaps:
    """Every idle stretch between rows of a lane (and before its first)."""
    if not len(lane.start):
        empty = np.zeros(0, np.int64)
        return Gaps(empty, empty, empty)
    reached = np.concatenate([[0], lane.longest_before[:-1]])
    place = np.flatnonzero(lane.start > reached)
    return Gaps(place, reached[place], lane.start[place])

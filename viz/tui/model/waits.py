"""Why something started when it did: waits back and forward, the critical path as a lane, idle stretches.

What waited for what is decided in simcore.analysis; here it is only put into the shape the screen needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simcore import analysis
from simcore.timeline import CAUSES, Timeline
from simcore.viz.tui.model.runs import Lane
from simcore.viz.tui.model.spans import Spans

PATH_KINDS = (*analysis.LANES, "handoff", "launch")
"""What the critical path can be in: an engine, DMA in flight, a result on its way to the next engine, the launch."""


@dataclass(frozen=True)
class Wait:
    """`row` could not start before `on` was done.  `idle_ps`: how long its engine stood still for it."""

    row: int
    on: int
    cause: str
    idle_ps: int


@dataclass(frozen=True, eq=False)
class Waits:
    """Who waits for whom in one timeline.  Looked up once, when first asked."""

    timeline: Timeline

    def back(self, row: int) -> Wait | None:
        """What a row waited for last, or None where nothing is known or it is the first of its engine."""
        on = int(analysis.waited_on(self.timeline)[row])
        return self._wait(row, on) if on >= 0 else None

    def _wait(self, row: int, on: int) -> Wait:
        t = self.timeline.instructions
        return Wait(int(row), on, CAUSES[t.wait_cause[row]], int(analysis.stall_ps(self.timeline)[row]))

    def forward(self, row: int) -> list[Wait]:
        """Who waited for a row, in order of their starts."""
        return [self._wait(r, row) for r in analysis.waiters(self.timeline, row)]

    def chain(self, row: int, length: int) -> list[Wait]:
        """Up to `length` waits back from a row, the row's own first."""
        found: list[Wait] = []
        while len(found) < length and (wait := self.back(row)) is not None:
            found.append(wait)
            row = wait.on
        return found

    @cached_property
    def path(self) -> np.ndarray:
        """Rows of the critical path in order of time."""
        return analysis.critical_path(self.timeline).rows

    @cached_property
    def critical(self) -> np.ndarray:
        """A mask over the rows: on the critical path."""
        mask = np.zeros(len(self.timeline.instructions), bool)
        mask[self.path] = True
        return mask

    def path_lane(self, run: int) -> Lane | None:
        """The critical path drawn as one lane: who holds the run up at each moment.  None when it is a single row."""
        if len(self.path) < 2:
            return None
        path, t = analysis.critical_path(self.timeline), self.timeline.instructions
        beyond = len(analysis.LANES) - 2  # kind 0 is the engine itself; 1, 2, 3 are the last three of PATH_KINDS
        kind = np.where(path.kind == 0, t.engine[path.row].astype(np.int64), path.kind.astype(np.int64) + beyond)
        spans = Spans.of(path.start_ps, path.end_ps, kind)
        return Lane(
            run,
            int(t.core[path.row[-1]]),
            "Critical",
            -1,
            "instruction",
            path.row,
            path.start_ps,
            path.end_ps,
            kind,
            (spans,),
            PATH_KINDS,
            (path.row,),
        )


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

"""The state of the screen.

A View is frozen; a move (moves.py, why.py, find.py) takes one and returns the next.  The widgets draw whatever View
they are given, so what a key does can be tested without a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from simcore.analysis import critical_path, kernel_rows, span_ps
from simcore.summary import Summary, summarize
from simcore.viz.tui.model import query as queries
from simcore.viz.tui.model.query import Query
from simcore.viz.tui.model.runs import Item, Lane, Runs
from simcore.viz.tui.model.waits import Gaps, Waits, gaps
from simcore.viz.tui.model.window import Window

MANY = 50_000
"""Instructions from which on the critical path and the like are worked out in the background, after the first frame."""


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that does not change while a person looks: the runs, and what is looked up in them once."""

    runs: Runs

    @cached_property
    def waits(self) -> tuple[Waits, ...]:
        return tuple(Waits(t) for t in self.runs.timelines)

    @cached_property
    def summaries(self) -> tuple[Summary, ...]:
        return tuple(summarize(t) for t in self.runs.timelines)

    @cached_property
    def paths(self) -> tuple[Lane, ...]:
        """The critical path of each run that records waits."""
        return tuple(lane for i, w in enumerate(self.waits) if (lane := w.path_lane(i)) is not None)

    def critical_share(self, run: int, file: str) -> dict[int, float]:
        """By line of a kernel file, its share of the critical path.

        Empty where no waits are recorded, and for a big run until prepare() has worked the path out.
        """
        if not self.prepared and len(self.runs.timelines[run].instructions) > MANY:
            return {}
        if (run, file) not in self._shares:
            path = critical_path(self.runs.timelines[run])
            total = max(path.total_ps, 1)
            known = path.by_line() if len(self.waits[run].path) > 1 else []
            self._shares[run, file] = {s.line: ps / total for s, ps in known if s is not None and s.file == file}
        return self._shares[run, file]

    @property
    def prepared(self) -> bool:
        return "done" in self._state

    @cached_property
    def _state(self) -> set[str]:
        return set()

    def prepare(self) -> None:
        """Work out what the first press of c, f, d and > would have to wait for."""
        for waits in self.waits:
            waits.forward(0)
        for lane in (*self.runs.folded, *self.paths):
            self.on_path(lane) if lane.engine != "Critical" else None
            self.gaps(lane)
            _ = lane.ordered_ends
        _ = self.runs.everything, self.summaries
        self._state.add("done")

    @cached_property
    def whole(self) -> Window:
        return Window(0, self.runs.end_ps).within(self.runs.end_ps)

    def overview(self, width: int) -> np.ndarray:
        """Share of the lanes that are busy, per column of the whole run."""
        if width not in self._overviews:
            edges = self.whole.edges(width)
            shares = [lane.fraction(edges) for lane in self.runs.folded]
            self._overviews[width] = np.mean(shares, axis=0) if shares else np.zeros(width)
        return self._overviews[width]

    def on_path(self, lane: Lane) -> Lane:
        """The lane with only what is on the critical path."""
        if id(lane) not in self._on_path:
            critical = self.waits[lane.run].critical
            if lane.table == "transfer":
                critical = queries.transfers(critical, self.runs.timelines[lane.run])
            self._on_path[id(lane)] = lane.matching(critical)
        return self._on_path[id(lane)]

    @cached_property
    def _overviews(self) -> dict[int, np.ndarray]:
        return {}

    @cached_property
    def _on_path(self) -> dict[int, Lane]:
        return {}

    @cached_property
    def _shares(self) -> dict[tuple[int, str], dict[int, float]]:
        return {}

    @cached_property
    def _gaps(self) -> dict[int, Gaps]:
        return {}

    def gaps(self, lane: Lane) -> Gaps:
        if id(lane) not in self._gaps:
            self._gaps[id(lane)] = gaps(lane)
        return self._gaps[id(lane)]


@dataclass(frozen=True, eq=False)
class Matches:
    """What a query chose: masks per run over instructions and over transfers, and how many instructions."""

    query: Query
    instructions: tuple[np.ndarray, ...]
    transfers: tuple[np.ndarray, ...]
    count: int

    @classmethod
    def of(cls, query: Query, runs: Runs) -> Matches:
        chosen = tuple(queries.mask(query, t) for t in runs.timelines)
        moved = tuple(queries.transfers(c, t) for c, t in zip(chosen, runs.timelines))
        return cls(query, chosen, moved, sum(int(c.sum()) for c in chosen))

    def chose(self, item: Item) -> bool:
        return bool((self.instructions if item.table == "instruction" else self.transfers)[item.run][item.row])

    def of_lane(self, lane: Lane) -> np.ndarray:
        return (self.instructions if lane.table == "instruction" else self.transfers)[lane.run]

    @cached_property
    def _lanes(self) -> dict[int, Lane]:
        return {}

    def narrowed(self, lane: Lane) -> Lane:
        """The lane with only what the query chose."""
        if id(lane) not in self._lanes:
            self._lanes[id(lane)] = lane.matching(self.of_lane(lane))
        return self._lanes[id(lane)]


@dataclass(frozen=True, eq=False)
class View:
    """What is on the screen.

    `time_ps` is the cursor; `item` the chosen row (None before anything ran on the lane); `mark_ps` the other end of a
    selected stretch; `width` the columns of the time axis; `note` one sentence about the last move.
    """

    model: Model
    window: Window
    width: int = 80
    lane: int = 0
    time_ps: int = 0
    item: Item | None = None
    mark_ps: int | None = None
    matches: Matches | None = None  # what n and N walk through
    filtering: bool = False  # the rest is dimmed
    folded: bool = True
    critical: bool = False
    letters: bool = False
    waits: bool = True
    past: tuple[Place, ...] = field(default=())
    note: str = ""

    @property
    def runs(self) -> Runs:
        return self.model.runs

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return self.runs.lanes(self.folded)

    @property
    def here(self) -> Lane | None:
        return self.lanes[self.lane] if self.lanes else None

    @property
    def end_ps(self) -> int:
        return self.runs.end_ps

    @property
    def column_ps(self) -> int:
        return max(self.window.span_ps // max(self.width, 1), 1)

    @property
    def selection(self) -> tuple[int, int] | None:
        """The marked stretch of time, in order."""
        return None if self.mark_ps is None else (min(self.mark_ps, self.time_ps), max(self.mark_ps, self.time_ps))

    def span(self) -> tuple[int, int] | None:
        return self.runs.span(self.item) if self.item else None


@dataclass(frozen=True)
class Place:
    """Where one was, to go back to."""

    lane: int
    time_ps: int
    item: Item | None
    window: Window
    folded: bool


def open_view(runs: Runs, width: int = 80) -> View:
    """The kernel's span (a measured profile: without the runtime's set-up), the cursor on its first instruction."""
    view = View(Model(runs), Window(0, max(runs.end_ps, 1)).within(runs.end_ps), width)
    firsts = [
        (int(t.instructions.start_ps[rows[0]]), i, int(rows[0]))
        for i, t in enumerate(runs.timelines)
        if len(rows := kernel_rows(t))
    ]
    if not firsts:
        return view
    view = choose(view, Item(min(firsts)[1], "instruction", min(firsts)[2]))
    spans = [span_ps(t) for t in runs.timelines]
    if any(t.kind == "measured" for t in runs.timelines):
        window = Window.around(min(s[0] for s in spans), max(s[1] for s in spans), view.end_ps, 0.02)
        view = replace(
            view, window=window, note="the kernel's span; 0 shows the whole profile with the runtime's set-up"
        )
    return view


def choose(view: View, item: Item, *, remember: bool = False) -> View:
    """Put the cursor on an item; the window follows if it cannot be seen."""
    lane = view.runs.lane_of(item, view.folded)
    if lane is None and view.folded:  # on a core that is hidden while folded
        view = replace(view, folded=False)
        lane = view.runs.lane_of(item, False)
    if lane is None:
        return replace(view, note="that row is on no lane of the screen")
    start, end = view.runs.span(item)
    past = (*view.past[-99:], here_and_now(view)) if remember else view.past
    window = view.window.show(start, end, view.end_ps)
    return replace(view, lane=lane, item=item, time_ps=start, window=window, past=past, note="")


def here_and_now(view: View) -> Place:
    return Place(view.lane, view.time_ps, view.item, view.window, view.folded)


def undo(view: View) -> View:
    """Back to where one was before the last jump."""
    if not view.past:
        return replace(view, note="no earlier place to return to")
    place = view.past[-1]
    return replace(
        view,
        lane=place.lane,
        time_ps=place.time_ps,
        item=place.item,
        window=place.window,
        folded=place.folded,
        past=view.past[:-1],
        note="",
    )

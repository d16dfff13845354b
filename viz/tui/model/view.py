"""The state of the screen and every move on it.

A View is frozen; a move takes one and returns the next.  The widgets draw whatever View they are given, so what a key
does can be tested without a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from simcore.timeline import CAUSES
from simcore.viz import format as fmt
from simcore.viz.tui.model import query as queries
from simcore.viz.tui.model.query import Query
from simcore.viz.tui.model.runs import Item, Lane, Runs
from simcore.viz.tui.model.waits import Gaps, Waits, gaps
from simcore.viz.tui.model.window import Window


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that does not change while a person looks: the runs, and what is looked up in them once."""

    runs: Runs

    @cached_property
    def waits(self) -> tuple[Waits, ...]:
        return tuple(Waits(t) for t in self.runs.timelines)

    @cached_property
    def paths(self) -> tuple[Lane, ...]:
        """The critical path of each run that records waits."""
        return tuple(lane for i, w in enumerate(self.waits) if (lane := w.path_lane(i)) is not None)

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
    def of(cls, query: Query, runs: Runs) -> "Matches":
        chosen = tuple(queries.mask(query, t) for t in runs.timelines)
        moved = tuple(queries.transfers(c, t) for c, t in zip(chosen, runs.timelines))
        return cls(query, chosen, moved, sum(int(c.sum()) for c in chosen))

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
    matches: Matches | None = None      # what n and N walk through
    filtering: bool = False             # the rest is dimmed
    folded: bool = True
    critical: bool = False
    letters: bool = False
    waits: bool = True
    past: tuple["Place", ...] = field(default=())
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
    """The whole run, with the cursor on the first instruction."""
    view = View(Model(runs), Window(0, 1).zoom(1e-18, 0, runs.end_ps), width)
    first = min(range(len(view.lanes)), key=lambda i: int(view.lanes[i].start[0]), default=0)
    return choose(replace(view, lane=first), view.lanes[first].item(0)) if view.lanes else view


# ---------------------------------------------------------------------------------------------------- choosing


def choose(view: View, item: Item, *, remember: bool = False) -> View:
    """Put the cursor on an item; the window follows if it cannot be seen."""
    lane = view.runs.lane_of(item, view.folded)
    if lane is None:
        return replace(view, note="that row is on no lane of the screen")
    start, end = view.runs.span(item)
    past = (*view.past[-99:], _place(view)) if remember else view.past
    window = view.window.show(start, end, view.end_ps)
    return replace(view, lane=lane, item=item, time_ps=start, window=window, past=past, note="")


def _place(view: View) -> Place:
    return Place(view.lane, view.time_ps, view.item, view.window, view.folded)


def undo(view: View) -> View:
    """Back to where one was before the last jump."""
    if not view.past:
        return replace(view, note="no earlier place to return to")
    place = view.past[-1]
    return replace(view, lane=place.lane, time_ps=place.time_ps, item=place.item, window=place.window, folded=place.folded,
                   past=view.past[:-1], note="")


def click(view: View, lane: int, column: int) -> View:
    """Choose what is under the mouse: the row that covers most of the column, else just the time."""
    if not 0 <= lane < len(view.lanes):
        return view
    left, right = view.window.time(column, view.width), view.window.time(column + 1, view.width)
    place = view.lanes[lane].longest(left, right)
    item = view.lanes[lane].item(place) if place is not None else view.lanes[lane].near(left)
    if isinstance(item, int):
        item = view.lanes[lane].item(item)
    return replace(view, lane=lane, time_ps=left, item=item, note="")


# ---------------------------------------------------------------------------------------------------- moving


def step_row(view: View, by: int) -> View:
    """The next (or previous) instruction of the lane; with a filter, the next one it chose."""
    lane = view.here
    if lane is None or not len(lane.rows):
        return view
    if view.filtering and view.matches:
        lane = view.matches.narrowed(lane)
        if not len(lane.rows):
            return replace(view, note="the filter leaves nothing on this lane")
    place = lane.place(view.item.row) if view.item else None
    if place is None:
        place = int(np.searchsorted(lane.start, view.time_ps, "right")) - (1 if by > 0 else 0)
    place = min(max(place + by, 0), len(lane.rows) - 1)
    return choose(view, lane.item(place))


def step_lane(view: View, by: int) -> View:
    """The lane below (or above), at the same time."""
    if not view.lanes:
        return view
    lane = min(max(view.lane + by, 0), len(view.lanes) - 1)
    return at_time(replace(view, lane=lane), view.time_ps)


def at_time(view: View, time_ps: int) -> View:
    """The cursor at a time on its lane; the item is what runs there or nearest to it."""
    time_ps = min(max(time_ps, 0), max(view.end_ps - 1, 0))
    lane = view.here
    place = lane.near(time_ps) if lane else None
    window = view.window.show(time_ps, time_ps, view.end_ps)
    return replace(view, time_ps=time_ps, window=window, item=lane.item(place) if place is not None else None, note="")


def step_time(view: View, columns: int) -> View:
    """The cursor by columns of the screen."""
    return at_time(view, view.time_ps + columns * view.column_ps)


def step_event(view: View, by: int) -> View:
    """To the next (previous) moment at which anything starts or ends on any lane."""
    best: int | None = None
    for lane in view.lanes:
        for times in (lane.start, lane.ordered_ends):
            i = int(np.searchsorted(times, view.time_ps, "right" if by > 0 else "left")) - (0 if by > 0 else 1)
            if 0 <= i < len(times) and int(times[i]) < view.end_ps:
                time = int(times[i])
                best = time if best is None else (min if by > 0 else max)(best, time)
    if best is None:
        return replace(view, note="nothing happens after this" if by > 0 else "nothing happens before this")
    return at_time(view, best)


def edge(view: View, last: bool) -> View:
    """The first or the last row of the lane."""
    lane = view.here
    if lane is None or not len(lane.rows):
        return view
    return choose(view, lane.item(len(lane.rows) - 1 if last else 0), remember=True)


def pan(view: View, fraction: float) -> View:
    """Move the window; the cursor stays on the screen."""
    window = view.window.pan(fraction, view.end_ps)
    time = min(max(view.time_ps, window.start_ps), window.end_ps - 1)
    return replace(view, window=window, note="") if time == view.time_ps else at_time(replace(view, window=window), time)


def zoom(view: View, factor: float, at_ps: int | None = None) -> View:
    """About the cursor, or a time under the mouse."""
    at = view.time_ps if at_ps is None else at_ps
    if not view.window.holds(at):
        at = (view.window.start_ps + view.window.end_ps) // 2
    return replace(view, window=view.window.zoom(factor, at, view.end_ps), note="")


def fit(view: View) -> View:
    """The whole run."""
    return replace(view, window=Window(0, max(view.end_ps, 1)).within(view.end_ps), note="")


def zoom_in_on(view: View) -> View:
    """The marked stretch if there is one, else the chosen item."""
    if view.selection and view.selection[0] < view.selection[1]:
        start, end = view.selection
        return replace(view, window=Window(start, end).within(view.end_ps), mark_ps=None, past=(*view.past[-99:], _place(view)), note="")
    span = view.span()
    if span is None:
        return replace(view, note="nothing is chosen to zoom to")
    return replace(view, window=Window.around(*span, view.end_ps), time_ps=span[0], past=(*view.past[-99:], _place(view)), note="")


def mark(view: View) -> View:
    """Begin a stretch of time at the cursor, or drop it."""
    if view.mark_ps is not None:
        return replace(view, mark_ps=None, note="")
    return replace(view, mark_ps=view.time_ps, note="move to the other end, then z zooms to the stretch; v drops it")


# ---------------------------------------------------------------------------------------------------- why


def back(view: View) -> View:
    """To what the chosen instruction waited for; from a transfer to the instruction that triggered it."""
    item = view.item
    if item is None:
        return replace(view, note="nothing is chosen")
    if item.table == "transfer":
        row = int(view.runs.timelines[item.run].dma.instruction[item.row])
        if row < 0:
            return replace(view, note="the profile does not say which instruction triggered this transfer")
        return choose(view, Item(item.run, "instruction", row), remember=True)
    wait = view.model.waits[item.run].back(item.row)
    if wait is None:
        first = "it waited for nothing" if _cause(view, item) == "start" else "what it waited for is not recorded"
        return replace(view, note=first)
    moved = choose(view, Item(item.run, "instruction", wait.on), remember=True)
    idle = f", idle {fmt.time(wait.idle_ps)}" if wait.idle_ps else ""
    return replace(moved, note=f"back: what it waited for ({wait.cause}{idle})")


def forward(view: View) -> View:
    """To the first that waited for the chosen instruction; from a transfer to those that waited for its trigger."""
    item = view.item
    if item is None:
        return replace(view, note="nothing is chosen")
    row = item.row
    if item.table == "transfer":
        row = int(view.runs.timelines[item.run].dma.instruction[item.row])
        if row < 0:
            return replace(view, note="the profile does not say which instruction triggered this transfer")
    found = view.model.waits[item.run].forward(row)
    if not found:
        return replace(view, note="nothing is recorded to have waited for it")
    moved = choose(view, Item(item.run, "instruction", found[0].row), remember=True)
    return replace(moved, note=f"forward: waited for it ({found[0].cause})" + (f", first of {len(found)}" if len(found) > 1 else ""))


def _cause(view: View, item: Item) -> str:
    return CAUSES[view.runs.timelines[item.run].instructions.wait_cause[item.row]]


def next_stall(view: View, by: int) -> View:
    """To the next (previous) row of the lane before which the engine stood idle for a column of the screen or more."""
    lane = view.here
    if lane is None:
        return view
    idle = view.model.gaps(lane)
    long = np.flatnonzero(idle.end - idle.start >= view.column_ps)
    place = lane.place(view.item.row) if view.item else None
    at = place if place is not None else int(np.searchsorted(lane.start, view.time_ps))
    ahead = long[idle.place[long] > at] if by > 0 else long[idle.place[long] < at]
    if not len(ahead):
        side = "right" if by > 0 else "left"
        return replace(view, note=f"no stall of {fmt.time(view.column_ps)} (one column) or longer to the {side}; zoom in for shorter ones")
    return _at_gap(view, lane, idle, int(ahead[0 if by > 0 else -1]))


def worst_stall(view: View) -> View:
    """To the longest stall of the lane; pressed again, to the next longest."""
    lane = view.here
    if lane is None:
        return view
    idle = view.model.gaps(lane)
    if not len(idle.place):
        return replace(view, note="this lane is never idle between its instructions")
    order = np.argsort(-(idle.end - idle.start), kind="stable")
    place = lane.place(view.item.row) if view.item else None
    now = np.flatnonzero(idle.place[order] == place) if place is not None else []
    rank = int(now[0]) + 1 if len(now) and view.note.startswith("stall") else 0
    if rank >= len(order):
        rank = 0
    return _at_gap(view, lane, idle, int(order[rank]), f" (number {rank + 1} of {len(order)})")


def _at_gap(view: View, lane: Lane, idle: Gaps, i: int, rank: str = "") -> View:
    item = lane.item(int(idle.place[i]))
    moved = choose(view, item, remember=True)
    why = f", waiting for {_cause(view, item)}" if item.table == "instruction" else ""
    return replace(moved, note=f"stall: idle {fmt.time(int(idle.end[i] - idle.start[i]))} before this{why}{rank}")


def toggle_critical(view: View) -> View:
    if not view.critical and not view.model.paths:
        return replace(view, note="no critical path: this profile does not record what instructions waited for")
    return replace(view, critical=not view.critical, note="" if view.critical else "critical path: drawn as a lane; ] and [ walk along it")


def step_path(view: View, by: int) -> View:
    """Along the critical path."""
    run = view.item.run if view.item else 0
    rows = view.model.waits[run].path
    if len(rows) < 2:
        return replace(view, note="no critical path: this profile does not record what instructions waited for")
    start = view.runs.timelines[run].instructions.start_ps[rows]
    on = np.flatnonzero(rows == view.item.row) if view.item and view.item.table == "instruction" else []
    if len(on):
        i = int(on[0]) + by
    else:
        i = int(np.searchsorted(start, view.time_ps, "right")) - (0 if by > 0 else 1)
    if not 0 <= i < len(rows):
        return replace(view, note="the critical path ends here" if by > 0 else "the critical path begins here")
    moved = choose(replace(view, critical=True), Item(run, "instruction", int(rows[i])), remember=True)
    return replace(moved, note=f"critical path: {i + 1} of {len(rows)}")


# ---------------------------------------------------------------------------------------------------- finding


def find(view: View, matches: Matches, by: int = 1) -> View:
    """To the next (previous) match in time on any lane; around the end."""
    view = replace(view, matches=matches)
    if not matches.count:
        return replace(view, note=f"nothing matches {matches.query.text!r}")
    best: list[tuple[int, int, int]] = []
    for run, chosen in enumerate(matches.instructions):
        rows = np.flatnonzero(chosen)
        start = view.runs.timelines[run].instructions.start_ps[rows]
        best += [(int(s), run, int(r)) for s, r in _neighbours(start, rows, view, run, by)]
    here = _key(view)
    ahead = [b for b in best if (b > here if by > 0 else b < here)]
    choice = (min if by > 0 else max)(ahead or best)
    moved = choose(view, Item(choice[1], "instruction", choice[2]), remember=True)
    wrapped = "" if ahead else ", around the end" if by > 0 else ", around the beginning"
    return replace(moved, note=f"{fmt.number(matches.count)} match {matches.query.text!r}{wrapped}")


def _key(view: View) -> tuple[int, int, int]:
    if view.item and view.item.table == "instruction":
        return (view.runs.span(view.item)[0], view.item.run, view.item.row)
    return (view.time_ps, -1, -1)


def _neighbours(start: np.ndarray, rows: np.ndarray, view: View, run: int, by: int) -> list[tuple[int, int]]:
    """The matches of one run around the cursor, and its first and last: the next one is among them."""
    if not len(rows):
        return []
    time, _, row = _key(view)
    low, high = np.searchsorted(start, time, "left"), np.searchsorted(start, time, "right")
    at = low + int(np.searchsorted(rows[low:high], row, "left"))
    near = {0, len(rows) - 1, *(i for i in (low - 1, at - 1, at, at + 1, high) if 0 <= i < len(rows))}
    return [(int(start[i]), int(rows[i])) for i in near]


def set_filter(view: View, matches: Matches | None) -> View:
    """Dim everything a query did not choose; None shows all again."""
    if matches is None:
        return replace(view, matches=None, filtering=False, note="")
    if not matches.count:
        return replace(view, note=f"nothing matches {matches.query.text!r}; the filter is unchanged")
    return replace(view, matches=matches, filtering=True, note=f"filter {matches.query.text!r}: {fmt.number(matches.count)} instructions; Esc clears")


# ---------------------------------------------------------------------------------------------------- looks


def fold(view: View) -> View:
    """DMA engines as one lane, or each its own."""
    view = replace(view, folded=not view.folded, note="")
    lane = view.runs.lane_of(view.item, view.folded) if view.item else None
    return replace(view, lane=lane if lane is not None else min(view.lane, max(len(view.lanes) - 1, 0)))


# ---------------------------------------------------------------------------------------------------- mouse


def drag(view: View, column: int) -> View:
    """The mouse moved with its button down: a stretch from where it went down to here."""
    time = view.window.time(column, view.width)
    if view.mark_ps is None and time == view.time_ps:
        return view
    return replace(view, mark_ps=view.time_ps if view.mark_ps is None else view.mark_ps, time_ps=time, note="")


def center(view: View, time_ps: int) -> View:
    """The window around a time (a click on the minimap); the cursor comes along when it would be lost."""
    half = view.window.span_ps // 2
    window = Window(time_ps - half, time_ps - half + view.window.span_ps).within(view.end_ps)
    if window.holds(view.time_ps):
        return replace(view, window=window, note="")
    return at_time(replace(view, window=window), min(max(time_ps, window.start_ps), window.end_ps - 1))

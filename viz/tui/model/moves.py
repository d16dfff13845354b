"""Moves of cursor and window: by instruction, lane, time and event; zoom, pan, mouse, folding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simcore.viz.tui.model.view import View, choose, here_and_now
from simcore.viz.tui.model.window import Window


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
    item = lane.item(place) if lane and place is not None else None
    window = view.window.show(time_ps, time_ps, view.end_ps)
    return replace(view, time_ps=time_ps, window=window, item=item, note="")


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
    return (
        replace(view, window=window, note="") if time == view.time_ps else at_time(replace(view, window=window), time)
    )


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
        return replace(
            view,
            window=Window(start, end).within(view.end_ps),
            mark_ps=None,
            past=(*view.past[-99:], here_and_now(view)),
            note="",
        )
    span = view.span()
    if span is None:
        return replace(view, note="nothing is chosen to zoom to")
    window = Window.around(*span, view.end_ps)
    return replace(view, window=window, time_ps=span[0], past=(*view.past[-99:], here_and_now(view)), note="")


def mark(view: View) -> View:
    """Begin a stretch of time at the cursor, or drop it."""
    if view.mark_ps is not None:
        return replace(view, mark_ps=None, note="")
    return replace(view, mark_ps=view.time_ps, note="move to the other end, then z zooms to the stretch; v drops it")


def fold(view: View) -> View:
    """DMA engines as one lane, or each its own."""
    view = replace(view, folded=not view.folded, note="")
    lane = view.runs.lane_of(view.item, view.folded) if view.item else None
    return replace(view, lane=lane if lane is not None else min(view.lane, max(len(view.lanes) - 1, 0)))


# ---------------------------------------------------------------------------------------------------- mouse


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

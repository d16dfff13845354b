"""Moves along reasons: back to what something waited for, on to who waited for it, stalls, the critical path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simcore.timeline import CAUSES
from simcore.viz import format as fmt
from simcore.viz import palette
from simcore.viz.tui.model.runs import Item, Lane
from simcore.viz.tui.model.view import View, choose
from simcore.viz.tui.model.waits import Gaps


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
    return replace(
        moved,
        note=f"forward: waited for it ({found[0].cause})" + (f", first of {len(found)}" if len(found) > 1 else ""),
    )


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
        return replace(
            view,
            note=f"no stall of {fmt.time(view.column_ps)} (a column) or longer to the {side}; zoom in for shorter ones",
        )
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
    now = np.flatnonzero(idle.place[order] == (-1 if place is None else place))
    rank = int(now[0]) + 1 if len(now) and view.note.startswith("stall") else 0
    if rank >= len(order):
        rank = 0
    return _at_gap(view, lane, idle, int(order[rank]), f" (number {rank + 1} of {len(order)})")


def _at_gap(view: View, lane: Lane, idle: Gaps, i: int, rank: str = "") -> View:
    item = lane.item(int(idle.place[i]))
    moved = choose(view, item, remember=True)
    why = f"; it waited for: {palette.CAUSES[_cause(view, item)].meaning}" if item.table == "instruction" else ""
    return replace(moved, note=f"stall: idle {fmt.time(int(idle.end[i] - idle.start[i]))} before this{why}{rank}")


def toggle_critical(view: View) -> View:
    if not view.critical and not view.model.paths:
        return replace(view, note="no critical path: this profile does not record what instructions waited for")
    return replace(
        view,
        critical=not view.critical,
        note="" if view.critical else "critical path: drawn as a lane; ] and [ walk along it",
    )


def step_path(view: View, by: int) -> View:
    """Along the critical path."""
    run = view.item.run if view.item else 0
    rows = view.model.waits[run].path
    if len(rows) < 2:
        return replace(view, note="no critical path: this profile does not record what instructions waited for")
    start = view.runs.timelines[run].instructions.start_ps[rows]
    on = np.flatnonzero(rows == (view.item.row if view.item and view.item.table == "instruction" else -1))
    if len(on):
        i = int(on[0]) + by
    else:
        i = int(np.searchsorted(start, view.time_ps, "right")) - (0 if by > 0 else 1)
    if not 0 <= i < len(rows):
        return replace(view, note="the critical path ends here" if by > 0 else "the critical path begins here")
    moved = choose(replace(view, critical=True), Item(run, "instruction", int(rows[i])), remember=True)
    return replace(moved, note=f"critical path: {i + 1} of {len(rows)}")

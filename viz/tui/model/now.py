"""The panel of a moment, a debugger for time: engines, queues, memories at the cursor or in the marked stretch."""

from __future__ import annotations

import numpy as np

from simcore.timeline import CAUSES
from simcore.viz import format as fmt
from simcore.viz import palette
from simcore.viz.tui.model.facts import LABEL, Line
from simcore.viz.tui.model.runs import Lane
from simcore.viz.tui.model.view import View
from simcore.viz.tui.model.window import precise

MOST_QUEUES = 6
"""DMA queues named at once; more are counted."""


def moment(view: View) -> list[Line]:
    """Every engine, queue and memory at the cursor; with a marked stretch, what each did in it."""
    if view.selection and view.selection[0] < view.selection[1]:
        return _stretch(view, *view.selection)
    lines: list[Line] = [
        [
            ("at ", "dim"),
            (precise(view.time_ps, view.window, view.width), "strong"),
            (f"  {fmt.percent(view.time_ps / max(view.end_ps, 1))} of the run", "dim"),
        ]
    ]
    for lane in view.runs.folded:
        if lane.table == "transfer":
            lines += _dma_now(view, lane)
        else:
            lines.append([_lane_label(view, lane), *_engine_now(view, lane)])
    for graph in view.runs.graphs:
        now = graph.steps.at(view.time_ps)
        title = view.runs.title(graph.run)
        share = (
            f"  {fmt.percent(now / graph.top)} of {'its' if graph.capacity else 'the highest'} {graph.text(graph.top)}"
        )
        lines.append(
            [(f"{(title + ' ' + graph.name).strip():<{LABEL}} ", "label"), (graph.text(now), ""), (share, "dim")]
        )
    return lines


def _lane_label(view: View, lane: Lane) -> tuple[str, str]:
    return (f"{view.runs.label(lane):<{LABEL}} ", f"engine:{lane.engine}")


def _engine_now(view: View, lane: Lane) -> Line:
    place = lane.at(view.time_ps)
    if place is not None:
        start, end = int(lane.start[place]), int(lane.end[place])
        done = (view.time_ps - start) / max(end - start, 1)
        return [
            ("▶ ", "strong"),
            (lane.names[lane.kind[place]], "strong"),
            (f"  {fmt.percent(done)} done, {fmt.time(end - view.time_ps)} left", "dim"),
        ]
    after = int(np.searchsorted(lane.start, view.time_ps))
    if after >= len(lane.start):
        return [("■ ", ""), ("finished", "dim")]
    row = int(lane.rows[after])
    cause = CAUSES[view.runs.timelines[lane.run].instructions.wait_cause[row]]
    return [
        ("· ", ""),
        ("idle", "warn"),
        (f"  {lane.names[lane.kind[after]]} in {fmt.time(int(lane.start[after]) - view.time_ps)}", "dim"),
        (f"  {palette.CAUSES[cause].symbol} {cause}", f"cause:{cause}"),
    ]


def _dma_now(view: View, lane: Lane) -> list[Line]:
    """How many DMA engines work, and a line per queue with what it has in flight."""
    low = int(np.searchsorted(lane.longest_before, view.time_ps, "right"))
    high = int(np.searchsorted(lane.start, view.time_ps, "right"))
    running = low + np.flatnonzero(lane.end[low:high] > view.time_ps)
    if not len(running):
        return [[_lane_label(view, lane), ("· ", ""), ("idle", "dim")]]
    timeline = view.runs.timelines[lane.run]
    rows = lane.rows[running]
    busy = len(np.unique(timeline.dma.engine[rows]))
    lines: list[Line] = [
        [_lane_label(view, lane), ("▶ ", "strong"), (f"{busy} of {len(lane.parts)} engines", "strong")]
    ]
    queues, count = np.unique(timeline.dma.queue[rows], return_counts=True)
    for queue, number in list(zip(queues, count))[:MOST_QUEUES]:
        own = rows[timeline.dma.queue[rows] == queue]
        nbytes = int(np.maximum(timeline.dma.read_bytes[own], timeline.dma.write_bytes[own]).sum())
        ways = ", ".join(lane.names[k] for k in np.unique(lane.kind[running][timeline.dma.queue[rows] == queue]))
        name = timeline.queues[queue] if timeline.queues else f"queue {queue}"
        said = f"{fmt.number(int(number))} in flight, {fmt.size(nbytes)}, {ways}"
        lines.append([(" " * (LABEL + 3), "label"), (name, ""), (f"  {said}", "dim")])
    if len(queues) > MOST_QUEUES:
        lines.append([(" " * (LABEL + 3), "label"), (f"and {len(queues) - MOST_QUEUES} more queues", "dim")])
    return lines


def _stretch(view: View, start: int, end: int) -> list[Line]:
    edges = np.asarray([start, end])
    lines: list[Line] = [
        [
            ("marked ", "dim"),
            (fmt.time(end - start), "strong"),
            (f"  from {fmt.time(start, significant=5)} to {fmt.time(end, significant=5)}", "dim"),
        ]
    ]
    for lane in view.runs.folded:
        low, high = np.searchsorted(lane.start, edges)
        unit = "transfers" if lane.table == "transfer" else "instructions"
        lines.append(
            [
                _lane_label(view, lane),
                (f"{fmt.percent(float(lane.fraction(edges)[0])):>6} busy", ""),
                (f"  {fmt.number(int(high - low))} {unit[:-1] if high - low == 1 else unit} start", "dim"),
            ]
        )
    for graph in view.runs.graphs:
        title = view.runs.title(graph.run)
        mean, highest = graph.steps.mean(edges)[0], graph.steps.highest(edges)[0]
        lines.append(
            [
                (f"{(title + ' ' + graph.name).strip():<{LABEL}} ", "label"),
                (f"mean {graph.text(mean)}", ""),
                (f"  highest {graph.text(highest)}", "dim"),
            ]
        )
    return lines

"""Curves under the lanes: occupancy of SBUF and PSUM, HBM and DMA bandwidth, per column of the screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simcore.timeline import MEMORIES, Counter, Timeline
from simcore.viz import format as fmt


@dataclass(frozen=True, eq=False)
class Steps:
    """A step function: `value[i]` from `time[i]` on, 0 before."""

    time: np.ndarray
    value: np.ndarray

    def at(self, time_ps: int) -> float:
        i = int(np.searchsorted(self.time, time_ps, "right")) - 1
        return float(self.value[i]) if i >= 0 else 0.0

    def highest(self, edges: np.ndarray) -> np.ndarray:
        """The largest value within each column: a peak of one cycle must not vanish between columns."""
        if not len(self.time):
            return np.zeros(len(edges) - 1)
        first = np.searchsorted(self.time, edges[:-1], "right") - 1
        until = np.searchsorted(self.time, edges[1:], "left")
        entering = np.where(first >= 0, self.value[np.maximum(first, 0)], 0.0)
        low, high = int(first[0]) + 1, int(until[-1])
        if high <= low:
            return entering
        # reduceat over the steps that begin inside the window; a column without any keeps the entering value
        starts = np.clip(first + 1 - low, 0, high - low - 1)
        inside = np.maximum.reduceat(self.value[low:high], starts)
        return np.where(until > first + 1, np.maximum(entering, inside), entering)

    def mean(self, edges: np.ndarray) -> np.ndarray:
        """The mean over each column."""
        if not len(self.time):
            return np.zeros(len(edges) - 1)
        steps = np.diff(self.time, append=max(int(edges[-1]), int(self.time[-1])) + 1)
        area = np.concatenate([[0.0], np.cumsum(self.value * steps)])
        i = np.searchsorted(self.time, edges, "right") - 1
        at = np.maximum(i, 0)
        total = np.where(i < 0, 0.0, area[at] + self.value[at] * (edges - self.time[at]))
        return np.diff(total) / np.maximum(np.diff(edges), 1)


@dataclass(frozen=True, eq=False)
class Graph:
    """One curve.  `top` is what a full cell stands for: the capacity where it is known, else the largest value."""

    run: int
    name: str                          # "SBUF", "PSUM", "HBM" ...
    what: str                          # the counter's name, for help and legends
    steps: Steps
    average: bool                      # a column shows the mean (rates) or the highest value (occupancy)
    top: float
    capacity: bool                     # `top` is the hardware's limit
    text: Callable[[float], str]

    def values(self, edges: np.ndarray) -> np.ndarray:
        return self.steps.mean(edges) if self.average else self.steps.highest(edges)


def bandwidth(start: np.ndarray, end: np.ndarray, nbytes: np.ndarray) -> Steps:
    """Bytes per second over time, each transfer's bytes spread evenly over its duration."""
    moves = (end > start) & (nbytes > 0)
    start, end, nbytes = start[moves], end[moves], nbytes[moves]
    rate = nbytes / ((end - start) * 1e-12)
    time = np.concatenate([start, end])
    change = np.concatenate([rate, -rate])
    order = np.argsort(time, kind="stable")
    time, value = time[order], np.cumsum(change[order])
    last = np.concatenate([time[1:] != time[:-1], [True]]) if len(time) else np.zeros(0, bool)
    value = np.where(np.abs(value) < 1e-6 * rate.max(initial=1.0), 0.0, value)
    return Steps(time[last], np.maximum(value[last], 0.0))


_UNITS: dict[str, tuple[float, bool, Callable[[float], str]]] = {
    "bytes": (1.0, False, fmt.size),
    "GB/s": (1e9, True, fmt.rate),
}
"""A counter's unit (the end of its name): factor to bytes or bytes/s, whether a column shows the mean, and its text."""


def graphs(timeline: Timeline, run: int = 0) -> list[Graph]:
    """The curves a timeline can give: its counters, and bandwidth from its DMA transfers where it has no such counter."""
    found = []
    for name, counter in timeline.counters.items():
        title, _, unit = name.rpartition(" ")
        factor, average, text = _UNITS.get(unit, (1.0, False, fmt.number))
        steps = _steps(counter, factor)
        if len(steps.time) and (title or unit):
            found.append(_graph(timeline, run, title or name, name, steps, average, text))
    names = {g.name for g in found}
    dma = timeline.dma
    if len(dma) and "HBM" not in names:
        hbm = MEMORIES.index("HBM")
        nbytes = np.where(dma.source == hbm, dma.read_bytes, 0) + np.where(dma.dest == hbm, dma.write_bytes, 0)
        if nbytes.any():
            steps = bandwidth(dma.start_ps, dma.end_ps, nbytes)
            found.append(_graph(timeline, run, "HBM", "HBM GB/s", steps, True, fmt.rate))
        elif "DMA" not in names:
            steps = bandwidth(dma.start_ps, dma.end_ps, np.maximum(dma.read_bytes, dma.write_bytes))
            found.append(_graph(timeline, run, "DMA", "DMA GB/s", steps, True, fmt.rate))
    order = {"SBUF": 0, "PSUM": 1, "HBM": 2, "DMA": 3}
    return sorted(found, key=lambda g: order.get(g.name, 9))


def _steps(counter: Counter, factor: float) -> Steps:
    return Steps(counter.time_ps, counter.value * factor)


def _graph(timeline, run, name, what, steps, average, text) -> Graph:
    limit = capacity(timeline, name)
    highest = float(steps.value.max(initial=0.0))
    return Graph(run, name, what, steps, average, max(limit or 0.0, highest) or 1.0, limit is not None, text)


def capacity(timeline: Timeline, name: str) -> float | None:
    """The hardware's limit of a curve, where the timeline carries its machine: bytes, or bytes per second."""
    return None

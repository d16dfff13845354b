"""Curves under the lanes: occupancy of SBUF and PSUM, HBM and DMA bandwidth, per column of the screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from simcore import load_machine
from simcore.errors import MachineError
from simcore.timeline import MEMORIES, Timeline
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
        # one stretch of steps per column, as pairs for reduceat: a step exactly on an edge belongs to the right column,
        # which it enters, so stretches have gaps between them.  The last entry lets a stretch end at the very end.
        pairs = np.stack([first + 1, until], axis=1).ravel() - low
        value = np.append(self.value[low:high], -np.inf)
        inside = np.maximum.reduceat(value, np.clip(pairs, 0, high - low))[::2]
        return np.where(until > first + 1, np.maximum(entering, inside), entering)

    @cached_property
    def _area(self) -> np.ndarray:
        """Value times picoseconds before each step."""
        return np.concatenate([[0.0], np.cumsum(self.value[:-1] * np.diff(self.time))])

    def mean(self, edges: np.ndarray) -> np.ndarray:
        """The mean over each column."""
        if not len(self.time):
            return np.zeros(len(edges) - 1)
        i = np.searchsorted(self.time, edges, "right") - 1
        at = np.maximum(i, 0)
        total = np.where(i < 0, 0.0, self._area[at] + self.value[at] * (edges - self.time[at]))
        return np.diff(total) / np.maximum(np.diff(edges), 1)


@dataclass(frozen=True, eq=False)
class Graph:
    """One curve.  `top` is what a full cell stands for: the capacity where it is known, else the largest value."""

    run: int
    name: str  # "SBUF", "PSUM", "HBM" ...
    what: str  # the counter's name, for help and legends
    steps: Steps
    average: bool  # a column shows the mean (rates) or the highest value (occupancy)
    top: float
    capacity: bool  # `top` is the hardware's limit
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

_ORDER = {"SBUF": 0, "PSUM": 1, "HBM": 2, "DMA": 3}


def graphs(timeline: Timeline, run: int = 0) -> list[Graph]:
    """The curves a timeline can give: its counters that are ever above 0, and bandwidth from its DMA transfers where
    no counter says it."""
    found = []
    for name, counter in timeline.counters.items():
        title, _, unit = name.rpartition(" ")
        if not counter.value.any():
            continue
        if unit in _UNITS:
            factor, average, text = _UNITS[unit]
            found.append(
                _graph(timeline, run, title, name, Steps(counter.time_ps, counter.value * factor), average, text)
            )
        else:
            found.append(_graph(timeline, run, name, name, Steps(counter.time_ps, counter.value), False, fmt.number))
    names = {g.name for g in found}
    dma = timeline.dma
    if len(dma) and not names & {"HBM", "DMA"}:
        hbm = MEMORIES.index("HBM")
        nbytes = np.where(dma.source == hbm, dma.read_bytes, 0) + np.where(dma.dest == hbm, dma.write_bytes, 0)
        name = "HBM" if nbytes.any() else "DMA"
        nbytes = nbytes if nbytes.any() else np.maximum(dma.read_bytes, dma.write_bytes)
        found.append(
            _graph(timeline, run, name, f"{name} GB/s", bandwidth(dma.start_ps, dma.end_ps, nbytes), True, fmt.rate)
        )
    return sorted(found, key=lambda g: _ORDER.get(g.name, len(_ORDER)))


def _graph(
    timeline: Timeline, run: int, name: str, what: str, steps: Steps, average: bool, text: Callable[[float], str]
) -> Graph:
    limit = capacity(timeline, name)
    highest = float(steps.value.max(initial=0.0))
    return Graph(
        run, name, what, steps, average, max(limit or 0.0, highest) or 1.0, limit is not None and limit >= highest, text
    )


def capacity(timeline: Timeline, name: str) -> float | None:
    """The hardware's limit of a curve, bytes or bytes per second; None where the machine is not known.

    A measured profile carries no machine: the description of its target is taken.
    """
    number = partial(machine_number, timeline)

    if name == "SBUF":
        return _product(number("sbuf", "bytes_per_partition"), number("core", "partitions"))
    if name == "PSUM":
        return _product(
            number("psum", "banks"), number("psum", "bank_bytes_per_partition"), number("core", "partitions")
        )
    if name == "HBM":
        return number("hbm", "bytes_per_s")
    if name == "DMA":
        return _product(number("dma", "engines"), number("dma", "engine_bytes_per_s"))
    return None


def machine_number(timeline: Timeline, section: str, key: str) -> Any:
    """A number of the timeline's machine, or of the description of its target; None where there is none."""
    entry = (timeline.machine or _machine(timeline.target)).get(section, {}).get(key)
    return entry.get("value") if isinstance(entry, dict) and "value" in entry else entry


def _product(*factors: float | None) -> float | None:
    return None if None in factors else float(np.prod([f for f in factors if f is not None]))


@lru_cache(8)
def _machine(target: str) -> dict[str, Any]:
    try:
        return load_machine(target).to_dict()
    except MachineError:
        return {}

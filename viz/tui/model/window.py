"""A stretch of time and how it falls on columns of the screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simcore.viz import format as fmt

MIN_SPAN_PS = 4_000
"""The narrowest window: 4 ns, a few cycles of the fastest clock."""

TICK_COLUMNS = 14
"""Least distance between labels of the axis: room for "123.456 ms" and air."""


@dataclass(frozen=True)
class Window:
    """From `start_ps` (inclusive) to `end_ps` (exclusive)."""

    start_ps: int
    end_ps: int

    @property
    def span_ps(self) -> int:
        return self.end_ps - self.start_ps

    def edges(self, width: int) -> np.ndarray:
        """`width + 1` times: column c holds edges[c] <= t < edges[c + 1]."""
        return self.start_ps + (self.span_ps * np.arange(width + 1, dtype=np.int64)) // max(width, 1)

    def column(self, time_ps: int, width: int) -> int:
        """The column that holds a time; below 0 or from `width` on when it is outside."""
        return (width * (time_ps - self.start_ps + 1) - 1) // self.span_ps

    def time(self, column: int, width: int) -> int:
        """The first picosecond of a column."""
        return self.start_ps + self.span_ps * column // max(width, 1)

    def holds(self, time_ps: int) -> bool:
        return self.start_ps <= time_ps < self.end_ps

    # ---------------------------------------------------------------------------------------- moves

    def within(self, end_ps: int) -> Window:
        """The same span (if it fits) moved inside 0..end_ps."""
        limit = max(end_ps, MIN_SPAN_PS)
        span = min(max(self.span_ps, MIN_SPAN_PS), limit)
        start = min(max(self.start_ps, 0), limit - span)
        return Window(start, start + span)

    def zoom(self, factor: float, at_ps: int, end_ps: int) -> Window:
        """`factor` times narrower (below 1: wider); `at_ps` keeps its place on the screen."""
        span = min(max(round(self.span_ps / factor), MIN_SPAN_PS), max(end_ps, MIN_SPAN_PS))
        left = round((at_ps - self.start_ps) / self.span_ps * span)
        return Window(at_ps - left, at_ps - left + span).within(end_ps)

    def pan(self, fraction: float, end_ps: int) -> Window:
        """Moved right by a fraction of its span (left when negative)."""
        shift = round(self.span_ps * fraction)
        return Window(self.start_ps + shift, self.end_ps + shift).within(end_ps)

    def show(self, start_ps: int, end_ps: int, limit_ps: int) -> Window:
        """Moved, never resized, so that an interval can be seen; unchanged when it can be already."""
        if self.holds(start_ps):
            return self
        span = self.span_ps
        middle = start_ps if end_ps - start_ps > span else (start_ps + end_ps) // 2
        return Window(middle - span // 2, middle - span // 2 + span).within(limit_ps)

    @staticmethod
    def around(start_ps: int, end_ps: int, limit_ps: int, margin: float = 0.25) -> Window:
        """An interval with some air on both sides."""
        air = max(round((end_ps - start_ps) * margin), MIN_SPAN_PS // 4)
        return Window(start_ps - air, max(end_ps, start_ps + 1) + air).within(limit_ps)


@dataclass(frozen=True)
class Tick:
    column: int
    label: str


def ticks(window: Window, width: int) -> list[Tick]:
    """Round times at readable distances.  All labels share one unit and just enough decimals to differ."""
    if width < 1:
        return []
    least = max(window.span_ps * TICK_COLUMNS // width, 1)
    step = _round_up(least)
    factor, unit = fmt.time_unit(max(window.end_ps, 1))
    decimals = 0
    while decimals < 12 and step * 10**decimals % factor:
        decimals += 1
    found = []
    time = -(-window.start_ps // step) * step
    while time < window.end_ps:
        found.append(Tick(window.column(time, width), f"{time / factor:.{decimals}f} {unit}"))
        time += step
    return found


def _round_up(least: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 ... that is not below `least`."""
    power = 10 ** (len(str(least)) - 1)
    return next(power * m for m in (1, 2, 5, 10) if power * m >= least)


def precise(time_ps: int, window: Window, width: int) -> str:
    """A time with as many digits as one column of the screen can tell apart: "12.345 67 µs" without the gap."""
    factor, unit = fmt.time_unit(max(window.end_ps, 1))
    column = max(window.span_ps // max(width, 1), 1)
    decimals = 0
    while decimals < 9 and column * 10**decimals < factor:
        decimals += 1
    return f"{time_ps / factor:.{decimals}f} {unit}"

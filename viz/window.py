"""Which part of a run a picture shows, and how its time axis reads."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from simcore import analysis, format
from simcore.errors import UsageError
from simcore.timeline import Timeline


def only(timeline: Timeline | Iterable[Timeline]) -> Timeline:
    """The one timeline given.  UsageError when there are several: this picture shows one."""
    if isinstance(timeline, Timeline):
        return timeline
    several = list(timeline)
    if len(several) != 1:
        raise UsageError(f"this picture shows one run, {len(several)} were given")
    return several[0]


def choose(timeline: Timeline, window: tuple[int, int] | None = None, line: str | int | None = None) -> tuple[int, int]:
    """(start_ps, end_ps): as given, or where instructions of a kernel line run ("file.py:12" or 12), or the whole run.

    Raises UsageError when there is nothing there.
    """
    begin, end = analysis.span_ps(timeline)
    if window is not None and line is not None:
        raise UsageError("give a window or a line, not both")
    if line is not None:
        rows = rows_of_line(timeline, line)
        t = timeline.instructions
        begin, end = int(t.start_ps[rows].min()), int(np.maximum(t.end_ps, t.done_ps)[rows].max())
        margin = max((end - begin) // 50, 1)
        return max(begin - margin, 0), end + margin
    if window is not None:
        first, last = max(window[0], 0), window[1]
        if last <= first or first >= timeline.end_ps:
            raise UsageError(
                f"the window {format.time(window[0])} to {format.time(window[1])} is empty; "
                f"the run lasts from {format.time(begin)} to {format.time(end)}"
            )
        return first, last
    return (begin, end) if end > begin else (0, 1)


def rows_of_line(timeline: Timeline, line: str | int) -> np.ndarray:
    """Instructions issued by a kernel line.  Raises UsageError with the lines there are when none was."""
    file, _, number = str(line).rpartition(":")
    if not number.isdigit():
        raise UsageError(f"{line!r} is not a line: write 12 or kernel.py:12")
    wanted = [
        i
        for i, site in enumerate(timeline.sites)
        if site.line == int(number) and (not file or site.file == file or site.file.endswith("/" + file))
    ]
    rows = np.flatnonzero(np.isin(timeline.instructions.site, wanted))
    if not len(rows):
        known = sorted({site.line for site in timeline.sites})
        have = f"instructions come from lines {_some(known)}" if known else "this timeline records no source lines"
        raise UsageError(f"no instruction comes from line {line}; {have}")
    return rows


def _some(numbers: list[int], most: int = 12) -> str:
    return ", ".join(map(str, numbers[:most])) + (f" and {len(numbers) - most} more" if len(numbers) > most else "")


def time_axis(ax: Axes, window: tuple[int, int]) -> None:
    """Ticks in one unit, named once in the label."""
    first, last = window
    factor, unit = format.time_unit(last - first)
    ax.set_xlim(first, last)
    ax.xaxis.set_major_locator(_Multiples(factor))
    ax.xaxis.set_major_formatter(
        FuncFormatter(
            lambda v, _: f"{v / factor:.10g}".rstrip("0").rstrip(".") if v % factor else f"{int(v // factor)}"
        )
    )
    ax.set_xlabel(f"time [{unit}]")


class _Multiples(MaxNLocator):
    """Round numbers of a unit other than 1."""

    def __init__(self, factor: int):
        super().__init__(nbins=10, steps=[1, 2, 2.5, 5, 10])
        self.factor = factor

    def tick_values(self, vmin: float, vmax: float):
        return np.asarray(super().tick_values(vmin / self.factor, vmax / self.factor)) * self.factor

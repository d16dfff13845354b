"""The Tensor engine's clock limiter.

Time is cut into windows; a window runs at full rate when the one before streamed at least a threshold of its cycles, at
a lower rate otherwise, and the first window of a run is limited.  Only multiply-moving counts as streaming, by the
share of the array's rows that it feeds: that is why products of few rows, alone, never leave the lower rate.

The windows of the hardware run free of the kernel, so where they lie is a matter of chance.  The model places them by
the first product: the machine says how much of a window is gone by then.
"""

from __future__ import annotations

import numpy as np

from simcore.machine import Machine
from simcore.timeline import ClockStates

_EVER = 1 << 62


class Limiter:
    """Of one core.  Work is measured in picoseconds at full rate.

    begin, end  the window looked at last
    factor      how much longer work takes in it
    """

    def __init__(self, machine: Machine):
        pe = machine.tensor
        self.window = round(pe.limiter_window_cycles * 1e12 / machine.core.base_clock_hz)
        self.need = pe.limiter_threshold_fraction * self.window
        rate = pe.limiter_rate_fraction
        self.slow = round(1 / rate) if rate > 0 else 1
        self.by_rows = pe.limiter_counts_rows
        self.phase = round(pe.limiter_phase_fraction * self.window)
        self.origin: int | None = None          # where a window begins: known with the first product
        self.busy: dict[int, float] = {}        # per window, counted from the origin
        self.at, self.begin, self.end, self.factor = 0, 0, 0, self.slow
        if self.slow == 1:
            self.origin, self.begin, self.end = 0, -_EVER, _EVER

    def _look(self, t: int) -> None:
        """Go to the window of time t.  What decides its rate can change only by a look at the window before."""
        assert self.origin is not None
        self.at = (t - self.origin) // self.window
        self.begin = self.origin + self.at * self.window
        self.end = self.begin + self.window
        self.factor = 1 if self.busy.get(self.at - 1, 0) >= self.need else self.slow

    def full(self, t: int) -> bool:
        """Does the engine run at full rate at time t?"""
        if not self.begin <= t < self.end:
            if self.origin is None:
                return False
            self._look(t)
        return self.factor == 1

    def stream(self, t: int, work: int, share: float = 1.0) -> int:
        """Stream `work` from t on through a share of the array's rows; returns when it is through."""
        if self.origin is None:
            self.origin = t - self.phase
        if not self.by_rows:
            share = 1.0
        busy = self.busy
        while True:
            if not self.begin <= t < self.end:
                self._look(t)
            factor, at = self.factor, self.at
            through = t + work * factor
            if through <= self.end:
                busy[at] = busy.get(at, 0) + work * share
                return through
            part = (self.end - t) // factor
            busy[at] = busy.get(at, 0) + part * share
            work -= part
            t = self.end

    def intervals(self, end_ps: int) -> list[tuple[int, int, int]]:
        """(start, end, k of 8) of the states up to end_ps."""
        rows: list[list[int]] = []
        low = round(8 / self.slow)
        origin = self.origin or 0
        for w in range(-origin // self.window, (end_ps - origin) // self.window + 1):
            k = 8 if self.slow == 1 or self.busy.get(w - 1, 0) >= self.need else low
            begin, end = max(0, origin + w * self.window), origin + (w + 1) * self.window
            if rows and rows[-1][2] == k:
                rows[-1][1] = end
            else:
                rows.append([begin, end, k])
        return [(a, b, k) for a, b, k in rows]


def clock_states(limiters: list[Limiter], end_ps: int) -> ClockStates:
    rows = [(core, a, b, k, 8) for core, limiter in enumerate(limiters) for a, b, k in limiter.intervals(end_ps)]
    columns = list(zip(*rows, strict=True)) or [()] * 5
    return ClockStates(*(np.array(c) for c in columns))

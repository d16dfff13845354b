"""How fast simcore itself is: flash attention at several lengths.

For each length: instructions of the kernel and of the chip (a matmul is LDWEIGHTS and MATMUL), instructions per second
of capture with values, of capture for timing only, of simulate and of the last two together, and the bytes an
instruction takes in the Trace, in the Timeline and of the process at its peak.  Growth is the exponent between
neighbouring lengths (1.00: twice the instructions, twice the time).  Times are CPU time, the best of a few runs on
whatever machine this is, so the ratios and the yardstick (a Python function call) say more than the figures.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import simcore
from simcore.frontend import TensorSpec, activate
from simcore.timeline import Timeline

LENGTHS = (1024, 2048, 4096, 8192)
DEPTH = 128


@dataclass(frozen=True)
class Row:
    """Figures of one sequence length; times in seconds."""

    length: int
    instructions: int
    operations: int  # rows of the Timeline: chip instructions
    values_s: float | None  # None: not measured at this length
    timing_s: float
    simulate_s: float
    trace_bytes: int  # per instruction
    timeline_bytes: int  # per instruction
    peak_bytes: int | None  # per chip instruction, of the process beyond its start; None: this system does not say

    @property
    def both_s(self) -> float:
        """Capture for timing and simulate: what an answer takes."""
        return self.timing_s + self.simulate_s


def measure(
    lengths: tuple[int, ...] = LENGTHS, *, values_up_to: int = 4096, repeat: int = 3, target: str = "trn2"
) -> Iterator[Row]:
    """One Row per length.  Values are computed up to `values_up_to` only: they cost as the square of the length."""
    with activate():
        kernel = importlib.import_module("simcore.kernels.flash_attn").flash_attn
    machine = simcore.load_machine(target)
    start = _peak()
    for length in lengths:
        args = [
            TensorSpec.parse(f"bfloat16[1,{shape}]")
            for shape in (f"{DEPTH},{length}", f"{DEPTH},{length}", f"{length},{DEPTH}")
        ]

        def capture(values: bool, args=args):
            return simcore.capture(kernel, *args, target=target, values=values)

        timing_s, trace = best(lambda: capture(False), repeat)
        simulate_s, timeline = best(partial(simcore.simulate, trace, machine), repeat)
        values_s = best(lambda: capture(True), 1)[0] if length <= values_up_to else None
        yield Row(
            length,
            len(trace),
            len(timeline.instructions),
            values_s,
            timing_s,
            simulate_s,
            round(trace.nbytes / len(trace)),
            round(timeline_bytes(timeline) / len(trace)),
            None if start is None else round(((_peak() or 0) - start) / len(timeline.instructions)),
        )


def best(function: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """(shortest CPU time in seconds, the last result)."""
    shortest, result = math.inf, None
    for _ in range(repeat):
        gc.collect()
        result = None
        start = time.process_time()
        result = function()
        shortest = min(shortest, time.process_time() - start)
    return shortest, result


def _peak() -> int | None:
    """The most memory this process has had, bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def timeline_bytes(timeline: Timeline) -> int:
    """Memory of a timeline's columns."""
    tables = (timeline.instructions, timeline.dma, timeline.dependences, timeline.clock)
    return sum(getattr(table, f.name).nbytes for table in tables for f in dataclasses.fields(table))


def growth(before: Row, after: Row, time_of: Callable[[Row], float | None]) -> float | None:
    """Exponent of a time over the number of instructions, between two rows."""
    a, b = time_of(before), time_of(after)
    if not a or not b or after.instructions == before.instructions:
        return None
    return math.log(b / a) / math.log(after.instructions / before.instructions)


def facts() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "simcore": simcore.__version__,
        "yardstick": f"a Python function call takes {_call_s() * 1e9:.0f} ns here",
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _call_s(calls: int = 200_000) -> float:
    def nothing(a, b):
        return a

    def loop():
        for i in range(calls):
            nothing(i, i)

    return best(loop, 3)[0] / calls

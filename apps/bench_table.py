"""The benchmark's figures as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simcore import format
from simcore.apps.bench import Row, growth

_STAGES: dict[str, Callable[[Row], float | None]] = {
    "with values": lambda row: row.values_s,
    "timing only": lambda row: row.timing_s,
    "simulate": lambda row: row.simulate_s,
    "end to end": lambda row: row.both_s,
}


def table(rows: Sequence[Row], facts: dict[str, str]) -> RenderableType:
    """Two tables, a line per length: instructions/s of each stage, and how each grows; then the machine."""
    speeds, growths = (
        _table("instructions/s", *_STAGES, "of the chip", "values : timing"),
        _table("growth", *_STAGES, "bytes: trace", "timeline", "peak"),
    )
    for before, row in zip((None, *rows), rows, strict=False):
        ratio = format.ratio(row.values_s / row.timing_s) if row.values_s else format.MISSING
        chip = f"{format.number(round(row.operations / row.both_s))}/s"
        speeds.add_row(*_head(row), *(_speed(row, time_of) for time_of in _STAGES.values()), chip, ratio)
        growths.add_row(
            *_head(row),
            *(_growth(before, row, time_of) for time_of in _STAGES.values()),
            str(row.trace_bytes),
            str(row.timeline_bytes),
            format.MISSING if row.peak_bytes is None else str(row.peak_bytes),
        )
    notes = (
        "instructions of the kernel; end to end: capture for timing, then simulate; of the chip: the same in chip "
        "instructions",
        "growth: exponent of time over instructions since the line above (1.00: proportional); bytes: per instruction, "
        "at the peak per chip instruction (what a process needs at all weighs on short kernels)",
    )
    machine = [f"{name} {fact}" if name != "yardstick" else fact for name, fact in facts.items()]
    return Group(speeds, "", growths, "", *(Text(line, style="dim") for line in (*notes, *machine)))


def _table(title: str, *columns: str) -> Table:
    out = Table(title=title, title_justify="left", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("length", "instr.", *columns):
        out.add_column(name, justify="right")
    return out


def _head(row: Row) -> tuple[str, str]:
    return format.number(row.length), format.number(row.instructions)


def _speed(row: Row, time_of: Callable[[Row], float | None]) -> str:
    seconds = time_of(row)
    return format.MISSING if seconds is None else f"{format.number(round(row.instructions / seconds))}/s"


def _growth(before: Row | None, row: Row, time_of: Callable[[Row], float | None]) -> str:
    exponent = growth(before, row, time_of) if before else None
    return format.MISSING if exponent is None else f"{exponent:.2f}"

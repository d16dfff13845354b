"""The benchmark's figures as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simcore import format
from simcore.apps.bench import Row, growth

_STAGES: dict[str, Callable[[Row], float | None]] = {
    "capture, values": lambda row: row.values_s,
    "capture, timing only": lambda row: row.timing_s,
    "simulate": lambda row: row.simulate_s,
}


def table(rows: Sequence[Row], facts: dict[str, str]) -> RenderableType:
    """One line per length: instructions/s of each stage with its growth in brackets, and bytes per instruction."""
    out = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("length", "instructions", *_STAGES, "values : timing", "B/instr. trace", "timeline"):
        out.add_column(name, justify="right")
    for before, row in zip((None, *rows), rows, strict=False):
        cells = [_speed(row, before, time_of) for time_of in _STAGES.values()]
        ratio = format.ratio(row.values_s / row.timing_s) if row.values_s else format.MISSING
        out.add_row(format.number(row.length), format.number(row.instructions), *cells, ratio, str(row.trace_bytes), str(row.timeline_bytes))
    notes = "instructions per second, in brackets the growth: the exponent of time over instructions since the line above"
    return Group(out, Text(notes, style="dim"), Text("; ".join(f"{k} {v}" if k != "yardstick" else v for k, v in facts.items()), style="dim"))


def _speed(row: Row, before: Row | None, time_of: Callable[[Row], float | None]) -> str:
    seconds = time_of(row)
    if seconds is None:
        return format.MISSING
    exponent = growth(before, row, time_of) if before else None
    return f"{format.number(round(row.instructions / seconds))}/s" + (f" ({exponent:.2f})" if exponent is not None else "")

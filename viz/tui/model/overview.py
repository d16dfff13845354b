"""The panel that sums a run up: time, bound, and per engine how busy, how critical, and idle for what."""

from __future__ import annotations

from simcore.summary import Summary
from simcore.timeline import ENGINES
from simcore.viz import format as fmt
from simcore.viz import palette
from simcore.viz.tui.model.facts import Line
from simcore.viz.tui.model.facts import line as line_of
from simcore.viz.tui.model.view import View


def overview(view: View) -> list[Line]:
    """One run: a line per engine.  Two: the same engine of both under each other, the second with its ratio."""
    sums = view.model.summaries
    lines = [_headline(view, i, s) for i, s in enumerate(sums)]
    lines.append([(f"{'':<11}{'busy':>8}{'span':>6}{'crit':>6}  idle, waiting for", "label")])
    for name in (*ENGINES, "DMA", "handoff"):
        first: int | None = None
        for i, s in enumerate(sums):
            busy = _busy(s, name)
            critical = s.critical_path_ps.get(name, 0)
            if not busy and not critical:
                continue
            ink = palette.ENGINES.get(name)
            label = f"{view.runs.title(i)} {ink.symbol + ' ' if ink else ''}{name}".strip()
            time = fmt.time(busy) if busy is not None else ""
            share = _share(busy, s) if busy is not None else ""
            line: Line = [
                (f"{label:<11}", f"engine:{name}"),
                (f"{time:>8}{share:>6}", ""),
                (
                    f"{_share(critical, s):>6}",
                    "engine:Critical" if critical else "dim",
                ),
                ("  ", ""),
            ]
            if i and first and busy:
                line.append((f"B/A {fmt.ratio(busy / first)}  ", "strong"))
            first = busy if i == 0 else first
            for cause, idle in list(_stalls(s, name).items())[:3]:
                line.append((f"{palette.CAUSES[cause].symbol} {cause} {fmt.time(idle)}  ", f"cause:{cause}"))
            lines.append(line)
    for i, s in enumerate(sums):
        if s.caveat:
            lines.append(line_of(f"{view.runs.title(i)} note".lstrip(), (s.caveat, "warn")))
    return lines


def _headline(view: View, run: int, s: Summary) -> Line:
    line: Line = [(f"{view.runs.title(run)} span ".lstrip(), "label"), (fmt.time(s.span_ps), "strong")]
    if s.bounds_ps:
        name, least = next(iter(s.bounds_ps.items()))
        line += [("  bound ", "label"), (f"{name} {fmt.time(least)} ({fmt.percent(least / max(s.span_ps, 1))})", "")]
    line += [("  HBM ", "label"), (fmt.size(s.hbm_read_bytes + s.hbm_write_bytes), "")]
    if s.intensity is not None and s.flops:
        line += [("  ", ""), (fmt.intensity(s.intensity), ""), ("  ", ""), (fmt.flop_rate(s.flops_per_s), "")]
    return line


def _share(part: int, s: Summary) -> str:
    return fmt.percent(part / s.span_ps).replace(" ", "") if s.span_ps else ""


def _busy(s: Summary, name: str) -> int | None:
    """Over all cores; None for what is not an engine."""
    if name == "DMA":
        return s.dma.busy_ps
    return sum(e.busy_ps for e in s.engines if e.engine == name) if name in ENGINES else None


def _stalls(s: Summary, name: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for engine in s.engines:
        if engine.engine == name:
            for cause, idle in engine.stalls.items():
                total[cause] = total.get(cause, 0) + idle
    return dict(sorted(total.items(), key=lambda item: -item[1]))

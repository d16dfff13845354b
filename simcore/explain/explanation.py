"""Putting an explanation together."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from simcore import analysis, format
from simcore.errors import SimcoreError
from simcore.explain import compute, loops, memory, overlap
from simcore.explain.finding import LEAST_SHARE, Finding, place, source_text
from simcore.explain.rules import RULES, Candidate, Context
from simcore.explain.sketch import Sketch
from simcore.explain.symptoms import symptoms
from simcore.machine import Machine
from simcore.roofline import machine_of
from simcore.summary import bounds_ps
from simcore.tables import Table, Tabled, shares
from simcore.timeline import Site, Timeline
from simcore.trace import Trace

MAX_STEPS = 60_000
"""A longer trace is explained without what-ifs: each would take longer than the simulation itself."""

NOTHING = "Nothing: none of the guide's ten optimisations would shorten this run noticeably."

FINDERS = (
    memory.input_reloads,
    memory.unfused_passes,
    overlap.engine_idle,
    overlap.unhidden_loads,
    loops.small_instructions,
    compute.uncombined,
    compute.short_stationary,
    compute.tensor_transposes,
    loops.small_transfers,
    memory.dma_transposes,
)


@dataclass(frozen=True, repr=False)
class Explanation(Tabled):
    """Why a run takes as long as it does.  Times are picoseconds."""

    name: str
    kind: str
    target: str
    span_ps: int
    bounds_ps: dict[str, int]  # largest first
    critical_path_ps: dict[str, int]  # by engine, "DMA", "handoff", "launch"
    critical_lines: tuple[tuple[Site | None, int, str], ...]  # kernel line, share of the path, its source
    stalls_ps: dict[str, dict[str, int]]  # engine -> cause -> idle time
    findings: tuple[Finding, ...]  # largest saving first
    simulated: bool  # savings were simulated; otherwise symptoms only
    notes: tuple[str, ...] = ()
    origin: str = ""  # kind and target for a title, and whether the chip as a whole is an extrapolation
    caveat: str = ""  # what of the prediction rests on numbers nobody has measured on this chip

    def headline(self) -> tuple[str, ...]:
        """Sentences: how long, and how far from the largest bound."""
        lines = [f"{self.name}: {self.origin}, {format.time(self.span_ps)}"]
        if self.bounds_ps:
            resource, ps = next(iter(self.bounds_ps.items()))
            lines.append(
                f"No schedule of these instructions is shorter than {format.time(ps)} ({resource}); "
                f"{format.time(self.span_ps - ps)} are lost to waiting"
            )
        return (*lines, self.caveat) if self.caveat else tuple(lines)

    def tables(self) -> tuple[Table, ...]:
        """Bounds beside the time, critical path by engine and by line, stalls by cause; empty ones are left out."""
        bounds = shares("Bounds beside the time", ("resource", "at least"), self.bounds_ps, self.span_ps)
        path = shares("Critical path by engine", ("on", "time"), self.critical_path_ps, self.span_ps)
        lines = Table(
            "Critical path by kernel line",
            ("line", "time", "of span", "source"),
            tuple(
                (place(site), format.time(ps), format.percent(ps / self.span_ps if self.span_ps else None), text)
                for site, ps, text in self.critical_lines
            )
            if any(site for site, *_ in self.critical_lines)
            else (),
            (1, 2),
        )
        stalls = Table(
            "Idle engines by cause",
            ("engine", "waits for"),
            tuple(
                (engine, ", ".join(f"{cause} {format.time(ps)}" for cause, ps in causes.items()))
                for engine, causes in self.stalls_ps.items()
            ),
        )
        return tuple(t for t in (bounds, path, lines, stalls) if t.rows)

    def __str__(self) -> str:
        parts = ["\n".join(self.headline()), *map(str, self.tables()), "What to change"]
        parts += [f"  {line}" for line in self.notes]
        parts += [f"  {i}. {f}" for i, f in enumerate(self.findings, 1)]
        if not self.findings:
            parts.append(f"  {NOTHING}")
        return "\n\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """How a notebook shows it: figures first, then what to change."""
        items = "".join(f"<li>{html.escape(str(f))}</li>" for f in self.findings)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"{super()._repr_html_()}<p><b>What to change</b></p>{notes}<ol>{items or f'<p>{NOTHING}</p>'}</ol>"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "target": self.target,
            "span_ps": self.span_ps,
            "bounds_ps": self.bounds_ps,
            "critical_path_ps": self.critical_path_ps,
            "critical_lines": [
                {"file": s.file if s else None, "line": s.line if s else None, "ps": ps, "source": text}
                for s, ps, text in self.critical_lines
            ],
            "stalls_ps": self.stalls_ps,
            "findings": [f.to_dict() for f in self.findings],
            "simulated": self.simulated,
            "notes": list(self.notes),
            "caveat": self.caveat,
        }


def explain(timeline: Timeline, trace: Trace | None = None, machine: Machine | None = None) -> Explanation:
    """Explain a timeline.  With its trace (a run of this process carries it) savings are simulated."""
    trace = trace if trace is not None else getattr(timeline, "trace", None)
    begin, end = analysis.span_ps(timeline)
    path = analysis.critical_path(timeline)
    findings: list[Finding] = []
    notes: list[str] = []
    if trace is None:
        findings = symptoms(timeline)
        notes.append(
            "Without the kernel's instructions no change can be simulated: these are symptoms with their cost."
        )
    elif len(trace) > MAX_STEPS:
        findings = symptoms(timeline)
        notes.append(
            f"The run has {len(trace)} instructions; changes are simulated up to {MAX_STEPS}. Explain a shorter one."
        )
    else:
        findings = list(_findings(trace, timeline, machine or machine_of(timeline), end - begin))
    findings.sort(key=lambda f: (-(f.saving_ps or 0), -(f.cost_ps or 0), f.number, str(f.site)))
    return Explanation(
        name=timeline.name,
        kind=timeline.kind,
        target=timeline.target,
        span_ps=end - begin,
        bounds_ps=bounds_ps(timeline),
        critical_path_ps=path.by_lane(),
        critical_lines=tuple((site, ps, source_text(timeline, site)) for site, ps in path.by_line()[:12]),
        stalls_ps={engine: causes for engine, causes in analysis.stalls(timeline).items() if causes},
        findings=tuple(findings),
        simulated=trace is not None and len(trace) <= MAX_STEPS,
        notes=tuple(notes),
        origin=timeline.origin,
        caveat=timeline.caveat,
    )


def _findings(trace: Trace, timeline: Timeline, machine: Machine, span: int):
    context = Context(Sketch(trace), timeline, machine)
    best: dict[tuple[str, int], tuple[int, Candidate]] = {}  # of two ways to follow one rule at one line, the better
    for finder in FINDERS:
        for candidate in finder(context):
            saving = what_if(trace, machine, candidate, span)
            key = (candidate.rule, candidate.site)
            if saving is not None and saving >= LEAST_SHARE * span and (key not in best or saving > best[key][0]):
                best[key] = (saving, candidate)
    for saving, candidate in best.values():
        yield _finding(candidate, timeline, trace, saving)


def what_if(trace: Trace, machine: Machine, candidate: Candidate, span: int) -> int | None:
    """How much shorter the run is with the rewrite; None where the rewritten kernel does not fit the chip."""
    from simcore.schedule import simulate

    sketch = Sketch(trace)
    candidate.rewrite(sketch)
    try:
        changed = simulate(sketch.to_trace(), machine, spill=True)
    except SimcoreError:
        return None
    begin, end = analysis.span_ps(changed)
    return span - (end - begin)


def _finding(c: Candidate, timeline: Timeline, trace: Trace, saving: int) -> Finding:
    rule = RULES[c.rule]
    site = trace.sites[c.site] if c.site >= 0 else None
    return Finding(
        rule=rule.id,
        number=rule.number,
        title=rule.title,
        message=c.message,
        advice=rule.advice,
        site=site,
        source=source_text(timeline, site),
        count=c.count,
        saving_ps=saving,
    )

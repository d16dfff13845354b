"""The explanation for people (text, in colour on a terminal), for programs (JSON) and for CI (SARIF)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from simcore.explain import RULES, Explanation, Finding
from simcore.explain import explain as analyse
from simcore.explain.explanation import NOTHING
from simcore.timeline import Timeline
from simcore.viz import format, palette
from simcore.viz.text import table

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
WARNING_SHARE = 0.10
"""A finding that saves at least this part of the run is a warning in SARIF, a smaller one a note."""


def explain(timeline: Timeline, theme: palette.Theme = "dark") -> Group:
    """The explanation of a timeline, for rich to print."""
    return render(analyse(timeline), theme)


def to_json(explanations: Sequence[Explanation]) -> str:
    """A list with one object per run (Explanation.to_dict); times are picoseconds."""
    return json.dumps([e.to_dict() for e in explanations], indent=1, ensure_ascii=False)


def to_sarif(explanations: Sequence[Explanation]) -> str:
    """One SARIF log; several launches of a kernel are several runs of it."""
    logs = [sarif(e) for e in explanations]
    log = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run for one in logs for run in one["runs"]]}
    return json.dumps(log, indent=1, ensure_ascii=False)


def render(explanation: Explanation, theme: palette.Theme = "dark") -> Group:
    """What `rich.print` shows."""
    first, *rest = explanation.headline()
    parts: list[Any] = [Text(first, style="bold"), *map(Text, rest)]
    for source in explanation.tables():
        parts += [Text(f"\n{source.title}", style="bold"), table(source, theme)]
    parts.append(Text("\nWhat to change", style="bold"))
    parts += [Text(note) for note in explanation.notes]
    for i, finding in enumerate(explanation.findings, 1):
        parts += _finding(i, finding, explanation, theme)
    if not explanation.findings:
        parts.append(Text(NOTHING))
    return Group(*parts)


def _finding(i: int, f: Finding, explanation: Explanation, theme: palette.Theme) -> list[Any]:
    color = palette.CRITICAL.on(theme)
    share = f" ({format.percent(f.saving_ps / explanation.span_ps)})" if f.saving_ps and explanation.span_ps else ""
    head = Text.assemble(
        f"{i}. ",
        (f.title, "bold"),
        (f"  {f.effect}{share}", f"bold {color}"),
        (f"  [{f.rule}, optimisation {f.number}]", "dim"),
    )
    body = [Text(f"{f.message}."), Text(f.advice)]
    if f.site:
        body.insert(0, Text.assemble((f"{f.site.file}:{f.site.line}", "underline"), "  ", (f.source, "italic")))
    return [head, Padding(Group(*body), (0, 0, 1, 3))]


def sarif(explanation: Explanation) -> dict[str, Any]:
    """SARIF 2.1.0: one result per finding, at the kernel's line."""
    import simcore

    used = [rule for rule in RULES.values() if any(f.rule == rule.id for f in explanation.findings)]
    driver = {
        "name": "simcore",
        "version": simcore.__version__,
        "rules": [
            {
                "id": rule.id,
                "name": "".join(word.capitalize() for word in rule.id.split("-")),
                "shortDescription": {"text": rule.title},
                "help": {"text": f"{rule.advice} (Optimisation {rule.number} of the NKI performance guide.)"},
            }
            for rule in used
        ],
    }
    index = {rule.id: i for i, rule in enumerate(used)}
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "results": [_result(f, index[f.rule], explanation) for f in explanation.findings],
                "properties": {
                    "kernel": explanation.name,
                    "target": explanation.target,
                    "span_ps": explanation.span_ps,
                    "simulated": explanation.simulated,
                    "caveat": explanation.caveat,
                },
            }
        ],
    }


def _result(f: Finding, index: int, explanation: Explanation) -> dict[str, Any]:
    weight = (f.saving_ps or f.cost_ps or 0) / explanation.span_ps if explanation.span_ps else 0
    result: dict[str, Any] = {
        "ruleId": f.rule,
        "ruleIndex": index,
        "level": "warning" if weight >= WARNING_SHARE and f.saving_ps is not None else "note",
        "message": {"text": f"{f.title}: {f.effect}. {f.message}. {f.advice}"},
        "properties": {"saving_ps": f.saving_ps, "cost_ps": f.cost_ps, "instructions": f.count},
    }
    if f.site:
        region: dict[str, Any] = {"startLine": max(f.site.line, 1)}
        if f.source:
            region["snippet"] = {"text": f.source}
        result["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": _uri(f.site.file)}, "region": region}}]
    return result


def _uri(file: str) -> str:
    """Relative to the working directory where the file is under it (what CI expects), else absolute."""
    path = Path(file)
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_uri() if path.is_absolute() else path.as_posix()

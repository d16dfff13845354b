"""The report's page: template, styles and scripts of this folder put together with the data."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from simcore.errors import MachineError, SimcoreError, UsageError
from simcore.files import replacing
from simcore.profile.compare import Comparison
from simcore.roofline import rooflines
from simcore.timeline import Timeline
from simcore.viz import palette
from simcore.viz.report import pair, payload

SCRIPTS = ("data.js", "timeline.js", "roofline.js", "sections.js")


def write(timeline: Timeline | Iterable[Timeline], output: str | Path, *, title: str | None = None) -> None:
    """Write the report of one timeline.  The same timeline gives the same bytes."""
    timelines = [timeline] if isinstance(timeline, Timeline) else list(timeline)
    if len(timelines) != 1:
        raise UsageError(f"a report shows one run, {len(timelines)} were given")
    with replacing(output) as part:
        part.write_text(render(timelines[0], title), encoding="utf-8", newline="\n")


def write_comparison(comparison: Comparison, output: str | Path) -> None:
    """Write the page of two runs.  The same runs give the same bytes."""
    text = render_comparison(comparison)
    with replacing(output) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def render_comparison(comparison: Comparison) -> str:
    """The page of two runs: why they differ, and both on one axis."""
    if comparison.partial or not all(len(t.instructions) for t in (comparison.a, comparison.b)):
        raise UsageError(f"a page of both needs instructions: {', '.join(comparison.partial) or 'one run has none'}")
    extra = {"inks": _inks(), "explain": None, "roofline": None, "comparison": pair.head(comparison)}
    return _page(f"{comparison.a.name} and {comparison.b.name}", pair.build(comparison, extra))


def render(timeline: Timeline, title: str | None = None) -> str:
    """The page as text."""
    extra: dict[str, Any] = {"inks": _inks(), "explain": _explain(timeline), "roofline": _roofline(timeline)}
    summary = timeline.summary()
    extra["summary"] = summary.to_dict() | {"headline": summary.headline()}
    return _page(title or f"{timeline.name} on {timeline.target}", payload.build(timeline, extra))


def _page(title: str, data: str) -> str:
    text = _file("page.html")
    for mark, value in (
        ("{{title}}", html.escape(title)),
        ("{{style}}", _file("page.css").replace("/*themes*/", _themes())),
        ("{{script}}", "\n".join(_file(name) for name in SCRIPTS)),
        ("{{data}}", data),  # base64: nothing in it can end the element it is in
    ):
        text = text.replace(mark, value)
    return text


def _file(name: str) -> str:
    return resources.files("simcore.viz.report").joinpath(name).read_text(encoding="utf-8")


def _themes() -> str:
    """CSS variables of both themes from the shared palette."""
    blocks = []
    for theme in palette.THEMES:
        surface = palette.SURFACES[theme]
        names = {f.name: getattr(surface, f.name) for f in dataclasses.fields(surface)}
        names |= {f"engine-{k}": ink.on(theme) for k, ink in palette.ENGINES.items()}
        names |= {f"cause-{k}": ink.on(theme) for k, ink in palette.CAUSES.items()}
        names |= {f"memory-{k}": ink.on(theme) for k, ink in palette.MEMORIES.items()}
        names |= {"critical": palette.CRITICAL.on(theme), "series": palette.series(0).on(theme)}
        blocks.append(
            f':root[data-theme="{theme}"] {{ color-scheme: {theme}; '
            + " ".join(f"--{k}: {v};" for k, v in names.items())
            + " }"
        )
    return "\n".join(blocks)


def _inks() -> dict[str, dict[str, str]]:
    """What a colour means, and the symbol that says it without colour."""
    groups = {"engines": palette.ENGINES, "causes": palette.CAUSES}
    return {g: {k: f"{ink.symbol}|{ink.meaning}" for k, ink in inks.items()} for g, inks in groups.items()}


def _roofline(timeline: Timeline) -> dict[str, Any] | None:
    try:
        roof = rooflines([timeline])[0]
    except MachineError:
        return None  # a profile of a chip we have no description of still has a report
    return {
        "ceilings": [dataclasses.asdict(c) | {"ridge": ridge} for c, ridge in roof.ridges],
        "slopes": [dataclasses.asdict(s) | {"roof": s == roof.memory} for s in roof.slopes],
        "points": [dataclasses.asdict(p) | {"of_roof": p.of_roof} for p in roof.points],
    }


def _explain(timeline: Timeline) -> dict[str, Any] | None:
    try:
        from simcore.explain import explain
    except ModuleNotFoundError:
        return None
    try:
        return explain(timeline).to_dict()
    except SimcoreError:
        return None

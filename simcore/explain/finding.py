"""One place where an optimisation applies."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from simcore import format
from simcore.timeline import Site, Timeline

LEAST_SHARE = 0.02
"""A change that saves less than this part of the run is not worth a line."""


@dataclass(frozen=True)
class Finding:
    """One place where an optimisation applies.

    saving_ps   the run would be this much shorter, by simulating the rewritten instructions; None where only the
                symptom is known (a measured profile, a very long run)
    cost_ps     what the symptom takes of the critical path or of an engine, where no saving can be simulated
    """

    rule: str
    number: str
    title: str
    message: str
    advice: str
    site: Site | None
    source: str
    count: int
    saving_ps: int | None
    cost_ps: int | None = None

    @property
    def effect(self) -> str:
        """What it costs, in words."""
        if self.saving_ps is not None:
            return f"would save {format.time(self.saving_ps)}"
        return f"takes {format.time(self.cost_ps)}" if self.cost_ps else ""

    def __str__(self) -> str:
        where = f"\n     {place(self.site)}  {self.source}" if self.site else ""
        head = f"{self.title} [{self.rule}, optimisation {self.number}]: {self.effect}"
        return f"{head}{where}\n     {self.message}.\n     {self.advice}"

    def to_dict(self) -> dict[str, Any]:
        site = self.site
        out = {k: v for k, v in dataclasses.asdict(self).items() if k != "site"}
        return out | {"file": site.file if site else None, "line": site.line if site else None}


def place(site: Site | None) -> str:
    """file:line, without the folder."""
    return f"{PurePath(site.file).name}:{site.line}" if site else "(no line)"


def source_text(timeline: Timeline, site: Site | None) -> str:
    """The kernel's line, stripped."""
    if site is None or site.file not in timeline.sources:
        return ""
    lines = timeline.sources[site.file].splitlines()
    return lines[site.line - 1].strip() if 0 < site.line <= len(lines) else ""

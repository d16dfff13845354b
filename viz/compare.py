"""Two runs side by side, in colour: why they differ, engine by engine, opcode by opcode."""

from __future__ import annotations

import json

from rich.console import Group
from rich.table import Table
from rich.text import Text

from simcore.profile.compare import Comparison
from simcore.viz import palette, text


def render(comparison: Comparison, theme: palette.Theme = "dark") -> Group:
    """What `rich.print` shows as a comparison; `str(comparison)` is the same without colour."""
    headline = comparison.headline()
    parts: list[Text | Table] = [Text(line, style="bold") for line in headline[:3]]
    parts += [Text(line) for line in headline[3:]]
    for table in comparison.tables():
        parts += [Text(f"\n{table.title}", style="bold"), text.table(table, theme)]
    return Group(*parts)


def to_json(comparison: Comparison) -> str:
    """The comparison as JSON text; times in picoseconds, pairs are [a, b]."""
    return json.dumps(comparison.to_dict(), indent=1, allow_nan=False)

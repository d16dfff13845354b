"""The summary in colour, for a terminal or a notebook."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from simcore.summary import Summary
from simcore.tables import Table as TextTable
from simcore.timeline import Timeline
from simcore.viz import palette


def summary(timeline: Timeline, theme: palette.Theme = "dark") -> Group:
    """What `rich.print` shows as the summary of a timeline."""
    return render(timeline.summary(), theme)


def render(figures: Summary, theme: palette.Theme = "dark") -> Group:
    headline = figures.headline()
    parts: list[Text | Table] = [Text(headline[0], style="bold"), *(Text(line) for line in headline[1:])]
    for part in figures.tables():
        parts += [Text(f"\n{part.title}", style="bold"), table(part, theme)]
    return Group(*parts)


def table(source: TextTable, theme: palette.Theme) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    last = len(source.header) - 1
    for i, name in enumerate(source.header):
        right = i in source.right
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=right or i == 0,
            overflow="fold",
            ratio=2 if i == last and not right else None,
        )
    for row in source.rows:
        first, *rest = row
        table.add_row(_name(first, theme), *rest)
    return table


def _name(name: str, theme: palette.Theme) -> Text:
    """An engine's name with its symbol in its colour; other names as they are."""
    ink = palette.ENGINES.get(name.split(" (")[0]) or palette.MEMORIES.get(name)
    if ink is None:
        return Text(name)
    return Text.assemble((f"{ink.symbol} ", f"bold {ink.on(theme)}"), (name, ink.on(theme)))

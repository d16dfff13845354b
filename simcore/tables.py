"""Figures as sentences and tables of text: one form for the terminal, a notebook and a page."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

from simcore import format


@dataclass(frozen=True)
class Table:
    """Text in columns.  `right` names the columns aligned to the right."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()

    def __str__(self) -> str:
        lines = [self.header, *self.rows]
        width = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            [
                self.title,
                *(
                    "  "
                    + "  ".join(
                        text.rjust(width[i]) if i in self.right else text.ljust(width[i]) for i, text in enumerate(line)
                    ).rstrip()
                    for line in lines
                ),
            ]
        )

    def _repr_html_(self) -> str:
        def row(tag: str, line: tuple[str, ...]) -> str:
            cells = (
                f'<{tag} style="text-align: {"right" if i in self.right else "left"}">{html.escape(text)}</{tag}>'
                for i, text in enumerate(line)
            )
            return f"<tr>{''.join(cells)}</tr>"

        body = "".join(row("td", line) for line in self.rows)
        return f"<table><caption>{html.escape(self.title)}</caption>{row('th', self.header)}{body}</table>"


def shares(title: str, header: tuple[str, str], times_ps: Mapping[str, int], span_ps: int) -> Table:
    """Times by name, each with its share of a span."""
    rows = ((name, format.time(ps), format.percent(ps / span_ps if span_ps else None)) for name, ps in times_ps.items())
    return Table(title, (*header, "of span"), tuple(rows), (1, 2))


class Tabled:
    """Something that says itself in a few sentences and tables: str() is plain text, a notebook shows HTML."""

    def headline(self) -> tuple[str, ...]:
        """Sentences, the most important first."""
        raise NotImplementedError

    def tables(self) -> tuple[Table, ...]:
        """The figures; empty tables are left out."""
        raise NotImplementedError

    def __str__(self) -> str:
        return "\n".join([*self.headline(), *(f"\n{table}" for table in self.tables())])

    __repr__ = __str__  # typed at a prompt, the figures are what one wants to see

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        first, *rest = self.headline()
        sentences = "".join(f"<p>{html.escape(line)}</p>" for line in rest)
        return f"<p><b>{html.escape(first)}</b></p>{sentences}{''.join(t._repr_html_() for t in self.tables())}"

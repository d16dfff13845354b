"""The help, and the line at the bottom in which a search or a filter is typed."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from simcore.errors import UsageError
from simcore.viz import format as fmt
from simcore.viz import palette
from simcore.viz.tui.inks import Inks
from simcore.viz.tui.keys import KEYS, MOUSE
from simcore.viz.tui.model import query
from simcore.viz.tui.model.runs import Runs
from simcore.viz.tui.model.view import Matches


class HelpScreen(ModalScreen[None]):
    """Keys, mouse, symbols and the words of a search."""

    BINDINGS = [
        Binding("escape,q,question_mark,enter", "dismiss", "close"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
    ]

    def __init__(self, inks: Inks):
        super().__init__()
        self.inks = inks

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Help"
            box.border_subtitle = "j k ↑ ↓ scroll, Esc closes"
            yield Static(help_text(self.inks))

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)


def help_text(inks: Inks) -> Group:
    """All of the help, made from the tables it explains."""
    parts = []
    for group in dict.fromkeys(k.group for k in KEYS):
        parts.append(_table(group, [(k.shown, k.help) for k in KEYS if k.group == group], inks))
    parts.append(_table("Mouse", MOUSE, inks))
    words = [line.strip() for line in (query.__doc__ or "").splitlines()[2:] if line.strip()]
    parts.append(
        Group(Text("\nWords of search and filter", style=f"bold {inks.accent}"), *(Text("  " + w) for w in words))
    )
    parts.append(
        _table(
            "Lanes",
            [
                ("[NAME]", "the chosen instruction"),
                ("NAME", "an instruction that fills its columns; ▏ is the seam to the next"),
                ("▁▂▃▄▅▆▇█", "many in one column: the height is the share of the time the engine is busy"),
                ("░", "not chosen by the filter, or not on the critical path"),
                ("╵", "something that takes no time"),
                ("· dma ·", "idle, and what the next instruction waits for"),
            ],
            inks,
        )
    )
    parts.append(_table("Waits", [(f"{ink.symbol} {name}", ink.meaning) for name, ink in palette.CAUSES.items()], inks))
    parts.append(
        _table("Engines", [(f"{ink.symbol} {name}", ink.meaning) for name, ink in palette.ENGINES.items()], inks)
    )
    return Group(*parts)


def _table(title: str, rows, inks: Inks) -> Group:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=12, style=f"bold {inks.text}", no_wrap=True)
    table.add_column(style=inks.text)
    for left, right in rows:
        table.add_row(Text("  " + left), right)
    return Group(Text("\n" + title, style=f"bold {inks.accent}"), table)


class Prompt(Horizontal):
    """Where words are typed.  Counts the matches while typing; a mistake is said in a sentence."""

    @dataclass
    class Done(Message):
        """Enter: what was chosen, and whether for a filter.  `matches` is None for an empty line."""

        matches: Matches | None
        filtering: bool

    @dataclass
    class Closed(Message):
        """Escape."""

    BINDINGS = [Binding("escape", "close", show=False)]

    def __init__(self, runs: Runs):
        super().__init__(id="prompt")
        self.runs = runs
        self.filtering = False

    def compose(self) -> ComposeResult:
        yield Label("search", id="what")
        yield Input(placeholder="opcode, op: engine: line:34 text: cause:dma >100ns !not", compact=True)
        yield Label("", id="count")

    def open(self, filtering: bool, text: str = "") -> None:
        self.filtering = filtering
        self.query_one("#what", Label).update("filter" if filtering else "search")
        self.add_class("open")
        entry = self.query_one(Input)
        entry.value = text
        entry.focus()
        self._count(text)

    def close(self) -> None:
        self.remove_class("open")

    def matches(self, text: str) -> Matches | None:
        """Raises UsageError."""
        return Matches.of(query.parse(text), self.runs) if text.strip() else None

    def _count(self, text: str) -> None:
        try:
            found = self.matches(text)
            said = f" {fmt.number(found.count)} match" if found else ""
        except UsageError as e:
            said = f" {e.message}"
        self.query_one("#count", Label).update(Text(said))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._count(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            found = self.matches(event.value)
        except UsageError:
            return  # the sentence stands beside the line
        self.close()
        self.post_message(self.Done(found, self.filtering))

    def action_close(self) -> None:
        self.close()
        self.post_message(self.Closed())

"""The panels below the lanes: the chosen instruction, its source, its waits, and what goes on at the cursor."""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment
from textual.strip import Strip

from simcore.viz.tui.inks import Inks, style
from simcore.viz.tui.model import facts
from simcore.viz.tui.model.cost import cost
from simcore.viz.tui.model.now import moment
from simcore.viz.tui.model.overview import overview
from simcore.viz.tui.model.source import source
from simcore.viz.tui.model.view import View
from simcore.viz.tui.model.words import printable
from simcore.viz.tui.widgets.base import Drawn

PANELS: dict[str, tuple[str, Callable[[View, int], list[facts.Line]]]] = {
    "chosen": ("1 Instruction", lambda view, height: facts.chosen(view)),
    "source": ("2 Source", source),
    "chain": ("3 Waits", lambda view, height: facts.chain(view, max(height, 12))),
    "moment": ("4 Now", lambda view, height: moment(view)),
    "overview": ("5 Summary", lambda view, height: overview(view)),
    "cost": ("6 Cost", lambda view, height: cost(view)),
}
"""By name: title with its key, and its lines for a view and a height."""


class Panel(Drawn):
    """One panel.  Lines too long for it end in an ellipsis; lines too many can be scrolled with the wheel."""

    def __init__(self, name: str, **kwargs):
        super().__init__(id=f"panel-{name}", **kwargs)
        self.lines = PANELS[name][1]
        self.border_title = PANELS[name][0]
        self._top = 0

    def watch_view(self) -> None:
        super().watch_view()
        self._top = 0

    def paint(self, view: View, inks: Inks, size) -> list[Strip]:
        lines = facts.wrapped(self.lines(view, size.height), size.width)
        self._top = min(self._top, max(len(lines) - size.height, 0))
        strips = [line_strip(line, inks, size.width) for line in lines[self._top : self._top + size.height]]
        below = len(lines) - self._top - size.height
        self.border_subtitle = f"{below} more ↓" if below > 0 else ""
        return strips

    def on_mouse_scroll_down(self) -> None:
        self._scroll(1)

    def on_mouse_scroll_up(self) -> None:
        self._scroll(-1)

    def _scroll(self, by: int) -> None:
        self._top, self._strips = max(self._top + by, 0), None
        self.refresh()


def line_strip(line: facts.Line, inks: Inks, width: int) -> Strip:
    segments = [Segment(printable(text), inks.role(role)) for text, role in line]
    strip = Strip(segments)
    if strip.cell_length > width > 1:
        strip = Strip([*strip.crop(0, width - 1), Segment("…", style(inks.muted, None))])
    return strip

"""What the drawing widgets share."""

from __future__ import annotations

from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from simcore.viz.tui.inks import Inks
from simcore.viz.tui.model.view import View


class Drawn(Widget):
    """Draws `view` with `inks` as strips, made once per change."""

    view: reactive[View | None] = reactive(None)
    inks: reactive[Inks | None] = reactive(None)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._strips: list[Strip] | None = None

    def watch_view(self) -> None:
        self._strips = None

    def watch_inks(self) -> None:
        self._strips = None

    def on_resize(self) -> None:
        self._strips = None

    def paint(self, view: View, inks: Inks, size: Size) -> list[Strip]:
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        if self.view is None or self.inks is None:
            return Strip.blank(self.size.width)
        if self._strips is None:
            self._strips = self.paint(self.view, self.inks, self.size)
        if y >= len(self._strips):
            return Strip.blank(self.size.width, self.rich_style)
        return self._strips[y].apply_style(self.rich_style).adjust_cell_length(self.size.width, self.rich_style)

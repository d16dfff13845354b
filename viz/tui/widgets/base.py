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
        self._painted = Size(0, 0)

    def watch_view(self) -> None:
        self._strips = None

    def watch_inks(self) -> None:
        self._strips = None

    def paint(self, view: View, inks: Inks, size: Size) -> list[Strip]:
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        if self.view is None or self.inks is None:
            return Strip.blank(self.size.width)
        if self._strips is None or self._painted != self.size:  # a frame may be drawn before the Resize event comes
            self._painted = self.size
            base, width = self.rich_style, self.size.width  # asked once: it is worked out anew each time
            painted = self.paint(self.view, self.inks, self.size)[: self.size.height]
            self._strips = [strip.apply_style(base).adjust_cell_length(width, base) for strip in painted]
            self._strips += [Strip.blank(width, base)] * (self.size.height - len(painted))
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)

"""Minimap, axis, lanes and graphs: everything on the time axis."""

from __future__ import annotations

from dataclasses import dataclass

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from simcore.viz.tui import paint
from simcore.viz.tui.inks import style
from simcore.viz.tui.widgets.base import Drawn


class Minimap(Drawn):
    """The whole run, with the window in brackets."""

    @dataclass
    class Jump(Message):
        """The window should be centred on a time."""

        time_ps: int

    def paint(self, view, inks, size):
        return [paint.paint_minimap(view, inks)]

    def _jump(self, event: events.MouseEvent) -> None:
        column = event.x - paint.GUTTER
        if self.view is not None and 0 <= column < self.view.width:
            self.post_message(self.Jump(self.view.model.whole.time(column, self.view.width)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._jump(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button:
            self._jump(event)


class OnAxis(Drawn):
    """A widget whose columns are times: it reports what the mouse does there."""

    @dataclass
    class Pressed(Message):
        """The mouse went down on a column; `lane` is -1 where there is none."""

        lane: int
        column: int

    @dataclass
    class Dragged(Message):
        """The mouse moved with its button down."""

        column: int

    @dataclass
    class Doubled(Message):
        """A double click."""

    @dataclass
    class Wheel(Message):
        """The wheel turned at a column: `by` is 1 up or -1 down; `pan` with Shift or Ctrl."""

        column: int
        by: int
        pan: bool

    def lane_at(self, y: int) -> int:
        return -1

    def _column(self, event: events.MouseEvent) -> int | None:
        column = event.x - paint.GUTTER
        return column if self.view is not None and 0 <= column < self.view.width else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        column = self._column(event)
        if event.button == 1 and (column is not None or self.lane_at(event.y) >= 0):
            self.capture_mouse()
            self.post_message(self.Pressed(self.lane_at(event.y), -1 if column is None else column))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self.release_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button == 1 and self.view is not None:
            self.post_message(self.Dragged(min(max(event.x - paint.GUTTER, 0), self.view.width - 1)))

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2:
            self.post_message(self.Doubled())

    def _wheel(self, event: events.MouseEvent, by: int, pan: bool) -> None:
        column = self._column(event)
        if column is not None:
            event.stop()
            event.prevent_default()
            self.post_message(self.Wheel(column, by, pan or event.shift or event.ctrl))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 1, False)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, -1, False)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        self._wheel(event, 1, True)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        self._wheel(event, -1, True)


class Axis(OnAxis):
    """Round times and the cursor's."""

    def paint(self, view, inks, size):
        return paint.paint_axis(view, inks, size.height)


class Lanes(OnAxis):
    """Engines and DMA.  Where they do not fit, they scroll with the chosen lane."""

    lane_height: reactive[int] = reactive(1)
    legend: reactive[bool] = reactive(False)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._top = 0
        self._looks: dict[tuple[int, str], paint.Look] = {}

    def watch_lane_height(self) -> None:
        self._strips = None

    def watch_legend(self) -> None:
        self._strips = None

    def watch_inks(self) -> None:
        super().watch_inks()
        self._looks.clear()

    def look(self, lane, inks) -> paint.Look:
        key = (id(lane), inks.background)
        if key not in self._looks:
            self._looks[key] = paint.look(lane, inks)
        return self._looks[key]

    def rows(self, height: int) -> int:
        """How many lanes fit."""
        return max((height - int(self.legend)) // max(self.lane_height, 1), 1)

    def paint(self, view, inks, size):
        paths = view.model.paths if view.critical else ()
        fit = max(self.rows(size.height) - len(paths), 1)
        last = max(len(view.lanes) - fit, 0)
        self._top = min(max(self._top, view.lane - fit + 1), view.lane, last)
        strips: list[Strip] = []
        for number in range(self._top, min(self._top + fit, len(view.lanes))):
            lane = view.lanes[number]
            strips += paint.paint_lane(view, lane, inks, self.look(lane, inks), self.lane_height, number == view.lane)
        for lane in paths:
            strips += paint.paint_lane(view, lane, inks, self.look(lane, inks), self.lane_height, False)
        strips = strips[: size.height - int(self.legend)]
        if self.legend and view.here is not None:
            strips += [Strip.blank(size.width)] * (size.height - 1 - len(strips))
            strips.append(self._legend(view, inks, size.width))
        hidden = len(view.lanes) - fit
        if hidden > 0 and strips:
            up, down = self._top, len(view.lanes) - self._top - fit
            counts = [f"▲{up}"] * (up > 0) + [f"▼{down}"] * (down > 0)
            text = f" {' '.join(counts)} more lanes "
            strips[0] = Strip(
                [*strips[0].crop(0, size.width - len(text)), Segment(text, style(inks.background, inks.muted))],
                size.width,
            )
        return strips

    def _legend(self, view, inks, width) -> Strip:
        pieces = paint.legend(view, view.here, self.look(view.here, inks), inks, width - paint.GUTTER)
        first = paint.gutter(inks, f"{view.here.engine}:", "", inks.muted)
        return Strip([*first, *(Segment(text, look) for text, look in pieces)])

    def lane_at(self, y: int) -> int:
        lane = self._top + y // max(self.lane_height, 1)
        shown = min(self._top + self.rows(self.size.height), len(self.view.lanes)) if self.view else 0
        return lane if lane < shown else -1


class Graphs(OnAxis):
    """Occupancy and bandwidth."""

    graph_height: reactive[int] = reactive(1)

    def watch_graph_height(self) -> None:
        self._strips = None

    def paint(self, view, inks, size):
        return [s for graph in view.runs.graphs for s in paint.paint_graph(view, graph, inks, self.graph_height)]

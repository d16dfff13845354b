"""The one screen: holds the View, gives it to the widgets, turns keys and mouse into moves."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Footer, Static

from simcore.analysis import span_ps
from simcore.viz import format as fmt
from simcore.viz.tui import paint
from simcore.viz.tui.arrange import Arrangement, arrange
from simcore.viz.tui.dialogs import HelpScreen, Prompt
from simcore.viz.tui.inks import Inks
from simcore.viz.tui.keys import KEYS
from simcore.viz.tui.model import find, moves
from simcore.viz.tui.model.runs import Runs
from simcore.viz.tui.model.view import MANY, View, open_view
from simcore.viz.tui.model.words import printable
from simcore.viz.tui.widgets.panels import PANELS, Panel
from simcore.viz.tui.widgets.timeline import Axis, Graphs, Lanes, Minimap, OnAxis


class TimelineScreen(Screen[None]):
    """Shows a View.  `view` is replaced as a whole by each move; the widgets follow it."""

    AUTO_FOCUS = ""  # keys belong to the screen until a search is typed

    view: reactive[View | None] = reactive(None)
    inks: reactive[Inks | None] = reactive(None)

    BINDINGS = [
        Binding(
            key.keys,
            f"key({KEYS.index(key)})" if key.move else key.action,
            key.title,
            show=key.footer > 0,
            key_display=key.shown.split()[0],
        )
        for key in sorted(KEYS, key=lambda key: key.footer or len(KEYS))
    ]

    def __init__(self, runs: Runs, moved: tuple[int, ...], inks: Inks):
        super().__init__()
        self.runs = runs
        self.moved = moved
        self.panel = "chosen"
        self.panels = "normal"
        self.graphs = True
        self.set_reactive(TimelineScreen.view, open_view(runs))
        self.set_reactive(TimelineScreen.inks, inks)

    def compose(self) -> ComposeResult:
        bound = {"view": TimelineScreen.view, "inks": TimelineScreen.inks}
        yield Static(id="title")
        yield Minimap().data_bind(**bound)
        yield Axis().data_bind(**bound)
        yield Lanes().data_bind(**bound)
        yield Graphs().data_bind(**bound)
        yield Static(id="note")
        yield Prompt(self.runs)
        with Horizontal(id="panels"):
            for name in PANELS:
                yield Panel(name).data_bind(**bound)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one("#title", Static).update(title(self.runs, self.moved))
        self.watch_view(None, self.view)
        if sum(len(t.instructions) for t in self.runs.timelines) > MANY and self.view is not None:
            self.set_timer(0.5, self._prepare)  # after the first frame

    def _prepare(self) -> None:
        if self.view is not None:
            self.run_worker(self._prepared, thread=True, exit_on_error=False)

    def _prepared(self) -> None:
        """In a thread: what is known now is drawn with the next frame."""
        if self.view is not None:
            self.view.model.prepare()
            self.app.call_from_thread(self._redraw)

    def _redraw(self) -> None:
        if self.view is not None:
            self.view = replace(self.view)

    # ------------------------------------------------------------------------------------ room

    def on_resize(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        view = self.view
        assert view is not None
        width, height = self.size
        extra = len(view.model.paths) if view.critical else 0
        room = arrange(width, height, len(view.lanes) + extra, len(view.runs.graphs), self.panels, self.graphs)
        self.query_one(Axis).styles.height = room.axis
        lanes, graphs = self.query_one(Lanes), self.query_one(Graphs)
        lanes.styles.height, lanes.lane_height, lanes.legend = room.lanes, room.lane, room.legend
        graphs.styles.height, graphs.graph_height = room.graphs, room.graph
        graphs.display = room.graphs > 0
        self.query_one("#panels").display = room.panels > 0
        self._show_panels(room)
        columns = max(width - paint.GUTTER, 8)
        if columns != view.width:
            self.view = replace(view, width=columns)

    def _show_panels(self, room: Arrangement) -> None:
        names = list(PANELS)
        first = names.index(self.panel)
        # the active panel is always there; the others keep their order so that nothing jumps
        shown = set(names[: room.columns]) if first < room.columns else {*names[: room.columns - 1], self.panel}
        for name in names:
            panel = self.query_one(f"#panel-{name}", Panel)
            panel.display = name in shown
            panel.set_class(name == self.panel, "active")
            others = [PANELS[n][0] for n in names if n not in shown]
            panel.border_subtitle = ""
            panel.border_title = PANELS[name][0] + ("   " + "   ".join(others) if name == self.panel and others else "")

    # ------------------------------------------------------------------------------------ moves

    def watch_view(self, old: View | None, new: View | None) -> None:
        if new is None or not self.is_mounted:
            return
        self.query_one("#note", Static).update(Text(printable(status(new)), no_wrap=True, overflow="ellipsis"))
        if old is not None and (old.folded != new.folded or old.critical != new.critical):
            self._arrange()

    def action_key(self, number: int) -> None:
        move = KEYS[number].move
        if move is not None and self.view is not None:
            self.view = move(self.view)

    def action_find(self, by: int) -> None:
        assert self.view is not None
        if self.view.matches is None:
            self.action_search()
        else:
            self.view = find.find(self.view, self.view.matches, by)

    def action_search(self) -> None:
        self.query_one(Prompt).open(filtering=False)

    def action_filter(self) -> None:
        view = self.view
        self.query_one(Prompt).open(True, view.matches.query.text if view and view.matches else "")

    def action_clear(self) -> None:
        assert self.view is not None
        self.view = replace(find.set_filter(self.view, None), critical=False, mark_ps=None)

    def on_prompt_done(self, message: Prompt.Done) -> None:
        self.set_focus(None)
        assert self.view is not None
        if message.filtering:
            self.view = find.set_filter(self.view, message.matches)
        elif message.matches is not None:
            self.view = find.find(self.view, message.matches)

    def on_prompt_closed(self) -> None:
        self.set_focus(None)

    # ------------------------------------------------------------------------------------ looks

    def action_panel(self, name: str) -> None:
        self.panel = name
        if self.panels == "none":
            self.panels = "normal"
        self.graphs = True
        self._arrange()

    def action_next_panel(self) -> None:
        names = list(PANELS)
        self.action_panel(names[(names.index(self.panel) + 1) % len(names)])

    def action_panels(self) -> None:
        self.panels = {"normal": "large", "large": "none", "none": "normal"}[self.panels]
        self._arrange()

    def action_graphs(self) -> None:
        self.graphs = not self.graphs
        self._arrange()

    def action_help(self) -> None:
        assert self.inks is not None
        self.app.push_screen(HelpScreen(self.inks))

    # ------------------------------------------------------------------------------------ mouse

    def on_on_axis_pressed(self, message: OnAxis.Pressed) -> None:
        view = self.view
        assert view is not None
        lane = message.lane if message.lane >= 0 else view.lane
        if message.column < 0:
            self.view = moves.step_lane(view, lane - view.lane)
        elif message.lane >= 0:
            self.view = replace(moves.click(view, lane, message.column), mark_ps=None)
        else:
            self.view = replace(moves.at_time(view, view.window.time(message.column, view.width)), mark_ps=None)

    def on_on_axis_dragged(self, message: OnAxis.Dragged) -> None:
        assert self.view is not None
        self.view = moves.drag(self.view, message.column)

    def on_on_axis_doubled(self) -> None:
        assert self.view is not None
        self.view = moves.zoom_in_on(self.view)

    def on_on_axis_wheel(self, message: OnAxis.Wheel) -> None:
        view = self.view
        assert view is not None
        at = view.window.time(message.column, view.width)
        self.view = moves.pan(view, -0.1 * message.by) if message.pan else moves.zoom(view, 1.25**message.by, at)

    def on_minimap_jump(self, message: Minimap.Jump) -> None:
        assert self.view is not None
        self.view = moves.center(self.view, message.time_ps)


def title(runs: Runs, moved: tuple[int, ...]) -> Text:
    """One line about each run; a run moved so that the kernels start together says by how much."""
    parts = []
    spans = [end - start for start, end in map(span_ps, runs.timelines)]
    for i, t in enumerate(runs.timelines):
        name = f"{runs.title(i)} {t.name}".strip()
        later = f" (+{fmt.time(moved[i])})" if moved[i] else ""
        parts.append(
            f"{name}  {t.origin}  {fmt.time(spans[i])}{later}  {fmt.number(len(t.instructions))} instructions"
        )
    text = "  │  ".join(parts)
    if len(runs.timelines) == 2 and spans[0]:
        text = f"B/A {fmt.ratio(spans[1] / spans[0])}  │  {text}"
    return Text(printable(text), no_wrap=True, overflow="ellipsis")


def status(view: View) -> str:
    """The last move's sentence, else what is switched on."""
    if view.note:
        return view.note
    on = []
    if view.filtering and view.matches:
        on.append(f"filter {view.matches.query.text!r}: {fmt.number(view.matches.count)}")
    if view.critical:
        on.append("critical path")
    if view.selection:
        on.append(f"marked {fmt.time(view.selection[1] - view.selection[0])}")
    return "   ".join(on)

"""The textual application around the screen: themes, command palette, export."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from rich.markup import escape
from textual.app import App, SystemCommand
from textual.screen import Screen

from simcore.timeline import Timeline
from simcore.viz.tui.export import free_path, standalone
from simcore.viz.tui.inks import THEMES, inks_of
from simcore.viz.tui.keys import KEYS
from simcore.viz.tui.model import find, query
from simcore.viz.tui.model.runs import align
from simcore.viz.tui.model.view import Matches
from simcore.viz.tui.model.words import printable
from simcore.viz.tui.screen import TimelineScreen


class TimelineApp(App[None]):
    """Walk through one timeline, or two on one time axis."""

    CSS_PATH = "tui.tcss"
    TITLE = "simcore"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(self, timelines: list[Timeline], *, export_to: Path | str = "."):
        super().__init__()
        self.runs, self.moved = align(timelines)
        self.export_to = Path(export_to)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name
        self.main: TimelineScreen | None = None

    def get_default_screen(self) -> Screen:
        self.main = TimelineScreen(self.runs, self.moved, inks_of(self.current_theme))
        return self.main

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, self._recolour)

    def _recolour(self, theme) -> None:
        if self.main is not None:
            self.main.inks = inks_of(theme)

    def action_theme(self) -> None:
        names = [t.name for t in THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else names[0]

    def action_palette(self) -> None:
        self.action_command_palette()

    def action_quit_app(self) -> None:
        self.exit()

    # ------------------------------------------------------------------------------------ export

    def action_export(self) -> None:
        """Write the frame as SVG where simcore was started; never over an existing file."""
        name = self.runs.timelines[0].name
        path = free_path(self.export_to, name)
        try:
            path.write_text(standalone(self.export_screenshot(title=name, simplify=True)), encoding="utf-8")
        except OSError as e:
            self.notify(f"could not write {path}: {e.strerror}", severity="error", markup=False)
        else:
            self.notify(f"wrote {path}", markup=False)

    # ------------------------------------------------------------------------------------ command palette

    def get_system_commands(self, screen: Screen) -> Iterable[SystemCommand]:
        """Every key by name, every opcode, every source line."""
        main = self.main
        if main is None:
            return
        for i, key in enumerate(KEYS):
            action = f"key({i})" if key.move else key.action
            if key.action != "app.palette":
                name = f"{key.title[0].upper()}{key.title[1:]} ({key.shown})"
                yield SystemCommand(name, key.help, lambda action=action: main.run_action(action))
        yield SystemCommand("Change theme", "choose among all themes", self.action_change_theme)
        # names of opcodes and files are not ours: a bracket in one is no markup
        for opcode in sorted({o for t in self.runs.timelines for o in t.opcodes}):
            name, text = escape(printable(opcode)), f"op:{opcode}"
            yield SystemCommand(f"Find {name}", "go to the next of this opcode", partial(self._find, text))
            yield SystemCommand(f"Filter {name}", "dim everything but this opcode", partial(self._filter, text))
        for file, line in sorted({(s.file, s.line) for t in self.runs.timelines for s in t.sites}):
            where = f"{file.replace(chr(92), '/').rsplit('/', 1)[-1]}:{line}"
            help = "dim everything this line did not issue"
            yield SystemCommand(f"Line {escape(printable(where))}", help, partial(self._filter, f"line:{where}"))

    def _find(self, text: str) -> None:
        if self.main is not None and self.main.view is not None:
            self.main.view = find.find(self.main.view, Matches.of(query.parse(text), self.runs))

    def _filter(self, text: str) -> None:
        if self.main is not None and self.main.view is not None:
            self.main.view = find.set_filter(self.main.view, Matches.of(query.parse(text), self.runs))

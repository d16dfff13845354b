"""Every key once: the bindings, the footer, the help and the command palette read this table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from simcore.viz.tui.model import view as v
from simcore.viz.tui.model.view import View

Move = Callable[[View], View]


@dataclass(frozen=True)
class Key:
    """`keys` as textual names them; `move` takes a View to the next, or `action` names an action of the screen."""

    keys: str
    title: str                   # two or three words, for the footer and the palette
    help: str
    group: str
    move: Move | None = None
    action: str = ""
    footer: bool = False

    @property
    def shown(self) -> str:
        """The keys as a person reads them: "l →"."""
        return " ".join(_NAMES.get(k, k.removeprefix("shift+").upper() if k.startswith("shift+") and len(k) == 7 else k)
                        for k in self.keys.split(","))


_NAMES = {
    "left": "←", "right": "→", "up": "↑", "down": "↓", "shift+left": "⇧←", "shift+right": "⇧→", "plus": "+", "minus": "-",
    "equals_sign": "=", "comma": ",", "full_stop": ".", "less_than_sign": "<", "greater_than_sign": ">", "slash": "/",
    "question_mark": "?", "right_square_bracket": "]", "left_square_bracket": "[", "ampersand": "&", "backspace": "⌫",
    "enter": "↵", "escape": "Esc", "home": "Home", "end": "End", "pageup": "PgUp", "pagedown": "PgDn", "tab": "Tab",
    "ctrl+p": "^p", "underscore": "_", "shift+up": "⇧↑", "shift+down": "⇧↓",
}


def _toggle(name: str) -> Move:
    return lambda view: replace(view, **{name: not getattr(view, name)}, note="")


MOVE, ZOOM, WHY, FIND, LOOK, APP = "Move", "Zoom", "Why", "Find", "Look", "Program"

KEYS: tuple[Key, ...] = (
    Key("l,right", "next", "next instruction of the lane", MOVE, lambda s: v.step_row(s, 1)),
    Key("h,left", "previous", "previous instruction of the lane", MOVE, lambda s: v.step_row(s, -1)),
    Key("j,down", "lane below", "the lane below, at the same time", MOVE, lambda s: v.step_lane(s, 1)),
    Key("k,up", "lane above", "the lane above, at the same time", MOVE, lambda s: v.step_lane(s, -1)),
    Key("full_stop", "time forward", "cursor one column later", MOVE, lambda s: v.step_time(s, 1)),
    Key("comma", "time back", "cursor one column earlier", MOVE, lambda s: v.step_time(s, -1)),
    Key("greater_than_sign", "next event", "step: the next moment anything starts or ends, on any lane", MOVE, lambda s: v.step_event(s, 1)),
    Key("less_than_sign", "previous event", "step back: the previous such moment", MOVE, lambda s: v.step_event(s, -1)),
    Key("g,home", "first", "first instruction of the lane", MOVE, lambda s: v.edge(s, False)),
    Key("G,end", "last", "last instruction of the lane", MOVE, lambda s: v.edge(s, True)),
    Key("u,backspace", "return", "return to where you were before the last jump", MOVE, v.undo),
    Key("i,plus,equals_sign", "zoom in", "zoom in about the cursor", ZOOM, lambda s: v.zoom(s, 2.0), footer=True),
    Key("o,minus", "zoom out", "zoom out", ZOOM, lambda s: v.zoom(s, 0.5), footer=True),
    Key("L,shift+right", "pan right", "move the window right", ZOOM, lambda s: v.pan(s, 0.25)),
    Key("H,shift+left", "pan left", "move the window left", ZOOM, lambda s: v.pan(s, -0.25)),
    Key("0,a", "whole run", "show the whole run", ZOOM, v.fit, footer=True),
    Key("v", "mark", "mark a stretch of time from the cursor on (the Now panel sums it up); again: drop it", ZOOM, v.mark),
    Key("z,enter", "zoom to", "zoom to the marked stretch, or to the chosen instruction", ZOOM, v.zoom_in_on, footer=True),
    Key("b", "why", "back: to what this instruction waited for", WHY, v.back, footer=True),
    Key("f", "then", "forward: to who waited for this instruction", WHY, v.forward, footer=True),
    Key("s", "next stall", "next idle stretch of the lane that is a column wide or wider", WHY, lambda s: v.next_stall(s, 1), footer=True),
    Key("S", "previous stall", "previous such stretch", WHY, lambda s: v.next_stall(s, -1)),
    Key("W", "worst stall", "the lane's longest idle stretch; again: the next longest", WHY, v.worst_stall),
    Key("c", "critical path", "critical path: what is not on it is dimmed, and it has its own lane", WHY, v.toggle_critical, footer=True),
    Key("right_square_bracket", "path forward", "next instruction of the critical path", WHY, lambda s: v.step_path(s, 1)),
    Key("left_square_bracket", "path back", "previous instruction of the critical path", WHY, lambda s: v.step_path(s, -1)),
    Key("slash", "search", "search: by opcode, op: engine: line: text: cause: >100ns", FIND, action="search", footer=True),
    Key("n", "next match", "next match", FIND, action="find(1)"),
    Key("N", "previous match", "previous match", FIND, action="find(-1)"),
    Key("ampersand,F", "filter", "filter: dim everything else (the same words as search)", FIND, action="filter", footer=True),
    Key("escape", "clear", "clear filter, critical path and mark", FIND, action="clear"),
    Key("d", "DMA engines", "the 16 DMA engines folded into one lane, or each its own", LOOK, v.fold, footer=True),
    Key("w", "waits", "what idle engines wait for, in the gaps", LOOK, _toggle("waits")),
    Key("y", "letters", "a letter of the busiest opcode in each column", LOOK, _toggle("letters")),
    Key("1", "instruction", "panel: the chosen instruction", LOOK, action="panel('chosen')"),
    Key("2", "source", "panel: its kernel source", LOOK, action="panel('source')"),
    Key("3", "waits", "panel: the chain of waits before and after it", LOOK, action="panel('chain')"),
    Key("4", "now", "panel: every engine, queue and memory at the cursor, or in the marked stretch", LOOK, action="panel('moment')"),
    Key("tab", "next panel", "next panel", LOOK, action="next_panel"),
    Key("p", "panels", "panels lower, higher, or away", LOOK, action="panels"),
    Key("t", "theme", "next of simcore's themes (the command palette has all)", LOOK, action="theme"),
    Key("x", "export", "write what is on the screen as SVG", APP, action="export"),
    Key("question_mark", "help", "this help", APP, action="help", footer=True),
    Key("ctrl+p", "commands", "command palette: every command, opcode and source line by name", APP, action="palette"),
    Key("q,ctrl+q", "quit", "quit", APP, action="quit_app", footer=True),
)

MOUSE = (
    ("click", "choose an instruction, or a time on the axis"),
    ("drag", "mark a stretch of time; z zooms to it"),
    ("double click", "zoom to the instruction"),
    ("wheel", "zoom about the mouse; with Shift or Ctrl: pan"),
    ("minimap", "click or drag to move the window"),
)
"""For the help."""

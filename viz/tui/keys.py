"""Every key once: the bindings, the footer, the help and the command palette read this table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from simcore.viz.tui.model import find, moves, why
from simcore.viz.tui.model.view import View, undo

Move = Callable[[View], View]


@dataclass(frozen=True)
class Key:
    """`keys` as textual names them; `move` takes a View to the next, or `action` names an action of the screen."""

    keys: str
    title: str  # two or three words, for the footer and the palette
    help: str
    group: str
    move: Move | None = None
    action: str = ""
    footer: int = 0  # place in the footer, 0: not in it

    @property
    def shown(self) -> str:
        """The keys as a person reads them: "l →"."""
        return " ".join(
            _NAMES.get(k, k.removeprefix("shift+").upper() if k.startswith("shift+") and len(k) == 7 else k)
            for k in self.keys.split(",")
        )


# fmt: off
_NAMES = {
    "left": "←", "right": "→", "up": "↑", "down": "↓", "shift+left": "⇧←", "shift+right": "⇧→", "plus": "+",
    "minus": "-", "equals_sign": "=", "comma": ",", "full_stop": ".", "less_than_sign": "<", "greater_than_sign": ">",
    "slash": "/", "question_mark": "?", "right_square_bracket": "]", "left_square_bracket": "[", "ampersand": "&",
    "backspace": "⌫", "enter": "↵", "escape": "Esc", "home": "Home", "end": "End", "tab": "Tab", "ctrl+p": "^p",
    "ctrl+q": "^q",
}
# fmt: on


MOVE, ZOOM, WHY, FIND, LOOK, APP = "Move", "Zoom", "Why", "Find", "Look", "Program"

# fmt: off
KEYS: tuple[Key, ...] = (
    Key("l,right", "next", "next instruction of the lane", MOVE, lambda v: moves.step_row(v, 1)),
    Key("h,left", "previous", "previous instruction of the lane", MOVE, lambda v: moves.step_row(v, -1)),
    Key("j,down", "lane below", "the lane below, at the same time", MOVE, lambda v: moves.step_lane(v, 1)),
    Key("k,up", "lane above", "the lane above, at the same time", MOVE, lambda v: moves.step_lane(v, -1)),
    Key("full_stop", "time forward", "cursor one column later", MOVE, lambda v: moves.step_time(v, 1)),
    Key("comma", "time back", "cursor one column earlier", MOVE, lambda v: moves.step_time(v, -1)),
    Key("greater_than_sign", "next event", "step: the next moment anything starts or ends, on any lane", MOVE,
        lambda v: moves.step_event(v, 1)),
    Key("less_than_sign", "previous event", "step back: the previous such moment", MOVE,
        lambda v: moves.step_event(v, -1)),
    Key("g,home", "first", "first instruction of the lane", MOVE, lambda v: moves.edge(v, False)),
    Key("G,end", "last", "last instruction of the lane", MOVE, lambda v: moves.edge(v, True)),
    Key("u,backspace", "return", "return to where you were before the last jump", MOVE, undo),

    Key("i,plus,equals_sign", "zoom in", "zoom in about the cursor", ZOOM, lambda v: moves.zoom(v, 2.0), footer=9),
    Key("o,minus", "out", "zoom out", ZOOM, lambda v: moves.zoom(v, 0.5), footer=10),
    Key("L,shift+right", "pan right", "move the window right", ZOOM, lambda v: moves.pan(v, 0.25)),
    Key("H,shift+left", "pan left", "move the window left", ZOOM, lambda v: moves.pan(v, -0.25)),
    Key("0,a", "all", "show the whole run", ZOOM, moves.fit, footer=8),
    Key("z,enter", "zoom to", "zoom to the marked stretch, or to the chosen instruction", ZOOM, moves.zoom_in_on,
        footer=7),
    Key("v", "mark", "mark a stretch of time from the cursor on (panel 4 sums it up); again: drop it", ZOOM,
        moves.mark),

    Key("b", "why", "back: to what this instruction waited for", WHY, why.back, footer=3),
    Key("f", "then", "forward: to who waited for this instruction", WHY, why.forward, footer=4),
    Key("s", "stall", "next idle stretch of the lane that is a column wide or wider", WHY,
        lambda v: why.next_stall(v, 1), footer=5),
    Key("S", "previous stall", "previous such stretch", WHY, lambda v: why.next_stall(v, -1)),
    Key("W", "worst stall", "the lane's longest idle stretch; again: the next longest", WHY, why.worst_stall),
    Key("c", "critical", "critical path: what is not on it is dimmed, and it has its own lane", WHY,
        why.toggle_critical, footer=6),
    Key("right_square_bracket", "path forward", "next instruction of the critical path", WHY,
        lambda v: why.step_path(v, 1)),
    Key("left_square_bracket", "path back", "previous instruction of the critical path", WHY,
        lambda v: why.step_path(v, -1)),

    Key("m", "same in other run", "the same instruction in the other run: same engine, opcode, line and number", FIND,
        find.twin),
    Key("slash", "search", "search: by opcode, op: engine: line: text: cause: >100ns", FIND, action="search", footer=2),
    Key("n", "next match", "next match", FIND, action="find(1)"),
    Key("N", "previous match", "previous match", FIND, action="find(-1)"),
    Key("ampersand,F", "filter", "filter: dim everything else (the same words as search)", FIND, action="filter",
        footer=11),
    Key("r", "this line", "filter: only what the chosen instruction's source line issued", FIND,
        lambda v: find.filter_like(v, "line")),
    Key("e", "this opcode", "filter: only the chosen instruction's opcode", FIND, lambda v: find.filter_like(v, "op")),
    Key("E", "this engine", "filter: only the chosen instruction's engine", FIND,
        lambda v: find.filter_like(v, "engine")),
    Key("escape", "clear", "clear filter, critical path and mark", FIND, action="clear"),

    Key("d", "DMA", "each DMA engine its own lane (and cores the kernel does not use), or folded into one", LOOK,
        moves.fold, footer=12),
    Key("w", "waits in gaps", "what idle engines wait for, in the gaps", LOOK,
        lambda v: replace(v, waits=not v.waits, note="")),
    Key("y", "letters", "a letter of the busiest opcode in each column", LOOK,
        lambda v: replace(v, letters=not v.letters, note="")),
    Key("1", "panel instruction", "panel: the chosen instruction", LOOK, action="panel('chosen')"),
    Key("2", "panel source", "panel: its kernel source", LOOK, action="panel('source')"),
    Key("3", "panel waits", "panel: the chain of waits before and after it", LOOK, action="panel('chain')"),
    Key("4", "panel now", "panel: every engine, queue and memory at the cursor, or in the marked stretch", LOOK,
        action="panel('moment')"),
    Key("5", "panel summary", "panel: each engine's busy time, share of the critical path, and what it idles for", LOOK,
        action="panel('overview')"),
    Key("6", "panel cost", "panel: the machine's numbers behind the instruction's duration, with their sources", LOOK,
        action="panel('cost')"),
    Key("tab", "next panel", "next panel", LOOK, action="next_panel"),
    Key("p", "panels", "panels larger, away, back", LOOK, action="panels"),
    Key("P", "graphs", "graphs of memories and bandwidth away, back", LOOK, action="graphs"),
    Key("t", "theme", "next of simcore's themes (the command palette has all)", LOOK, action="app.theme"),

    Key("x", "export", "write what is on the screen as SVG", APP, action="app.export"),
    Key("question_mark", "help", "this help", APP, action="help", footer=1),
    Key("ctrl+p", "commands", "command palette: every command, opcode and source line by name", APP,
        action="app.palette"),
    Key("q,ctrl+q", "quit", "quit", APP, action="app.quit_app", footer=13),
)
# fmt: on

MOUSE = (
    ("click", "choose an instruction, or a time on the axis"),
    ("drag", "mark a stretch of time; z zooms to it"),
    ("double click", "zoom to the instruction"),
    ("wheel", "zoom about the mouse; with Shift or Ctrl: pan"),
    ("minimap", "click or drag to move the window"),
)
"""For the help."""

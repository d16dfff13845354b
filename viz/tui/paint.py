"""Cells of the screen: lanes, graphs, axis and minimap as strips.  Loops run over columns, never over rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from simcore.timeline import CAUSES
from simcore.viz import format as fmt
from simcore.viz import palette
from simcore.viz.tui.inks import Inks, blend, readable, style
from simcore.viz.tui.model.graphs import Graph
from simcore.viz.tui.model.runs import Item, Lane
from simcore.viz.tui.model.spans import Cells, Spans
from simcore.viz.tui.model.view import View
from simcore.viz.tui.model.window import precise, ticks
from simcore.viz.tui.model.words import printable

GUTTER = 18
"""Columns left of the time axis: marker, name, figure."""

UP = " ▁▂▃▄▅▆▇█"  # busy share, or height of a graph, in eighths
RIGHT = " ▏▎▍▌▋▊▉█"  # from the left edge, in eighths
CURSOR, CHOSEN, TICK, IDLE, DIMMED = "│", "◆", "╵", "·", "░"


class Row:
    """One line of cells being painted."""

    def __init__(self, width: int, colour: str, background: str | None):
        self.text = [" "] * width
        self.colour = [colour] * width
        self.background: list[str | None] = [background] * width
        self.bold = [False] * width

    def put(
        self, column: int, text: str, colour: str | None = None, background: str | None = None, bold: bool = False
    ) -> None:
        """Write a text from a column on; what falls outside is cut.  Colours not given stay."""
        for i, letter in enumerate(text, column):
            if 0 <= i < len(self.text):
                self.text[i] = letter
                self.bold[i] = bold
                if colour is not None:
                    self.colour[i] = colour
                if background is not None:
                    self.background[i] = background

    def segments(self) -> list[Segment]:
        """Neighbouring cells of one style become one segment."""
        cells = zip(self.text, self.colour, self.background, self.bold)
        return [
            Segment("".join(c[0] for c in group), style(key[0], key[1], bold=key[2]))
            for key, group in groupby(cells, key=lambda c: c[1:])
        ]


def strip(gutter: list[Segment], row: Row) -> Strip:
    return Strip([*gutter, *row.segments()], GUTTER + len(row.text))


def gutter(inks: Inks, name: str, figure: str, colour: str, marked: bool = False) -> list[Segment]:
    """ "▶Tensor      87 % "."""
    room = GUTTER - 2
    name = name[: room - len(figure) - 1] if figure else name[:room]
    return [
        Segment("▶" if marked else " ", style(inks.accent, None, bold=True)),
        Segment(name.ljust(room - len(figure)), style(colour, None, bold=marked)),
        Segment(figure + " ", style(inks.text if marked else inks.muted, None)),
    ]


# ---------------------------------------------------------------------------------------------------- lanes


@dataclass(frozen=True, eq=False)
class Look:
    """How the kinds of a lane are drawn: a colour, a letter and a name each."""

    colour: dict[int, str]
    letter: dict[int, str]
    names: tuple[str, ...]


def look(lane: Lane, inks: Inks) -> Look:
    """The busiest kind has the engine's own colour.  A lane of the critical path has its engines' colours."""
    if lane.engine == "Critical":
        known = [n if n in palette.ENGINES else "" for n in lane.names]
        return Look(
            {i: inks.engine(n) if n else inks.muted for i, n in enumerate(known)},
            {i: palette.ENGINES[n].symbol if n else lane.names[i][0] for i, n in enumerate(known)},
            lane.names,
        )
    order = by_time(lane)
    names = tuple(printable(name, narrow=True) for name in lane.names)
    return Look({k: inks.shade(lane.engine, rank) for rank, k in enumerate(order)}, letters(order, names), names)


def by_time(lane: Lane) -> list[int]:
    """The lane's kinds, the one that takes most time first."""
    total = np.zeros(len(lane.names))
    for part in lane.parts:
        total += np.bincount(part.kind, part.end - part.start, len(lane.names))
    count = np.bincount(lane.kind, minlength=len(lane.names))
    present = np.flatnonzero((total > 0) | (count > 0))
    return [int(k) for k in present[np.argsort(-total[present], kind="stable")]]


def letters(kinds: list[int], names: tuple[str, ...]) -> dict[int, str]:
    """A different letter for each kind: the first free one of its name (of "HBM→SBUF": a letter for each way)."""
    found: dict[int, str] = {}
    for kind in kinds:
        own = [c for c in names[kind].upper() if c.isalnum()]
        own += [c.lower() for c in own] + list("0123456789*")
        found[kind] = next((c for c in own if c not in found.values()), "*")
    return found


def paint_lane(view: View, lane: Lane, inks: Inks, looks: Look, height: int, chosen: bool) -> list[Strip]:
    """`height` strips of a lane: blocks with their names, busy share where blocks are too small, waits in the gaps."""
    edges = view.window.edges(view.width)
    cells = lane.cells(edges)
    kept = _kept(view, lane)
    focus = kept.cells(edges) if kept is not None else cells
    rows = [Row(view.width, inks.muted, inks.idle) for _ in range(height)]
    if kept is not None:
        _dimmed(rows, cells, inks)
    _busy(rows, focus, kept or lane, edges, looks, inks, view.letters)
    if view.waits and kept is None and lane.table == "instruction" and lane.engine != "Critical":
        _waits(rows[(height - 1) // 2], view, lane, cells, edges, inks)
    _cursor(rows, view, cells, inks)
    if view.item is not None and chosen:
        _chosen(rows, view, view.item, lane, inks)
    share = fmt.percent(float(lane.fraction(edges[[0, -1]])[0])).replace(" ", "")
    first = gutter(inks, view.runs.label(lane, view.folded), share, inks.engine(lane.engine), chosen)
    blank = gutter(inks, "", "", inks.muted)
    middle = (height - 1) // 2
    return [strip(first if i == middle else blank, row) for i, row in enumerate(rows)]


def _kept(view: View, lane: Lane) -> Lane | None:
    """The part of the lane in focus: what the filter chose, or the critical path; None: all of it."""
    if lane.engine == "Critical":
        return None
    if view.filtering and view.matches:
        return view.matches.narrowed(lane)
    if view.critical:
        return view.model.on_path(lane)
    return None


def _dimmed(rows: list[Row], cells: Cells, inks: Inks) -> None:
    colour = blend(inks.muted, inks.background, 0.5)
    for column in np.flatnonzero(cells.fraction > 0).tolist():
        for row in rows:
            row.put(column, DIMMED, colour)


def _busy(
    rows: list[Row], cells: Cells, lane: Lane, edges: np.ndarray, looks: Look, inks: Inks, letters_on: bool
) -> None:
    height = len(rows)
    eighths = np.ceil(np.minimum(cells.fraction, 1.0) * 8 * height).astype(int)
    across = np.clip(np.rint(cells.fraction * 8).astype(int), 1, 7)
    for column in np.flatnonzero((cells.fraction > 0) | cells.tick).tolist():
        kind = int(cells.kind[column])
        colour = looks.colour.get(kind, inks.muted)
        letter = looks.letter.get(kind, "?")
        for i, row in enumerate(rows):
            if cells.tick[column]:
                row.put(column, TICK if i == height - 1 else " ", inks.engine(lane.engine))
            elif cells.block[column] >= 0:
                row.put(column, " ", readable(colour), colour)
            elif cells.tail[column]:
                row.put(column, RIGHT[across[column]], colour, inks.idle)
            elif cells.head[column]:
                row.put(column, RIGHT[8 - across[column]], inks.idle, colour)
            else:
                level = min(max(eighths[column] - 8 * (height - 1 - i), 0), 8)
                row.put(column, UP[level], colour, inks.idle)
        if letters_on and cells.block[column] < 0 and not cells.tick[column]:
            full = cells.fraction[column] > 0.5
            rows[-1].put(column, letter, readable(colour) if full else colour, colour if full else inks.idle)
    _names(rows, cells, lane, looks, inks)
    if not letters_on:
        _crowds(rows[-1], cells, eighths, lane, edges, looks, inks)


def _crowds(
    row: Row, cells: Cells, eighths: np.ndarray, lane: Lane, edges: np.ndarray, looks: Look, inks: Inks
) -> None:
    """Where many instructions of one kind fill the lowest line, their name and number: "MATMUL ×128"."""
    alone = (cells.block >= 0) | cells.head | cells.tail | (eighths < 8)
    kind = np.where(alone, -1, cells.kind)
    change = np.flatnonzero(np.diff(kind, prepend=-2)).tolist() + [len(kind)]
    for first, until in pairwise(change):
        if kind[first] < 0 or until - first < 5:
            continue
        k = int(kind[first])
        count = sum(_between(p.by_kind[k], edges[first], edges[until]) for p in lane.parts if k in p.by_kind)
        room, name = until - first - 2, looks.names[k]
        text = next((t for t in (f"{name} ×{fmt.number(count)}", name, looks.letter.get(k, "?")) if len(t) <= room), "")
        row.put(first + 1, text, readable(looks.colour[k]), looks.colour[k])


def _between(spans: Spans, start_ps: int, end_ps: int) -> int:
    """How many intervals have a part in a stretch of time."""
    return int(np.searchsorted(spans.start, end_ps) - np.searchsorted(spans.end, start_ps, "right"))


def _names(rows: list[Row], cells: Cells, lane: Lane, looks: Look, inks: Inks) -> None:
    """A seam where one block follows another, and each block's name as far as it fits (its letter at least)."""
    middle = rows[(len(rows) - 1) // 2]
    change = np.flatnonzero(np.diff(cells.block, prepend=-2)).tolist() + [len(cells.block)]
    for first, until in pairwise(change):
        if cells.block[first] < 0:
            continue
        kind = int(cells.kind[first])
        colour = looks.colour.get(kind, inks.muted)
        seam = first > 0 and (cells.block[first - 1] >= 0)
        if seam:
            for row in rows:
                row.put(first, "▏", inks.background)
        room = until - first - int(seam)
        name = looks.names[kind]
        text = name if len(name) <= room else name[: room - 1] + "…" if room >= 5 else looks.letter.get(kind, "?")
        if room >= 1:
            middle.put(first + int(seam), text, readable(colour), colour, bold=True)


def _waits(row: Row, view: View, lane: Lane, cells: Cells, edges: np.ndarray, inks: Inks) -> None:
    """In each idle stretch, what the next instruction waits for: dots, and in words where they fit."""
    idle = (cells.fraction == 0) & ~cells.tick
    change = np.flatnonzero(np.diff(idle.astype(np.int8), prepend=2)).tolist() + [len(idle)]
    causes = view.runs.timelines[lane.run].instructions.wait_cause
    for first, until in pairwise(change):
        if not idle[first]:
            continue
        place = int(np.searchsorted(lane.start, edges[first]))
        if place >= len(lane.start):
            continue
        cause = CAUSES[causes[lane.rows[place]]]
        gap = int(lane.start[place]) - (int(lane.longest_before[place - 1]) if place else 0)
        colour = inks.cause(cause)
        row.put(first, IDLE * (until - first), blend(colour, inks.idle, 0.4))
        room = until - first
        symbol = palette.CAUSES[cause].symbol
        choices = (f" {symbol} {cause} {fmt.time(gap)} ", f" {cause} ", symbol)
        text = next((t for t in choices if len(t) + 2 <= room), "")
        row.put(first + (room - len(text)) // 2, text, colour)


def _cursor(rows: list[Row], view: View, cells: Cells, inks: Inks) -> None:
    column = view.window.column(view.time_ps, view.width)
    if 0 <= column < view.width:
        for row in rows:
            if row.text[column] in (" ", IDLE, CURSOR):
                row.put(column, CURSOR, inks.accent if cells.block[column] < 0 else None, bold=True)
    if view.selection:
        low, high = (view.window.column(t, view.width) for t in view.selection)
        for column in range(max(low, 0), min(high + 1, view.width)):
            for row in rows:
                if row.background[column] == inks.idle:
                    row.put(column, row.text[column], None, blend(inks.accent, inks.background, 0.75))


def _chosen(rows: list[Row], view: View, item: Item, lane: Lane, inks: Inks) -> None:
    """The chosen row: inverse, in brackets where there is room, a diamond where there is not."""
    start, end = view.runs.span(item)
    low, high = view.window.column(start, view.width), view.window.column(max(end - 1, start), view.width)
    if high < 0 or low >= view.width:
        return
    first, last = max(low, 0), min(high, view.width - 1)
    room = last - first + 1
    for row in rows:
        row.put(first, " " * room, inks.background, inks.text, bold=True)
    row = rows[(len(rows) - 1) // 2]
    if room < 3:
        row.put(first, CHOSEN * room, inks.background, inks.text, bold=True)
        return
    place = lane.place(item.row)
    name = printable(lane.names[lane.kind[place]], narrow=True) if place is not None else ""
    row.put(first, ("[" + name)[: room - 1], inks.background, inks.text, bold=True)
    row.put(last, "]", inks.background, inks.text, bold=True)


# ---------------------------------------------------------------------------------------------------- graphs


def paint_graph(view: View, graph: Graph, inks: Inks, height: int) -> list[Strip]:
    """`height` strips of a graph; its value at the cursor stands in the gutter."""
    edges = view.window.edges(view.width)
    share = graph.values(edges) / graph.top
    eighths = np.where(share > 0, np.clip(np.rint(share * 8 * height), 1, 8 * height), 0).astype(int)
    colour = inks.graph(graph.name)
    rows = []
    for i in range(height):
        row = Row(view.width, colour, None)
        levels = np.clip(eighths - 8 * (height - 1 - i), 0, 8)
        row.text = [UP[level] for level in levels]
        rows.append(row)
    column = view.window.column(view.time_ps, view.width)
    if 0 <= column < view.width:
        for row in rows:
            row.put(column, CURSOR if row.text[column] == " " else row.text[column], inks.accent, bold=True)
    title = f"{view.runs.title(graph.run)} {printable(graph.name, narrow=True)}".strip()
    first = gutter(inks, title, graph.text(graph.steps.at(view.time_ps)), colour)
    top = ("of " if graph.capacity else "max ") + graph.text(graph.top)
    gutters = [first, gutter(inks, "", top, colour)] + [gutter(inks, "", "", colour)] * height
    return [strip(gutters[i], row) for i, row in enumerate(rows)]


# ---------------------------------------------------------------------------------------------------- axis


def paint_axis(view: View, inks: Inks, height: int) -> list[Strip]:
    """Round times, and the cursor's time with its digits; from two lines on each on its own."""
    row = Row(view.width, inks.muted, None)
    for tick in ticks(view.window, view.width):
        row.put(tick.column, "╷" + tick.label if tick.column + len(tick.label) < view.width else "╷")
    rows = [row]
    if height > 1:
        rows.insert(0, Row(view.width, inks.muted, None))
    if view.selection:
        low, high = (view.window.column(t, view.width) for t in view.selection)
        first, last = max(low, 0), min(high, view.width - 1)
        if last >= first:
            rows[0].put(first, "─" * (last - first + 1), inks.accent)
            rows[0].put(low, "├", inks.accent) if low >= 0 else None
            rows[0].put(high, "┤", inks.accent) if high < view.width else None
    column = view.window.column(view.time_ps, view.width)
    if 0 <= column < view.width:
        text = precise(view.time_ps, view.window, view.width)
        left = column + len(text) + 2 <= view.width
        rows[0].put(
            column if left else column - len(text),
            f"▼{text} " if left else f" {text}▼"[1:],
            inks.background,
            inks.accent,
            bold=True,
        )
    left_of_it = gutter(inks, "window", fmt.time(view.window.span_ps), inks.muted)
    return [strip(left_of_it if i == 0 else gutter(inks, "", "", inks.muted), row) for i, row in enumerate(rows)]


def paint_minimap(view: View, inks: Inks) -> Strip:
    """The whole run: how many lanes are busy, the window in brackets, the cursor."""
    whole = view.model.whole
    share = view.model.overview(view.width)
    row = Row(view.width, inks.muted, None)
    row.text = [UP[min(int(np.ceil(s * 8)), 8)] for s in share]
    low = whole.column(view.window.start_ps, view.width)
    high = whole.column(view.window.end_ps - 1, view.width)
    inside = blend(inks.accent, inks.background, 0.7)
    for column in range(max(low, 0), min(high + 1, view.width)):
        row.put(column, row.text[column], inks.accent, inside)
    row.put(low, "[", inks.accent, inside, bold=True)
    row.put(high, "]" if high > low else "▮", inks.accent, inside, bold=True)
    at = whole.column(view.time_ps, view.width)
    if low < at < high:
        row.put(at, "│", inks.text, inside, bold=True)
    seen = fmt.percent(view.window.span_ps / max(whole.span_ps, 1)).replace(" ", "")
    return strip(gutter(inks, "whole run", seen, inks.muted), row)


def legend(view: View, lane: Lane, looks: Look, inks: Inks, width: int) -> list[tuple[str, Style]]:
    """The opcodes of a lane with their letters and their share of the window's busy time."""
    edges = view.window.edges(view.width)[[0, -1]]
    busy = {k: sum(int(p.by_kind[k].busy(edges)[0]) for p in lane.parts if k in p.by_kind) for k in looks.letter}
    total = max(sum(busy.values()), 1)
    pieces: list[tuple[str, Style]] = []
    used = 0
    for kind in sorted(busy, key=lambda k: -busy[k]):
        share = fmt.percent(busy[kind] / total).replace(" ", "")
        colour = looks.colour.get(kind, inks.muted)
        texts = [
            (f" {looks.letter[kind]} ", style(readable(colour), colour, bold=True)),
            (f" {looks.names[kind]} {share}  ", style(inks.text, None)),
        ]
        used += sum(len(t) for t, _ in texts)
        if used > width or not busy[kind]:
            break
        pieces += texts
    return pieces

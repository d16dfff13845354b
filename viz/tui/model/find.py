"""Moves by search, and the filter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simcore.analysis import kernel_rows
from simcore.timeline import ENGINES, Site, Timeline
from simcore.viz import format as fmt
from simcore.viz.tui.model import query
from simcore.viz.tui.model.runs import Item
from simcore.viz.tui.model.view import Matches, View, choose


def find(view: View, matches: Matches, by: int = 1) -> View:
    """To the next (previous) match in time on any lane; around the end."""
    view = replace(view, matches=matches)
    if not matches.count:
        return replace(view, note=f"nothing matches {matches.query.text!r}")
    best: list[tuple[int, int, int]] = []
    for run, chosen in enumerate(matches.instructions):
        rows = np.flatnonzero(chosen)
        start = view.runs.timelines[run].instructions.start_ps[rows]
        best += [(int(s), run, int(r)) for s, r in _neighbours(start, rows, view, run, by)]
    here = _key(view)
    ahead = [b for b in best if (b > here if by > 0 else b < here)]
    choice = (min if by > 0 else max)(ahead or best)
    moved = choose(view, Item(choice[1], "instruction", choice[2]), remember=True)
    wrapped = "" if ahead else ", around the end" if by > 0 else ", around the beginning"
    return replace(moved, note=f"{fmt.number(matches.count)} match {matches.query.text!r}{wrapped}")


def _key(view: View) -> tuple[int, int, int]:
    if view.item and view.item.table == "instruction":
        return (view.runs.span(view.item)[0], view.item.run, view.item.row)
    return (view.time_ps, -1, -1)


def _neighbours(start: np.ndarray, rows: np.ndarray, view: View, run: int, by: int) -> list[tuple[int, int]]:
    """The matches of one run around the cursor, and its first and last: the next one is among them."""
    if not len(rows):
        return []
    time, _, row = _key(view)
    low, high = int(np.searchsorted(start, time, "left")), int(np.searchsorted(start, time, "right"))
    at = low + int(np.searchsorted(rows[low:high], row, "left"))
    near = {0, len(rows) - 1, *(i for i in (low - 1, at - 1, at, at + 1, high) if 0 <= i < len(rows))}
    return [(int(start[i]), int(rows[i])) for i in near]


def set_filter(view: View, matches: Matches | None) -> View:
    """Dim everything a query did not choose, and go to the next it did choose; None shows all again."""
    if matches is None:
        return replace(view, matches=None, filtering=False, note="")
    if not matches.count:
        return replace(view, note=f"nothing matches {matches.query.text!r}; the filter is unchanged")
    note = f"filter {matches.query.text!r}: {fmt.number(matches.count)} instructions; Esc clears"
    view = view if view.item and matches.chose(view.item) else find(view, matches)
    return replace(view, matches=matches, filtering=True, note=note)


def filter_like(view: View, field: str) -> View:
    """A filter for the chosen instruction's "line", "op" or "engine"; pressed again it is cleared."""
    item = view.item
    timeline = view.runs.timelines[item.run] if item else None
    row = item.row if item and item.table == "instruction" else -1
    if timeline is not None and item is not None and item.table == "transfer":
        row = int(timeline.dma.instruction[item.row])
    if timeline is None or row < 0:
        return replace(view, note="no instruction is chosen to filter by")
    site = timeline.site(row)
    if field == "line" and site is None:
        return replace(view, note="this row does not say which kernel line it comes from")
    text = {
        "op": f"op:{timeline.opcode(row)}",
        "engine": f"engine:{ENGINES[timeline.instructions.engine[row]]}",
        "line": f"line:{site.file.replace(chr(92), '/').rsplit('/', 1)[-1]}:{site.line}" if site else "",
    }[field]
    if view.filtering and view.matches and view.matches.query.text == text:
        return set_filter(view, None)
    return set_filter(view, Matches.of(query.parse(text), view.runs))


def twin(view: View) -> View:
    """To the same instruction of the next run: the k-th of its engine and opcode, and of its source line where both
    runs know lines.  Two runs of one kernel, or a prediction and its measurement, are walked through like this."""
    item, count = view.item, len(view.runs.timelines)
    if item is None or count < 2:
        return replace(view, note="there is no other run to go to")
    row = item.row
    if item.table == "transfer":
        row = int(view.runs.timelines[item.run].dma.instruction[item.row])
    other = (item.run + 1) % count
    if row < 0:
        return replace(view, note="the profile does not say which instruction triggered this transfer")
    here, there = view.runs.timelines[item.run], view.runs.timelines[other]
    opcode, engine = here.opcode(row), int(here.instructions.engine[row])
    site = here.site(row)
    lines = site is not None and any(s.line == site.line and s.function == site.function for s in there.sites)
    name = f"{opcode} of {ENGINES[engine]}" + (f" on line {site.line}" if site is not None and lines else "")
    rows = [_alike(t, opcode, engine, site if lines else None) for t in (here, there)]
    k = int(np.searchsorted(rows[0], row))
    if k >= len(rows[1]):
        return replace(view, note=f"run {view.runs.title(other)} has {len(rows[1])} {name}, this is number {k + 1}")
    moved = choose(view, Item(other, "instruction", int(rows[1][k])), remember=True)
    return replace(moved, note=f"run {view.runs.title(other)}: {name}, number {k + 1} of {len(rows[1])}")


def _alike(timeline: Timeline, opcode: str, engine: int, site: Site | None) -> np.ndarray:
    """Kernel rows of an engine with an opcode (and of a source line), in order of their starts."""
    t, rows = timeline.instructions, kernel_rows(timeline)
    codes = [i for i, name in enumerate(timeline.opcodes) if name == opcode]
    keep = np.isin(t.opcode[rows], codes) & (t.engine[rows] == engine)
    if site is not None:
        known = [i for i, s in enumerate(timeline.sites) if s.line == site.line and s.function == site.function]
        keep &= np.isin(t.site[rows], known)
    return rows[keep]

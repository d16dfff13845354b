"""The sentences of the panels: what is chosen, and why it started.

A panel is a list of lines, a line a list of (text, role).  Roles say what a piece is, never its colour:
"" plain, "label", "dim", "strong", "warn", "engine:NAME", "cause:NAME".
"""

from __future__ import annotations

import re

import numpy as np

from simcore.analysis import stall_ps
from simcore.timeline import CAUSES, ENGINES, MEMORIES, Timeline
from simcore.viz import format as fmt
from simcore.viz import palette
from simcore.viz.tui.model.graphs import machine_number
from simcore.viz.tui.model.runs import Item
from simcore.viz.tui.model.view import View

Line = list[tuple[str, str]]

LABEL = 10
"""Columns of the labels at the left of a panel."""


def line(label: str, *pieces: str | tuple[str, str]) -> Line:
    return [(f"{label:<{LABEL}}", "label"), *((p, "") if isinstance(p, str) else p for p in pieces)]


def engine_tag(name: str) -> tuple[str, str]:
    ink = palette.ENGINES.get(name)
    return (f"{ink.symbol} {name}" if ink else name, f"engine:{name}")


# ---------------------------------------------------------------------------------------------------- what


def chosen(view: View) -> list[Line]:
    """The panel of the chosen row."""
    if view.item is None:
        return [[("nothing is chosen: press l or click on a lane", "dim")]]
    timeline = view.runs.timelines[view.item.run]
    return (_instruction if view.item.table == "instruction" else _transfer)(view, timeline, view.item)


def _instruction(view: View, timeline: Timeline, item: Item) -> list[Line]:
    t, row = timeline.instructions, item.row
    start, end, done = int(t.start_ps[row]), int(t.end_ps[row]), int(t.done_ps[row])
    took = end - start
    engine = ENGINES[t.engine[row]]
    lines: list[Line] = [
        [
            (timeline.opcode(row), "strong"),
            (" on ", "dim"),
            engine_tag(engine),
            (_core(view, int(t.core[row])), "dim"),
            (f"   row {fmt.number(row)} of {fmt.number(len(t))}", "dim"),
            (_in_run(view, item), "dim"),
        ],
        line("start", _exact(start), ("   end ", "label"), _exact(end)),
        line(
            "took",
            fmt.time(took),
            (_cycles(timeline, row, took), "dim"),
            *([("   result after ", "label"), (fmt.time(done - start), "")] if done > end else []),
        ),
    ]
    lines += _waited(view, item)
    work = _work(timeline, row, took)
    if work:
        lines.append(line("work", work))
    moved = _moved(timeline, row)
    if moved:
        lines.append(line("moves", moved))
    if timeline.operands(row):
        lines.append(line("operands", timeline.operands(row)))
    site = timeline.site(row)
    if site is not None:
        where = f"{short(site.file)}:{site.line}" + (f" in {site.function}" if site.function else "")
        lines.append(line("kernel", where, ("  " + timeline.source_line(row).strip(), "dim")))
    return lines


def _transfer(view: View, timeline: Timeline, item: Item) -> list[Line]:
    d, row = timeline.dma, item.row
    start, end = int(d.start_ps[row]), int(d.end_ps[row])
    nbytes = int(max(d.read_bytes[row], d.write_bytes[row]))
    queue = timeline.queues[d.queue[row]] if timeline.queues else ""
    rate = fmt.rate(nbytes / ((end - start) * 1e-12)) if end > start else fmt.MISSING
    many = int(d.descriptors[row])
    lines: list[Line] = [
        [
            (f"{MEMORIES[d.source[row]]} → {MEMORIES[d.dest[row]]}", "strong"),
            (" on ", "dim"),
            engine_tag("DMA"),
            (f" engine {int(d.engine[row])}", ""),
            (_core(view, int(d.core[row])), "dim"),
            (f"   transfer {fmt.number(row)} of {fmt.number(len(d))}", "dim"),
            (_in_run(view, item), "dim"),
        ],
        line("start", _exact(start), ("   end ", "label"), _exact(end)),
        line("took", fmt.time(end - start), ("   moves ", "label"), fmt.size(nbytes), ("   at ", "label"), rate),
        line(
            "queue",
            queue or fmt.MISSING,
            *([("   descriptors ", "label"), (f"{fmt.number(many)} of {fmt.size(nbytes / many)}", "")] if many else []),
        ),
    ]
    trigger = int(d.instruction[row])
    if trigger >= 0:
        lines.append(line("trigger", *brief(timeline, trigger), ("  (b goes there)", "dim")))
        site = timeline.site(trigger)
        if site is not None:
            lines.append(
                line("kernel", f"{short(site.file)}:{site.line}", ("  " + timeline.source_line(trigger).strip(), "dim"))
            )
    return lines


def brief(timeline: Timeline, row: int) -> list[tuple[str, str]]:
    """An instruction in a few words: "MATMUL T Tensor at 12.3 µs"."""
    t = timeline.instructions
    return [
        (timeline.opcode(row), "strong"),
        (" ", ""),
        engine_tag(ENGINES[t.engine[row]]),
        (f" at {fmt.time(int(t.start_ps[row]), significant=4)}", ""),
    ]


def _exact(ps: int) -> str:
    """A time with all its nanoseconds, in a unit of its size."""
    return fmt.time(ps, significant=7) if ps >= 10**6 else fmt.time_exact(ps)


def _core(view: View, core: int) -> str:
    return f" core {core}" if view.runs.several_cores(view.folded) else ""


def _in_run(view: View, item: Item) -> str:
    title = view.runs.title(item.run)
    return f"   run {title}" if title else ""


def short(file: str) -> str:
    return file.replace("\\", "/").rsplit("/", 1)[-1]


def _cycles(timeline: Timeline, row: int, took: int) -> str:
    """ " = 1 486 cycles of 2.40 GHz", and at what fraction of it the Tensor engine ran."""
    t = timeline.instructions
    clock = machine_number(timeline, ENGINES[t.engine[row]].lower(), "clock_hz")
    if not clock or not took:
        return ""
    state = ""
    if ENGINES[t.engine[row]] == "Tensor":
        c = timeline.clock
        on = np.flatnonzero((c.core == t.core[row]) & (c.start_ps <= t.start_ps[row]) & (t.start_ps[row] < c.end_ps))
        state = f" at {c.k[on[0]]}/{c.n[on[0]]} of its rate" if len(on) else ""
    return f" = {fmt.number(round(took * clock / 1e12))} cycles of {fmt.frequency(clock)}{state}"


def _work(timeline: Timeline, row: int, took: int) -> str:
    """Arithmetic, its rate, and the share of the engine's peak for the dtype."""
    t = timeline.instructions
    dtype = timeline.dtypes[t.dtype[row]] if t.dtype[row] >= 0 and timeline.dtypes else ""
    count = int(t.flops[row])
    if not count:
        return dtype
    text = fmt.flops(count) + (f" in {dtype}" if dtype else "")
    if not took:
        return text
    rate = count / (took * 1e-12)
    peak = machine_number(timeline, ENGINES[t.engine[row]].lower(), "peak_flops_per_s")
    peak = peak.get(dtype) if isinstance(peak, dict) else peak
    share = f", {fmt.percent(rate / peak)} of {fmt.flop_rate(peak)}" if peak else ""
    return f"{text} ({fmt.flop_rate(rate)}{share})"


_MOVES = (
    ("HBM", "read", "hbm_read_bytes"),
    ("HBM", "write", "hbm_write_bytes"),
    ("SBUF", "read", "sbuf_read_bytes"),
    ("SBUF", "write", "sbuf_write_bytes"),
    ("PSUM", "read", "psum_read_bytes"),
    ("PSUM", "write", "psum_write_bytes"),
)


def _moved(timeline: Timeline, row: int) -> str:
    """Bytes and rates; a DMA trigger's bytes move until its transfers are done, not while it is issued."""
    t = timeline.instructions
    parts = []
    for memory, way, column in _MOVES:
        nbytes = int(getattr(t, column)[row])
        if nbytes:
            hbm = t.hbm_read_bytes[row] or t.hbm_write_bytes[row]
            during = int((t.done_ps if hbm else t.end_ps)[row] - t.start_ps[row])
            parts.append(
                f"{memory} {way} {fmt.size(nbytes)}" + (f" ({fmt.rate(nbytes / (during * 1e-12))})" if during else "")
            )
    return ", ".join(parts)


# ---------------------------------------------------------------------------------------------------- why


def _waited(view: View, item: Item) -> list[Line]:
    timeline = view.runs.timelines[item.run]
    t = timeline.instructions
    cause = CAUSES[t.wait_cause[item.row]]
    idle, queued = int(stall_ps(timeline)[item.row]), int(t.wait_ps[item.row])
    pieces: list[str | tuple[str, str]] = [(f"{fmt.time(idle)} ", "warn")] if idle else []
    if queued > idle:  # a DMA trigger in its queue, a matmul behind one whose result is still on its way
        pieces.append((f"{fmt.time(queued - idle)} {'more ' if idle else ''}while its engine worked on ", "dim"))
    lines = [line("waited", *pieces, cause_tag(cause))]
    wait = view.model.waits[item.run].back(item.row)
    if wait is not None:
        lines.append(line("behind", *brief(timeline, wait.on), ("  (b goes there)", "dim")))
    return lines


def cause_tag(cause: str) -> tuple[str, str]:
    ink = palette.CAUSES[cause]
    return (f"{ink.symbol} {cause}: {ink.meaning}", f"cause:{cause}")


def wrapped(lines: list[Line], width: int) -> list[Line]:
    """Lines that begin with a label go on below it where they are too long; others stay as they are."""
    found: list[Line] = []
    for one in lines:
        length = sum(len(text) for text, _ in one)
        if length <= width or not one or one[0][1] != "label" or len(one[0][0]) != LABEL or width < 3 * LABEL:
            found.append(one)
            continue
        now, used = [one[0]], LABEL
        for text, role in one[1:]:
            for word in re.findall(r"\s*\S+\s*?|\s+", text):
                if used + len(word.rstrip()) > width and used > LABEL:
                    found.append(now)
                    now, used, word = [(" " * LABEL, "label")], LABEL, word.lstrip()
                now.append((word, role))
                used += len(word)
        found.append(now)
    return found


def chain(view: View, length: int = 12) -> list[Line]:
    """Back along the waits, and who waited for the chosen row."""
    item = view.item
    if item is None:
        return [[("nothing is chosen", "dim")]]
    timeline = view.runs.timelines[item.run]
    row = item.row
    lines: list[Line] = []
    if item.table == "transfer":
        row = int(timeline.dma.instruction[item.row])
        if row < 0:
            return [[("the profile does not say which instruction triggered this transfer", "dim")]]
        lines.append([("transfer of ", "dim"), *brief(timeline, row)])
    waits = view.model.waits[item.run]
    after = waits.forward(row)
    for wait in after[:3]:
        lines.append([("f → ", "label"), *brief(timeline, wait.row), _why(wait.cause, wait.idle_ps)])
    if len(after) > 3:
        lines.append([(f"    and {fmt.number(len(after) - 3)} more waited for it", "dim")])
    if not after:
        lines.append([("f → ", "label"), ("nothing is recorded to have waited for it", "dim")])
    lines.append([("  ▶ ", "strong"), *brief(timeline, row)])
    before = waits.chain(row, length)
    for wait in before:
        lines.append([("b ← ", "label"), *brief(timeline, wait.on), _why(wait.cause, wait.idle_ps)])
    if not before:
        cause = CAUSES[timeline.instructions.wait_cause[row]]
        lines.append([("b ← ", "label"), ("nothing" if cause == "start" else palette.CAUSES["unknown"].meaning, "dim")])
    return lines


def _why(cause: str, idle_ps: int) -> tuple[str, str]:
    return (
        f"  {palette.CAUSES[cause].symbol} {cause}" + (f", idle {fmt.time(idle_ps)}" if idle_ps else ""),
        f"cause:{cause}",
    )

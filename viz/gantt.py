"""The Gantt picture: what every engine does when, what it waits for, and which way the critical path goes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simcore import analysis
from simcore.errors import UsageError
from simcore.timeline import CAUSES, ENGINES, Timeline
from simcore.viz import binning, occupancy, palette, style
from simcore.viz import window as windows

COUNTERS = ("HBM GB/s", "SBUF bytes", "PSUM bytes")
"""Counters under the lanes, where the timeline has them."""

_SHADES = (0.0, 0.28, 0.5, 0.64)
"""Of an engine's opcodes, most time first: how far its colour is mixed with the background."""


def write(
    timeline: Timeline | Iterable[Timeline],
    output: str | Path,
    *,
    window: tuple[int, int] | None = None,
    line: str | int | None = None,
    theme: palette.Theme = "light",
    width: float = 12.0,
    title: str | None = None,
) -> None:
    """Draw one timeline; `window` is (start_ps, end_ps), `line` a kernel line to zoom to."""
    timeline = windows.only(timeline)
    if not timeline.end_ps:
        raise UsageError(f"{timeline.name} has no instruction that takes time, so there is nothing to draw")
    span = windows.choose(timeline, window, line)
    lanes = _lanes(timeline)
    counters = [name for name in COUNTERS if name in occupancy.recorded(timeline)]
    height = 1.9 + 0.62 * len(lanes) + 0.8 * len(counters)
    with style.figure(width, height, theme) as fig:
        draw(fig, timeline, span, theme=theme, title=title, line=line)
        style.save(fig, output, theme)


def draw(
    fig: Figure,
    timeline: Timeline,
    span: tuple[int, int],
    *,
    theme: palette.Theme = "light",
    title: str | None = None,
    line: str | int | None = None,
) -> None:
    lanes = _lanes(timeline)
    counters = [name for name in COUNTERS if name in occupancy.recorded(timeline)]
    heights = [0.62 * len(lanes), *[0.8] * len(counters)]
    axes = fig.subplots(1 + len(counters), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    ax = axes[0]
    ax.set_title(title or f"{timeline.name} ({timeline.origin})")
    causes = [
        _engine_lane(ax, timeline, engine, core, len(lanes) - 1 - i, span, theme)
        for i, (engine, core) in enumerate(lanes)
        if engine != "DMA"
    ]
    for i, (engine, core) in enumerate(lanes):
        if engine == "DMA":
            _dma_lane(ax, timeline, core, len(lanes) - 1 - i, span, theme)
    _critical(ax, timeline, lanes, span, theme)
    if line is not None:
        _mark_line(ax, timeline, lanes, line, theme)
    cores = len({core for _, core in lanes}) > 1
    ax.set_yticks(np.arange(len(lanes)) + 0.5, [f"{e} {c}" if cores else e for e, c in reversed(lanes)])
    ax.set_ylim(0, len(lanes))
    ax.tick_params(axis="y", length=0)
    for i in range(1, len(lanes)):
        ax.axhline(i, color=palette.SURFACES[theme].grid, linewidth=0.8, zorder=0)
    for counter_ax, name in zip(axes[1:], counters, strict=True):
        occupancy.draw_counter(counter_ax, timeline, name, span, theme)
    windows.time_axis(axes[-1], span)
    axes[-1].set_xlim(*span)
    held = timeline.clock
    slow = bool(((held.k < held.n) & (held.end_ps > span[0]) & (held.start_ps < span[1])).any())
    _legend(fig, set().union(*causes) if causes else set(), slow, line, theme)


def _lanes(timeline: Timeline) -> list[tuple[str, int]]:
    """(engine, core) top to bottom; an engine without kernel work on a core has no lane."""
    t, rows = timeline.instructions, analysis.kernel_rows(timeline)
    out = []
    for core in timeline.cores:
        mine = rows[t.core[rows] == core]
        out += [(name, core) for i, name in enumerate(ENGINES) if (t.engine[mine] == i).any()]
        if (timeline.dma.core[analysis.kernel_transfers(timeline)] == core).any():
            out.append(("DMA", core))
    return out


def _engine_lane(ax: Axes, timeline: Timeline, engine: str, core: int, y: int, span, theme) -> set[str]:
    """Bars by opcode, each opcode a shade and (where they overlap) a height; under them what the engine waited for."""
    t = timeline.instructions
    rows = analysis.kernel_rows(timeline)
    rows = rows[(t.engine[rows] == ENGINES.index(engine)) & (t.core[rows] == core)]
    times = np.bincount(t.opcode[rows], weights=analysis.occupied_ps(timeline)[rows], minlength=len(timeline.opcodes))
    rank = np.argsort(np.argsort(-times, kind="stable"), kind="stable")
    found = binning.bars(t.start_ps[rows], t.end_ps[rows], rank[t.opcode[rows]], span, row=rows)
    overlap = bool((t.start_ps[rows][1:] < t.end_ps[rows][:-1]).any()) and len(np.unique(t.opcode[rows])) > 1
    base, background = to_rgba(palette.engine(engine, theme)), to_rgba(palette.SURFACES[theme].background)
    shades = np.minimum(found.category, len(_SHADES) - 1)
    mix = np.asarray(_SHADES)[shades][:, None]
    colors = np.asarray(base)[None] * (1 - mix) + np.asarray(background)[None] * mix
    colors[:, 3] = 0.25 + 0.75 * found.share
    low = np.where(overlap & (found.category > 0), 0.24, 0.24 + (0.22 if overlap else 0.0))
    high = np.where(overlap & (found.category > 0), 0.46, 0.86)
    _rects(
        ax,
        found.start,
        found.end,
        y + low,
        y + high,
        colors,
        edge=(palette.SURFACES[theme].background, span, found.row),
    )
    opcodes = [timeline.opcodes[i] for i in np.argsort(-times, kind="stable") if times[i]]
    _labels(ax, found, opcodes, y, low, high, span, colors)
    for i, name in enumerate(opcodes[: len(_SHADES)]):
        shade = np.asarray(base) * (1 - _SHADES[i]) + np.asarray(background) * _SHADES[i]
        more = f" +{len(opcodes) - len(_SHADES)}" if i == len(_SHADES) - 1 and len(opcodes) > len(_SHADES) else ""
        at: dict[str, Any] = {
            "xycoords": ax.get_yaxis_transform(),
            "textcoords": "offset points",
            "va": "center",
            "annotation_clip": False,
        }
        ax.annotate("■", (1, y + 0.84 - 0.21 * i), xytext=(4, 0), fontsize=6.5, color=shade, **at)
        ax.annotate(
            name + more,
            (1, y + 0.84 - 0.21 * i),
            xytext=(12, 0),
            fontsize=6.5,
            color=palette.SURFACES[theme].muted,
            **at,
        )
    if engine == "Tensor":
        _clock(ax, timeline, core, y, span, theme)
    return _waits(ax, timeline, rows, y, span, theme)


def _clock(ax: Axes, timeline: Timeline, core: int, y: int, span, theme) -> None:
    """A thin line under the lane while the limiter holds the PE clock back."""
    c = timeline.clock
    limited = (c.core == core) & (c.k < c.n)
    found = binning.bars(c.start_ps[limited], c.end_ps[limited], np.zeros(int(limited.sum()), int), span)
    color = np.tile(to_rgba(palette.SURFACES[theme].muted), (len(found.start), 1))
    _rects(ax, found.start, found.end, y + 0.0, y + 0.045, color)


def _waits(ax: Axes, timeline: Timeline, rows: np.ndarray, y: int, span, theme) -> set[str]:
    t, stall = timeline.instructions, analysis.stall_ps(timeline)
    rows = rows[stall[rows] > 0]
    found = binning.bars(t.start_ps[rows] - stall[rows], t.start_ps[rows], t.wait_cause[rows], span)
    seen = set()
    for i in np.unique(found.category):
        ink, mine = palette.CAUSES[CAUSES[i]], found.category == i
        colors = np.tile(to_rgba(ink.on(theme)), (int(mine.sum()), 1))
        colors[:, 3] = 0.35 + 0.35 * found.share[mine]
        _rects(ax, found.start[mine], found.end[mine], y + 0.08, y + 0.19, colors, hatch=ink.hatch)
        seen.add(CAUSES[i])
    return seen


def _dma_lane(ax: Axes, timeline: Timeline, core: int, y: int, span, theme) -> None:
    """How many of the 16 DMA engines move bytes, as a filled graph over the lane's height."""
    d = timeline.dma.take(analysis.kernel_transfers(timeline))
    d = d.take(d.core == core)
    engines = max(16, len(np.unique(d.engine)))
    columns = 2000
    share = binning.shares_of(d.start_ps, d.end_ps, span, columns) / engines
    edges = np.linspace(span[0], span[1], columns + 1)
    color = palette.engine("DMA", theme)
    ax.fill_between(
        edges,
        y + 0.12,
        y + 0.12 + 0.74 * np.minimum(np.r_[share, share[-1]], 1),
        step="post",
        color=color,
        alpha=0.85,
        linewidth=0,
        zorder=2,
    )
    ax.plot(span, [y + 0.86] * 2, color=color, linewidth=0.6, linestyle=":", zorder=1)
    ax.annotate(
        f"all {engines}",
        (span[1], y + 0.86),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
        color=color,
        annotation_clip=False,
    )


def _critical(ax: Axes, timeline: Timeline, lanes: list[tuple[str, int]], span, theme) -> None:
    path = analysis.critical_path(timeline)
    t = timeline.instructions
    lane_of = {lane: len(lanes) - 1 - i for i, lane in enumerate(lanes)}
    engine, core = t.engine[path.row], t.core[path.row]
    shown = np.flatnonzero((path.kind < 2) & (path.end_ps > span[0]) & (path.start_ps < span[1]))
    y = np.array(
        [lane_of.get((ENGINES[engine[i]] if path.kind[i] == 0 else "DMA", int(core[i])), -1) for i in shown], int
    )
    for lane in np.unique(y[y >= 0]):
        mine = shown[y == lane]
        found = binning.bars(path.start_ps[mine], path.end_ps[mine], np.zeros(len(mine), int), span)
        color = np.tile(to_rgba(palette.CRITICAL.on(theme)), (len(found.start), 1))
        _rects(ax, found.start, found.end, lane + 0.89, lane + 0.95, color)


def _mark_line(ax: Axes, timeline: Timeline, lanes, line, theme) -> None:
    rows = windows.rows_of_line(timeline, line)
    t = timeline.instructions
    for i, (engine, core) in enumerate(lanes):
        if engine == "DMA":
            continue
        mine = rows[(t.engine[rows] == ENGINES.index(engine)) & (t.core[rows] == core)][:2000]
        y = len(lanes) - 1 - i
        ax.plot(
            (t.start_ps[mine] + t.end_ps[mine]) / 2,
            np.full(len(mine), y + 0.21),
            linestyle="none",
            marker="^",
            markersize=3.5,
            color=palette.SURFACES[theme].text,
            zorder=5,
        )


def _rects(ax: Axes, start, end, low, high, colors, *, edge=None, hatch: str = "") -> None:
    if not len(start):
        return
    low, high = np.broadcast_to(low, len(start)), np.broadcast_to(high, len(start))
    corners = np.stack(
        [np.stack([start, low], 1), np.stack([end, low], 1), np.stack([end, high], 1), np.stack([start, high], 1)], 1
    ).astype(float)
    linewidths = np.zeros(len(start))
    if edge is not None:  # a hairline between neighbours, where a bar is one instruction and wide enough to afford it
        linewidths = np.where(((end - start) > (edge[1][1] - edge[1][0]) / 400) & (edge[2] >= 0), 0.4, 0.0)
    ax.add_collection(
        PolyCollection(
            list(corners),
            facecolors=colors,
            edgecolors=edge[0] if edge else "none",
            linewidths=linewidths,
            zorder=3,
            hatch=hatch * 2 if hatch and len(start) < 400 else None,
        ),
        autolim=False,
    )


def _labels(ax: Axes, found: binning.Bars, opcodes: list[str], y, low, high, span, colors) -> None:
    """Opcode names inside the bars that are wide enough for them, at most a hundred per lane.

    A bar may be covered by the next of its opcode (a MATMUL lasts longer than its issue interval): what shows counts.
    """
    points = 9.6 * 72  # width of the axes, about, in points
    end = found.end.copy()
    for c in np.unique(found.category):
        mine = np.flatnonzero(found.category == c)
        end[mine[:-1]] = np.minimum(end[mine[:-1]], found.start[mine[1:]])
    width = (end - found.start) / (span[1] - span[0]) * points
    size = np.where(high - low > 0.3, 6.5, 5.0)
    names = [opcodes[c] if c < len(opcodes) else "" for c in found.category]
    fits = np.flatnonzero((found.row >= 0) & (width > np.array([len(n) for n in names] or [0]) * size * 0.66 + 2))
    for i in fits[np.argsort(-width[fits], kind="stable")][:100]:
        luminance = colors[i, :3] @ (0.299, 0.587, 0.114)
        ax.text(
            (found.start[i] + end[i]) / 2,
            y + (low[i] + high[i]) / 2,
            names[i],
            ha="center",
            va="center_baseline",
            fontsize=size[i],
            color="#ffffff" if luminance < 0.55 else "#111111",
            zorder=6,
            clip_on=True,
        )


def _legend(fig: Figure, causes: set[str], slow_clock: bool, line: str | int | None, theme) -> None:
    handles: list[Artist] = [Patch(facecolor=palette.CRITICAL.on(theme), label="critical path (over the bars)")]
    handles += [
        Patch(
            facecolor=palette.cause(c, theme),
            alpha=0.7,
            hatch=palette.CAUSES[c].hatch * 2 or None,
            edgecolor=palette.SURFACES[theme].background,
            linewidth=0,
            label=f"waits for {palette.CAUSES[c].meaning}"
            if c != "unknown"
            else "waits; the profile does not say for what",
        )
        for c in CAUSES
        if c in causes
    ]
    if slow_clock:
        handles.append(Patch(facecolor=palette.SURFACES[theme].muted, label="PE clock held back (under Tensor)"))
    if line is not None:
        color = palette.SURFACES[theme].text
        handles.append(Line2D([], [], linestyle="none", marker="^", markersize=4, color=color, label=f"line {line}"))
    fig.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7.5, frameon=False, handlelength=1.6)

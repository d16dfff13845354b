"""Occupancy and bandwidth over time: how full SBUF and PSUM are, and what HBM and the DMA engines carry."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from simcore import analysis
from simcore.errors import MachineError, UsageError
from simcore.roofline import machine_of
from simcore.timeline import Timeline
from simcore.viz import binning, format, palette, style
from simcore.viz import window as windows


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
    """Draw every counter of one timeline, each against what the machine offers."""
    timeline = windows.only(timeline)
    counters = recorded(timeline)
    if not counters:
        raise UsageError(f"{timeline.name} records no counters, so there is no occupancy to draw")
    span = windows.choose(timeline, window, line)
    with style.figure(width, 1.2 + 1.35 * len(counters), theme) as fig:
        axes = fig.subplots(len(counters), 1, sharex=True, squeeze=False)[:, 0]
        axes[0].set_title(title or f"{timeline.name} ({timeline.origin})")
        for ax, name in zip(axes, counters, strict=True):
            draw_counter(ax, timeline, name, span, theme)
        windows.time_axis(axes[-1], span)
        style.save(fig, output, theme)


def recorded(timeline: Timeline) -> list[str]:
    """Names of the counters that ever have a value (a profile made without DMA notifications records 0 for HBM)."""
    return sorted((name for name, counter in timeline.counters.items() if counter.value.any()), key=_order)


def _order(name: str) -> tuple[int, str]:
    wanted = ("SBUF bytes", "PSUM bytes", "HBM GB/s", "DMA GB/s", "pending DMAs")
    return (wanted.index(name) if name in wanted else len(wanted), name)


def draw_counter(ax: Axes, timeline: Timeline, name: str, span: tuple[int, int], theme: palette.Theme) -> None:
    """One counter as a filled step graph, with the machine's limit as a line where there is one."""
    counter, surface = timeline.counters[name], palette.SURFACES[theme]
    shown = binning.steps(counter.time_ps, counter.value, span)
    ink = palette.MEMORIES.get(name.split()[0]) or palette.ENGINES["DMA"]
    color = ink.on(theme)
    # where several steps share a column of pixels: the mean as a graph, lowest to highest as a band
    ax.fill_between(shown.time, shown.mean, step="post", color=color, alpha=0.5, linewidth=0)
    ax.fill_between(shown.time, shown.low, shown.high, step="post", color=color, alpha=0.22, linewidth=0)
    ax.plot(shown.time, shown.mean, drawstyle="steps-post", color=color, linewidth=0.8)
    limit = limit_of(timeline, name)
    peak = float(shown.high.max())
    top = max(peak * 1.15, 1e-9)
    # a limit far above what was used would flatten the graph: then only its value is printed
    if limit and limit <= 2.5 * peak:
        top = max(top, limit * 1.12)
        ax.axhline(limit, color=surface.text, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_ylim(0, top)
    used = f"peak {_value(name, peak)}" + (f" of {_value(name, limit)}" if limit else "")
    ax.set_ylabel(
        name.rsplit(" ", 1)[0] if name.endswith((" bytes", " GB/s")) else name, rotation=0, ha="right", va="center"
    )
    ax.text(
        0.995,
        0.96,
        used,
        transform=ax.transAxes,
        ha="right",
        va="top",
        fontsize=8,
        color=surface.muted,
        bbox={"facecolor": surface.background, "alpha": 0.95, "linewidth": 0, "pad": 1.5},
        zorder=5,
    )
    if not peak:
        ax.set(ylim=(0, 1), yticks=[0])
    elif name.endswith(" bytes"):
        step = 2 ** max(math.ceil(math.log2(top / 3)), 0)
        ax.set_yticks(np.arange(0, top, step))
    else:
        ax.yaxis.set_major_locator(MaxNLocator(3, integer=not name.endswith("/s")))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _value(name, v)))
    ax.tick_params(axis="y", labelsize=7.5)
    ax.grid(True, axis="y", linewidth=0.5)


def limit_of(timeline: Timeline, name: str) -> float | None:
    """What the machine offers at most, in the counter's unit; None where that is not known."""
    try:
        machine = machine_of(timeline)
        cores = max(len(np.unique(timeline.instructions.core[analysis.kernel_rows(timeline)])), 1)
        if name == "SBUF bytes":
            return cores * machine.core.partitions * machine.sbuf.bytes_per_partition
        if name == "PSUM bytes":
            return cores * machine.core.partitions * machine.psum.banks * machine.psum.bank_bytes_per_partition
        if name == "HBM GB/s":
            return machine.hbm.bytes_per_s / 1e9
        if name == "DMA GB/s":
            return cores * machine.dma.engines * machine.dma.engine_bytes_per_s / 1e9
    except MachineError:
        pass
    return None


def _value(name: str, value: float) -> str:
    if name.endswith(" bytes"):
        return format.size(value).replace(".00", "").replace(".0 ", " ")
    if name.endswith(" GB/s"):
        return format.rate(value * 1e9).replace(".00", "").replace(".0 ", " ")
    return format.number(value)

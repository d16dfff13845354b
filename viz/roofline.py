"""The roofline picture: ceilings, slopes, and each kernel on its way from algorithmic to achieved intensity."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from simcore.roofline import Point, Roofline, Slope, rooflines
from simcore.timeline import Timeline
from simcore.viz import format, palette, style

Corner = Literal["upper left", "lower right", "lower center"]

MOST_LEVELS = 4
"""Kernels on a picture that also shows them per byte of SBUF and PSUM; more would cover each other."""


def write(
    timelines: Timeline | Iterable[Timeline],
    output: str | Path,
    *,
    theme: palette.Theme = "light",
    title: str | None = None,
    width: float | None = None,
    height: float | None = None,
) -> None:
    """Draw the timelines' kernels under their machines' roofs; one panel per target.  Sizes are inches."""
    roofs = rooflines(_list(timelines))
    most = max(len(roof.points) for roof in roofs)
    with style.figure(width or 10.0 * len(roofs), height or 6.0 + 0.22 * most, theme) as fig:
        draw(fig, roofs, theme=theme, title=title)
        style.save(fig, output, theme)


def _list(timelines: Timeline | Iterable[Timeline]) -> list[Timeline]:
    return [timelines] if isinstance(timelines, Timeline) else list(timelines)


def draw(fig: Figure, roofs: list[Roofline], *, theme: palette.Theme = "light", title: str | None = None) -> None:
    axes = fig.subplots(1, len(roofs), squeeze=False)[0]
    first = 0
    for ax, roof in zip(axes, roofs, strict=True):
        _panel(ax, roof, theme, first, title or f"Roofline: {roof.target}")
        first += len(roof.points)


def _panel(ax: Axes, roof: Roofline, theme: palette.Theme, first: int, title: str) -> None:
    surface = palette.SURFACES[theme]
    low, high = _intensity_range(roof)
    top = max(c.flops_per_s for c in roof.ceilings)
    rates = [p.flops_per_s for p in roof.points if p.flops_per_s]
    bottom = min([*rates, min(c.flops_per_s for c in roof.ceilings)]) / 4
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, top * 3.2))
    ax.set_title(title)
    ax.set_xlabel("arithmetic intensity [FLOP per byte of HBM traffic]")
    ax.set_ylabel("rate")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: format.digits(v, 1) if v < 1 else format.number(v)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: format.flop_rate(v).replace(".00", "").replace(".0 ", " ")))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(True, which="major", linewidth=0.6)
    ax.tick_params(which="minor", length=2)
    _roof(ax, roof, theme, low, high, top)
    levels = len(roof.points) <= MOST_LEVELS
    handles = [
        _kernel(ax, p, levels, palette.series(first + i), palette.MARKERS[(first + i) % 8], theme)
        for i, p in enumerate(roof.points)
    ]
    bandwidths = ax.legend(
        handles=_slope_handles(roof, theme),
        loc=_free_corner(ax, roof),
        fontsize=8.5,
        frameon=True,
        framealpha=0.9,
        facecolor=surface.background,
        edgecolor=surface.grid,
        title="bandwidth",
        title_fontsize=8.5,
        alignment="left",
    )
    bandwidths.set_zorder(3.5)
    ax.add_artist(bandwidths)
    kernels = ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, -0.12),
        fontsize=8.5,
        frameon=False,
        borderpad=0,
        labelspacing=0.55,
        handletextpad=0.6,
        title="bar: algorithmic intensity (inputs and outputs once), arrow to the achieved one; hollow marks: measured"
        + "\nS, P: the same per byte that the Tensor engine reads from SBUF and writes to PSUM" * levels,
        title_fontsize=7.5,
        alignment="left",
    )
    kernels.get_title().set_color(surface.muted)


def _free_corner(ax: Axes, roof: Roofline) -> Corner:
    """Where the list of bandwidths hides least: above the slopes, else below them, right or left."""
    wide, tall = 0.36, 0.27  # of the axes, about
    (x0, x1), (y0, y1) = ((math.log10(v) for v in limits) for limits in (ax.get_xlim(), ax.get_ylim()))

    def place(intensity: float, rate: float) -> tuple[float, float]:
        return (math.log10(intensity) - x0) / (x1 - x0), (math.log10(rate) - y0) / (y1 - y0)

    marks = [
        place(i, p.flops_per_s)
        for p in roof.points
        if p.flops_per_s
        for i in (p.achieved, p.algorithmic, *p.levels.values())
        if i
    ]
    steepest = max(s.bytes_per_s for s in roof.slopes)
    corners: tuple[tuple[Corner, float, float], ...] = (
        ("upper left", 0.0, 1 - tall),
        ("lower right", 1 - wide, 0.0),
        ("lower center", 0.35, 0.0),
    )
    for corner, left, low in corners:
        hidden = sum(left <= x <= left + wide and low <= y <= low + tall for x, y in marks)
        if corner == "upper left":
            across = place(1, steepest * 10 ** (x0 + wide * (x1 - x0)))[1] > low + 0.04
        else:
            across = any(low <= place(1, c.flops_per_s)[1] <= low + tall for c in roof.ceilings)
        if not hidden and not across:
            return corner
    return "upper left"


def _intensity_range(roof: Roofline) -> tuple[float, float]:
    values = [v for p in roof.points for v in (p.achieved, p.algorithmic, *p.levels.values()) if v]
    values += [ridge for _, ridge in roof.ridges]
    return 10 ** math.floor(math.log10(min(values) / 2)), 10 ** math.ceil(math.log10(max(values) * 3))


def _roof(ax: Axes, roof: Roofline, theme: palette.Theme, low: float, high: float, top: float) -> None:
    surface = palette.SURFACES[theme]
    under = None
    for c, ridge in roof.ridges:
        color = palette.engine(c.engine, theme)
        ax.plot([ridge, high], [c.flops_per_s] * 2, color=color, linewidth=2, solid_capstyle="butt")
        ax.plot([low, ridge], [c.flops_per_s] * 2, color=color, linewidth=0.8, linestyle=":", alpha=0.6)
        below = under is not None and under / c.flops_per_s < 1.6  # close to the ceiling above: label under the line
        ax.annotate(
            f"{c.name}  {format.flop_rate(c.flops_per_s)}",
            (high, c.flops_per_s),
            xytext=(-4, -3 if below else 3),
            textcoords="offset points",
            ha="right",
            va="top" if below else "bottom",
            fontsize=8.5,
            color=color,
        )
        under = c.flops_per_s
    for s in roof.slopes:
        end = min(top / s.bytes_per_s, high)
        ax.plot([low, end], [low * s.bytes_per_s, end * s.bytes_per_s], **_slope_style(s, roof, theme))
    for i, (c, ridge) in enumerate(roof.ridges):
        if c.engine == "Tensor":
            ax.plot(
                [ridge, ridge],
                [ax.get_ylim()[0], c.flops_per_s],
                color=surface.line,
                linewidth=0.8,
                linestyle=(0, (2, 3)),
            )
            ax.plot([ridge], [c.flops_per_s], marker="o", markersize=4, color=surface.text, zorder=4)
            ax.annotate(
                f"ridge {format.digits(ridge)}",
                (ridge, ax.get_ylim()[0]),
                xytext=(3, 4 + 11 * i),
                textcoords="offset points",
                ha="left",
                va="bottom",
                fontsize=8,
                color=surface.muted,
            )


def _slope_style(s: Slope, roof: Roofline, theme: palette.Theme) -> dict:
    color = palette.engine("DMA", theme) if s.memory == "DMA" else palette.MEMORIES[s.memory].on(theme)
    dashes = {"HBM": (0, (7, 2)), "SBUF": (0, (1, 1.5)), "PSUM": (1, (1, 3))}.get(s.memory, (0, (3, 2)))
    if s == roof.memory:
        return {"color": color, "linewidth": 2.2, "linestyle": "-"}
    return {"color": color, "linewidth": 1.1, "linestyle": dashes}


def _slope_handles(roof: Roofline, theme: palette.Theme) -> list[Line2D]:
    return [
        Line2D([], [], label=f"{s.name}: {format.rate(s.bytes_per_s)}", **_slope_style(s, roof, theme))
        for s in roof.slopes
    ]


def _kernel(ax: Axes, p: Point, levels: bool, ink: palette.Ink, marker: str, theme: palette.Theme) -> Line2D:
    color, surface = ink.on(theme), palette.SURFACES[theme]
    measured = p.kind == "measured"
    face = surface.background if measured else color
    if p.achieved and p.flops_per_s:
        if p.algorithmic:
            ax.plot(
                [p.algorithmic], [p.flops_per_s], marker="|", markersize=15, markeredgewidth=2, color=color, zorder=5
            )
            if abs(math.log10(p.algorithmic / p.achieved)) > 0.03:
                ax.annotate(
                    "",
                    (p.achieved, p.flops_per_s),
                    (p.algorithmic, p.flops_per_s),
                    zorder=5,
                    arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 6},
                )
        for level, intensity in p.levels.items() if levels else ():
            ax.plot(
                [intensity],
                [p.flops_per_s],
                marker=f"${level[0]}$",
                markersize=6,
                markeredgewidth=0.5,
                color=color,
                zorder=5,
            )
        if p.roof_flops_per_s:
            ax.plot(
                [p.achieved] * 2,
                [p.flops_per_s, p.roof_flops_per_s],
                color=color,
                linewidth=0.9,
                linestyle=(0, (1, 2)),
                zorder=4,
            )
        ax.plot(
            [p.achieved],
            [p.flops_per_s],
            marker=marker,
            markersize=10,
            color=color,
            markerfacecolor=face,
            markeredgecolor=color,
            markeredgewidth=2,
            zorder=6,
        )
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=8,
        color=color,
        markerfacecolor=face,
        markeredgecolor=color,
        markeredgewidth=1.8,
        label=_label(p),
    )


def _label(p: Point) -> str:
    words = [f"{p.name}, {p.origin}: {format.time(p.span_ps)}"]
    if p.of_roof is not None:
        words.append(f"{format.percent(p.of_roof)} of its roof")
    if p.algorithmic_bytes and p.hbm_bytes:
        words.append(f"moves {format.ratio(p.hbm_bytes / p.algorithmic_bytes)} the bytes it needs")
    words.append(f"mostly {p.work}" if p.work else "no arithmetic")
    return ", ".join(words)

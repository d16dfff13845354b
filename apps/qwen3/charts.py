"""Pictures of predictions: where the time goes before and after, operators under the roof, growth with length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from simcore.apps.qwen3.predict import Prediction
from simcore.apps.qwen3.report import measured_of
from simcore.machine import load_machine
from simcore.viz import format, palette, style

COLOURS = {
    "attention": "#b02a2a",
    "attention layout": "#d98a6a",
    "MLP": "#0068a8",
    "projections": "#4aa8e8",
    "norms": "#00805c",
    "rotary": "#8a7300",
    "residual": "#a8407c",
    "mask and inputs": "#5e5e5e",
    "embedding": "#3d6b1f",
    "cache": "#7a5c99",
}
HATCHES = {
    "attention": "",
    "attention layout": "//",
    "MLP": "\\\\",
    "projections": "xx",
    "norms": "..",
    "rotary": "--",
    "residual": "++",
    "mask and inputs": "oo",
    "embedding": "||",
    "cache": "oo",
}


def time_by_part(predictions: Sequence[Prediction], output: str | Path, theme: palette.Theme = "light") -> None:
    """One bar per prediction, cut into the parts of the model: above in time, the measured one beside it, below in
    shares.
    """
    surface = palette.SURFACES[theme]
    names = sorted(
        dict.fromkeys(part for p in predictions for part in p.by_part()),
        key=lambda name: -max(p.by_part().get(name, 0) / p.device_ps for p in predictions),
    )
    longest = max(max(p.device_ps, m.device_ps if (m := measured_of(p)) else 0) for p in predictions)
    factor, unit = format.time_unit(longest)
    with style.figure(11, 2.6 + 1.7 * len(predictions), theme) as fig:
        times, shares = fig.subplots(2, 1)
        for row, p in enumerate(predictions):
            left = 0.0
            for name in names:
                ps = p.by_part().get(name, 0)
                for ax, start, width in (
                    (times, left / factor, ps / factor),
                    (shares, 100 * left / p.device_ps, 100 * ps / p.device_ps),
                ):
                    ax.barh(
                        row,
                        width,
                        left=start,
                        height=0.55,
                        color=COLOURS.get(name, "#888888"),
                        hatch=HATCHES.get(name, ""),
                        edgecolor=surface.background,
                        linewidth=0.5,
                        label=name if row == 0 and ax is shares else None,
                    )
                if ps > 0.04 * p.device_ps:
                    text = (
                        f"{name} {format.percent(ps / p.device_ps)}"
                        if ps > 0.13 * p.device_ps
                        else format.percent(ps / p.device_ps)
                    )
                    shares.text(
                        100 * (left + ps / 2) / p.device_ps,
                        row,
                        text,
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white",
                        bbox={"facecolor": COLOURS.get(name, "#888888"), "edgecolor": "none", "pad": 1.5},
                    )
                left += ps
            text = f"  {format.time(p.device_ps)}"
            m = measured_of(p)
            if m is not None:
                x = m.device_ps / factor
                times.plot([x, x], [row - 0.36, row + 0.36], color=surface.text, linewidth=2)
                text += f"; measured {'about ' if m.about else ''}{format.time(m.device_ps)} (the line)"
            times.text(max(left, m.device_ps if m else 0) / factor, row, text, va="center", color=surface.text)
        for ax in (times, shares):
            ax.set_yticks(range(len(predictions)), [f"{p.attention}\nattention" for p in predictions])
            ax.set_ylim(len(predictions) - 0.5, -0.5)
        times.set_xlim(0, longest / factor * 1.4)
        times.set_xlabel(f"time on the device [{unit}]")
        shares.set_xlim(0, 100)
        shares.set_xlabel("share of the time [%]")
        p = predictions[0]
        times.set_title(f"Where the time goes: Qwen3-{p.size}, {p.layers} layers, {p.length:,} tokens on {p.target}")
        handles, labels = shares.get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8.5, frameon=False)
        style.save(fig, output, theme)


def operators_under_the_roof(
    predictions: Sequence[Prediction], output: str | Path, theme: palette.Theme = "light"
) -> None:
    """Every operator as a point, as large as its time: intensity (FLOP per HBM byte) against rate, under the chip's
    roof.
    """
    surface = palette.SURFACES[theme]
    machine = load_machine(predictions[0].target)
    peaks = machine.tensor.peak_flops_per_s
    key = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}[predictions[0].dtype]
    rate = min(machine.dma.engines * machine.dma.engine_bytes_per_s, machine.hbm.bytes_per_s)
    low, high = 0.002, 8000.0
    with style.figure(6.2 * len(predictions), 6, theme) as fig:
        axes = fig.subplots(1, len(predictions), squeeze=False, sharey=True)[0]
        for ax, p in zip(axes, predictions):
            ridge = peaks[key] / rate
            ax.plot([low, ridge, high], [low * rate, peaks[key], peaks[key]], color=surface.text, linewidth=1.5)
            labels: dict[tuple[int, int], list] = {}
            for r in sorted(p.rows, key=lambda r: -r.total_ps):
                t = r.timed
                if not t.intensity or not t.flops:
                    continue
                share = r.total_ps / p.device_ps
                ax.scatter(
                    t.intensity,
                    t.flops / t.time_ps * 1e12,
                    s=18 + 2600 * share,
                    color=COLOURS.get(r.part, "#888888"),
                    alpha=0.55,
                    edgecolor=surface.text,
                    linewidth=0.6,
                )
                if share > 0.04:
                    spot = (round(math.log10(t.intensity)), round(math.log10(t.flops / t.time_ps)))
                    labels.setdefault(spot, []).append(r)
            for rows in labels.values():
                t = rows[0].timed
                names = list(dict.fromkeys(r.label if len(r.label) < 24 else r.label[:22] + " …" for r in rows))
                ax.annotate(
                    "\n".join(names),
                    (t.intensity, t.flops / t.time_ps * 1e12),
                    textcoords="offset points",
                    xytext=(-26, 20) if t.intensity < 100 else (0, -34),
                    ha="right" if t.intensity < 100 else "center",
                    va="bottom" if t.intensity < 100 else "top",
                    fontsize=8,
                )
            ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(1e9, peaks[key] * 2.5))
            ax.set_title(f"{p.attention} attention: {format.time(p.device_ps)}")
            ax.set_xlabel("FLOP per byte of HBM traffic")
            ax.grid(True, which="major", linewidth=0.6, color=surface.grid)
        axes[0].set_ylabel("FLOP/s")
        from matplotlib.lines import Line2D

        names = list(dict.fromkeys(r.part for p in predictions for r in p.rows if r.timed.flops))
        handles = [Line2D([], [], marker="o", linestyle="", color=COLOURS.get(n, "#888888"), label=n) for n in names]
        axes[-1].legend(handles=handles, fontsize=8.5, frameon=False, loc="lower right")
        style.save(fig, output, theme)


def growth(predictions: Sequence[Prediction], output: str | Path, theme: palette.Theme = "light") -> None:
    """Time against length, both axes logarithmic, one line per attention and number of layers; measured points as
    crosses.
    """
    surface = palette.SURFACES[theme]
    with style.figure(9, 6, theme) as fig:
        ax = fig.subplots()
        ink = {"eager": ("#b02a2a", "o"), "flash": ("#0068a8", "s")}
        dashes = ["-", "--", ":", "-."]
        layers = sorted({p.layers for p in predictions})
        for attention in dict.fromkeys(p.attention for p in predictions):
            for i, n in enumerate(layers):
                mine = sorted(
                    (p for p in predictions if p.attention == attention and p.layers == n), key=lambda p: p.length
                )
                if not mine:
                    continue
                colour, marker = ink.get(attention, ("#888888", "^"))
                ax.plot(
                    [p.length for p in mine],
                    [p.device_ps / 1e9 for p in mine],
                    dashes[i % 4],
                    color=colour,
                    marker=marker,
                    label=f"{attention}, {n} layer{'s' if n > 1 else ''}",
                )
        shown = False
        for p in predictions:
            m = measured_of(p)
            if m is not None:
                ax.plot(
                    p.length,
                    m.device_ps / 1e9,
                    "x",
                    color=surface.text,
                    markersize=11,
                    markeredgewidth=2,
                    label=None if shown else "measured",
                )
                shown = True
        ax.set(xscale="log", yscale="log", xlabel="tokens", ylabel="time on the device [ms]")
        lengths = sorted({p.length for p in predictions})
        ax.set_xticks(lengths, [f"{n // 1024}k" if n % 1024 == 0 else str(n) for n in lengths])
        ax.minorticks_off()
        ax.grid(True, which="major", linewidth=0.6, color=surface.grid)
        p = predictions[0]
        ax.set_title(f"Growth with the sequence: Qwen3-{p.size} on {p.target}")
        ax.legend(frameon=False, fontsize=9)
        style.save(fig, output, theme)

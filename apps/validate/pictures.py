"""Pictures of a validation: predicted against measured, and a profile above its simulation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import FuncFormatter

from simcore.apps.validate.predict import Result
from simcore.apps.validate.profiles import ENGINES_COMPARED, ProfileResult, kernel_rows
from simcore.viz import palette, style

_MARKS = "osD^vP*Xh<>"


def scatter(results: Sequence[Result], path: Path) -> None:
    """Predicted over measured, both logarithmic, one mark per family; the band is 10 % to either side."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for r in results:
        if r.predicted_us is not None and r.case.use == "absolute":
            groups[f"{r.case.family}, {r.case.hardware}"].append(r)
    with style.figure(8, 6.5) as figure:
        axes = figure.add_subplot()
        values = [x for g in groups.values() for r in g for x in (r.case.measured_us, r.predicted_us or 0)]
        span = np.array([min(values) / 1.5, max(values) * 1.5])
        axes.fill_between(span, span * 0.9, span * 1.1, color="0.9", lw=0, zorder=0)
        axes.plot(span, span, color="0.6", lw=1, zorder=1)
        for k, (name, group) in enumerate(sorted(groups.items())):
            axes.scatter([r.case.measured_us for r in group], [r.predicted_us for r in group], s=22,
                         marker=_MARKS[k % len(_MARKS)], alpha=0.75, label=name, linewidths=0)
        axes.set(xscale="log", yscale="log", xlim=span, ylim=span, xlabel="measured", ylabel="predicted",
                 title="Predicted against measured")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(_time))
        axes.legend(fontsize=8, frameon=False, loc="upper left")
        style.save(figure, path)


def lanes(result: ProfileResult, path: Path) -> None:
    """The engines of a profile and of its simulation, one above the other on one time axis."""
    with style.figure(11, 4.2) as figure:
        axes = figure.add_subplot()
        labels = []
        for k, engine in enumerate(ENGINES_COMPARED):
            for j, (t, name) in enumerate(((result.measured, "measured"), (result.predicted, "simulated"))):
                rows = kernel_rows(t, engine)
                shift = t.totals.get("kernel_start_ps", 0)
                start = (t.instructions.start_ps[rows] - shift) / 1e6
                width = (t.instructions.end_ps[rows] - t.instructions.start_ps[rows]) / 1e6
                y = -(k * 2.6 + j)
                axes.broken_barh(list(zip(start, width, strict=True)), (y - 0.4, 0.8), alpha=0.8, lw=0,
                                 color=palette.engine(engine))
                labels.append((y, f"{engine} {name}"))
        axes.set_yticks([y for y, _ in labels], [text for _, text in labels])
        axes.set(xlabel="µs from the first kernel instruction",
                 title=f"{result.name}: measured {result.measured_us:.1f} µs, "
                 f"simulated {result.predicted_us:.1f} µs")
        style.save(figure, path)


def _time(us: float, _=None) -> str:
    return f"{us / 1000:g} ms" if us >= 1000 else f"{us:g} µs"

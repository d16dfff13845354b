"""Predictions as text."""

from __future__ import annotations

from collections.abc import Sequence

from simcore import format
from simcore.apps.qwen3.predict import Prediction
from simcore.apps.qwen3.published import SOURCE, Published, find
from simcore.tables import Table


def title(p: Prediction) -> str:
    what = f"one token after {p.length - 1:,}" if p.decode else f"{p.length:,} tokens"
    batch = f", batch {p.batch}" if p.batch > 1 else ""
    layers = "layer" if p.layers == 1 else "layers"
    return (
        f"Qwen3-{p.size}, {p.layers} {layers}, {what}{batch}, {p.dtype}, "
        f"{p.attention} attention on {p.target} (fusion: {p.rule})"
    )


def operators(p: Prediction, most: int | None = None) -> Table:
    """One line per operator, the most expensive first; what is left out is one line."""
    rows = sorted(p.rows, key=lambda r: -r.total_ps)
    shown = rows[:most] if most else rows
    lines = []
    for r in shown:
        t = r.timed
        lines.append(
            (
                r.part,
                _short(r.label),
                r.kernel,
                str(r.count),
                format.time(t.time_ps),
                format.time(r.total_ps),
                format.percent(r.total_ps / p.device_ps),
                f"{t.bound} {format.time(t.bound_ps)}",
                format.size(t.hbm_bytes),
                format.digits(t.intensity) if t.intensity else format.MISSING,
            )
        )
    if len(rows) > len(shown):
        rest = sum(r.total_ps for r in rows[len(shown) :])
        count = sum(r.count for r in rows[len(shown) :])
        lines.append(
            (
                "",
                f"{len(rows) - len(shown)} more",
                "",
                str(count),
                "",
                format.time(rest),
                format.percent(rest / p.device_ps),
                "",
                "",
                "",
            )
        )
    return Table(
        title(p),
        ("part", "operator", "kernel", "runs", "each", "total", "share", "bound, each", "HBM", "FLOP/B"),
        tuple(lines),
        (3, 4, 5, 6, 8, 9),
    )


def _short(label: str, width: int = 44) -> str:
    return label if len(label) <= width else f"{label[: width - 2]} …"


def parts(predictions: Sequence[Prediction]) -> Table:
    """Where the time goes, part by part of the model, predictions side by side."""
    names = list(dict.fromkeys(part for p in predictions for part in p.by_part()))
    lines = []
    for name in names:
        line = [name]
        for p in predictions:
            ps = p.by_part().get(name, 0)
            line += [
                format.time(ps) if ps else format.MISSING,
                format.percent(ps / p.device_ps) if ps else format.MISSING,
            ]
        lines.append(tuple(line))
    start = [x for p in predictions for x in (format.time(p.start_ps), format.percent(p.start_ps / p.device_ps))]
    lines.append(("start of the program", *start))
    lines.append(("on the device", *(x for p in predictions for x in (format.time(p.device_ps), "100 %"))))
    header = ("part", *(x for p in predictions for x in (f"{p.attention}, {p.rule}", "share")))
    return Table("Where the time goes", header, tuple(lines), tuple(range(1, len(header))))


def error(predicted: float, measured: float) -> str:
    return f"{(predicted / measured - 1) * 100:+.1f} %"


def verdict(predictions: Sequence[Prediction]) -> list[str]:
    """Sentences: the totals, beside what was measured where something was, and what the prediction leaves out."""
    lines = []
    for p in predictions:
        line = (
            f"{p.attention}: {format.time(p.device_ps)} on the device, "
            f"{format.digits(p.prompts_per_second)} {'tokens' if p.decode else 'prompts'}/s"
        )
        m = measured_of(p)
        if m is None:
            lines.append(f"{line}; nothing was measured for this configuration")
            continue
        about = "about " if m.about else ""
        lines.append(
            f"{line}; measured {about}{format.time(m.device_ps)} ({error(p.device_ps, m.device_ps)}); "
            f"end to end {format.time(m.end_to_end_ps)} ({m.prompts_per_second} prompts/s), of which "
            f"{format.time(m.host_ps)} is not on the device and not predicted"
        )
    lines += speed_up(predictions)
    if any(measured_of(p) for p in predictions):
        lines.append(f"measured: {SOURCE}")
    return lines


def speed_up(predictions: Sequence[Prediction]) -> list[str]:
    by = {p.attention: p for p in predictions}
    if set(by) != {"eager", "flash"}:
        return []
    eager, flash = by["eager"], by["flash"]
    text = f"speed-up on the device {eager.device_ps / flash.device_ps:.1f}x"
    a, b = measured_of(eager), measured_of(flash)
    if a is not None and b is not None:
        host = f"{(eager.device_ps + a.host_ps) / (flash.device_ps + b.host_ps):.1f}x"
        text += (
            f"; measured {a.device_ps / b.device_ps:.1f}x on the device, "
            f"{b.prompts_per_second / a.prompts_per_second:.1f}x end to end "
            f"(with the measured time outside the device the prediction gives {host})"
        )
    return [text]


def measured_of(p: Prediction) -> Published | None:
    return find(
        size=p.size,
        layers=p.layers,
        length=p.length,
        batch=p.batch,
        target=p.target,
        attention=p.attention,
        decode=p.decode,
    )


def onion(p: Prediction) -> Table:
    """The largest part, then the next: what the whole would take if each were as good as its work allows."""
    lines = []
    left = p.device_ps
    ideal = p.ideal_ps
    for name, ps in sorted(p.by_part().items(), key=lambda x: -x[1]):
        best = min(ps, ideal.get(name, ps))
        left -= ps - best
        lines.append(
            (
                name,
                format.time(ps),
                format.time(best),
                format.time(p.device_ps - ps + best),
                f"{p.device_ps / (p.device_ps - ps + best):.2f}x",
                format.time(left),
                f"{p.device_ps / left:.2f}x",
            )
        )
    header = ("part", "now", "perfect", "total if it were", "", "and all above", "")
    return Table(f"Peeling the onion: {p.attention} attention", header, tuple(lines), tuple(range(1, 7)))


def scaling(predictions: Sequence[Prediction]) -> Table:
    """Time against length and layers."""
    lines = []
    for p in predictions:
        attention = p.by_part().get("attention", 0)
        lines.append(
            (
                p.attention,
                str(p.layers),
                f"{p.length:,}",
                format.time(p.device_ps),
                format.percent(attention / p.device_ps),
                format.digits(p.prompts_per_second),
                format.digits(p.length * p.prompts_per_second),
            )
        )
    return Table(
        "Growth",
        ("attention", "layers", "tokens", "on the device", "attention", "prompts/s", "tokens/s"),
        tuple(lines),
        (1, 2, 3, 4, 5, 6),
    )

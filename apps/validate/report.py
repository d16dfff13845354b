"""The report of a validation, as Markdown and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simcore.apps.validate.cases import CLEAN
from simcore.apps.validate.predict import Result
from simcore.apps.validate.profiles import ProfileResult, wape
from simcore.apps.validate.statistics import absolute, effects, families, mape, median, signs
from simcore.machine.mechanisms import MECHANISMS

TARGETS = {"Tensor": 2, "Vector": 6, "Scalar": 8, "DMA": 10}


def markdown(results: Sequence[Result], profiles: Sequence[ProfileResult], pictures: dict[str, str],
             command: str, others: Mapping[str, Sequence[Result]] | None = None) -> str:
    """docs/accuracy.md: the tables, the worst cases, the failures, and how to make it again."""
    lines = ["# How accurate simcore is", "",
             "Predicted beside measured for every kernel of the validation set that runs, and for real profiles "
             "instruction by instruction.",
             f"Made by `{command}`; anyone with the public checkouts gets the same tables.", ""]
    lines += _totals(results)
    if "scatter" in pictures:
        lines += [f"![Predicted against measured]({pictures['scatter']})", ""]
    lines += _families(results) + _profiles(profiles, pictures) + _effects(results, others or {})
    lines += _worst(results) + _failures(results) + _cases(results)
    return "\n".join(lines) + "\n"


def _number(x: float | None, digits: int = 1, unit: str = "") -> str:
    return "–" if x is None else f"{x:.{digits}f}{unit}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    align = ["---"] + ["---:"] * (len(head) - 1)
    return ["| " + " | ".join(r) + " |" for r in (head, align, *rows)] + [""]


def _totals(results: Sequence[Result]) -> list[str]:
    rows = []
    for chip in sorted({r.case.hardware for r in results}):
        mine = [r for r in results if r.case.hardware == chip]
        clean = [r for r in mine if r.case.quality in CLEAN]
        inside = [r for r in mine if not r.outside]
        good, pairs = signs(mine)
        rows.append([chip, f"{sum(r.error is not None for r in mine)} of {len(mine)}", _number(mape(mine), 1, " %"),
                     _number(median(mine), 1, " %"), _number(mape(clean), 1, " %"),
                     f"{_number(mape(inside), 1, ' %')} ({len(absolute(inside))})",
                     f"{100 * good / pairs:.1f} % of {pairs}" if pairs else "–"])
    return ["## In short", "",
            "MAPE is the mean absolute error relative to the measurement. *Clean* leaves out reference figures that "
            "are copies of one another, were edited by hand, or are contradicted by their own source (m03715: 117 µs "
            "in its log, 227 µs where its authors ran all versions again); signs leave them out too. *Inside* counts "
            "only cases that use nothing outside what was calibrated. Sign agreement asks, for variants of a problem, "
            "whether the prediction says which is faster.", "",
            *_table(["chip", "cases", "MAPE", "median", "MAPE, clean", "MAPE, inside", "sign agreement"], rows)]


def _families(results: Sequence[Result]) -> list[str]:
    rows = [[f.name, f.hardware, f"{f.run} of {f.cases}", _number(f.mape, 1, " %"), _number(f.median, 1, " %"),
             _number(f.ratio, 2),
             f"{100 * f.agree / f.pairs:.0f} % of {f.pairs}" if f.pairs else "–", _number(f.tau, 2)]
            for f in families(results)]
    return ["## By family", "", "The ratio is the geometric mean of predicted over measured; tau is "
                                "Kendall's rank correlation.", "",
            *_table(["family", "chip", "cases", "MAPE", "median", "ratio", "sign agreement", "tau"], rows)]


def _profiles(profiles: Sequence[ProfileResult], pictures: dict[str, str]) -> list[str]:
    if not profiles:
        return []
    rows = [[p.name, f"{p.measured_us:.1f}", f"{p.predicted_us:.1f}",
             f"{100 * (p.predicted_us / p.measured_us - 1):+.1f} %",
             *(f"{m:.1f} / {q:.1f}" for m, q in (p.busy_us[e] for e in TARGETS))] for p in profiles]
    lines = ["## Real profiles", "", "Totals in microseconds; engines: busy time measured / predicted (union of the "
                                     "intervals of the kernel's instructions).", "",
             *_table(["profile", "measured", "predicted", "error", *TARGETS], rows),
             "Weighted error of the busy times: " + ", ".join(f"{e} {wape(list(profiles), e):.1f} % (target {t} %)"
                                                              for e, t in TARGETS.items()) + ".", ""]
    for p in profiles:
        if p.name in pictures:
            lines += [f"![{p.name}]({pictures[p.name]})", ""]
    merged: dict[tuple[str, str], list] = {}
    for p in profiles:
        for o in p.opcodes:
            merged.setdefault((o.engine, o.opcode), []).append(o)
    rows = []
    for (engine, opcode), mine in sorted(merged.items()):
        both = [o for o in mine if o.predicted]
        error = sorted(abs(o.error) * 100 for o in both)
        starts = [o.start_error_ns for o in both if o.start_error_ns is not None]
        rows.append([f"{engine} {opcode}", str(sum(o.measured for o in mine)), str(sum(o.predicted for o in mine)),
                     _number(error[len(error) // 2], 1, " %") if error else "–",
                     f"{sorted(starts)[len(starts) // 2] / 1000:.2f} µs" if starts else "–"])
    return [*lines, "Instructions by opcode over the profiles: counts, error of the median duration, and how far apart "
                    "the starts of the k-th "
            "instruction are (median, where the counts agree).", "",
            *_table(["opcode", "measured", "predicted", "duration", "start"], rows)]


def _effects(results: Sequence[Result], others: Mapping[str, Sequence[Result]]) -> list[str]:
    if not others:
        return []
    chips = sorted({r.case.hardware for r in results})
    found = {(name, chip): rest for name, chip, *rest in effects(results, others)}
    rows = [["complete model" if name == "–" else f"{name}: {MECHANISMS[name].what}",
             *(cell for chip in chips for cell in found[name, chip])] for name in ("–", *others)]
    return ["## What each mechanism is worth", "",
            "The same cases predicted with one mechanism switched off (`simcore/machine/mechanisms.py`): error, sign "
            "agreement, and how many predictions change by more than 1 %. A mechanism whose absence lowers the error "
            "is bent by another one that is missing; it is in the model for its source, not for this table.", "",
            *_table(["without", *(f"{chip}: {x}" for chip in chips for x in ("MAPE", "signs", "changed"))], rows)]


def _worst(results: Sequence[Result]) -> list[str]:
    worst = sorted(absolute(results), key=lambda r: -abs(r.error or 0))[:12]
    rows = [[f"{r.case.kernel} {r.case.variant}", r.case.hardware, f"{r.case.measured_us:.1f}", f"{r.predicted_us:.1f}",
             f"{100 * (r.error or 0):+.0f} %", r.case.quality, "; ".join(r.outside[:2]) or "–"] for r in worst]
    return ["## Worst cases", "",
            *_table(["kernel", "chip", "measured µs", "predicted µs", "error", "figure", "outside calibration"], rows)]


def _failures(results: Sequence[Result]) -> list[str]:
    failed = [r for r in results if r.failure]
    if not failed:
        return []
    return ["## Not run", "", *(f"- {r.case.id} {r.case.kernel} {r.case.variant}: {r.failure[:200]}" for r in failed),
            ""]


def _cases(results: Sequence[Result]) -> list[str]:
    rows = [[r.case.id, r.case.family, r.case.hardware, str(r.case.cores), r.case.kind, f"{r.case.measured_us:.1f}",
             _number(r.predicted_us), f"{100 * r.error:+.1f} %" if r.error is not None else "–", r.case.quality,
             "outside" if r.outside else ""] for r in results]
    return ["## All cases", "", "Times in microseconds; the kinds of measurement are told apart in docs/mechanisms.md. "
                                "*outside*: some instruction of the case "
            "has a cost that was never measured on the chip.", "",
            *_table(["case", "family", "chip", "cores", "kind", "measured", "predicted", "error", "figure", ""], rows)]

"""Figures of a validation: errors per family, rank and sign agreement."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simcore.apps.validate.cases import CLEAN
from simcore.apps.validate.predict import Result

TIE = 0.02      # two measurements closer than this are no pair with a sign


@dataclass(frozen=True)
class Family:
    """Errors of the cases of one family on one chip, in percent; `ratio`: geometric mean of predicted/measured."""

    name: str
    hardware: str
    run: int
    cases: int
    mape: float | None
    median: float | None
    ratio: float | None
    agree: float
    pairs: int
    tau: float | None


def absolute(results: Sequence[Result]) -> list[Result]:
    return [r for r in results if r.error is not None and r.case.use == "absolute"]


def mape(results: Sequence[Result]) -> float | None:
    """Mean absolute percentage error of the cases whose absolute time is trusted."""
    errors = [abs(r.error or 0.0) * 100 for r in absolute(results)]
    return statistics.fmean(errors) if errors else None


def median(results: Sequence[Result]) -> float | None:
    errors = [abs(r.error or 0.0) * 100 for r in absolute(results)]
    return statistics.median(errors) if errors else None


def ratio(results: Sequence[Result]) -> float | None:
    logs = [math.log(1 + r.error) for r in absolute(results) if r.error is not None]
    return math.exp(statistics.fmean(logs)) if logs else None


def signs(results: Sequence[Result]) -> tuple[float, int]:
    """(pairs whose order the prediction has right, pairs): variants of one problem, measured alike."""
    groups: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for r in results:
        if r.error is not None and r.case.quality in CLEAN:
            groups[r.case.family, r.case.hardware, r.case.pair].append(r)
    good, pairs = 0.0, 0
    for group in groups.values():
        for i, a in enumerate(group):
            for b in group[i + 1:]:
                x, y = a.case.measured_us, b.case.measured_us
                if abs(x - y) < TIE * min(x, y):
                    continue
                pairs += 1
                d = (a.predicted_us or 0) - (b.predicted_us or 0)
                good += 0.5 if d == 0 else float((d > 0) == (x > y))
    return good, pairs


def kendall_tau(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Kendall's tau-b of two rankings; None where one of them has no order."""
    s = tx = ty = 0
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            a, b = (x[i] > x[j]) - (x[i] < x[j]), (y[i] > y[j]) - (y[i] < y[j])
            s += a * b
            tx += a != 0
            ty += b != 0
    return s / math.sqrt(tx * ty) if tx and ty else None


def families(results: Sequence[Result]) -> list[Family]:
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for r in results:
        groups[r.case.family, r.case.hardware].append(r)
    out = []
    for (name, hardware), group in sorted(groups.items()):
        ok = [r for r in group if r.error is not None]
        good, pairs = signs(ok)
        tau = kendall_tau([r.case.measured_us for r in ok], [r.predicted_us or 0 for r in ok])
        out.append(Family(name, hardware, len(ok), len(group), mape(ok), median(ok), ratio(ok), good, pairs, tau))
    return out


CHANGED = 0.01     # a prediction that moves less is not counted as changed


def effects(results: Sequence[Result], others: Mapping[str, Sequence[Result]]) -> list[tuple[str, str, str, str, str]]:
    """Rows (mechanism switched off, chip, MAPE, sign agreement, cases changed), the complete model first."""
    rows = []
    for name, mine in {"–": results, **others}.items():
        for chip in sorted({r.case.hardware for r in results}):
            pairs = [(a, b) for a, b in zip(results, mine, strict=True) if a.case.hardware == chip]
            error = mape([b for _, b in pairs])
            good, count = signs([b for _, b in pairs])
            both = [(a.predicted_us, b.predicted_us) for a, b in pairs if a.predicted_us and b.predicted_us]
            changed = sum(abs(y / x - 1) > CHANGED for x, y in both)
            rows.append((name, chip, "–" if error is None else f"{error:.1f} %",
                         f"{100 * good / count:.1f} %" if count else "–", str(changed) if name != "–" else ""))
    return rows

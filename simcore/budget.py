"""Limits a run must keep, as a person or a CI job states them, and whether it does.

limits = [time_limit("120us"), engine_limit("tensor>=60%"), hbm_limit("5MB")]
broken = [verdict for verdict in judge(timeline, limits) if not verdict.ok]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from simcore import format
from simcore.errors import UsageError, nearest
from simcore.summary import Summary
from simcore.timeline import ENGINES, Timeline

_TIME = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>ps|ns|us|µs|ms|s)")
_PS = {"ps": 1, "ns": 10**3, "us": 10**6, "µs": 10**6, "ms": 10**9, "s": 10**12}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[kKMGT]?i?B|)")
_BYTES = (
    {"": 1, "B": 1}
    | {f"{p}B": 10 ** (3 * i) for i, p in enumerate("kMGT", 1)}
    | {f"{p}iB": 2 ** (10 * i) for i, p in enumerate("KMGT", 1)}
)
_ENGINE = re.compile(r"(?P<engine>[A-Za-z]+)\s*(?P<sense>>=|<=)\s*(?P<percent>\d+(?:\.\d*)?)\s*%")
_NAMES = {name.lower(): name for name in (*ENGINES, "DMA")}


def picoseconds(text: str) -> int:
    """ "12.5us" -> 12_500_000.  Raises UsageError."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a time; write a number and ps, ns, us, ms or s, for example 12.5us")
    return round(float(match["number"]) * _PS[match["unit"]])


def nbytes(text: str) -> int:
    """ "5MB" -> 5_000_000, "5MiB" -> 5_242_880.  Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or match["unit"] not in _BYTES:
        raise UsageError(f"{text!r} is not a size; write a number and B, kB, MB, GB, KiB, MiB or GiB, for example 5MB")
    return round(float(match["number"]) * _BYTES[match["unit"]])


@dataclass(frozen=True)
class Limit:
    """At most (or at least) `value` of something a Summary says."""

    what: str
    at_most: bool
    value: float
    measure: Callable[[Summary], float]
    show: Callable[[float], str]


@dataclass(frozen=True)
class Verdict:
    """A limit beside what the run did."""

    run: str
    limit: Limit
    actual: float
    caveat: str = ""  # what of the prediction rests on numbers nobody has measured

    @property
    def ok(self) -> bool:
        return self.actual <= self.limit.value if self.limit.at_most else self.actual >= self.limit.value

    def __str__(self) -> str:
        limit, sense = self.limit, "at most" if self.limit.at_most else "at least"
        verdict = "ok" if self.ok else "BROKEN"
        return f"{verdict}: {self.run}: {limit.what} {limit.show(self.actual)}, {sense} {limit.show(limit.value)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: times in picoseconds, sizes in bytes, utilisation as a fraction."""
        return {
            "run": self.run,
            "what": self.limit.what,
            "ok": self.ok,
            "actual": self.actual,
            "limit": self.limit.value,
            "sense": "<=" if self.limit.at_most else ">=",
            "caveat": self.caveat,
        }


def time_limit(text: str) -> Limit:
    """The run takes at most "120us"."""
    return Limit("time", True, picoseconds(text), lambda s: s.span_ps, lambda ps: format.time(ps, significant=4))


def hbm_limit(text: str) -> Limit:
    """At most "5MB" are read from and written to HBM."""
    return Limit(
        "HBM bytes",
        True,
        nbytes(text),
        lambda s: s.hbm_read_bytes + s.hbm_write_bytes,
        lambda n: format.size(n, significant=4),
    )


def engine_limit(text: str) -> Limit:
    """An engine is busy at least (or at most) so much of the run, on average over cores: "tensor>=60%", "dma<=90%"."""
    match = _ENGINE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{text!r} is not a limit of an engine; write ENGINE>=PERCENT% or ENGINE<=PERCENT%, for example tensor>=60%"
        )
    name = _NAMES.get(match["engine"].lower())
    if name is None:
        hint = nearest(match["engine"].lower(), _NAMES)
        raise UsageError(f"there is no engine {match['engine']!r}.{hint} Engines: {', '.join(_NAMES.values())}")
    return Limit(
        f"{name} busy",
        match["sense"] == "<=",
        float(match["percent"]) / 100,
        lambda s: _utilisation(s, name),
        lambda share: f"{100 * share:.1f} %",
    )


def _utilisation(summary: Summary, name: str) -> float:
    if name == "DMA":
        return summary.dma.utilisation
    used = [engine.utilisation for engine in summary.engines if engine.engine == name]
    return sum(used) / len(used) if used else 0.0


def judge(timeline: Timeline, limits: Iterable[Limit]) -> list[Verdict]:
    """One verdict per limit, in their order."""
    summary = timeline.summary()
    return [Verdict(timeline.name, limit, limit.measure(summary), timeline.caveat) for limit in limits]

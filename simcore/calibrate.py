"""Calibration: numbers of a machine from real profiles and measured kernels, deterministically.

`from_profiles` reads physical quantities off the profiles of a chip: intervals, latencies, hand-offs.  Each is a median
(or a least-squares line) over all occurrences, so it does not depend on the simulator.  `from_cases` finds the two
numbers that no profile shows from measured launches: how far the compiler reorders, and what a launch on two cores
adds; it is checked by leaving whole families out, and keeps the old value when the cross-validated error would grow.
`from_triggers` serves chips without a profile.

Nothing here knows a kernel by name, and no number is found per kernel or shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simcore.errors import UsageError
from simcore.files import replacing
from simcore.machine import Machine
from simcore.timeline import ENGINES, MEMORIES, Timeline

_TENSOR = ENGINES.index("Tensor")
_PATTERN = re.compile(r"src=(\w+)@0x[0-9a-f]+\[[^\]]*\]\[([\d,]+)\]")
_WAIT = re.compile(r"S\[\d+\] \((\w+)\)>=\d+")
FULL, HALF = 8, 4
SBUF = MEMORIES.index("SBUF")


@dataclass(frozen=True)
class Fit:
    """One fitted number: its value, from how many observations of what, and how far they scatter."""

    name: str
    value: float
    samples: int
    scatter: float
    unit: str
    what: str

    def toml(self, source: str) -> str:
        value = f"{self.value:g}" if self.value != int(self.value) else f"{self.value:.1f}"
        return (f'"{self.name}" = {{ value = {value}, source = "{source}: {self.what}, {self.samples} observations", '
                f'residual = "median deviation {self.scatter:.3g} {self.unit}" }}')


def median_fit(name: str, values: Sequence[float], unit: str, what: str, scale: float = 1.0) -> Fit | None:
    """The median of observations; None when there are fewer than three."""
    if len(values) < 3:
        return None
    x = np.asarray(values, np.float64) * scale
    m = float(np.median(x))
    return Fit(name, round(m, 2), len(x), float(np.median(np.abs(x - m))), unit, what)


# ------------------------------------------------------------------------------------------------ profiles


def from_profiles(profiles: Iterable[Timeline], machine: Machine) -> list[Fit]:
    """Physical numbers a set of profiles of this machine's chip shows.  Raises UsageError when there is none."""
    profiles = list(profiles)
    if not profiles:
        raise UsageError("calibration needs at least one profile; name a folder of them with --profiles")
    found: list[Fit | None] = []
    found += _tensor(profiles, machine)
    packets = _packets(profiles)
    found += packets
    found.append(_read_ahead(profiles, machine.replace(**{f.name: f.value for f in packets if f is not None})))
    found += _handoffs(profiles)
    found += _dma(profiles)
    found += _kernel(profiles)
    return [f for f in found if f is not None]


def _work(t: Timeline, engine: str, core: int) -> np.ndarray:
    """Rows of an engine that belong to the kernel."""
    rows = t.rows(engine, core)
    begin, end = t.totals.get("kernel_start_ps", 0), t.totals.get("kernel_end_ps", t.end_ps)
    start = t.instructions.start_ps[rows]
    return rows[(start >= begin) & (start <= end)]


def _core(t: Timeline) -> int:
    """The core that works: a logical core of two may use only one."""
    counts = [len(_work(t, "Tensor", c)) + len(_work(t, "Vector", c)) for c in t.cores]
    return t.cores[int(np.argmax(counts))] if counts else 0


def _rate(t: Timeline, start: int) -> int:
    """The clock limiter's state at a time, k of 8; limited where nothing is recorded yet."""
    at = int(np.searchsorted(t.clock.start_ps, start, "right")) - 1
    return int(t.clock.k[at]) if at >= 0 and start < t.clock.end_ps[at] else HALF


def _columns(text: str) -> tuple[str, int] | None:
    """(dtype, columns) of a tile in the operand text of a MATMUL or LDWEIGHTS."""
    m = _PATTERN.search(text)
    return (m[1], int(np.prod([int(n) for n in m[2].split(",")]))) if m else None


def _tensor(profiles: list[Timeline], machine: Machine) -> list[Fit | None]:
    """Pipeline latency (duration less interval in a stream), its excess at half rate, issue overhead; the same latency
    of a stationary tile."""
    latency, lead, overhead, loaded = [], [], [], []
    hz = machine.tensor.clock_hz / 1e12
    for t in profiles:
        rows = [r for r in _work(t, "Tensor", _core(t)) if t.opcode(r) == "MATMUL"]
        start, end = t.instructions.start_ps, t.instructions.end_ps
        for r in _work(t, "Tensor", _core(t)):
            if t.opcode(r) == "LDWEIGHTS" and _rate(t, int(start[r])) == FULL and (shape := _columns(t.operands(r))):
                kind = "bf16" if shape[0] != "fp32" else "fp32 transpose" if "=ENABLED" in t.operands(r) else "fp32"
                per = machine.tensor.stationary_cycles_per_column[kind]
                loaded.append(int(end[r] - start[r]) * hz - shape[1] * per)
        for a, b, c in zip(rows, rows[1:], rows[2:], strict=False):
            shape = _columns(t.operands(b))
            if shape is None or shape != _columns(t.operands(a)) or shape != _columns(t.operands(c)):
                continue
            interval = int(start[c] - start[b])
            rate = _rate(t, int(start[b]))
            if abs(interval - int(start[b] - start[a])) > 0.05 * interval or rate != _rate(t, int(start[c] + interval)):
                continue
            tail = int(end[b] - start[b]) - interval
            stream = shape[1] * (machine.tensor.cycles_per_column["fp32" if shape[0] == "fp32" else "bf16"])
            if rate == FULL:
                latency.append(tail * hz)
                if shape[1] >= 256:
                    overhead.append(interval * hz - stream)
            else:
                lead.append(tail * hz)
    full = float(np.median(latency)) if latency else 0.0
    return [
        median_fit("tensor.pipeline_latency_cycles", latency, "cycles", "MATMUL duration less interval at full rate"),
        median_fit("tensor.limited_lead_cycles", [x - full for x in lead] if latency else [], "cycles",
                   "the same at half rate, less that"),
        median_fit("tensor.stationary_latency_cycles", loaded, "cycles", "LDWEIGHTS duration less its columns"),
        median_fit("tensor.issue_overhead_cycles", [max(0.0, x) for x in overhead], "cycles",
                   "MATMUL interval less streaming at full rate"),
    ]


def _packets(profiles: list[Timeline]) -> list[Fit | None]:
    """Interval of packets that follow each other on an engine: fixed part and rate, least squares over sizes."""
    by_size: dict[int, list[int]] = {}
    for t in profiles:
        d = t.dma
        hardware = np.array([q.endswith("DynamicHW") for q in t.queues], bool)
        for core in t.cores:
            for e in np.unique(d.engine):
                for q in np.flatnonzero(hardware):
                    rows = np.flatnonzero((d.core == core) & (d.engine == e) & (d.queue == q))
                    rows = rows[np.argsort(d.start_ps[rows], kind="stable")]
                    size = np.maximum(d.read_bytes[rows], d.write_bytes[rows])
                    gap = np.diff(d.start_ps[rows])
                    for s, g in zip(size[:-1][size[:-1] == size[1:]].tolist(), gap[size[:-1] == size[1:]].tolist(),
                                    strict=True):
                        if s > 4:
                            by_size.setdefault(s, []).append(g)
    sizes = sorted(s for s, gaps in by_size.items() if len(gaps) >= 20)
    if len(sizes) < 2:
        return []
    # a full queue streams packets back to back: the lower quartile is free of idle gaps
    gap = np.array([np.quantile(by_size[s], 0.25) for s in sizes]) / 1000
    weight = 1 / np.array(sizes, np.float64)
    a = np.stack([np.ones(len(sizes)), np.array(sizes, np.float64)], 1) * weight[:, None]
    (fixed, slope), *_ = np.linalg.lstsq(a, gap * weight, rcond=None)
    residual = float(np.max(np.abs(fixed + slope * np.array(sizes) - gap)))
    n = sum(len(by_size[s]) for s in sizes)
    what = f"packets of {', '.join(map(str, sizes))} B"
    return [Fit("dma.packet_ns", round(float(fixed), 2), n, residual, "ns", what),
            Fit("dma.engine_bytes_per_s", round(1e9 / float(slope), -7), n, residual, "ns", what)]


def _read_ahead(profiles: list[Timeline], machine: Machine) -> Fit | None:
    """Bytes each engine asks HBM for ahead: how much longer than its packets a load takes on idle engines."""
    dma, values = machine.dma, list[float]()
    for t in profiles:
        d = t.dma
        mine = np.flatnonzero(d.core == _core(t))
        mine = mine[np.lexsort((d.start_ps[mine], d.engine[mine]))]
        new = d.engine[mine][1:] != d.engine[mine][:-1]
        idle = np.r_[True, new | (d.start_ps[mine][1:] > d.end_ps[mine][:-1] + 50_000)]
        for queue in (k for k, q in enumerate(t.queues) if q.endswith("DynamicHW")):
            here = d.queue[mine] == queue
            rows, first = mine[here], idle[here]
            size = np.maximum(d.read_bytes[rows], d.write_bytes[rows])
            # every transfer ends with a 4-byte semaphore write on each engine: the k-th transfer of the queue
            end = size == 4
            number = np.cumsum(end) - end
            number -= np.r_[0, number[1:]][np.searchsorted(d.engine[rows], d.engine[rows])]
            for k in np.unique(number[end]):
                part = np.flatnonzero(number == k)
                begins = part[np.searchsorted(d.engine[rows[part]], np.unique(d.engine[rows[part]]))]
                data = part[~end[part]]
                bytes_ = int(size[data].sum())
                if (len(begins) < dma.engines or first[begins].mean() < 0.5 or (d.dest[rows[data]] != SBUF).any()
                        or bytes_ < 4 * dma.engines * dma.packet_bytes):
                    continue
                ideal = (len(data) * dma.packet_ns + bytes_ / dma.engine_bytes_per_s * 1e9) / dma.engines
                span = int(d.end_ps[rows[part]].max() - d.start_ps[rows[part]].min()) / 1000
                extra = span - ideal - dma.completion_write_ns - dma.engine_skew_ns * (dma.engines - 1)
                values.append((extra - dma.read_latency_ns) * machine.hbm.bytes_per_s / 1e9 / dma.engines)
    return median_fit("dma.read_ahead_bytes", [round(v) for v in values], "bytes",
                      "loads of 16 KiB and more per engine on idle engines, span less packets and latency")


def _handoffs(profiles: list[Timeline]) -> list[Fit | None]:
    """Producer done -> waiting engine starts, where the wait was what held the engine up."""
    times: dict[str, list[int]] = {"tensor": [], "same": [], "other": []}
    for t in profiles:
        core = _core(t)
        i = t.instructions
        ends = {e: np.sort(i.end_ps[_work(t, e, core)]) for e in ("Tensor", "Vector", "Scalar")}
        for e in ("Tensor", "Vector", "Scalar"):
            rows = _work(t, e, core)
            for before, row in zip(rows, rows[1:], strict=False):
                waits = _WAIT.findall(t.operands(row))
                if t.opcode(row) == "EVENT_SEMAPHORE" or len(waits) != 1 or waits[0] not in ends:
                    continue
                done = ends[waits[0]]
                k = int(np.searchsorted(done, i.start_ps[row], "right")) - 1
                if k < 0 or done[k] < i.end_ps[before] and waits[0] != e and done[k] < i.start_ps[before]:
                    continue
                gap = int(i.start_ps[row] - done[k])
                if 0 < gap < 120_000 and i.end_ps[before] <= done[k]:
                    times["same" if waits[0] == e else "tensor" if e == "Tensor" else "other"].append(gap)
    what = "end of the producer to start of the one that waits"
    return [median_fit("semaphore.handoff_ns", times["other"], "ns", what, 1e-3),
            median_fit("semaphore.tensor_handoff_ns", times["tensor"], "ns", what + " on Tensor", 1e-3),
            median_fit("semaphore.same_engine_ns", times["same"], "ns", what + " on the same engine", 1e-3)]


def _dma(profiles: list[Timeline]) -> list[Fit | None]:
    """Trigger -> first packet by queue and direction, where the engines were idle; spread of the engines' starts."""
    first: dict[str, list[int]] = {}
    spread: list[float] = []
    for t in profiles:
        core = _core(t)
        i, d = t.instructions, t.dma
        for engine, mode in (("Sync", "hw"), ("Scalar", "hw"), ("GpSimd", "sw")):
            queue = f"q{engine}Dynamic" + ("HW" if mode == "hw" else "")
            if queue not in t.queues:
                continue
            packets = np.flatnonzero((d.core == core) & (d.queue == t.queues.index(queue)))
            start = np.sort(d.start_ps[packets])
            busy_until = np.maximum.accumulate(np.sort(d.end_ps[packets]))
            triggers = [r for r in _work(t, engine, core) if t.opcode(r).startswith("DMA")]
            before = None
            for row in triggers:
                at = int(i.start_ps[row])
                alone, before = before is None or at - before > 2_500_000, at
                if not alone:
                    continue
                k = int(np.searchsorted(start, at))
                if k >= len(start) or (k and busy_until[k - 1] > at):
                    continue                                    # an earlier transfer is still under way
                delay = int(start[k] - at)
                if delay > 2_500_000:
                    continue
                text = t.operands(row)
                pattern = re.search(r"dst_pattern=\[(\d+)", text)
                store = (bool(re.search(r"dst_table|dst_addr_imm=0x8000010", text))
                         or (pattern is not None and int(pattern[1]) != 262144))
                first.setdefault(f"dma.{'store' if store else 'load'}_{mode}_ns", []).append(delay)
                if store and mode == "hw":
                    rows = packets[(d.start_ps[packets] >= at) & (d.start_ps[packets] < start[k] + 400_000)]
                    begins = [int(d.start_ps[rows][d.engine[rows] == e].min()) for e in np.unique(d.engine[rows])]
                    if len(begins) == 16:
                        spread.append((max(begins) - min(begins)) / 15)
    out = [median_fit(name, values, "ns", "trigger to first packet, engines idle", 1e-3)
           for name, values in sorted(first.items())]
    return [*out, median_fit("dma.engine_skew_ns", spread, "ns", "spread of 16 engines' first packets over 15", 1e-3)]


def _kernel(profiles: list[Timeline]) -> list[Fit | None]:
    start = [t.totals["kernel_start_ps"] for t in profiles if "kernel_start_ps" in t.totals]
    end = [t.totals["profiled_ps"] - t.totals["kernel_end_ps"] for t in profiles if "kernel_end_ps" in t.totals]
    return [median_fit("kernel.start_ns", start, "ns", "first kernel instruction of a profile", 1e-3),
            median_fit("kernel.end_ns", end, "ns", "last kernel DMA to the end of a profile", 1e-3)]


# ------------------------------------------------------------------------------------------------ measured launches


@dataclass(frozen=True)
class Observation:
    """A measured launch, and the spans the simulator gives it under each setting.

    fixed_us  what such a measurement of one core holds beyond the span
    """

    family: str
    cores: int
    measured_us: float
    fixed_us: float
    span_us: Mapping[Any, float]


def from_cases(observations: Sequence[Observation], settings: Sequence[Any], current: Any) -> dict[str, Any]:
    """Choose a setting and what a launch of two cores adds, checked by leaving each family out.

    current  the setting in use, kept unless another is better
    Returns {"setting", "pair_us", "error", "cross_validated", "current_cross_validated"} (errors are MAPE, percent).
    """
    if not observations:
        raise UsageError("no measured launch could be run; name the folder of checkouts with --refs")

    def pair(rows: Sequence[Observation], s: Any) -> float:
        """What minimises the error of launches of two cores: the median of what they lack, weighted 1 / measured."""
        two = sorted((o.measured_us - o.span_us[s] - o.fixed_us, 1 / o.measured_us) for o in rows if o.cores > 1)
        half, total = sum(w for _, w in two) / 2, 0.0
        for extra, weight in two:
            total += weight
            if total >= half:
                return max(0.0, extra)
        return 0.0

    def error(rows: Sequence[Observation], s: Any, p: float) -> float:
        return float(np.mean([abs(o.span_us[s] + o.fixed_us + (p if o.cores > 1 else 0) - o.measured_us) / o.measured_us
                              for o in rows]) * 100)

    families = sorted({o.family for o in observations})

    def cross(choose) -> float:
        errors, weights = [], []
        for f in families:
            inside, outside = [o for o in observations if o.family != f], [o for o in observations if o.family == f]
            if not inside:
                inside = outside
            s = choose(inside)
            errors.append(error(outside, s, pair(inside, s)))
            weights.append(len(outside))
        return float(np.average(errors, weights=weights))

    def best(rows: Sequence[Observation]) -> Any:
        return min(settings, key=lambda s: (round(error(rows, s, pair(rows, s)), 6), settings.index(s)))

    with_best, with_current = cross(best), cross(lambda rows: current)
    setting = best(observations) if with_best <= with_current else current
    p = pair(observations, setting)
    return {"setting": setting, "pair_us": p, "error": error(observations, setting, p), "cross_validated": with_best,
            "current_cross_validated": with_current}


def from_triggers(observations: Sequence[Observation], low: float, high: float) -> dict[str, float]:
    """What a launch holds beyond its span, and the time between two static DMA triggers, of a chip without profiles.

    span_us of an observation holds the span with a trigger every `low` and every `high` ns; the difference counts the
    triggers its span consists of.  Least squares of the relative errors: launches of a few transfers show the fixed
    part, launches of many the triggers.  Returns {"fixed_us", "issue_ns", "error"} (the error is MAPE, percent).
    Raises UsageError when the launches cannot tell the two apart.
    """
    if len(observations) < 3:
        raise UsageError("three measured launches are needed at least to fit two numbers; name the folder of checkouts "
                         "with --refs and families of short launches with --families")
    measured = np.array([o.measured_us for o in observations])
    base = np.array([o.span_us[low] for o in observations])
    per_ns = (np.array([o.span_us[high] for o in observations]) - base) / (high - low)
    matrix = np.stack([np.ones(len(measured)), per_ns], 1) / measured[:, None]
    if np.linalg.matrix_rank(matrix) < 2:
        raise UsageError("these launches consist of triggers alike; add one of few transfers and one of many")
    fixed, beyond = np.linalg.lstsq(matrix, (measured - base) / measured, rcond=None)[0]
    error = np.abs(base + fixed + per_ns * beyond - measured) / measured
    return {"fixed_us": float(fixed), "issue_ns": float(low + beyond), "error": float(error.mean() * 100)}


# ------------------------------------------------------------------------------------------------ writing


def write_fitted(path: Path, lines: Sequence[str]) -> None:
    """Replace the [fitted] part of a machine TOML, or add one; the rest of the file stays as it is."""
    text = path.read_text(encoding="utf-8")
    head = text.split("\n# What `simcore calibrate` found.")[0].split("\n[fitted]")[0].rstrip()
    found = "# What `simcore calibrate` found.  These numbers take the place of those above.\n[fitted]\n"
    with replacing(path) as part:
        part.write_text(f"{head}\n\n{found}" + "\n".join(lines) + "\n", encoding="utf-8")

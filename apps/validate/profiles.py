"""Predicted against real profiles, instruction by instruction."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from simcore.apps.validate.cases import build
from simcore.timeline import ENGINES, Timeline, union_ps

ENGINES_COMPARED = ("Tensor", "Vector", "Scalar")


@dataclass(frozen=True)
class Opcode:
    """Instructions of one opcode: how many, median duration and median difference of start (matched in order), ns."""

    engine: str
    opcode: str
    measured: int
    predicted: int
    measured_ns: float
    predicted_ns: float
    start_error_ns: float | None

    @property
    def error(self) -> float:
        return self.predicted_ns / self.measured_ns - 1 if self.measured_ns else 0.0


@dataclass(frozen=True)
class ProfileResult:
    """One profile: totals and busy times in microseconds, and the opcodes."""

    name: str
    measured_us: float
    predicted_us: float
    busy_us: dict[str, tuple[float, float]]      # engine -> (measured, predicted)
    opcodes: list[Opcode]
    measured: Timeline
    predicted: Timeline


def compare_profiles(folder: Path, refs: Path) -> list[ProfileResult]:
    """The profiles of the list in profiles.json that the folder holds, with simulations of the kernels they show."""
    from simcore import load_machine, read_profile, simulate
    from simcore.frontend import activate, capture

    listed = json.loads(resources.files("simcore.apps.validate").joinpath("profiles.json").read_text(encoding="utf-8"))
    out = []
    for entry in listed:
        path = folder / entry["file"]
        if not path.is_file() or not (refs / entry["launch"]["checkout"]).is_dir():
            continue
        measured = read_profile(path)
        with activate():
            kernel, args, kwargs, grid = build(entry["launch"], refs)
            trace = capture(kernel, *args, target="trn2", values=False, grid=grid, **kwargs)
        predicted = simulate(trace, load_machine("trn2"))
        name = entry["file"].split(".")[0].removeprefix("trn2-attn-")
        out.append(_compare(name, measured, predicted))
    return out


def _compare(name: str, measured: Timeline, predicted: Timeline) -> ProfileResult:
    core = max(measured.cores, key=lambda c: len(kernel_rows(measured, "Vector", c)))
    busy, opcodes = {}, []
    shift = measured.totals["kernel_start_ps"]
    for engine in ENGINES_COMPARED:
        rows = kernel_rows(measured, engine, core)
        i = measured.instructions
        busy[engine] = (union_ps(i.start_ps[rows], i.end_ps[rows]) / 1e6, predicted.busy_ps(engine) / 1e6)
        opcodes += _opcodes(engine, measured, rows, predicted, shift)
    d = measured.dma
    dynamic = np.array(["Dynamic" in q for q in measured.queues], bool)[d.queue] & (d.core == core)
    busy["DMA"] = (union_ps(d.start_ps[dynamic], d.end_ps[dynamic]) / 1e6, predicted.dma_busy_ps() / 1e6)
    return ProfileResult(name, measured.totals["profiled_ps"] / 1e6, predicted.totals["profiled_ps"] / 1e6, busy,
                         opcodes, measured, predicted)


def kernel_rows(t: Timeline, engine: str, core: int | None = None) -> np.ndarray:
    """Rows of an engine that do the kernel's work: no set-up, no waiting."""
    rows = t.rows(engine, core)
    idle = set(t.info.get("setup_opcodes", ())) | {"EVENT_SEMAPHORE", "ACT_TABLE_LOAD", "DRAIN", "NOP", "NOTIFY",
                                                   "WRITE"}
    keep = np.array([t.opcode(r) not in idle for r in rows], bool)
    return rows[keep] if len(rows) else rows


def _opcodes(engine: str, measured: Timeline, rows: np.ndarray, predicted: Timeline, shift: int) -> list[Opcode]:
    mine, theirs = defaultdict(list), defaultdict(list)
    for r in rows:
        mine[measured.opcode(r)].append(r)
    for r in predicted.rows(engine):
        theirs[predicted.opcode(r)].append(r)
    out = []
    for opcode in sorted(mine):
        a, b = np.array(mine[opcode]), np.array(theirs.get(opcode, ()), np.int64)
        m = measured.instructions.end_ps[a] - measured.instructions.start_ps[a]
        p = predicted.instructions.end_ps[b] - predicted.instructions.start_ps[b]
        start = None
        if len(a) == len(b):
            gap = (measured.instructions.start_ps[a] - shift) - predicted.instructions.start_ps[b]
            start = float(np.median(np.abs(gap))) / 1000
        out.append(Opcode(engine, opcode, len(a), len(b), float(np.median(m)) / 1000,
                          float(np.median(p)) / 1000 if len(b) else 0.0, start))
    return out


def wape(results: list[ProfileResult], engine: str) -> float:
    """Weighted absolute percentage error of an engine's busy time over the profiles."""
    pairs = [r.busy_us[engine] for r in results]
    return 100 * sum(abs(m - p) for m, p in pairs) / sum(m for m, _ in pairs)


__all__ = ["ENGINES", "Opcode", "ProfileResult", "compare_profiles", "kernel_rows", "wape"]

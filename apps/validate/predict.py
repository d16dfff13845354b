"""Running cases: each in a process of its own, because checkouts have modules of the same names."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import io
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcore.apps.validate.cases import Case, build


@dataclass(frozen=True)
class Result:
    """What simcore predicts for a case; `failure` is a sentence where it cannot."""

    case: Case
    predicted_us: float | None
    span_us: float | None = None
    busy_us: dict[str, float] | None = None
    instructions: int = 0
    failure: str = ""
    outside: tuple[str, ...] = ()

    @property
    def error(self) -> float | None:
        """Signed relative error."""
        return None if self.predicted_us is None else self.predicted_us / self.case.measured_us - 1


KIND_TOTAL = {"ci": "reference_ps", "benchmark": "benchmark_ps", "benchmark_p99": "benchmark_ps",
              "profiled": "profiled_ps", "device": "device_ps"}


def predict(case: Case, refs: Path, numbers: dict[str, Any] | None = None) -> Result:
    """Predict one case in this process; `numbers` replaces numbers of the machine."""
    from simcore import load_machine, simulate
    from simcore.frontend import activate, capture

    machine = load_machine(case.hardware)
    changes = dict(numbers or {})
    if case.options.get("dge") is False:
        changes["dma.hw_dge_instances"] = 0
    if changes:
        machine = machine.replace(**changes)
    total = span = 0.0
    busy: dict[str, float] = {}
    instructions = 0
    outside: list[str] = []
    try:
        with activate(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for launch in case.launches:
                kernel, args, kwargs, grid = build(launch, refs)
                trace = capture(kernel, *args, target=case.hardware, values=False, lnc=case.cores, grid=grid, **kwargs)
                timeline = simulate(trace, machine)
                span += timeline.totals["kernel_ps"] / 1e6
                total += timeline.totals[KIND_TOTAL[case.kind]] / 1e6
                instructions += len(trace)
                outside += timeline.info.get("outside_calibration", [])
                for engine in ("Tensor", "Vector", "Scalar", "GpSimd"):
                    busy[engine] = busy.get(engine, 0.0) + timeline.busy_ps(engine) / 1e6
                busy["DMA"] = busy.get("DMA", 0.0) + timeline.dma_busy_ps() / 1e6
    except Exception as e:  # a kernel may raise anything; the table says so, with files as they are named below refs
        return Result(case, None, failure=f"{type(e).__name__}: {e}".replace(f"{refs.resolve()}{os.sep}", ""))
    return Result(case, total, span, busy, instructions, outside=tuple(dict.fromkeys(outside)))


def _task(case: dict[str, Any], refs: str, numbers) -> Result:
    return predict(Case(**case), Path(refs), numbers)


def predict_all(cases: list[Case], refs: Path, jobs: int, numbers: dict[str, Any] | None = None,
                progress: Callable[[Result], None] = lambda r: None) -> list[Result]:
    """Predictions in the order of the cases."""
    context = multiprocessing.get_context("spawn")
    done: dict[str, Result] = {}
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        futures = {pool.submit(_task, dataclasses.asdict(c), str(refs), numbers): c for c in cases}
        for future in concurrent.futures.as_completed(futures):
            case = futures[future]
            try:
                result = future.result()
            except Exception as e:
                result = Result(case, None, failure=f"{type(e).__name__}: {e}")
            done[case.id] = result
            progress(result)
    return [done[c.id] for c in cases]

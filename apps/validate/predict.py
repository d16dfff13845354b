"""Running cases: each in a process of its own, because checkouts have modules of the same names."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import io
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcore.apps.validate.cases import Case, build
from simcore.timeline import Timeline


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


Setting = Mapping[str, Any] | str
"""How a machine is changed before it predicts: numbers to replace, or the name of a mechanism to switch off."""


def predict(case: Case, refs: Path, settings: Sequence[Setting] = ({},)) -> list[Result]:
    """Predict one case in this process, once per setting; the kernel runs only once."""
    from simcore import load_machine, simulate
    from simcore.frontend import activate, capture
    from simcore.machine.mechanisms import without

    machine = load_machine(case.hardware)
    if case.options.get("dge") is False:
        machine = machine.replace(**{"dma.hw_dge_instances": 0})
    try:
        traces = []
        with activate(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for launch in case.launches:
                kernel, args, kwargs, grid = build(launch, refs)
                traces.append(capture(kernel, *args, target=case.hardware, values=False, lnc=case.cores, grid=grid,
                                      **kwargs))
        return [_result(case, [simulate(t, without(machine, s) if isinstance(s, str) else machine.replace(**s))
                               for t in traces], sum(map(len, traces))) for s in settings]
    except Exception as e:  # a kernel may raise anything; the table says so, with files as they are named below refs
        failure = f"{type(e).__name__}: {e}".replace(f"{refs.resolve()}{os.sep}", "")
        return [Result(case, None, failure=failure)] * len(settings)


def _result(case: Case, timelines: Sequence[Timeline], instructions: int) -> Result:
    """The launches of a case together."""
    busy = {e: sum(t.busy_ps(e) for t in timelines) / 1e6 for e in ("Tensor", "Vector", "Scalar", "GpSimd")}
    busy["DMA"] = sum(t.dma_busy_ps() for t in timelines) / 1e6
    outside = dict.fromkeys(x for t in timelines for x in t.info.get("outside_calibration", []))
    return Result(case, sum(t.totals[KIND_TOTAL[case.kind]] for t in timelines) / 1e6,
                  sum(t.totals["kernel_ps"] for t in timelines) / 1e6, busy, instructions, outside=tuple(outside))


def _task(case: dict[str, Any], refs: str, settings: Sequence[Setting]) -> list[Result]:
    return predict(Case(**case), Path(refs), settings)


def predict_all(cases: list[Case], refs: Path, jobs: int, settings: Sequence[Setting] = ({},)) -> list[list[Result]]:
    """Per setting, predictions in the order of the cases."""
    context = multiprocessing.get_context("spawn")
    done: dict[str, list[Result]] = {}
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        futures = {pool.submit(_task, dataclasses.asdict(c), str(refs), settings): c for c in cases}
        for future in concurrent.futures.as_completed(futures):
            case = futures[future]
            try:
                done[case.id] = future.result()
            except Exception as e:
                done[case.id] = [Result(case, None, failure=f"{type(e).__name__}: {e}")] * len(settings)
    return [[done[c.id][k] for c in cases] for k in range(len(settings))]

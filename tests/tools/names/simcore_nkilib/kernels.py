"""How the suite's kernels run: with values, on all ranks of a collective, or for their timing only."""

import functools
import sys
import time
from pathlib import Path

import numpy as np
from nki_cpu_simulator import options as session
from nki_cpu_simulator import spent

import simcore
from simcore.frontend import Session, use_session
from simcore.frontend.launch import check_target
from simcore.frontend.ranks import capture_ranks
from simcore.tensor import Storage
from simcore_nkilib import shapes


def prepare(*, timing: bool) -> None:
    """Patch the suite's orchestrator, once it is imported."""
    module = sys.modules.get("test.utils.test_orchestrator")
    if module is None:
        return
    orchestrator = module.Orchestrator
    # the suite's simulation mode reads it, only its compilation sets it
    orchestrator._compiled_kernel = None
    alone = orchestrator._run_simulator_inference

    def run(self, kernel_under_test):
        if kernel_under_test.inference_args.collective_ranks == 1:
            return alone(self, kernel_under_test)
        return run_ranks(self, kernel_under_test)

    orchestrator._run_simulator_inference = run
    orchestrator._run_compilation = trace_only
    if timing:
        shapes.install()
        orchestrator.execute = lambda self, kernel_under_test: time_only(kernel_under_test)


def _inputs(kernel_under_test, rank: int) -> dict:
    given = kernel_under_test.kernel_input or {}
    if hasattr(given, "for_rank"):
        given = given.for_rank(rank)
    return {k.removesuffix(".must_alias_input"): v for k, v in given.items()}


def _options(kernel_under_test) -> dict:
    compiler = kernel_under_test.compiler_input
    return {"target": check_target(compiler.platform_target.get_nc_gen()), "lnc": compiler.logical_nc_config}


def zero_memory() -> None:
    """Memory that reads as zeros until written, as on a chip just started: some references expect it."""

    def allocate(self):
        self.data = np.zeros(self.nbytes, np.uint8)

    Storage.allocate = allocate


def _traces(kernel_under_test, *, values: bool) -> list:
    """The traces of all ranks."""
    ranks, options = kernel_under_test.inference_args.collective_ranks, _options(kernel_under_test)
    with use_session(Session(**session)):
        if ranks == 1:
            kernel = functools.partial(kernel_under_test.kernel_func, **_inputs(kernel_under_test, 0))
            return [simcore.capture(kernel, values=values, **options)]
        return capture_ranks(kernel_under_test.kernel_func, lambda rank: _inputs(kernel_under_test, rank), ranks,
                             values=values, **options)


def run_ranks(self, kernel_under_test):
    """Run every rank and leave the outputs where the suite's validation expects those of a collective."""
    from test.utils.common_dataclasses import INF_ARTIFACT_DIR_NAME
    from test.utils.exceptions import InferenceException

    golden = kernel_under_test.validation_args.golden_output
    start = time.perf_counter()
    try:
        traces = _traces(kernel_under_test, values=True)
    except Exception as e:
        raise InferenceException(str(e)) from e
    spent["kernel_seconds"] = round(time.perf_counter() - start, 2)
    folder = Path(self.fs_config.artifacts_output_directory_path) / INF_ARTIFACT_DIR_NAME
    for rank, trace in enumerate(traces):
        expected = (golden.for_rank(rank) if hasattr(golden, "for_rank") else
                    golden.output_ndarray if hasattr(golden, "output_ndarray") else golden)
        outputs = trace.outputs if isinstance(trace.outputs, tuple | list) else [trace.outputs]
        to = folder / f"output_worker_{rank}"
        to.mkdir(parents=True, exist_ok=True)
        for name, output in zip(expected, outputs, strict=True):
            array = expected[name]
            np.asarray(output, dtype=getattr(array, "dtype", None)).tofile(to / f"{name}.bin")
    return str(folder)


def trace_only(self, collector, kernel_under_test) -> None:
    """The compiler's part: tests marked "trace only" want the kernel traced, others nothing."""
    from test.utils.common_dataclasses import TraceMode
    from test.utils.exceptions import CompilationException

    if self.trace_mode is TraceMode.TraceOnly:
        try:
            _traces(kernel_under_test, values=False)
        except Exception as e:
            raise CompilationException(str(e)) from e


def time_only(kernel_under_test) -> None:
    start = time.perf_counter()
    traces = _traces(kernel_under_test, values=False)
    captured = time.perf_counter()
    timeline = simcore.simulate(traces[0], simcore.load_machine(traces[0].target))
    spent.update(kernel_seconds=round(time.perf_counter() - start, 2), capture_seconds=round(captured - start, 2),
                 instructions=len(traces[0]), us=round(timeline.end_ps / 1e6, 2))

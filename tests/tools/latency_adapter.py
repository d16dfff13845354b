"""Adapter of the latency judge: `--adapter tests/tools/latency_adapter.py`.

Puts simcore's modules under the names `nki` and `neuronxcc` for the process, captures each case for timing only, and
gives the simulated times by kind of measurement.
"""

from __future__ import annotations

import time

from simcore import load_machine, simulate
from simcore.dtypes import to_dtype
from simcore.frontend import TensorSpec, activation, capture

activation.install()


def tensor(spec):
    """What a tensor argument becomes: shape and dtype; small integer tensors hold the values control flow needs."""
    return TensorSpec(tuple(spec.shape), to_dtype(spec.dtype), fill=spec.fill)


def predict(kernel, args, kwargs, grid, target, cores, options=None):
    start = time.perf_counter()
    trace = capture(kernel, *args, target=target, values=False, lnc=cores, grid=grid, **kwargs)
    machine = load_machine(target)
    if options and options.get("dge") is False:
        machine = machine.replace(**{"dma.hw_dge_instances": 0})
    timeline = simulate(trace, machine)
    us = {name: ps / 1e6 for name, ps in timeline.totals.items()}
    span = us["kernel_ps"]
    out = {"total_us": span, "profiled_us": us.get("profiled_ps", span), "device_us": us.get("device_ps", span),
           "benchmark_us": us.get("benchmark_ps", span), "benchmark_p99_us": us.get("benchmark_ps", span),
           "ci_us": us.get("reference_ps", span)}
    busy = {engine: timeline.busy_ps(engine) / 1e6 for engine in ("Tensor", "Vector", "Scalar", "GpSimd")}
    busy["DMA"] = timeline.dma_busy_ps() / 1e6
    return out | {"per_engine_busy_us": busy, "instructions": len(trace), "seconds": time.perf_counter() - start}

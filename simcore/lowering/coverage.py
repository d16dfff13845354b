"""What of a prediction rests on numbers nobody has measured."""

from __future__ import annotations

import re

from simcore.isa.table import DMA, GPSIMD, SCALAR, TENSOR, VECTOR
from simcore.lowering.costs import engine_of, law_of
from simcore.machine import Machine
from simcore.trace import Trace

_SURE = ("measured", "fitted")


def extrapolated(machine: Machine) -> bool:
    """Whether the chip as a whole was never measured: how instructions and DMAs meet is taken from another one."""
    return machine.provenance.get("semaphore.handoff_ns", ("", ""))[0] not in _SURE


def outside_calibration(trace: Trace, machine: Machine) -> list[str]:
    """Sentences, one per kind of instruction whose cost was never measured on this chip; empty when all were."""
    out: dict[str, None] = {}
    if extrapolated(machine):
        out[f"{machine.title}: hand-offs and DMA latencies are taken over from another generation"] = None
    for v in trace.variants:
        engine = engine_of(v)
        if engine in (VECTOR, SCALAR, GPSIMD) and v.operands and v.row.cost_fn is None:
            section = {VECTOR: machine.vector, SCALAR: machine.scalar, GPSIMD: machine.gpsimd}[engine]
            law = law_of(v, section)[0]
            if law.kind not in _SURE:
                named = next((w for w in re.findall(r"\w+", law.source) if w in machine.sources), law.source)
                out[f"nisa.{v.name} on {engine.display}: {law.kind}, not measured ({named})"] = None
        elif engine is DMA:
            if any(o.layout.indirect == "vector" for o in v.operands):
                out[f"nisa.{v.name} through indices: the cost per index is not public"] = None
            elif v.name not in ("dma_copy",):
                out[f"nisa.{v.name}: specified, not measured"] = None
        elif engine is TENSOR and v.name == "nc_matmul_mx":
            out["nisa.nc_matmul_mx: specified, not measured"] = None
    return list(out)

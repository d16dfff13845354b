"""Lower bounds: no run of this program on this machine can be faster than any of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore.lowering.program import Program, lower
from simcore.machine import Machine
from simcore.timeline import ENGINES
from simcore.trace import Trace


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Least time per resource, picoseconds.

    resources      "Tensor", "Vector", ...: sum of issue intervals of the busiest core; "DMA": busy time of 16 engines;
                   "HBM": bytes over the core's share of the bandwidth; "latency": the longest chain of dependent instructions
    flops          arithmetic operations; hbm_bytes: bytes moved to and from HBM; intensity: flops per byte
    """

    resources: dict[str, int]
    flops: int
    hbm_bytes: int

    @property
    def intensity(self) -> float | None:
        return self.flops / self.hbm_bytes if self.hbm_bytes else None

    @property
    def bottleneck(self) -> str:
        """The resource with the largest bound."""
        return max(self.resources, key=lambda k: self.resources[k]) if self.resources else ""

    @property
    def ps(self) -> int:
        return max(self.resources.values(), default=0)

    def to_dict(self) -> dict[str, Any]:
        return {"resources": self.resources, "flops": self.flops, "hbm_bytes": self.hbm_bytes, "intensity": self.intensity,
                "bottleneck": self.bottleneck}


def bounds(trace: Trace, machine: Machine) -> Bounds:
    """Bounds of a trace on a machine."""
    return bounds_of(lower(trace, machine), machine)


def bounds_of(p: Program, machine: Machine) -> Bounds:
    resources: dict[str, int] = {}
    for e, name in enumerate(ENGINES):
        per_core = [int(p.issue_ps[(p.engine == e) & (p.core == c)].sum()) for c in range(max(1, p.cores))]
        if max(per_core):
            resources[name] = max(per_core)
    shares = np.array([t.share_ps * t.engines if t is not None else 0 for t in (o.dma for o in p.ops)], np.int64)
    moved = [int(shares[p.op[p.core == c]].sum()) if len(p.op) else 0 for c in range(max(1, p.cores))]
    if max(moved):
        resources["DMA"] = max(moved) // machine.dma.engines
    hbm_bytes = int((p.hbm_read_bytes + p.hbm_write_bytes)[p.op].sum()) if len(p.op) else 0
    flops = int(p.flops[p.op].sum()) if len(p.op) else 0
    return Bounds(resources=resources, flops=flops, hbm_bytes=hbm_bytes)

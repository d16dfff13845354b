"""Lower bounds: no run of this program on this machine can be faster than any of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore import format
from simcore.isa.table import ENGINE_INDEX, TENSOR, Op
from simcore.lowering.program import Program, lower
from simcore.machine import Machine
from simcore.tables import Table, Tabled, shares
from simcore.timeline import ENGINES
from simcore.trace import Trace


@dataclass(frozen=True, kw_only=True, repr=False)
class Bounds(Tabled):
    """Least time per resource, picoseconds.

    resources      "Tensor", "Vector", ...: issue intervals of the busiest core, added up (Tensor: streaming at full
                   clock); "DMA": what the busiest core's transfers take on 16 engines; "HBM", with several cores: bytes
                   over the bandwidth of their stacks
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

    def headline(self) -> tuple[str, ...]:
        """What limits the program, and its intensity."""
        moved = f"{format.flops(self.flops)}, {format.size(self.hbm_bytes)} of HBM traffic"
        return (f"No schedule is shorter than {format.time(self.ps)} ({self.bottleneck or 'nothing to do'})",
                f"{moved}; intensity {format.intensity(self.intensity)}")

    def tables(self) -> tuple[Table, ...]:
        """The bound of each resource beside the largest, largest first."""
        ordered = dict(sorted(self.resources.items(), key=lambda item: -item[1]))
        return (shares("Lower bounds", ("resource", "at least"), ordered, self.ps),) if ordered else ()

    def to_dict(self) -> dict[str, Any]:
        return {"resources": self.resources, "flops": self.flops, "hbm_bytes": self.hbm_bytes,
                "intensity": self.intensity, "bottleneck": self.bottleneck}


def bounds(trace: Trace, machine: Machine) -> Bounds:
    """Bounds of a trace on a machine."""
    return bounds_of(lower(trace, machine), machine)


def bounds_of(p: Program, machine: Machine) -> Bounds:
    """Bounds of a lowered program."""
    resources: dict[str, int] = {}
    cores = range(max(1, p.cores))
    engine = np.array([ENGINE_INDEX[o.engine] for o in p.ops], np.int64)
    pe = machine.tensor
    least = np.array([_least(o, pe) for o in p.ops], np.int64)
    uses = [np.bincount(p.op[p.core == c], minlength=len(p.ops)) for c in cores]
    for e, name in enumerate(ENGINES):
        per_core = [int((least * n)[engine == e].sum()) for n in uses]
        if max(per_core):
            resources[name] = max(per_core)
    work = np.array([sum(o.dma.work_ps) if o.dma is not None else 0 for o in p.ops], np.int64)
    moved = [int((work * n).sum()) for n in uses]
    if max(moved):
        resources["DMA"] = max(moved) // machine.dma.engines
    n = sum(uses)
    hbm_bytes = int(((p.hbm_read_bytes + p.hbm_write_bytes) * n).sum())
    if hbm_bytes and p.cores > 1:
        stacks = -(-p.cores // max(1, machine.hbm.get("cores_per_stack", 1)))
        resources["HBM"] = round(hbm_bytes / machine.hbm.bytes_per_s / stacks * 1e12)
    return Bounds(resources=resources, flops=int((p.flops * n).sum()), hbm_bytes=hbm_bytes)


def _least(o: Op, pe) -> int:
    """Time an engine is taken by a chip instruction at the very least."""
    if o.dma is not None:
        return 0
    if o.engine is TENSOR:
        share = len(o.cells) * pe.smallest_tile ** 2 / (pe.rows * pe.columns) if o.cells else 1
        return round(pe.ps(o.pe_cycles) * share) if o.opcode == "MATMUL" else 0
    return o.issue_ps

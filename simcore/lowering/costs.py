"""What a variant costs: the chip instructions it becomes, from its row's cost rule or its engine's duration law."""

from __future__ import annotations

from simcore.errors import MachineError
from simcore.isa.operators import to_operator
from simcore.isa.table import DMA, ENGINE_INDEX, GPSIMD, SCALAR, SYNC, TENSOR, VECTOR, Engine, Op
from simcore.machine import Machine
from simcore.trace import Variant

SECTION = {TENSOR: "tensor", VECTOR: "vector", SCALAR: "scalar", GPSIMD: "gpsimd", SYNC: "sync"}


def ops_of(v: Variant, machine: Machine) -> tuple[Op, ...]:
    """The chip instructions of a variant, in order."""
    if v.row.cost_fn is not None:
        return v.row.cost_fn(v, machine)
    return (by_law(v, machine, engine_of(v)),)


def engine_of(v: Variant) -> Engine:
    """The engine a compute variant runs on where the kernel leaves the choice: Vector, unless the row has no Vector form."""
    if v.engine not in (Engine.unknown, DMA):
        return v.engine
    return v.row.engines[0]


def by_law(v: Variant, machine: Machine, engine: Engine, *, opcode: str | None = None, function: str = "") -> Op:
    """One instruction with the duration law of its engine: issue = N * rate + overhead, latency = the law."""
    section = getattr(machine, SECTION[engine])
    ins = [o for o in v.operands if "r" in o.access and o.layout.free > 1] or [o for o in v.operands if "r" in o.access]
    outs = v.writes
    out = outs[0].layout if outs else (ins[0].layout if ins else None)
    n = max((o.layout.free for o in v.operands), default=1)
    if not function:
        op = v.params.get("op", v.params.get("op0"))
        function = to_operator(op).name if op is not None else ""
    vectors = sum(1 for o in v.operands if o.name in ("bias", "scale"))
    law = section.law(v.name, function=function, inputs=tuple(o.layout.dtype.itemsize for o in ins),
                      out=out.dtype.itemsize if out else 4, memories=tuple(o.layout.buffer.value for o in ins),
                      dest=out.buffer.value if out else "sbuf", contiguous=all(o.layout.contiguous for o in v.operands))
    latency = section.ps(law.cycles(n, vectors))
    issue = min(latency, section.ps(law.cycles_per_element * n + law.extra_cycles + (section.get("issue_overhead_cycles") or 0.0)))
    return Op(engine=engine, opcode=opcode or v.row.opcode, issue_ps=issue, latency_ps=latency,
              reads=tuple(o.name for o in v.reads), writes=tuple(o.name for o in v.writes),
              flops=(out.size if out else 0), dtype=str(out.dtype) if out else "")


__all__ = ["ENGINE_INDEX", "MachineError", "by_law", "engine_of", "ops_of"]

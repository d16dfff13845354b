"""Cost rules: the chip instructions of a variant, and how long each takes.

Vector, Scalar and GpSimd instructions follow the machine's duration laws (machine/sections.py: Law), so one rule serves
all their rows.  The Tensor engine and DMA have rules of their own (costs_tensor.py, costs_dma.py).  A row may override
with its own `@row.cost`.
"""

from __future__ import annotations

from simcore.isa.operators import to_operator
from simcore.isa.table import DMA, GPSIMD, SCALAR, TENSOR, VECTOR, Engine, Op
from simcore.layout import Layout
from simcore.machine import Law, Machine
from simcore.machine.sections import Engine as Engine_
from simcore.trace import Operand, Variant


def ops_of(v: Variant, machine: Machine, times: int = 1, argument: bool = False, psum: int = 0,
           chosen: Engine | None = None) -> tuple[Op, ...]:
    """The chip instructions of a variant on a machine, or of `times` of them done at once.

    argument  a DMA moves an argument or result of the kernel
    psum      operands (bits by position) that are read in PSUM although written as SBUF tiles
    chosen    the engine the compiler takes, where the kernel leaves the choice
    Raises MachineError where the machine lacks a number it needs.
    """
    if v.row.cost_fn is not None:
        return v.row.cost_fn(v, machine)
    from simcore.lowering.costs_dma import dma_cost
    from simcore.lowering.costs_tensor import tensor_cost

    engine = chosen or engine_of(v)
    if engine is TENSOR:
        return tensor_cost(v, machine)
    if engine is DMA:
        return dma_cost(v, machine, times, argument)
    if not v.operands:
        return (control(v, machine, engine),)
    return elementwise(v, machine, engine, times, psum)


def engine_of(v: Variant) -> Engine:
    """The engine that executes a variant: as asked, else the first that can reach its operands."""
    if v.engine not in (Engine.unknown, None) and not (v.engine is not DMA and DMA in v.row.engines):
        return v.engine
    if DMA in v.row.engines:
        return DMA
    if v.name == "nc_transpose":
        from simcore.isa.data_movement import transposes_on_vector

        return VECTOR if transposes_on_vector(v) else TENSOR
    if v.name in ("tensor_tensor", "tensor_scalar", "tensor_copy", "memset"):
        return VECTOR
    return v.row.engines[0]


def control(v: Variant, machine: Machine, engine: Engine) -> Op:
    """Register moves, barriers: an instruction without data."""
    ps = round(machine.semaphore.instruction_ns * 1000)
    return Op(engine=engine if engine is not Engine.unknown else Engine.sync, opcode=v.row.opcode, issue_ps=ps,
              latency_ps=ps)


# ----------------------------------------------------------------------------------------------- Vector, Scalar, GpSimd


def free_elements(v: Variant) -> int:
    """Elements per partition that pass through the engine: of the largest tile operand."""
    return max((o.layout.free for o in v.given if o.layout.on_chip), default=1)


def is_vector_operand(o: Operand, elements: int) -> bool:
    """A scale, bias or other value per partition."""
    return o.access == "r" and o.layout.free == 1 and elements > 1 and o.name not in ("data", "src", "data1")


def elementwise(v: Variant, machine: Machine, engine: Engine, times: int = 1, psum: int = 0) -> tuple[Op, ...]:
    """An instruction that streams its tiles through Vector, Scalar or GpSimd."""
    section = {VECTOR: machine.vector, SCALAR: machine.scalar, GPSIMD: machine.gpsimd}.get(engine)
    if section is None:
        return (control(v, machine, engine),)
    n = free_elements(v)
    law, tiles, vectors = law_of(v, section, psum)
    writes = [o for o in v.operands if "w" in o.access]
    out = writes[0].layout if writes else v.operands[0].layout
    stretch = max((sector_factor(o.layout, machine) for o in v.given), default=1.0)
    stream = law.stream(n * times) * stretch
    if any(o.layout.indirect
           for o in v.given) and engine is VECTOR and machine.vector.get("dynamic_address_min_cycles"):
        stream = max(stream, machine.vector.dynamic_address_min_cycles)
    overhead = law.issue_cycles or section.issue_overhead_cycles
    issue = stream + overhead + law.operand_issue_cycles * vectors + law.extra_cycles
    latency = stream + law.fixed_cycles + law.extra_cycles + law.operand_cycles * vectors
    latency = max(latency, issue)
    accumulates = v.get("reduce_res") is not None and bool(section.get("accumulator_read_issue_cycles"))
    if accumulates:
        issue = max(issue, stream + (section.get("accumulator_ready_cycles") or 0.0))
    op = Op(engine=engine, opcode=opcode(v, out), issue_ps=section.ps(issue), latency_ps=section.ps(latency),
            reads=tuple(o.name for o in v.reads),
            writes=tuple(o.name for o in writes if not accumulates or o.name != "reduce_res"),
            flops=times * flops(v, n), dtype=tiles[0].layout.dtype.name if tiles else out.dtype.name)
    return (op, accumulator_read(section, engine)) if accumulates else (op,)


def accumulator_read(section: Engine_, engine: Engine) -> Op:
    """The instruction that writes what the one before it accumulated."""
    return Op(engine=engine, opcode="ACT_READ_ACCUMULATOR" if engine is SCALAR else "READ_ACCUMULATOR",
              issue_ps=section.ps(section.accumulator_read_issue_cycles),
              latency_ps=section.ps(section.accumulator_read_cycles), writes=("reduce_res",))


def law_of(v: Variant, section: Engine_, psum: int = 0) -> tuple[Law, list[Operand], int]:
    """The duration law of a variant, its tile inputs, and how many scale or bias vectors it reads besides."""
    n = free_elements(v)
    writes = [o for o in v.operands if "w" in o.access]
    out = writes[0].layout if writes else v.operands[0].layout
    tiles = [o for o in v.given if "r" in o.access and o not in writes[:1] and not is_vector_operand(o, n)]
    vectors = sum(is_vector_operand(o, n) for o in v.given)
    law = section.law(
        v.name, function=function_name(v), inputs=tuple(o.layout.dtype.itemsize for o in tiles), out=out.dtype.itemsize,
        memories=tuple("psum" if psum >> v.operands.index(o) & 1 else o.layout.buffer.value for o in tiles),
        dest=out.buffer.value, contiguous=all(o.layout.inner_stride <= 1 for o in v.given))
    return law, tiles, vectors


def opcode(v: Variant, out: Layout) -> str:
    """The profiler's name: a copy that changes the dtype is a CAST."""
    if v.name == "tensor_copy":
        return "COPY" if v["src"].dtype is out.dtype else "CAST"
    return v.row.opcode


def function_name(v: Variant) -> str:
    """Name of the activation function or the first operator."""
    op = to_operator(v.params.get("op", v.params.get("op0")))
    return op.name if op is not None else ""


def sector_factor(lay: Layout, machine: Machine) -> float:
    """How much slower a strided operand streams: by the distinct sectors it touches, two items of fp32 being free."""
    if not lay.on_chip or lay.inner_stride <= 1:
        return 1.0
    sector = machine.sbuf.sector_bytes
    per_sector = max(1.0, sector / (lay.inner_stride * lay.dtype.itemsize))
    full = sector / machine.sbuf.sector_full_rate_bytes
    return min(machine.sbuf.stride_max_factor, max(1.0, full / per_sector))


def flops(v: Variant, n: int) -> int:
    if v.row.flops_fn is not None:
        return int(v.row.flops_fn(v))
    partitions = max((o.layout.shape[0] for o in v.given if o.layout.on_chip), default=1)
    return partitions * n

"""Machines as tables: all in brief, or one with every number and its source."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simcore import format
from simcore.machine import Fact, Machine

_FORMATS = {"Hz": format.frequency, "B/s": format.rate, "FLOP/s": format.flop_rate, "B": format.size}

_BRIEF = {
    "NeuronCore": "core.neuroncore_version",
    "cores per device": "core.cores_per_device",
    "Tensor clock": "tensor.clock_hz",
    "Tensor bf16": "tensor.peak_flops_per_s.bf16",
    "Tensor fp8": "tensor.peak_flops_per_s.fp8",
    "Tensor fp32": "tensor.peak_flops_per_s.fp32",
    "Vector clock": "vector.clock_hz",
    "Scalar clock": "scalar.clock_hz",
    "GpSimd clock": "gpsimd.clock_hz",
    "SBUF per partition": "sbuf.bytes_per_partition",
    "PSUM banks": "psum.banks",
    "HBM per device": "hbm.capacity_bytes",
    "HBM bandwidth": "hbm.device_bytes_per_s",
    "DMA engines": "dma.engines",
    "each DMA engine": "dma.engine_bytes_per_s",
}


def brief(machines: Sequence[Machine]) -> RenderableType:
    """One column per machine, the numbers people ask for first; a dash where a number is missing."""
    columns = [{fact.name: fact for fact in machine.facts()} for machine in machines]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for machine in machines:
        table.add_column(machine.name, justify="right")
    table.add_row("", *(Text(machine.title, style="dim") for machine in machines))
    for label, name in _BRIEF.items():
        table.add_row(label, *(_value(facts.get(name)) for facts in columns))
    counts = [_kinds(facts.values()) for facts in columns]
    table.add_row(Text("numbers, by kind", style="dim"), *(Text(c, style="dim") for c in counts))
    return table


def full(machine: Machine) -> RenderableType:
    """Every number of a machine with its unit, kind and source."""
    title = f"{machine.name}: {machine.title}" + (f" (extends {machine.extends})" if machine.extends else "")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("number", "value", "kind", "source"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for fact in machine.facts():
        table.add_row(fact.name, _value(fact), fact.kind, Text(fact.source, style="dim"))
    sources = Table(box=None, pad_edge=False, show_header=False)
    for key, meaning in machine.sources.items():
        sources.add_row(Text(key, style="bold"), str(meaning))
    return Group(Text(title, style="bold"), table, Text("\nSources", style="bold"), sources)


def _value(fact: Fact | None) -> str:
    if fact is None:
        return format.MISSING
    if fact.name.endswith("bytes_per_partition"):
        return format.size(fact.value)
    if fact.unit in _FORMATS and isinstance(fact.value, int | float):
        return _FORMATS[fact.unit](fact.value)
    if isinstance(fact.value, float):
        return f"{fact.value:g} {fact.unit}".rstrip()
    return f"{fact.value} {fact.unit}".rstrip() if not isinstance(fact.value, str) else fact.value


def _kinds(facts) -> str:
    count: dict[str, int] = {}
    for fact in facts:
        count[fact.kind] = count.get(fact.kind, 0) + 1
    return "\n".join(f"{n} {kind}" for kind, n in sorted(count.items(), key=lambda item: -item[1]))

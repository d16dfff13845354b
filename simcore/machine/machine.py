"""Machine: the numbers of one NeuronCore generation.

A section (`machine.tensor`, `machine.dma`, ...) has one attribute per number; the unit ends
the attribute's name.  Every number knows its kind (specified, measured, inferred, fitted, or
assumed in a what-if machine) and its source.  A number the TOML does not give is missing:
reading it raises MachineError, `section.get(name)` gives None.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from simcore.errors import MachineError, nearest
from simcore.machine.sections import (
    KINDS,
    SECTIONS,
    Compiler,
    Core,
    Dma,
    Engine,
    Gpsimd,
    Hbm,
    Kernel,
    Law,
    Psum,
    Sbuf,
    Scalar,
    Section,
    Semaphore,
    Sync,
    Tensor,
    Vector,
)

UNITS = {
    "_hz": "Hz", "_ns": "ns", "_ps": "ps", "_bytes_per_s": "B/s", "_flops_per_s": "FLOP/s", "_bytes": "B",
    "_bytes_per_partition": "B/partition", "_cycles": "cycles", "_cycles_per_column": "cycles/column",
    "_cycles_per_element": "cycles/element", "_fraction": "", "_factor": "", "_ns_per_descriptor": "ns/descriptor",
    "_ns_per_element": "ns/element", "_rows": "rows", "_columns": "columns", "_ns_per_index": "ns/index",
}


class Fact(NamedTuple):
    """One number and where it comes from."""

    name: str
    value: Any
    unit: str
    kind: str
    source: str


def unit_of(name: str) -> str:
    """The unit a number's name ends with."""
    ends = [end for end in UNITS if name.endswith(end)]
    return UNITS[max(ends, key=len)] if ends else ""


def ps_per_cycle(clock_hz: float) -> float:
    """Picoseconds per cycle, unrounded; `Engine.ps` is the one place that rounds a duration."""
    return 1e12 / clock_hz


@dataclass(frozen=True, kw_only=True, eq=False)
class Machine:
    """One generation of NeuronCore.  Build with load_machine(); `name` is its file's stem."""

    name: str
    title: str
    extends: str = ""
    core: Core
    tensor: Tensor
    vector: Vector
    scalar: Scalar
    gpsimd: Gpsimd
    sync: Sync
    sbuf: Sbuf
    psum: Psum
    hbm: Hbm
    dma: Dma
    semaphore: Semaphore
    compiler: Compiler
    kernel: Kernel
    provenance: Mapping[str, tuple[str, str]]       # dotted name -> (kind, source)
    sources: Mapping[str, str]                      # source key -> what it is

    def __repr__(self) -> str:
        return f"<Machine {self.name}: {self.title}>"

    @cached_property
    def engines(self) -> dict[str, Engine]:
        """Engine sections by the vendor's display name."""
        return {"Tensor": self.tensor, "Vector": self.vector, "Scalar": self.scalar, "GpSimd": self.gpsimd,
                "Sync": self.sync}

    def facts(self) -> Iterator[Fact]:
        """Every number the machine has, with unit, kind and source, in the order of the sections."""
        for section_name in SECTIONS:
            section = getattr(self, section_name)
            for name, value in section.items():
                if name == "laws":
                    for i, law in enumerate(value):
                        yield Fact(f"{section_name}.laws[{i}] {law.form}", law.formula, "cycles", law.kind, law.source)
                    continue
                kind, source = self.provenance[f"{section_name}.{name}"]
                if isinstance(value, Mapping):
                    for key, item in value.items():
                        yield Fact(f"{section_name}.{name}.{key}", item, unit_of(name), kind, source)
                else:
                    yield Fact(f"{section_name}.{name}", value, unit_of(name), kind, source)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a saved run."""
        out: dict[str, Any] = {"name": self.name, "title": self.title, "extends": self.extends,
                               "sources": dict(self.sources)}
        for section_name in SECTIONS:
            out[section_name] = {}
            for name, value in getattr(self, section_name).items():
                if name == "laws":
                    out[section_name][name] = [dataclasses.asdict(law) for law in value]
                else:
                    kind, source = self.provenance[f"{section_name}.{name}"]
                    plain = dict(value) if isinstance(value, Mapping) else value
                    out[section_name][name] = {"value": plain, "kind": kind, "source": source}
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Machine:
        """What to_dict gave.  Raises MachineError for unknown names, kinds or wrong types."""
        known = {"name", "title", "extends", "sources", *SECTIONS}
        for key in data:
            if key not in known:
                raise MachineError(f"a machine has no section {key!r}.{nearest(key, known)}")
        provenance: dict[str, tuple[str, str]] = {}
        sections: dict[str, Any] = {}
        for section_name, section_type in SECTIONS.items():
            given = data.get(section_name, {})
            if not isinstance(given, Mapping):
                raise MachineError(f"[{section_name}] of machine {data.get('name')!r} is not a table")
            sections[section_name] = section_type.parse(section_name, given, provenance, str(data.get("name", "")))
        return cls(name=str(data.get("name", "")), title=str(data.get("title", "")),
                   extends=str(data.get("extends", "")),
                   sources=dict(data.get("sources", {})), provenance=provenance, **sections)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Machine) and self.to_dict() == other.to_dict()

    __hash__ = object.__hash__

    def replace(self, **numbers: Any) -> Machine:
        """A copy with numbers changed, as `machine.replace(**{"tensor.clock_hz": 3e9})`; their kind is "assumed"."""
        data = self.to_dict()
        for dotted, value in numbers.items():
            section, _, name = dotted.partition(".")
            if section not in SECTIONS:
                raise MachineError(f"a machine has no number {dotted!r}")
            data[section][name] = {"value": value, "kind": "assumed", "source": "replace()"}
        return Machine.from_dict(data)


__all__ = ["KINDS", "Fact", "Law", "Machine", "Section", "ps_per_cycle", "unit_of"]

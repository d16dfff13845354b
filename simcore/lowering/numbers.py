"""Which of a machine's numbers an instruction's cost rests on, each with its kind and source.

The rule itself runs, on a machine that notes what is read of it: so what is shown cannot differ from what was used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simcore.isa.table import Op
from simcore.lowering.costs import ops_of
from simcore.lowering.program import Kind, lower
from simcore.lowering.units import LEGACY
from simcore.machine import Law, Machine
from simcore.machine.machine import unit_of
from simcore.machine.sections import SECTIONS, Section
from simcore.trace import Trace, Variant


@dataclass(frozen=True)
class Number:
    """A number that a cost rule read: `name` as in the machine's TOML, `value` or a law's formula."""

    name: str
    value: Any
    unit: str
    kind: str
    source: str


@dataclass(frozen=True)
class Basis:
    """What the cost of a variant rests on: its chip instructions, and the numbers read, in the order of reading.

    `cycles` are the durations the rule turned into time: (section, cycles, ps).
    """

    ops: tuple[Op, ...]
    numbers: tuple[Number, ...]
    cycles: tuple[tuple[str, float, int], ...]


def basis(variant: Variant, machine: Machine, *how: int) -> Basis:
    """Run the variant's cost rule and note what it reads.  Raises MachineError where the machine lacks a number.

    how: the further arguments of `ops_of`, where the compiler does several at once or elsewhere (kinds_of).
    """
    notes = _Notes(machine)
    ops = ops_of(variant, notes.machine(), *how)  # type: ignore[arg-type]
    return Basis(ops, tuple(notes.numbers.values()), tuple(dict.fromkeys(notes.cycles)))


def kinds_of(trace: Trace, machine: Machine) -> dict[int, Kind]:
    """Per instruction that stands for a unit of work: the arguments of `ops_of` besides trace and machine.

    Empty where instructions are done one by one as they are written: in the current dialect, and with spilled tiles.
    """
    if trace.info.get("dialect") != LEGACY or "spilled_bytes" in trace.info:
        return {}
    program = lower(trace, machine)
    unit = program.unit_row[program.first_chip]
    return {int(row): program.kinds[k] for row, k in zip(program.trace_row[program.first_chip], program.kind[unit])}


class _Notes:
    """What was read so far."""

    def __init__(self, machine: Machine):
        self.real = machine
        self.numbers: dict[str, Number] = {}
        self.cycles: list[tuple[str, float, int]] = []

    def machine(self) -> _Noted:
        return _Noted(self)

    def read(self, section: str, name: str, value: Any, key: Any = None) -> None:
        dotted = f"{section}.{name}"
        if value is None or dotted not in self.real.provenance:
            return
        kind, source = self.real.provenance[dotted]
        full = dotted if key is None else f"{dotted}.{key}"
        self.numbers.setdefault(full, Number(full, value, unit_of(name), kind, source))

    def law(self, section: str, law: Law) -> None:
        name = f"{section} law: {law.form}"
        self.numbers.setdefault(name, Number(name, law.formula, "", law.kind, law.source))


class _Noted:
    """Stands in for a Machine."""

    def __init__(self, notes: _Notes):
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._notes.real, name)
        return _NotedSection(name, value, self._notes) if name in SECTIONS else value


class _NotedSection:
    """Stands in for a Section."""

    def __init__(self, name: str, section: Section, notes: _Notes):
        self._name, self._section, self._notes = name, section, notes
        self._fields = {f.name for f in dataclasses.fields(section)}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._section, name)
        return self._note(name, value) if name in self._fields else value

    def get(self, name: str, *default: Any) -> Any:
        return self._note(name, self._section.get(name, *default))

    def law(self, *args: Any, **kwargs: Any) -> Law:
        law = self._section.law(*args, **kwargs)  # type: ignore[attr-defined]
        self._notes.law(self._name, law)
        return law

    def ps(self, cycles: float) -> int:
        ps = self._section.ps(cycles)  # type: ignore[attr-defined]
        self._notes.read(self._name, "clock_hz", self._section.get("clock_hz"))
        self._notes.cycles.append((self._name, float(cycles), ps))
        return ps

    def _note(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return _NotedTable(value, lambda key, one: self._notes.read(self._name, name, one, key))
        self._notes.read(self._name, name, value)
        return value


class _NotedTable(dict):
    """A number given per dtype: notes the one that is read."""

    def __init__(self, values: Mapping, note):
        super().__init__(values)
        self._note = note

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        self._note(key, value)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self else default

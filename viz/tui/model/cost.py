"""The panel of costs: the numbers behind the chosen instruction's duration, each with its kind and source."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from simcore.errors import SimcoreError
from simcore.machine import Machine
from simcore.timeline import Timeline
from simcore.viz import format as fmt
from simcore.viz.tui.model.facts import Line, line
from simcore.viz.tui.model.view import View

if TYPE_CHECKING:
    from simcore.lowering.program import Kind


def cost(view: View) -> list[Line]:
    """What the cost rule reads of the machine; a sentence where there is no rule to ask."""
    item = view.item
    if item is None:
        return _sentence("nothing is chosen")
    timeline = view.runs.timelines[item.run]
    row = item.row if item.table == "instruction" else int(timeline.dma.instruction[item.row])
    if timeline.kind == "measured":
        return _sentence("measured: its times are the hardware's, there is no cost rule to explain")
    source_row = int(timeline.instructions.source_row[row]) if row >= 0 else -1
    if timeline.trace is None or source_row < 0:
        return _sentence(
            "a saved run does not hold the rules behind its costs; open the kernel file itself to see them"
        )
    if timeline.opcode(row) == "ACT_TABLE_LOAD":
        return _table_load(Machine.from_dict(timeline.machine))
    return _basis(timeline, source_row)


def _table_load(machine: Machine) -> list[Line]:
    kind, source = machine.provenance["scalar.table_load_ns"]
    took = f"{machine.scalar.table_load_ns:g} ns"
    return [
        [("ACT_TABLE_LOAD", "strong"), ("  the compiler puts it before a function of another table", "dim")],
        line(kind, "scalar.table_load_ns  ", (took, "strong"), (f"  {source}", "dim")),
        *_where([source], machine),
    ]


@lru_cache(maxsize=4)
def _kinds(timeline: Timeline) -> dict[int, Kind]:
    from simcore.lowering.numbers import kinds_of

    return kinds_of(timeline.trace, Machine.from_dict(timeline.machine))


def _basis(timeline: Timeline, source_row: int) -> list[Line]:
    from simcore.lowering.costs import free_elements  # only a simulated run needs the instruction table
    from simcore.lowering.numbers import basis

    trace = timeline.trace
    variant = trace.variants[trace.variant[source_row]]
    machine = Machine.from_dict(timeline.machine)
    try:
        kind = _kinds(timeline).get(source_row)
        known = basis(variant, machine, *(kind[1:] if kind else ()))
    except SimcoreError as e:
        return _sentence(e.message)
    head: Line = [(variant.name, "strong"), (f"  {_how(kind)}", "dim")]
    lines = [head]
    for op in known.ops:
        busy = f"{fmt.time(op.issue_ps)} until the next" if op.issue_ps != op.latency_ps else ""
        transfer = op.dma
        moved = f"   then {transfer.descriptors} descriptors on {transfer.engines} DMA engines" if transfer else ""
        lines.append(
            [("  " + op.opcode, "strong"), (f"  {fmt.time(op.latency_ps)}", ""), (f"   {busy}{moved}".rstrip(), "dim")]
        )
    for section, cycles, ps in known.cycles:
        lines.append([(f"  {cycles:g} {section} cycles", ""), (f" = {fmt.time(ps, significant=5)}", "dim")])
    per = (
        f", N = {free_elements(variant)} elements per partition"
        if any(" law:" in n.name for n in known.numbers)
        else ""
    )
    lines.append([(f"from these numbers of {machine.name}{per}", "label")])
    for n in known.numbers:
        value = n.value if isinstance(n.value, str) else f"{n.value:,.10g} {n.unit}".replace(",", " ").rstrip()
        lines.append(line(n.kind, f"{n.name}  ", (value, "strong"), (f"  {n.source}", "dim")))
    return lines + _where([n.source for n in known.numbers], machine)


def _how(kind: Kind | None) -> str:
    """What the compiler makes of the instruction, in the words of the cost."""
    if kind is None:
        return "one of these costs"
    many = f"{kind.times} of these, done at once, cost" if kind.times > 1 else "one of these costs"
    where = f" on {kind.chosen.display}, where the compiler put it" if kind.chosen else ""
    source = ", read in PSUM without a copy to SBUF" if kind.psum else ""
    return f"{many}{where}{source}"


def _where(sources: list[str], machine: Machine) -> list[Line]:
    """What the short names of sources stand for."""
    names = dict.fromkeys(key for source in sources for key in re.findall(r"\w+", source) if key in machine.sources)
    return [[("where", "label")], *(line(key, (machine.sources[key], "dim")) for key in names)] if names else []


def _sentence(text: str) -> list[Line]:
    return [[(text, "dim")]]

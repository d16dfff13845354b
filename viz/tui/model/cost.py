"""The panel of costs: the numbers behind the chosen instruction's duration, each with its kind and source."""

from __future__ import annotations

import re

from simcore.errors import SimcoreError
from simcore.timeline import Timeline
from simcore.viz import format as fmt
from simcore.viz.tui.model.facts import Line, line
from simcore.viz.tui.model.view import View


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
    return _basis(timeline, source_row)


def _basis(timeline: Timeline, source_row: int) -> list[Line]:
    from simcore.lowering.costs import free_elements  # only a simulated run needs the instruction table
    from simcore.lowering.numbers import basis
    from simcore.machine import Machine

    trace = timeline.trace
    variant = trace.variants[trace.variant[source_row]]
    machine = Machine.from_dict(timeline.machine)
    try:
        known = basis(variant, machine)
    except SimcoreError as e:
        return _sentence(e.message)
    head: Line = [(variant.name, "strong"), ("  one of these costs", "dim")]
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
    used: dict[str, str] = {}
    for n in known.numbers:
        value = n.value if isinstance(n.value, str) else f"{n.value:,.10g} {n.unit}".replace(",", " ").rstrip()
        lines.append(line(n.kind, f"{n.name}  ", (value, "strong"), (f"  {n.source}", "dim")))
        used |= {key: machine.sources[key] for key in re.findall(r"\w+", n.source) if key in machine.sources}
    if used:
        lines.append([("where", "label")])
        lines += [line(key, (meaning, "dim")) for key, meaning in used.items()]
    return lines


def _sentence(text: str) -> list[Line]:
    return [[(text, "dim")]]

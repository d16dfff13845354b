"""Symptoms of the same optimisations in a timeline alone: a measured profile, or a very long run.

Nothing can be simulated here, so each finding says what the symptom takes (of an engine, or of waiting) and not what a
change would save.  Reloads and intermediates in HBM need the kernel's tensors and are not looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod

import numpy as np

from simcore import analysis, format
from simcore.errors import MachineError
from simcore.explain.finding import LEAST_SHARE, Finding, source_text
from simcore.explain.loops import SMALL_DMA_BYTES, SMALL_FREE
from simcore.explain.rules import RULES
from simcore.roofline import machine_of
from simcore.timeline import CAUSES, ENGINES, Timeline, union_ps

PARTITIONS_PER_ENGINE = 8

_VENDOR = re.compile(r"=\w+@0x[0-9a-f]+\[[-\d,]*\]\[([\d,]+)\]|(?:src|dst)=@?0x[0-9a-f]+\[[-\d,]*\]\[([\d,]+)\]")
_CHANNELS = re.compile(r"\bchannels=(\d+)")
_ARRAY = re.compile(r"\b(\d+)\*(\d+)\b")
_OURS = re.compile(r"(\w+)=\w+\[(\d+)((?:,\d+)*)\]@(?:sbuf|psum)")


def symptoms(timeline: Timeline) -> list[Finding]:
    """What can be seen without the kernel's instructions, each at least LEAST_SHARE of the run."""
    begin, end = analysis.span_ps(timeline)
    found = [f for find in (_waits, _tensor, _elementwise, _transfers) for f in find(timeline)]
    return [f for f in found if (f.cost_ps or 0) >= LEAST_SHARE * (end - begin)]


def free_elements(text: str) -> int:
    """Elements per partition of the largest on-chip operand, from operand text (vendor's or ours); 0 unknown."""
    sizes = [prod(int(n) for n in (a or b).split(",")) for a, b in _VENDOR.findall(text)]
    sizes += [prod(int(n) for n in rest.split(",") if n) for _, _, rest in _OURS.findall(text)]
    return max(sizes, default=0)


def partitions(text: str) -> int:
    """Partitions an instruction uses; 0 unknown."""
    channels = [int(n) for n in _CHANNELS.findall(text)] + [int(p) for _, p, _ in _OURS.findall(text)]
    return max(channels, default=0)


def stationary_columns(text: str) -> int:
    """Columns of the stationary tile of a MATMUL; 0 unknown."""
    ours = {name: prod(int(n) for n in rest.split(",") if n) for name, _, rest in _OURS.findall(text)}
    if "stationary" in ours:
        return ours["stationary"]
    found = _ARRAY.findall(text)
    return int(found[-1][1]) if found else 0


def _finding(timeline: Timeline, rule_id: str, rows: np.ndarray, cost: int, message: str) -> Finding:
    rule = RULES[rule_id]
    sites = timeline.instructions.site[rows]
    sites = sites[sites >= 0]
    site = timeline.sites[np.bincount(sites).argmax()] if len(sites) else None
    return Finding(
        rule=rule.id,
        number=rule.number,
        title=rule.title,
        message=message,
        advice=rule.advice,
        site=site,
        source=source_text(timeline, site),
        count=len(rows),
        saving_ps=None,
        cost_ps=int(cost),
    )


def _waits(timeline: Timeline) -> Iterator[Finding]:
    """The engine that is busiest, and what it waits for."""
    t, rows = timeline.instructions, analysis.kernel_rows(timeline)
    engines = {
        name: union_ps(t.start_ps[mine], t.end_ps[mine])
        for i, name in enumerate(ENGINES[:4])
        if len(mine := rows[t.engine[rows] == i])
    }
    if not engines:
        return
    name = max(engines, key=lambda k: engines[k])
    mine = rows[t.engine[rows] == ENGINES.index(name)]
    stall = analysis.stall_ps(timeline)
    for rule, causes, what in (
        ("engine-idle", ("data", "reuse", "bank"), "results or tiles of other engines"),
        ("unhidden-load", ("dma",), "DMA transfers"),
    ):
        waiting = mine[np.isin(t.wait_cause[mine], [CAUSES.index(c) for c in causes]) & (stall[mine] > 0)]
        cost = int(stall[waiting].sum())
        if cost:
            times = f"{len(waiting)} time{'s' * (len(waiting) > 1)}"
            message = f"{name}, the busiest engine, waits {format.time(cost)} for {what}, {times}"
            yield _finding(timeline, rule, waiting, cost, message)


def _tensor(timeline: Timeline) -> Iterator[Finding]:
    t, rows = timeline.instructions, analysis.kernel_rows(timeline)
    matmul = rows[t.elements[rows] > 0]
    turning = matmul[t.flops[matmul] == 0]
    if len(turning):
        cost = union_ps(t.start_ps[turning], t.end_ps[turning])
        yield _finding(timeline, "transposes", turning, cost, f"{len(turning)} of {len(matmul)} MATMULs transpose")
    texts = {i: timeline.strings[i] for i in np.unique(t.operands[matmul]) if i >= 0}
    short = [i for i, text in texts.items() if 0 < stationary_columns(text) <= 32 and free_elements(text) >= 64]
    bad = matmul[np.isin(t.operands[matmul], short) & (t.flops[matmul] > 0)]
    if len(bad):
        cost = union_ps(t.start_ps[bad], t.end_ps[bad])
        yield _finding(
            timeline, "short-stationary", bad, cost, f"{len(bad)} MATMULs have at most 32 stationary columns"
        )


def _elementwise(timeline: Timeline) -> Iterator[Finding]:
    t, rows = timeline.instructions, analysis.kernel_rows(timeline)
    trigger = np.zeros(len(t), bool)
    owner = timeline.dma.instruction
    trigger[owner[owner >= 0]] = True
    mine = rows[np.isin(t.engine[rows], [1, 2, 3]) & ~trigger[rows]]
    mine = mine[[not timeline.opcodes[o].startswith(("DMA", "ACT_TABLE")) for o in t.opcode[mine]]]
    width = {i: free_elements(timeline.strings[i]) for i in np.unique(t.operands[mine]) if i >= 0}
    lanes = {i: partitions(timeline.strings[i]) for i in width}
    for rule, table, least, words in (
        ("small-free", width, SMALL_FREE, "process fewer than 128 elements per partition"),
        ("small-partitions", lanes, 65, "use at most 64 of 128 partitions"),
    ):
        few = mine[np.isin(t.operands[mine], [i for i, n in table.items() if 0 < n < least])]
        if len(few) > 1:
            cost = int((t.end_ps - t.start_ps)[few].sum())
            yield _finding(timeline, rule, few, cost, f"{len(few)} instructions {words}, {format.time(cost)} in sum")


def _transfers(timeline: Timeline) -> Iterator[Finding]:
    d = timeline.dma.take(analysis.kernel_transfers(timeline))
    d = d.take(np.maximum(d.read_bytes, d.write_bytes) > 4)  # without the 4-byte writes that signal completion
    if not len(d):
        return
    try:
        rate = machine_of(timeline).dma.engine_bytes_per_s
    except MachineError:
        return
    opcode = np.array([*timeline.opcodes, ""], object)[
        np.where(d.instruction >= 0, timeline.instructions.opcode[d.instruction], -1)
    ]
    turning = np.array(["TRANSPOSE" in name for name in opcode], bool)
    triggers = np.unique(d.instruction[turning & (d.instruction >= 0)])
    if len(triggers):
        cost = union_ps(d.start_ps[turning], d.end_ps[turning])
        yield _finding(timeline, "dma-transpose", triggers, cost, f"{len(triggers)} DMAs transpose")
    known = d.instruction >= 0
    key = np.where(known, d.instruction, -1).astype(np.int64) * 64 + d.engine
    _, group = np.unique(key[known], return_inverse=True)
    moved = np.bincount(group, weights=np.maximum(d.read_bytes, d.write_bytes)[known])
    busy = np.bincount(group, weights=(d.end_ps - d.start_ps)[known].astype(np.float64))
    small = moved < SMALL_DMA_BYTES * PARTITIONS_PER_ENGINE
    if small.any():
        lost = float((busy[small] - moved[small] / rate * 1e12).sum())
        rows = np.unique(d.instruction[known][small[group]])
        message = (
            f"{len(rows)} DMAs move {format.size(float(np.median(moved[small])))} per DMA engine (median); their "
            f"engines are busy {format.time(max(lost, 0) / 16)} longer than the bytes need"
        )
        yield _finding(timeline, "small-dma", rows, int(max(lost, 0) / 16), message)

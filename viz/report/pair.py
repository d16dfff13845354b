"""The report of a comparison: why two runs differ, and the lanes of both on one axis, engine under engine.

The two are put together as the cores of one run, each beginning at its kernel's first start, so that the page draws
them as it draws any timeline.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np

from simcore import analysis
from simcore.profile.compare import Comparison
from simcore.timeline import ENGINES, ClockStates, Counter, Dependences, DmaTransfers, Instructions, Timeline
from simcore.viz.report import payload

SIDES = ("a", "b")
COUNTERS = 6
"""Graphs shown per run."""


def head(comparison: Comparison) -> dict[str, Any]:
    """What the comparison says, in the words the command line prints."""
    return {
        "headline": comparison.headline(),
        "tables": [dataclasses.asdict(table) for table in comparison.tables()],
    }


def build(comparison: Comparison, extra: dict[str, Any]) -> str:
    """The data of the page, as `payload.build` makes it of one run."""
    runs = [_alone(comparison.a), _alone(comparison.b)]
    both, places = beside(*runs)
    tick = max(1, -(-max(both.end_ps, 1) // (2**31 - 1)))
    columns = payload.Columns()
    lanes = payload.lanes(both, columns, tick)
    for lane in lanes:
        *words, core = lane["name"].split(" ")
        which = f" {int(core) // 2}" if len(both.cores) > 2 else ""
        lane["name"] = f"{' '.join(words)}{which} {SIDES[int(core) % 2]}"
    order = (*ENGINES, "DMA")
    lanes.sort(key=lambda lane: order.index(lane["engine"]))
    counters = []
    for side, run in zip(SIDES, runs, strict=True):
        for counter in payload.counters(run, columns, tick, (0, max(run.end_ps, 1)))[:COUNTERS]:
            words, unit = _unit(counter["name"])
            counters.append(counter | {"name": f"{words} {side}{unit}"})
    counters.sort(key=lambda counter: counter["name"])
    return payload.pack(
        both, columns,
        extra | {"tick_ps": tick, "span": [0, both.end_ps / tick], "lanes": lanes, "counters": counters,
                 "critical": _critical(runs, places, columns, tick), "sources": payload.sources(both)},
    )


def _unit(name: str) -> tuple[str, str]:
    """ "SBUF bytes" -> "SBUF", " bytes": the page reads the unit at the end."""
    words, _, unit = name.rpartition(" ")
    return (words, f" {unit}") if unit in ("bytes", "GB/s") else (name, "")


def _alone(t: Timeline) -> Timeline:
    """The kernel's own rows only, from 0 on: no set-up of the runtime, as in every figure."""
    begin, end = analysis.span_ps(t)
    rows, transfers = analysis.kernel_rows(t), analysis.kernel_transfers(t)
    place = np.full(len(t.instructions) + 1, -1)  # the last one is for -1
    place[rows] = np.arange(len(rows))
    i, d = t.instructions.take(rows), t.dma.take(transfers)
    inside = (d.end_ps > begin) & (d.start_ps < end)
    d = d.take(inside)
    deps = t.dependences
    kept = (place[deps.producer] >= 0) & (place[deps.consumer] >= 0)
    return replace(
        t,
        kind="simulated",
        instructions=replace(i, start_ps=i.start_ps - begin, end_ps=i.end_ps - begin, done_ps=i.done_ps - begin,
                             wait_on=place[i.wait_on]),
        dma=replace(d, start_ps=np.maximum(d.start_ps - begin, 0), end_ps=d.end_ps - begin,
                    instruction=place[d.instruction]),
        dependences=replace(deps.take(kept), producer=place[deps.producer[kept]], consumer=place[deps.consumer[kept]]),
        clock=ClockStates.empty(),
        counters={name: Counter(time_ps=c.time_ps - begin, value=c.value) for name, c in t.counters.items()},
    )


def beside(*runs: Timeline) -> tuple[Timeline, list[np.ndarray]]:
    """One timeline in which core 2c + k is core c of run k; and where the rows of each run went."""
    instructions, dma, dependences = [], [], []
    opcodes: list[str] = []
    strings: list[str] = []
    sites: list[Any] = []
    queues: list[str] = []
    sources: dict[str, str] = {}
    first = 0
    for k, (side, t) in enumerate(zip(SIDES, runs, strict=True)):
        i, d, deps = t.instructions, t.dma, t.dependences
        instructions.append(replace(
            i, core=2 * i.core + k, opcode=i.opcode + len(opcodes), operands=_after(i.operands, len(strings)),
            site=_after(i.site, len(sites)), wait_on=_after(i.wait_on, first), dtype=np.full(len(i), -1),
        ))
        dma.append(replace(d, core=2 * d.core + k, queue=d.queue + len(queues),
                           instruction=_after(d.instruction, first)))
        dependences.append(replace(deps, producer=deps.producer + first, consumer=deps.consumer + first))
        opcodes += t.opcodes
        strings += t.strings
        queues += t.queues
        sites += [replace(site, file=f"{side}: {site.file}") for site in t.sites]
        sources |= {f"{side}: {file}": text for file, text in t.sources.items()}
        first += len(i)
    table = _joined(Instructions, instructions)
    order = np.argsort(table.start_ps, kind="stable")
    place = np.full(len(order) + 1, -1)
    place[order] = np.arange(len(order))
    table = table.take(order)
    packets, edges = _joined(DmaTransfers, dma), _joined(Dependences, dependences)
    both = Timeline(
        name=" and ".join(t.name for t in runs), kind="simulated", target=runs[0].target,
        instructions=replace(table, wait_on=place[table.wait_on]),
        dma=replace(packets, instruction=place[packets.instruction]),
        dependences=replace(edges, producer=place[edges.producer], consumer=place[edges.consumer]),
        clock=ClockStates.empty(), opcodes=tuple(opcodes), strings=tuple(strings), sites=tuple(sites),
        queues=tuple(queues), sources=sources,
    )
    ends = np.cumsum([0, *(len(t.instructions) for t in runs)])
    return both, [place[ends[k]:ends[k + 1]] for k in range(len(runs))]


def _after(index: np.ndarray, shift: int) -> np.ndarray:
    """Indices into a table that now comes after `shift` others; -1 stays."""
    return np.where(index >= 0, index.astype(np.int64) + shift, -1)


def _joined(kind: type, tables: list[Any]) -> Any:
    return kind(**{f.name: np.concatenate([getattr(t, f.name) for t in tables]) for f in dataclasses.fields(kind)})


def _critical(runs: list[Timeline], places: list[np.ndarray], columns: payload.Columns, tick: int) -> dict[str, Any]:
    """The critical paths of both, by start."""
    paths = [analysis.critical_path(t) for t in runs]
    row = np.concatenate([place[path.row] for place, path in zip(places, paths, strict=True)])
    kind, start, end = (np.concatenate([getattr(p, name) for p in paths]) for name in ("kind", "start_ps", "end_ps"))
    order = np.argsort(start, kind="stable")
    return payload.path(columns, tick, row[order], kind[order], start[order], end[order])

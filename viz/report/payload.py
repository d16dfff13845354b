"""The data of a report: a JSON head and packed columns, one gzip stream in base64.

Every number of the timeline is in the page once, whatever the zoom: the page draws levels of detail from prefix sums
of busy time, so a million instructions cost it a binary search per pixel.  Times are whole multiples of `tick_ps`,
1 ps until a run is longer than 2**31 ps (2.1 ms).
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import numpy as np

from simcore import analysis
from simcore.timeline import CAUSES, ENGINES, Timeline
from simcore.viz import binning, occupancy

MAX_DMA_ROWS = 400_000
"""Above this, the DMA engines are shown only as the number of busy ones."""
COUNTER_COLUMNS = 20_000


class Columns:
    """Arrays as one block of bytes; the head says where each begins."""

    def __init__(self):
        self.parts: list[bytes] = []
        self.length = 0

    def add(self, array, dtype: str) -> dict[str, Any]:
        data = np.ascontiguousarray(array, dtype).tobytes()
        at = {"at": self.length, "n": len(array), "type": dtype}
        padded = data + b"\0" * (-len(data) % 8)
        self.parts.append(padded)
        self.length += len(padded)
        return at


def build(timeline: Timeline, extra: dict[str, Any]) -> str:
    """Base64 of the gzip of: head length (8 bytes), head (JSON, padded to 8), columns."""
    columns = Columns()
    begin, end = analysis.span_ps(timeline)
    tick = max(1, -(-max(timeline.end_ps, 1) // (2**31 - 1)))
    return pack(timeline, columns, extra | {
        "tick_ps": tick,
        "span": [begin / tick, end / tick],
        "lanes": lanes(timeline, columns, tick),
        "counters": counters(timeline, columns, tick, (begin, end)),
        "critical": _critical(timeline, columns, tick),
        "sources": sources(timeline),
    })


def pack(timeline: Timeline, columns: Columns, given: dict[str, Any]) -> str:
    """The head `given`, with the names that its columns refer to, and the columns."""
    head = given | {
        "name": timeline.name,
        "kind": timeline.kind,
        "target": timeline.target,
        "opcodes": timeline.opcodes,
        "strings": timeline.strings,
        "engines": ENGINES,
        "causes": CAUSES,
        "sites": [[s.file, s.line, s.function] for s in timeline.sites],
    }
    text = json.dumps(head, ensure_ascii=False, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    data = len(text).to_bytes(8, "little") + text + b"".join(columns.parts)
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()


def lanes(timeline: Timeline, columns: Columns, tick: int) -> list[dict[str, Any]]:
    t, rows = timeline.instructions, analysis.kernel_rows(timeline)
    transfers = analysis.kernel_transfers(timeline)
    cores = np.unique(np.concatenate([t.core[rows], timeline.dma.core[transfers]]))
    lanes = []
    for core in cores:
        suffix = f" {core}" if len(cores) > 1 else ""
        for i, engine in enumerate(ENGINES):
            mine = rows[(t.engine[rows] == i) & (t.core[rows] == core)]
            if len(mine):
                lanes.append({"name": engine + suffix, "engine": engine} | _instructions(timeline, columns, tick, mine))
        if len(transfers) <= MAX_DMA_ROWS:
            lanes += _dma_lanes(timeline, columns, tick, transfers[timeline.dma.core[transfers] == core], suffix)
    return lanes


def _instructions(timeline: Timeline, columns: Columns, tick: int, rows: np.ndarray) -> dict[str, Any]:
    t = timeline.instructions
    start = t.start_ps[rows] // tick
    return {
        "rows": columns.add(np.diff(rows, prepend=0), "int32"),
        "start": columns.add(np.diff(start, prepend=0), "int32"),
        "length": columns.add(t.end_ps[rows] // tick - start, "int32"),
        "done": columns.add(np.maximum(t.done_ps[rows] // tick - start, 0), "int32"),
        "opcode": columns.add(t.opcode[rows], "int16"),
        "operands": columns.add(t.operands[rows], "int32"),
        "site": columns.add(t.site[rows], "int32"),
        "cause": columns.add(t.wait_cause[rows], "int8"),
        "wait": columns.add(analysis.stall_ps(timeline)[rows] // tick, "int32"),
        "on": columns.add(analysis.waited_on(timeline)[rows], "int32"),
    }


def _dma_lanes(
    timeline: Timeline, columns: Columns, tick: int, transfers: np.ndarray, suffix: str
) -> list[dict[str, Any]]:
    d = timeline.dma
    lanes = []
    for engine in np.unique(d.engine[transfers]):
        mine = transfers[d.engine[transfers] == engine]
        start = d.start_ps[mine] // tick
        lanes.append(
            {
                "name": f"DMA {engine}{suffix}",
                "engine": "DMA",
                "start": columns.add(np.diff(start, prepend=0), "int32"),
                "length": columns.add(d.end_ps[mine] // tick - start, "int32"),
                "on": columns.add(d.instruction[mine], "int32"),
                "bytes": columns.add(np.maximum(d.read_bytes[mine], d.write_bytes[mine]), "int32"),
            }
        )
    return lanes


def counters(timeline: Timeline, columns: Columns, tick: int, span: tuple[int, int]) -> list[dict[str, Any]]:
    """Busy DMA engines first, then what the timeline recorded; each as time, mean and highest."""
    out = []
    d = timeline.dma.take(analysis.kernel_transfers(timeline))
    if len(d) and span[1] > span[0]:
        start, end = _merged(d)
        time = np.concatenate([start, end])
        step = np.concatenate([np.ones(len(start)), -np.ones(len(end))])
        order = np.lexsort((step, time))
        busy = np.cumsum(step[order])
        last = np.flatnonzero(np.diff(time[order], append=-1))
        out.append(_counter("busy DMA engines", time[order][last], busy[last], None, columns, tick, span))
    for name in occupancy.recorded(timeline):
        counter = timeline.counters[name]
        limit = occupancy.limit_of(timeline, name)
        out.append(_counter(name, counter.time_ps, counter.value, limit, columns, tick, span))
    return out


def _merged(d) -> tuple[np.ndarray, np.ndarray]:
    """Intervals in which each DMA engine is busy: transfers that overlap on one engine are one interval."""
    engine = d.core.astype(np.int64) * 4096 + d.engine
    order = np.lexsort((d.start_ps, engine))
    engine, start, end = engine[order], d.start_ps[order], d.end_ps[order]
    first = np.flatnonzero(np.diff(engine, prepend=-1))
    shift = np.zeros(len(engine), np.int64)  # engines one after the other, so that one running maximum serves all
    shift[first] = 1
    shift = (np.cumsum(shift) - 1) * (int(end.max()) + 1)
    reach = np.maximum.accumulate(end + shift)
    new = np.r_[True, start[1:] + shift[1:] > reach[:-1]]
    begins = np.flatnonzero(new)
    lasts = np.r_[begins[1:], len(start)] - 1
    return start[begins], (reach - shift)[lasts]


def _counter(name, time, value, limit, columns: Columns, tick: int, span) -> dict[str, Any]:
    shown = binning.steps(time, value, span, COUNTER_COLUMNS)
    return {
        "name": name,
        "limit": limit,
        "time": columns.add(shown.time / tick, "float64"),
        "mean": columns.add(shown.mean, "float32"),
        "high": columns.add(shown.high, "float32"),
    }


def _critical(timeline: Timeline, columns: Columns, tick: int) -> dict[str, Any]:
    found = analysis.critical_path(timeline)
    return path(columns, tick, found.row, found.kind, found.start_ps, found.end_ps)


def path(columns: Columns, tick: int, row, kind, start_ps, end_ps) -> dict[str, Any]:
    """The stretches of a critical path, sorted by start."""
    return {
        "row": columns.add(row, "int32"),
        "kind": columns.add(kind, "int8"),
        "start": columns.add(start_ps / tick, "float64"),
        "end": columns.add(end_ps / tick, "float64"),
    }


def sources(timeline: Timeline) -> list[dict[str, Any]]:
    """Files with their lines, and per line what it cost."""
    figures: dict[str, dict[int, dict[str, Any]]] = {}
    for line in analysis.lines(timeline):
        if line.site is not None:
            figures.setdefault(line.site.file, {})[line.site.line] = {
                "instructions": line.instructions,
                "busy": line.busy_ps,
                "dma": line.dma_ps,
                "wait": line.wait_ps,
                "critical": line.critical_ps,
                "hbm": line.hbm_bytes,
                "flops": line.flops,
            }
    return [
        {"file": file, "lines": timeline.sources[file].splitlines(), "figures": figures.get(file, {})}
        for file in sorted(timeline.sources)
    ]

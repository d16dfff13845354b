"""compare(a, b): two runs side by side, simulated or measured, and why they differ.

Everything is over the kernel's own work: the runtime's set-up rows of a measured profile are left out on both sides.
An instruction lasts as the vendor's profiler counts: until its result is there; a DMA trigger until its engine is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore import analysis, format
from simcore.profile import vendor
from simcore.profile.align import match
from simcore.profile.attribute import UNKNOWN, Cause, attribute
from simcore.profile.metrics import queue_types
from simcore.tables import Table, Tabled
from simcore.timeline import ENGINES, Timeline, union_ps


@dataclass(frozen=True)
class EnginePair:
    """One engine (all cores together) or "DMA" in both runs; None where a run does not say."""

    engine: str
    busy_ps: tuple[int | None, int | None]
    idle_ps: tuple[int | None, int | None]
    instructions: tuple[int | None, int | None]


@dataclass(frozen=True)
class OpcodePair:
    """One opcode of one engine in both runs."""

    engine: str
    opcode: str
    instructions: tuple[int, int]
    time_ps: tuple[int, int]            # sum of durations
    matched: int
    matched_time_ps: tuple[int, int]    # of the matched ones only: their ratio is the model's error


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Tabled):
    """Two runs, a and b.  Pairs are (a, b); `gap_ps` and causes are b minus a, positive where b takes longer."""

    a: Timeline
    b: Timeline
    span_ps: tuple[int, int]
    totals: dict[str, tuple[int | None, int | None]]
    engines: tuple[EnginePair, ...]
    opcodes: tuple[OpcodePair, ...]
    bytes: dict[str, tuple[int | None, int | None]]
    intensity: tuple[float | None, float | None]      # flops per HBM byte
    matched: np.ndarray                               # [n, 2] rows
    only: tuple[np.ndarray, np.ndarray]               # kernel rows without a partner
    causes: tuple[Cause, ...]
    partial: tuple[str, ...]                          # why something is missing, as sentences

    @property
    def gap_ps(self) -> int:
        return self.span_ps[1] - self.span_ps[0]

    @property
    def ratio(self) -> float | None:
        """b's span over a's."""
        return self.span_ps[1] / self.span_ps[0] if self.span_ps[0] else None

    @property
    def attributed(self) -> float | None:
        """Share of the gap that has a named cause; None where instructions are missing."""
        if self.partial:
            return None
        unknown = sum(abs(c.ps) for c in self.causes if c.name == UNKNOWN)
        return 1.0 if not unknown else max(0.0, 1 - unknown / abs(self.gap_ps)) if self.gap_ps else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        def run(t: Timeline) -> dict[str, Any]:
            return {"name": t.name, "kind": t.kind, "target": t.target, "caveat": t.caveat}

        return {
            "a": run(self.a), "b": run(self.b),
            "span_ps": list(self.span_ps), "gap_ps": self.gap_ps, "ratio": self.ratio,
            "totals": {k: list(v) for k, v in self.totals.items()},
            "engines": [{"engine": e.engine, "busy_ps": list(e.busy_ps), "idle_ps": list(e.idle_ps),
                         "instructions": list(e.instructions)} for e in self.engines],
            "opcodes": [{"engine": o.engine, "opcode": o.opcode, "instructions": list(o.instructions),
                         "time_ps": list(o.time_ps), "matched": o.matched, "matched_time_ps": list(o.matched_time_ps)}
                        for o in self.opcodes],
            "bytes": {k: list(v) for k, v in self.bytes.items()}, "intensity": list(self.intensity),
            "matched": len(self.matched), "only_a": [self._name(self.a, r) for r in self.only[0].tolist()],
            "only_b": [self._name(self.b, r) for r in self.only[1].tolist()],
            "causes": [{"name": c.name, "ps": c.ps, "meaning": c.meaning} for c in self.causes],
            "attributed": self.attributed, "partial": list(self.partial),
        }

    @staticmethod
    def _name(t: Timeline, row: int) -> dict[str, Any]:
        site = t.site(row)
        return {"row": row, "engine": ENGINES[t.instructions.engine[row]], "opcode": t.opcode(row),
                "site": str(site) if site else None}

    def headline(self) -> tuple[str, ...]:
        """Sentences: which two, how long, how far apart."""
        a, b = self.a, self.b
        lines = [f"a: {a.name}, {a.origin}, {format.time(self.span_ps[0] or None)}",
                 f"b: {b.name}, {b.origin}, {format.time(self.span_ps[1] or None)}"]
        if self.ratio and self.span_ps[1]:
            word = "longer" if self.gap_ps > 0 else "shorter"
            lines.append(f"b takes {format.time(abs(self.gap_ps))} {word} ({format.percent(abs(self.ratio - 1))} of a)"
                         if self.gap_ps else "both take the same time")
        if not self.partial:
            lines.append(f"{len(self.matched)} instructions matched, "
                         f"{len(self.only[0])} only in a, {len(self.only[1])} only in b")
        if self.attributed is not None and self.gap_ps:
            lines.append(f"{format.percent(self.attributed)} of the difference has a named cause")
        lines += [f"{side}: {t.caveat}" for side, t in (("a", a), ("b", b)) if t.caveat]
        return (*lines, *self.partial)

    def tables(self) -> tuple[Table, ...]:
        """Causes, engines, opcodes and bytes as tables of text; empty ones are left out."""
        tables = (self._cause_table(), self._engine_table(), self._opcode_table(), self._byte_table())
        return tuple(t for t in tables if t.rows)

    def _cause_table(self) -> Table:
        # a share of next to nothing says nothing
        gap = self.gap_ps if abs(self.gap_ps) > 0.02 * max(self.span_ps) else 0
        rows = tuple((c.name, _signed(c.ps), format.percent(c.ps / gap if gap else None), c.meaning)
                     for c in self.causes)
        title = "Why (b minus a, along the longer run's critical path)"
        return Table(title, ("cause", "time", "of gap", ""), rows, (1, 2))

    def _engine_table(self) -> Table:
        rows = []
        for e in self.engines:
            rows.append((e.engine, *(format.time(ps) for ps in e.busy_ps), _error(*e.busy_ps),
                         *(format.time(ps) for ps in e.idle_ps), *(format.number(n) for n in e.instructions)))
        header = ("", "busy a", "busy b", "b to a", "idle a", "idle b", "instr. a", "instr. b")
        return Table("Engines", header, tuple(rows), tuple(range(1, 8)))

    def _opcode_table(self) -> Table:
        rows = []
        for o in self.opcodes:
            each = [t / o.matched if o.matched else None for t in o.matched_time_ps]
            rows.append((f"{o.engine} {o.opcode}", *(format.number(n) for n in o.instructions),
                         *(format.time(ps) for ps in o.time_ps), format.number(o.matched),
                         *(format.time(ps) for ps in each), _error(*o.matched_time_ps)))
        return Table("Opcodes (time: durations added up, overlapping ones too; each: mean of the matched ones)",
                     ("", "a", "b", "time a", "time b", "matched", "each a", "each b", "b to a"), tuple(rows),
                     (1, 2, 3, 4, 5, 6, 7, 8))

    def _byte_table(self) -> Table:
        rows = [(name, *map(format.size, pair), _error(*pair)) for name, pair in self.bytes.items() if any(pair)]
        rows.append(("flops per HBM byte", *(format.intensity(x) for x in self.intensity), _error(*self.intensity)))
        return Table("Bytes", ("path", "a", "b", "b to a"), tuple(rows), (1, 2, 3))


def compare(a: Timeline, b: Timeline) -> Comparison:
    """Two runs side by side.  A summary-only profile is compared by its metrics, without instructions and causes."""
    partial = tuple(
        f"{name} ({t.name}) has no instructions, only a summary: figures are the vendor's, over the whole profile"
        for name, t in (("a", a), ("b", b)) if not len(t.instructions)
    )
    if partial:
        return _by_summary(a, b, partial)
    sides = (a, b)
    spans = tuple(end - begin for begin, end in (analysis.span_ps(t) for t in sides))
    # of several equally good alignments one is picked: the same one whichever run comes first
    pairs = match(a, b) if spans[0] <= spans[1] else match(b, a)[:, ::-1]
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    rows = [analysis.kernel_rows(t) for t in sides]
    only = tuple(np.setdiff1d(r, pairs[:, k]) for k, r in enumerate(rows))
    ends = [_stop(t) for t in sides]
    return Comparison(
        a=a, b=b, span_ps=(spans[0], spans[1]), totals=_totals(a, b, spans),
        engines=_engines(sides, rows, ends, spans), opcodes=_opcodes(sides, rows, ends, pairs),
        bytes=_bytes(sides), intensity=(_intensity(a), _intensity(b)), matched=pairs, only=(only[0], only[1]),
        causes=tuple(attribute(a, b, pairs)), partial=(),
    )


def _stop(t: Timeline) -> np.ndarray:
    """When each instruction ends as the vendor counts: its result is there; a trigger's engine is free."""
    i = t.instructions
    trigger = np.array([vendor.is_dma(o) for o in t.opcodes] or [False], bool)[i.opcode]
    trigger |= np.isin(np.arange(len(i)), t.dma.instruction[t.dma.instruction >= 0])
    return np.where(trigger, i.end_ps, np.maximum(i.end_ps, i.done_ps))


def _totals(a: Timeline, b: Timeline, spans) -> dict[str, tuple[int | None, int | None]]:
    names = sorted((set(a.totals) | set(b.totals)) - {"kernel_start_ps", "kernel_end_ps", "kernel_ps"})
    return {"kernel_ps": (spans[0], spans[1])} | {n: (a.totals.get(n), b.totals.get(n)) for n in names}


def _engines(sides, rows, ends, spans) -> tuple[EnginePair, ...]:
    out = []
    for e, engine in enumerate(ENGINES):
        mine = [r[t.instructions.engine[r] == e] for t, r in zip(sides, rows)]
        busy = [union_ps(t.instructions.start_ps[r], end[r]) for t, r, end in zip(sides, mine, ends)]
        if len(mine[0]) or len(mine[1]):
            out.append(EnginePair(engine, (busy[0], busy[1]), (spans[0] - busy[0], spans[1] - busy[1]),
                                  (len(mine[0]), len(mine[1]))))
    busy = []
    for t in sides:
        own = _kernel_packets(t)
        busy.append(union_ps(t.dma.start_ps[own], t.dma.end_ps[own]))
    triggers = [len(np.unique(t.dma.instruction[t.dma.instruction >= 0])) for t in sides]
    if any(busy):
        idle = (spans[0] - busy[0], spans[1] - busy[1])
        out.append(EnginePair("DMA", (busy[0], busy[1]), idle, (triggers[0], triggers[1])))
    return tuple(out)


def _kernel_packets(t: Timeline) -> np.ndarray:
    """Mask of the DMA rows that are the kernel's: no instruction fetch, no completion writes."""
    kind = np.array(queue_types(t) or [""], dtype=object)[t.dma.queue]
    return (kind != "instruction") & (np.maximum(t.dma.read_bytes, t.dma.write_bytes) > 4)


def _opcodes(sides, rows, ends, pairs) -> tuple[OpcodePair, ...]:
    figures: dict[tuple[int, str], list[list[int]]] = {}
    a, b = sides
    same = np.array([a.opcode(i) == b.opcode(j) and a.instructions.engine[i] == b.instructions.engine[j]
                     for i, j in pairs.tolist()], bool)
    same = pairs[same] if len(pairs) else pairs     # of pairs that differ in engine or opcode, neither row has a twin
    for side, (t, r, end) in enumerate(zip(sides, rows, ends)):
        i = t.instructions
        length = end - i.start_ps
        partner = np.zeros(len(i), bool)
        partner[same[:, side]] = True
        for e, o in sorted(set(zip(i.engine[r].tolist(), i.opcode[r].tolist()))):
            mine = r[(i.engine[r] == e) & (i.opcode[r] == o)]
            cell = figures.setdefault((e, t.opcodes[o]), [[0, 0, 0, 0], [0, 0, 0, 0]])
            known = mine[partner[mine]]
            cell[side] = [len(mine), int(length[mine].sum()), len(known), int(length[known].sum())]
    out = [
        OpcodePair(ENGINES[e], name, (x[0], y[0]), (x[1], y[1]), x[2], (x[3], y[3]))
        for (e, name), (x, y) in figures.items()
    ]
    return tuple(sorted(out, key=lambda o: (-max(o.time_ps), o.engine, o.opcode)))


def _bytes(sides) -> dict[str, tuple[int | None, int | None]]:
    out: dict[str, tuple[int | None, int | None]] = {}
    for memory in ("hbm", "sbuf", "psum"):
        for way in ("read", "write"):
            sums = [int(getattr(t.instructions, f"{memory}_{way}_bytes").sum()) for t in sides]
            out[f"{memory.upper()} {way}"] = (sums[0], sums[1])
    kinds = [queue_types(t) for t in sides]
    for kind in sorted(set(kinds[0]) | set(kinds[1]) - {"instruction"}):
        sums = []
        for t, names in zip(sides, kinds):
            mine = np.array([n == kind for n in names] or [False], bool)[t.dma.queue] & _kernel_packets(t)
            sums.append(int(np.maximum(t.dma.read_bytes, t.dma.write_bytes)[mine].sum()))
        if any(sums):
            out[f"DMA, {kind.replace('_', ' ')} queues"] = (sums[0], sums[1])
    return out


def _intensity(t: Timeline) -> float | None:
    return t.flops / t.hbm_bytes if t.hbm_bytes else None


def _by_summary(a: Timeline, b: Timeline, partial: tuple[str, ...]) -> Comparison:
    from simcore.profile.summary_files import metrics_of

    metrics = [metrics_of(t) for t in (a, b)]

    def pair(name: str, scale: float = 1.0, whole: bool = True) -> tuple:
        values: list[int | float | None] = []
        for m in metrics:
            v = m.get(name)
            if isinstance(v, (int, float)) and not isinstance(v, bool):
                values.append(round(v * scale) if whole else v * scale)
            else:
                values.append(None)
        return values[0], values[1]

    spans = tuple(t.totals.get("profiled_ps") or t.end_ps for t in (a, b))
    engines = []
    for name in [*(f"{e.lower()}_engine" for e in ENGINES), "dma"]:
        busy = pair(f"{name}_active_time", 1e12)
        idle = (None if busy[0] is None else spans[0] - busy[0], None if busy[1] is None else spans[1] - busy[1])
        label = "DMA" if name == "dma" else next(e for e in ENGINES if e.lower() == name.removesuffix("_engine"))
        engines.append(EnginePair(label, busy, idle, pair(f"{name}_instruction_count")))
    moved = {f"{m.upper()} {w}": pair(f"{m}_{w}_bytes") for m in ("hbm", "sbuf", "psum") for w in ("read", "write")}
    nothing = np.zeros(0, np.int64)
    return Comparison(
        a=a, b=b, span_ps=(spans[0], spans[1]), totals=_totals(a, b, spans), engines=tuple(engines), opcodes=(),
        bytes=moved, intensity=pair("mm_arithmetic_intensity", whole=False), matched=nothing.reshape(0, 2),
        only=(nothing, nothing), causes=(), partial=partial,
    )


def _signed(ps: int) -> str:
    return f"{'+' if ps > 0 else '-' if ps < 0 else ''}{format.time(abs(ps))}"


def _error(a: float | None, b: float | None) -> str:
    if not a or b is None:
        return format.MISSING
    return f"{(b / a - 1) * 100:+.1f} %"

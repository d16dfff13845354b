"""The figures a person asks for first: per engine busy and idle, DMA, bytes, intensity, bounds, bottleneck.

Figures only.  `str(summary)` is plain text and `to_dict()` is JSON; simcore.viz.text draws the same in colour, from
the same tables of text (`headline()` and `tables()`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore import analysis, format
from simcore.tables import Table, Tabled, shares
from simcore.timeline import ENGINES, Timeline, union_ps


@dataclass(frozen=True)
class OpcodeFigures:
    opcode: str
    instructions: int
    time_ps: int  # its part of the engine's busy time (analysis.occupied_ps): the opcodes' parts add up to it


@dataclass(frozen=True)
class EngineFigures:
    """One engine of one core over the kernel's span."""

    engine: str
    core: int
    busy_ps: int  # union of its instructions' intervals (the vendor's active time)
    utilisation: float  # busy over span
    instructions: int
    opcodes: tuple[OpcodeFigures, ...]  # most time first
    idle_ps: int  # span minus busy
    stalls: dict[str, int]  # idle picoseconds by cause, largest first
    done_ps: int  # idle after its last instruction

    @property
    def worst_stall(self) -> str:
        """The cause of most idle time, or an empty string."""
        return next(iter(self.stalls), "")


@dataclass(frozen=True)
class DmaFigures:
    """All DMA engines together."""

    busy_ps: int  # union over engines
    utilisation: float  # busy over span
    engines: int  # engines that moved something
    engine_utilisation: float  # mean over those engines
    transfers: int
    descriptors: int
    read_bytes: int
    write_bytes: int
    bytes_per_s: float | None  # while busy, the larger of read and written; None without transfers
    bytes_per_descriptor: float | None


@dataclass(frozen=True, repr=False)
class Summary(Tabled):
    """Figures of a timeline.  Times are picoseconds; a figure that cannot be known is None."""

    name: str
    kind: str
    target: str
    span_ps: int  # first start to last end of the kernel's own work
    end_ps: int  # end of everything recorded
    instructions: int
    engines: tuple[EngineFigures, ...]
    dma: DmaFigures
    hbm_read_bytes: int
    hbm_write_bytes: int
    flops: int
    matmul_flops: int
    intensity: float | None  # flops per HBM byte moved; None without HBM traffic
    flops_per_s: float | None
    hbm_bytes_per_s: float | None
    bounds_ps: dict[str, int]  # no schedule can be shorter than these; largest first; empty if unknown
    critical_path_ps: dict[str, int]  # by engine, "DMA", "handoff", "launch"; adds up to the span
    totals: dict[str, int] = dataclasses.field(default_factory=dict)
    lacks: tuple[str, ...] = ()  # what is not recorded where a profile holds totals only
    origin: str = ""  # kind and target for a title, and whether the chip as a whole is an extrapolation
    caveat: str = ""  # the first of `unmeasured` in a sentence
    unmeasured: tuple[str, ...] = ()  # what of a prediction rests on numbers nobody has measured on this chip

    @property
    def bottleneck(self) -> str:
        """The resource with the largest bound; without bounds, the busiest engine or the DMA."""
        if self.bounds_ps:
            return next(iter(self.bounds_ps))
        busiest = max(self.engines, key=lambda e: e.busy_ps, default=None)
        if busiest is None or self.dma.busy_ps > busiest.busy_ps:
            return "DMA"
        return busiest.engine

    @property
    def bound_ps(self) -> int | None:
        """The largest bound."""
        return next(iter(self.bounds_ps.values()), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the fields, and `bottleneck`."""
        return dataclasses.asdict(self) | {"bottleneck": self.bottleneck}

    def headline(self) -> tuple[str, ...]:
        """Sentences: how long, how much, what limits it."""
        return tuple(_headline(self))

    def tables(self) -> tuple[Table, ...]:
        """Engines, bounds and critical path as tables of text; empty ones are left out."""
        return tuple(table for table in (_engines_table(self), _bounds_table(self), _path_table(self)) if table.rows)


def summarize(timeline: Timeline) -> Summary:
    """The figures of a timeline, simulated or measured."""
    if timeline.totals_only:
        return _of_totals(timeline)
    t = timeline.instructions
    begin, end = analysis.span_ps(timeline)
    span = end - begin
    rows = analysis.kernel_rows(timeline)
    engines = tuple(
        figures
        for core in (timeline.cores if len(timeline.cores) > 1 else timeline.cores or (0,))
        for i, name in enumerate(ENGINES)
        if (
            figures := _engine(timeline, name, core, rows[(t.engine[rows] == i) & (t.core[rows] == core)], begin, end)
        ).instructions
    )
    read, written, flops = int(t.hbm_read_bytes.sum()), int(t.hbm_write_bytes.sum()), timeline.flops
    seconds = span * 1e-12
    return Summary(
        name=timeline.name,
        kind=timeline.kind,
        target=timeline.target,
        span_ps=span,
        end_ps=timeline.end_ps,
        instructions=len(rows),
        engines=engines,
        dma=_dma(timeline, span),
        hbm_read_bytes=read,
        hbm_write_bytes=written,
        flops=flops,
        matmul_flops=int(t.flops[t.elements > 0].sum()),
        intensity=flops / (read + written) if read + written else None,
        flops_per_s=flops / seconds if span else None,
        hbm_bytes_per_s=(read + written) / seconds if span else None,
        bounds_ps=bounds_ps(timeline),
        critical_path_ps=analysis.critical_path(timeline).by_lane(),
        totals=dict(timeline.totals),
        origin=timeline.origin,
        caveat=timeline.caveat,
        unmeasured=tuple(str(line) for line in timeline.info.get("outside_calibration", ())),
    )


def _of_totals(timeline: Timeline) -> Summary:
    """The figures of a profile's own summary, as the vendor counts them: over everything profiled, set-up included."""
    metrics = timeline.info.get("summary", {})

    def figure(name: str, scale: float = 1) -> int:
        value = metrics.get(name)
        return round(value * scale) if isinstance(value, int | float) and not isinstance(value, bool) else 0

    span = timeline.totals.get("profiled_ps", 0)
    engines = []
    for name in ENGINES:
        busy, count = (figure(f"{name.lower()}_engine_{what}", scale)
                       for what, scale in (("active_time", 1e12), ("instruction_count", 1)))
        if count:
            engines.append(EngineFigures(engine=name, core=0, busy_ps=busy, utilisation=busy / span if span else 0.0,
                                         instructions=count, opcodes=(), idle_ps=span - busy, stalls={}, done_ps=0))
    dma = figure("dma_active_time", 1e12)
    read, written, flops = figure("hbm_read_bytes"), figure("hbm_write_bytes"), figure("hardware_flops")
    return Summary(
        name=timeline.name, kind=timeline.kind, target=timeline.target, span_ps=span, end_ps=span,
        instructions=sum(e.instructions for e in engines), engines=tuple(engines),
        dma=DmaFigures(busy_ps=dma, utilisation=dma / span if span else 0.0, engines=0, engine_utilisation=0.0,
                       transfers=0, descriptors=0, read_bytes=0, write_bytes=0, bytes_per_s=None,
                       bytes_per_descriptor=None),
        hbm_read_bytes=read, hbm_write_bytes=written, flops=flops, matmul_flops=flops,
        intensity=flops / (read + written) if read + written else None,
        flops_per_s=flops / (span * 1e-12) if span else None,
        hbm_bytes_per_s=(read + written) / (span * 1e-12) if span else None,
        bounds_ps={}, critical_path_ps={}, totals=dict(timeline.totals), lacks=tuple(timeline.info.get("lacks", ())),
        origin=timeline.origin,
    )


def bounds_ps(timeline: Timeline) -> dict[str, int]:
    """Lower bounds recorded with the timeline, by resource, largest first."""
    given = timeline.bounds.get("resources", {})
    return dict(sorted(((str(k), int(v)) for k, v in given.items() if v), key=lambda item: -item[1]))


def _engine(timeline: Timeline, name: str, core: int, rows: np.ndarray, begin: int, end: int) -> EngineFigures:
    t = timeline.instructions
    busy = union_ps(t.start_ps[rows], t.end_ps[rows])
    counts = np.bincount(t.opcode[rows], minlength=len(timeline.opcodes))
    times = np.bincount(t.opcode[rows], weights=analysis.occupied_ps(timeline)[rows], minlength=len(timeline.opcodes))
    opcodes = sorted(
        (OpcodeFigures(timeline.opcodes[i], int(counts[i]), round(times[i])) for i in np.flatnonzero(counts)),
        key=lambda o: (-o.time_ps, o.opcode),
    )
    return EngineFigures(
        engine=name,
        core=core,
        busy_ps=busy,
        utilisation=busy / (end - begin) if end > begin else 0.0,
        instructions=len(rows),
        opcodes=tuple(opcodes),
        idle_ps=end - begin - busy,
        stalls=analysis.stalls(timeline, rows)[name],
        done_ps=end - int(t.end_ps[rows].max()) if len(rows) else end - begin,
    )


def _dma(timeline: Timeline, span: int) -> DmaFigures:
    d = timeline.dma.take(analysis.kernel_transfers(timeline))
    busy = union_ps(d.start_ps, d.end_ps)
    engine = d.core.astype(np.int64) * 4096 + d.engine
    used = np.unique(engine)
    each = [union_ps(d.start_ps[engine == e], d.end_ps[engine == e]) for e in used]
    read, written, descriptors = int(d.read_bytes.sum()), int(d.write_bytes.sum()), int(d.descriptors.sum())
    moved = max(read, written)
    return DmaFigures(
        busy_ps=busy,
        utilisation=busy / span if span else 0.0,
        engines=len(used),
        engine_utilisation=float(np.mean(each)) / span if each and span else 0.0,
        transfers=len(d),
        descriptors=descriptors,
        read_bytes=read,
        write_bytes=written,
        bytes_per_s=moved / (busy * 1e-12) if busy else None,
        bytes_per_descriptor=moved / descriptors if descriptors else None,
    )


# ---------------------------------------------------------------------------------------------------- text


def _headline(s: Summary):
    yield f"{s.name}: {s.origin}, {format.time(s.span_ps)}, {format.number(s.instructions)} instructions"
    rate = f" at {format.flop_rate(s.flops_per_s)}" if s.flops else ""
    yield (
        f"{format.flops(s.flops)}{rate}; HBM {format.size(s.hbm_read_bytes)} read, "
        f"{format.size(s.hbm_write_bytes)} written, {format.rate(s.hbm_bytes_per_s)}; "
        f"intensity {format.intensity(s.intensity)}"
    )
    if s.bound_ps:
        yield (
            f"Bottleneck {s.bottleneck}: no schedule is shorter than {format.time(s.bound_ps)}; "
            f"this one takes {format.ratio(s.span_ps / s.bound_ps)} as long"
        )
    else:
        yield f"Busiest: {s.bottleneck} (no lower bounds are recorded with it)"
    if s.lacks:
        yield f"Totals of the whole profile, the runtime's set-up included; it records no {', no '.join(s.lacks)}"
    if s.caveat:
        yield s.caveat


def _engines_table(s: Summary) -> Table:
    cores = len({e.core for e in s.engines}) > 1
    rows = [
        (
            f"{e.engine} (core {e.core})" if cores else e.engine,
            format.time(e.busy_ps),
            format.percent(e.utilisation),
            format.number(e.instructions),
            _stalls(e.stalls),
            _opcodes(e.opcodes),
        )
        for e in s.engines
    ]
    if s.dma.transfers:
        moved = f"{format.size(max(s.dma.read_bytes, s.dma.write_bytes))} at {format.rate(s.dma.bytes_per_s)}"
        each = f"{s.dma.engines} engines, {format.percent(s.dma.engine_utilisation)} busy each; "
        per = f"; {format.size(s.dma.bytes_per_descriptor)} per descriptor" if s.dma.bytes_per_descriptor else ""
        rows.append(
            (
                "DMA",
                format.time(s.dma.busy_ps),
                format.percent(s.dma.utilisation),
                format.number(s.dma.transfers),
                "",
                each + moved + per,
            )
        )
    elif s.dma.busy_ps:
        rows.append(("DMA", format.time(s.dma.busy_ps), format.percent(s.dma.utilisation), format.MISSING, "", ""))
    return Table(
        "Engines", ("", "busy", "of span", "instr.", "idle, waiting for", "most time in"), tuple(rows), (1, 2, 3)
    )


def _stalls(stalls: dict[str, int], most: int = 3) -> str:
    return ", ".join(f"{cause} {format.time(ps)}" for cause, ps in list(stalls.items())[:most])


def _opcodes(opcodes: tuple[OpcodeFigures, ...], most: int = 3) -> str:
    more = f", {len(opcodes) - most} more" if len(opcodes) > most else ""
    return ", ".join(f"{o.opcode} x{o.instructions} {format.time(o.time_ps)}" for o in opcodes[:most]) + more


def _bounds_table(s: Summary) -> Table:
    return shares("Lower bounds (the run can never be shorter)", ("resource", "at least"), s.bounds_ps, s.span_ps)


def _path_table(s: Summary) -> Table:
    return shares("Critical path (where the span goes)", ("on", "time"), s.critical_path_ps, s.span_ps)

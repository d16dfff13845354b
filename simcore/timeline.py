"""Timeline: what happened when.

A simulated run and a measured hardware profile are the same kind of value, so every view
works on both and a comparison is a join.  All times are integer picoseconds from the start
of the run; bytes are bytes over all partitions; names are the vendor profiler's.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from simcore import format
from simcore.columns import INDEX, Columns, f64, i8, i16, i32, i64, read_bundle, write_bundle
from simcore.errors import FileError

ENGINES = ("Tensor", "Vector", "Scalar", "GpSimd", "Sync")
"""Engines with an instruction stream, in the order views draw them (the vendor's display names)."""

CAUSES = ("start", "engine", "data", "dma", "reuse", "bank", "queue", "barrier", "order", "unknown")
"""What an instruction waited for last, before it started:

start    nothing: it is the first of its engine
engine   its engine (or the engine's issue interval) was busy with an earlier instruction
data     a compute instruction's result (read after write)
dma      a DMA's completion
reuse    a buffer's previous readers or writers (write after read or write, also through a reused address)
bank     a PSUM bank in use by another engine
queue    room in the DMA queue
barrier  the other core
order    an explicit order (no_reorder, depends_on)
unknown  a measured profile that does not say
"""

MEMORIES = ("HBM", "SBUF", "PSUM", "?")
FORMAT = "simcore-timeline"
VERSION = 1


@dataclass(frozen=True)
class Site:
    """A place in a kernel's source."""

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, eq=False)
class Instructions(Columns):
    """One row per instruction an engine executed, ordered by start."""

    core: i8                      # physical core
    engine: i8                    # index into ENGINES
    opcode: i16                   # index into Timeline.opcodes
    operands: i32 = field(metadata=INDEX)       # index into Timeline.strings: operand text
    site: i32 = field(metadata=INDEX)           # index into Timeline.sites
    source_row: i32 = field(metadata=INDEX)     # row of the Trace (simulated) or the profiler's id (measured)
    start_ps: i64 = field()
    end_ps: i64 = field()         # the engine is occupied from start to end
    done_ps: i64 = field()        # its result may be used (DMA triggers: completion of the transfer)
    wait_cause: i8 = field()      # index into CAUSES: what it waited for last
    wait_on: i32 = field(metadata=INDEX)        # row it waited for
    wait_ps: i64 = field()        # how long for; while its engine stood idle: analysis.stall_ps
    dtype: i8 = field(metadata=INDEX)           # index into Timeline.dtypes: dtype of the arithmetic, for ceilings
    elements: i64 = field()       # multiply-adds, MATMUL only
    flops: i64 = field()          # arithmetic operations (2 per multiply-add)
    hbm_read_bytes: i64 = field()
    hbm_write_bytes: i64 = field()
    sbuf_read_bytes: i64 = field()
    sbuf_write_bytes: i64 = field()
    psum_read_bytes: i64 = field()
    psum_write_bytes: i64 = field()


@dataclass(frozen=True, eq=False)
class DmaTransfers(Columns):
    """One row per piece of work of one DMA engine: simulated, a trigger's share on that engine; measured, a packet."""

    core: i8
    engine: i16                   # 0..15 within the core
    queue: i16                    # index into Timeline.queues
    instruction: i32 = field(metadata=INDEX)    # row of Instructions that triggered it
    start_ps: i64 = field()
    end_ps: i64 = field()
    read_bytes: i64 = field()
    write_bytes: i64 = field()
    descriptors: i32 = field()
    source: i8 = field()          # index into MEMORIES
    dest: i8 = field()


@dataclass(frozen=True, eq=False)
class Dependences(Columns):
    """Edges between rows of Instructions: `consumer` could not start before `producer` was done."""

    producer: i32 = field(metadata=INDEX)
    consumer: i32 = field(metadata=INDEX)
    cause: i8 = field()           # index into CAUSES


@dataclass(frozen=True, eq=False)
class ClockStates(Columns):
    """Intervals in which the Tensor engine ran at k/n of its clock."""

    core: i8
    start_ps: i64
    end_ps: i64
    k: i8
    n: i8


@dataclass(frozen=True, eq=False)
class Counter(Columns):
    """A step function: from `time_ps[i]` on the value is `value[i]`."""

    time_ps: i64
    value: f64


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Timeline:
    """What every engine did and when.

    `counters` by name: "SBUF bytes", "PSUM bytes", "HBM GB/s", "DMA GB/s", "pending DMAs" (a name ends with its unit).
    `sources` holds the text of each kernel file named by a Site, so a saved run explains itself.
    `info` is free text for people: versions, input shapes, warnings; `totals` holds figures in picoseconds that are
    not on any engine ("launch_ps", "benchmark_ps", "device_ps", "profiled_ps").
    """

    name: str
    kind: Literal["simulated", "measured"]
    target: str
    instructions: Instructions
    dma: DmaTransfers
    dependences: Dependences
    clock: ClockStates
    opcodes: tuple[str, ...]
    strings: tuple[str, ...] = ()
    sites: tuple[Site, ...] = ()
    queues: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    counters: dict[str, Counter] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)   # Machine.to_dict() of the machine it was simulated on
    bounds: dict[str, Any] = field(default_factory=dict)    # Bounds.to_dict() where known
    trace: Any = field(default=None, repr=False)            # the Trace it was simulated from, where known

    # ------------------------------------------------------------------------------------ figures

    @cached_property
    def end_ps(self) -> int:
        """When the last instruction or transfer is done."""
        ends = [c.max() for c in (self.instructions.end_ps, self.instructions.done_ps, self.dma.end_ps) if len(c)]
        return int(max(ends, default=0))

    @property
    def totals_only(self) -> bool:
        """Whether this is a profile's summary: totals and metrics, no rows (`info["lacks"]` says what is missing)."""
        return bool(self.info.get("lacks")) and not len(self.instructions) and not len(self.dma)

    @property
    def origin(self) -> str:
        """ "measured on trn2", "simulated on trn1 (extrapolated)": for titles."""
        return f"{self.kind} on {self.target}{' (extrapolated)' if self.info.get('extrapolated') else ''}"

    @property
    def caveat(self) -> str:
        """What of a prediction rests on numbers nobody has measured on this chip, in one line; empty when none does."""
        found = [str(line) for line in self.info.get("outside_calibration", ())]
        if not found:
            return ""
        known = "Extrapolated, compare with no other chip" if self.info.get("extrapolated") else "Not all is calibrated"
        more = f"; {len(found) - 1} more: simcore run --json" if len(found) > 1 else ""
        return f"{known}: {found[0]}{more}"

    @cached_property
    def cores(self) -> tuple[int, ...]:
        return tuple(int(c) for c in np.unique(np.concatenate([self.instructions.core, self.dma.core])))

    def rows(self, engine: str | None = None, core: int | None = None) -> np.ndarray:
        """Row numbers of an engine's instructions, ordered by start."""
        mask = np.ones(len(self.instructions), bool)
        if engine is not None:
            mask &= self.instructions.engine == ENGINES.index(engine)
        if core is not None:
            mask &= self.instructions.core == core
        return np.flatnonzero(mask)

    def opcode(self, row: int) -> str:
        return self.opcodes[self.instructions.opcode[row]]

    def operands(self, row: int) -> str:
        i = self.instructions.operands[row]
        return self.strings[i] if i >= 0 else ""

    def site(self, row: int) -> Site | None:
        i = self.instructions.site[row]
        return self.sites[i] if i >= 0 else None

    def source_line(self, row: int) -> str:
        """The kernel's line that issued the instruction, or an empty string."""
        site = self.site(row)
        if site is None or site.file not in self.sources:
            return ""
        lines = self.sources[site.file].splitlines()
        return lines[site.line - 1] if 0 < site.line <= len(lines) else ""

    def busy_ps(self, engine: str, core: int | None = None) -> int:
        """Union of the intervals in which the engine executes an instruction (the vendor's "active time")."""
        rows = self.rows(engine, core)
        return union_ps(self.instructions.start_ps[rows], self.instructions.end_ps[rows])

    def dma_busy_ps(self, engine: int | None = None) -> int:
        """Union of the intervals in which any (or one) DMA engine moves bytes."""
        mask = slice(None) if engine is None else self.dma.engine == engine
        return union_ps(self.dma.start_ps[mask], self.dma.end_ps[mask])

    @cached_property
    def hbm_bytes(self) -> int:
        t = self.instructions
        return int(t.hbm_read_bytes.sum() + t.hbm_write_bytes.sum())

    @cached_property
    def flops(self) -> int:
        return int(self.instructions.flops.sum())

    def __repr__(self) -> str:
        long = f"{format.time(self.end_ps)}, {format.number(len(self.instructions))} instructions"
        return f"<Timeline {self.name}: {self.origin}, {long}>"

    def summary(self) -> Any:
        """Figures per engine, stalls by cause, bytes and bottleneck (simcore.summary.Summary); prints as a table."""
        from simcore.summary import summarize

        return summarize(self)

    def _repr_html_(self) -> str:
        """How a notebook shows a run: its summary."""
        return self.summary()._repr_html_()

    # ------------------------------------------------------------------------------------ files

    def save(self, path: str | Path) -> None:
        """Write a `.simcore` file.  The same timeline gives the same bytes.

        The trace goes with it, without values, unless it is very long (trace_file.MOST_INSTRUCTIONS).
        """
        arrays: dict[str, np.ndarray] = {}
        for name in _TABLES:
            arrays |= getattr(self, name).arrays(name)
        for i, counter in enumerate(self.counters.values()):
            arrays |= counter.arrays(f"counter{i}")
        header = {name: getattr(self, name) for name in _HEADER}
        header["sites"] = [dataclasses.astuple(s) for s in self.sites]
        header["counters"] = list(self.counters)
        if self.trace is not None:
            from simcore.trace_file import pack

            packed = pack(self.trace)
            if packed is not None:
                header["trace"] = packed[0]
                arrays |= {f"trace.{name}": column for name, column in packed[1].items()}
        write_bundle(path, header | {"format": FORMAT, "version": VERSION}, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Timeline:
        """Read a `.simcore` file.  Raises FileError when it is damaged or of another kind or version."""
        header, arrays = read_bundle(path, FORMAT)
        if header.get("version") != VERSION:
            raise FileError(f"{path} has version {header.get('version')!r} of the format; this simcore "
                            f"reads version {VERSION}")
        try:
            given = {name: header[name] for name in _HEADER}
            for name in ("opcodes", "strings", "queues", "dtypes"):
                given[name] = tuple(str(s) for s in given[name])
            given["sites"] = tuple(Site(str(f), int(n), str(fn)) for f, n, fn in header["sites"])
            given["counters"] = {
                str(name): Counter.from_arrays(arrays, f"counter{i}") for i, name in enumerate(header["counters"])
            }
            tables: dict[str, Any] = {name: table.from_arrays(arrays, name) for name, table in _TABLES.items()}
        except (KeyError, TypeError, ValueError) as e:
            raise FileError(f"{path} is damaged: {type(e).__name__} {e}") from None
        trace = None
        if header.get("trace") is not None:
            from simcore.trace_file import unpack

            columns = {name[6:]: column for name, column in arrays.items() if name.startswith("trace.")}
            try:
                trace = unpack(header["trace"], columns, given["sources"], given["info"])
            except FileError as e:
                raise FileError(f"{path}: {e}") from None
        timeline = cls(**given, **tables, trace=trace)
        timeline._check(path)
        return timeline

    def _check(self, path) -> None:
        """Refuse a file whose indices point nowhere: views index without asking."""
        t, n = self.instructions, len(self.instructions)
        for column, low, high in (
            (t.engine, 0, len(ENGINES)), (t.opcode, 0, len(self.opcodes)), (t.operands, -1, len(self.strings)),
            (t.site, -1, len(self.sites)), (t.wait_cause, 0, len(CAUSES)), (t.wait_on, -1, n),
            (t.dtype, -1, len(self.dtypes)),
            (self.dma.queue, 0, len(self.queues)), (self.dma.instruction, -1, n), (self.dma.engine, 0, 4096),
            (self.dependences.producer, 0, n), (self.dependences.consumer, 0, n),
        ):
            if len(column) and (column.min() < low or column.max() >= high):
                raise FileError(f"{path} is damaged: a row refers to something that is not in the file")
        if (t.end_ps < t.start_ps).any() or (len(t) and t.start_ps.min() < 0):
            raise FileError(f"{path} is damaged: an instruction ends before it starts")


_TABLES: dict[str, type[Columns]] = {"instructions": Instructions, "dma": DmaTransfers, "dependences": Dependences,
                                     "clock": ClockStates}
_HEADER = ("name", "kind", "target", "opcodes", "strings", "sites", "queues", "dtypes", "sources", "totals", "info",
           "machine", "bounds")


def union_ps(start: np.ndarray, end: np.ndarray) -> int:
    """Length of the union of intervals."""
    if not len(start):
        return 0
    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    gaps = np.maximum(start[1:] - end[:-1], 0).sum()
    return int(end[-1] - start[0] - gaps)

"""Reader of a Neuron Explorer Parquet folder, real or simulated.

Written for schema 7.4.0 and tolerant of others: a column that is missing is null, a table that is missing is empty,
a large table may come in pieces (`Instruction_0.parquet`, ...).  Only Instruction or DmaPacket must be there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from simcore.errors import FileError
from simcore.machine import load_machine
from simcore.profile import vendor
from simcore.profile.assemble import TRAFFIC, Rows, assemble
from simcore.profile.files import MAX_ROWS, clean, sentences
from simcore.timeline import CAUSES, ENGINES, MEMORIES, Timeline

MAX_MEMORY = 16 << 30
"""Address space of the process that decodes the tables."""

_PIECE = re.compile(r"([A-Za-z]+)(?:_(\d+))?\.parquet")
_OWNER = re.compile(r"S\[(\d+)\] \((q\w+)\)")
_ENGINE = {e.lower(): i for i, e in enumerate(ENGINES)} | {"tensormatrix": 0}


def find_folder(path: Path, depth: int = 4) -> Path | None:
    """The folder with the tables: `path` itself or one below (`profiles/global/<name>@latest`); the latest by name."""
    if not path.is_dir():
        return None
    inside = sorted(path.iterdir())
    if any((m := _PIECE.fullmatch(f.name)) and m[1] in ("Instruction", "DmaPacket") for f in inside):
        return path
    if depth:
        for folder in reversed([f for f in inside if f.is_dir() and not f.is_symlink()]):
            if found := find_folder(folder, depth - 1):
                return found
    return None


def read_parquet(path: str | Path) -> Timeline:
    """A Timeline from a Parquet folder.  Raises FileError in a sentence for a damaged one.

    The tables are decoded in a process of their own: polars ends the process on some damaged files (a panic, or
    memory for a length that a flipped bit made up), and there its memory can be limited.
    """
    path = Path(path)
    folder = find_folder(path)
    if folder is None:
        raise FileError(f"{path} holds no Instruction.parquet: not a folder of Neuron Explorer tables")
    with tempfile.TemporaryDirectory(prefix="simcore-") as scratch:
        result, sentence = Path(scratch) / "profile.simcore", Path(scratch) / "error.txt"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "POLARS_MAX_THREADS": "2"}
        subprocess.run([sys.executable, "-m", "simcore.profile.parquet_read", folder, result, sentence], check=False,
                       env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if sentence.exists():
            raise FileError(sentence.read_text())
        if not result.exists():
            raise FileError(f"{folder} is damaged: its tables cannot be decoded")
        return Timeline.load(result)


def _read_here(folder: Path) -> Timeline:
    import polars as pl

    with sentences(folder):
        try:
            return _Reader(folder).timeline()
        except pl.exceptions.PolarsError as e:
            raise FileError(f"{folder} is damaged: {str(e).splitlines()[0][:200]}") from None
        except pl.exceptions.PanicException as e:
            raise FileError(f"{folder} is damaged: {str(e)[:200]}") from None


class _Reader:
    def __init__(self, folder: Path):
        self.folder = folder
        self.pieces: dict[str, list[tuple[int, Path]]] = {}
        for file in sorted(folder.iterdir()):
            if found := _PIECE.fullmatch(file.name):
                self.pieces.setdefault(found[1], []).append((int(found[2] or -1), file))

    def table(self, name: str, *columns: str):
        """The wanted columns of a table, those it has, all pieces; None where there is no such table."""
        import polars as pl

        parts = []
        for _, file in sorted(self.pieces.get(name, [])):
            have = pl.read_parquet_schema(file)
            rows = pl.scan_parquet(file).select(pl.len()).collect().item()
            if rows > MAX_ROWS:
                raise FileError(f"{file} claims {rows:,} rows; refusing to read it")
            wanted = [c for c in (columns or have) if c in have]
            parts.append(pl.read_parquet(file, columns=wanted))
        return pl.concat(parts, how="diagonal_relaxed") if parts else None

    def numbers(self, table, name: str, column: str, default: int = 0, required: bool = False) -> np.ndarray:
        import polars as pl

        if column not in table.columns:
            if required:
                raise FileError(f"{self.folder}: {name} has no column {column!r}")
            return np.full(len(table), default, np.int64)
        series = table[column]
        if series.dtype.is_float():
            values = series.to_numpy()
            series = pl.Series(column, np.where(np.isfinite(values), values, np.nan)).fill_nan(None).round()
        cast = series.cast(pl.Int64, strict=False)
        if required and cast.null_count():
            row = int(cast.is_null().arg_max() or 0)
            raise FileError(f"{self.folder}: row {row} of {name}: {column} is {str(table[column][row])[:40]!r}, "
                            "not a finite number")
        return cast.fill_null(default).to_numpy().astype(np.int64)

    @staticmethod
    def texts(table, *columns: str) -> list[str | None]:
        """The first of the columns that is there, as text."""
        import polars as pl

        for column in columns:
            if column in table.columns and table[column].null_count() < len(table):
                series = table[column]
                if series.dtype in (pl.List, pl.Array):
                    series = series.list.first()
                return series.cast(pl.String, strict=False).to_list()
        return [None] * len(table)

    # -------------------------------------------------------------------------------- tables

    def timeline(self) -> Timeline:
        rows = Rows()
        info: dict[str, Any] = {"source": "vendor profile (Parquet tables)"}
        meta, summary = self._one("Metadata"), self._one("Summary")
        self.base = 0
        if (first := meta.get("first_hw_timestamp")) and isinstance(first, (int, float)):
            self.base = int(first)
        self._instructions(rows)
        self._packets(rows)
        self._flow(rows)
        self._clock(rows)
        target = vendor.target_of({"instance_type": meta.get("instance_type") or summary.get("instance_type")})
        self._counters(rows, target)
        tensors = self.table("TensorInfo")
        if tensors is not None:
            info["neff_node"] = [clean(r) for r in tensors.head(1000).to_dicts()]
        warnings = self.table("Warning", "message", "category")
        if warnings is not None:
            info["warnings"] = [clean(r) for r in warnings.head(1000).to_dicts()]
        info["summary"] = clean({k: v for k, v in summary.items() if v is not None} | {"instance_type": target})
        info["metadata"] = clean({k: v for k, v in meta.items() if v is not None} | _old_names(meta))
        total = summary.get("total_time")
        totals = {}
        if isinstance(total, (int, float)) and 0 < total < 1e6:
            totals["profiled_ps"] = round(total * 1e12)
        name = str(meta.get("profile_name") or self.folder.name.split("@")[0])[:200]
        timeline = assemble(rows, name=name, target=target, totals=totals, info=info)
        if meta.get("is_simulation") is True:
            import dataclasses

            timeline = dataclasses.replace(timeline, kind="simulated")
        return timeline

    def _one(self, table: str) -> dict[str, Any]:
        found = self.table(table)
        return found.row(0, named=True) if found is not None and len(found) else {}

    def _instructions(self, rows: Rows) -> None:
        t = self.table(
            "Instruction", "start_ts", "end_ts", "duration_ns", "engine", "timeline_track", "pcore_idx", "opcode",
            "operands", "id", "evt_wait_time_ns", "nki_source_location", "bir_debug_info_source_location",
            "tensor_instruction_type", "tensor_elements", "raw_flops", "flops_transpose", "scalar_activation_fn",
            "dma_trigger_end_ts", *TRAFFIC)
        if t is None:
            return
        engines = [_ENGINE.get(str(e or track).lower()) for e, track in
                   zip(self.texts(t, "engine"), self.texts(t, "timeline_track"))]
        keep = np.array([e is not None for e in engines], bool)
        if not keep.all():
            import polars as pl

            t = t.filter(pl.Series(keep))
            engines = [e for e in engines if e is not None]

        def number(column: str, default: int = 0, required: bool = False) -> np.ndarray:
            return self.numbers(t, "Instruction", column, default, required)

        start = number("start_ts", required=True)
        if len(start) and (start.min() < self.base or start.min() - self.base > 10**15):
            self.base = int(start.min())     # an absolute clock, or a base of another one
        if "duration_ns" in t.columns:
            duration = number("duration_ns", required=True)
        else:
            duration = number("end_ts", required=True) - start
        flops = number("raw_flops")
        elements = np.where(flops > 0, flops // 2, number("tensor_elements"))
        kinds = self.texts(t, "tensor_instruction_type")
        transpose = (number("flops_transpose") > 0) | np.array([k == "TRANSPOSE" for k in kinds], bool)
        _fill(rows.id, number("id", -1) if "id" in t.columns else np.arange(len(t)))
        _fill(rows.core, np.clip(number("pcore_idx"), 0, 127))
        _fill(rows.engine, np.array(engines, np.int64))
        _fill(rows.start, _ps(start - self.base))
        _fill(rows.duration, _ps(duration))
        done = number("dma_trigger_end_ts")
        _fill(rows.done, _ps(np.where(done > 0, done - self.base, 0)))
        _fill(rows.wait, _ps(np.clip(number("evt_wait_time_ns"), 0, 10**15)))
        _fill(rows.elements, elements)
        _fill(rows.transpose, transpose)
        for name in TRAFFIC:
            _fill(rows.traffic[name], np.maximum(number(name), 0))
        texts, functions = self.texts(t, "operands"), self.texts(t, "scalar_activation_fn")
        for text, function in zip(texts, functions):
            text = (text or "").strip()[:4000]
            if function and function not in text:
                text = f"{function} {text}"
            rows.operands.append(rows.strings(text))
            for n, owner in _OWNER.findall(text):
                rows.semaphore_owner[int(n)] = owner
        for opcode in self.texts(t, "opcode"):
            rows.opcode.append(rows.opcodes((opcode or "?")[:80]))
        for site in self.texts(t, "nki_source_location", "bir_debug_info_source_location"):
            rows.site.append(rows.sites(site.strip("[]'\" ")[:500]) if site and site.strip("[]'\" ") else -1)

    def _packets(self, rows: Rows) -> None:
        name = "DmaPacket" if "DmaPacket" in self.pieces else "DmaPacketAggregated"
        t = self.table(
            name, "start_ts", "end_ts", "duration_ns", "pcore_idx", "engine_idx", "read_bytes", "write_bytes",
            "transfer_bytes", "queue_type", "queue_name", "queue_idx", "packet_idx", "packet_aggregation_id", "id")
        if t is None:
            return

        def number(column: str, default: int = 0, required: bool = False) -> np.ndarray:
            return self.numbers(t, name, column, default, required)

        start, size = number("start_ts", required=True), number("transfer_bytes")
        if not self.base and len(start) and start.min() > 10**15:
            self.base = int(start.min())
        duration = number("duration_ns") if "duration_ns" in t.columns else number("end_ts", required=True) - start
        core = np.clip(number("pcore_idx"), 0, 127)
        _fill(rows.dma_start, _ps(start - self.base))
        _fill(rows.dma_duration, _ps(duration))
        _fill(rows.dma_core, core)
        _fill(rows.dma_engine, number("engine_idx") % 16)
        for column, key in ((rows.dma_read, "read_bytes"), (rows.dma_write, "write_bytes")):
            _fill(column, np.maximum(number(key) if key in t.columns else size, 0))
        _fill(rows.dma_order, number("packet_idx"))
        kinds, names, numbers = self.texts(t, "queue_type"), self.texts(t, "queue_name"), number("queue_idx").tolist()
        for kind, queue, n in zip(kinds, names, numbers):
            # "qScalarSpillReload0-Q1-E64" names the ring and engine besides the queue
            queue = re.sub(r"-Q\d+-E\d+$", "", queue or "") or f"queue {n}"
            rows.dma_queue.append(rows.queues("instruction fetch" if kind == "instruction" else queue[:80]))
            rows.dma_kind.append(rows.kinds((kind or "?")[:40]))
        self.sets = number("packet_aggregation_id" if name == "DmaPacket" else "id", -1).tolist()
        self._memories(rows)

    def _memories(self, rows: Rows) -> None:
        """Where each packet goes from and to, as its set says."""
        t = self.table("DmaPacketAggregated", "id", "source", "dest")
        if t is None or not {"id", "source", "dest"} <= set(t.columns):
            return
        ids = self.numbers(t, "DmaPacketAggregated", "id", -1).tolist()
        ends = {n: (_memory(s), _memory(d)) for n, s, d in zip(ids, self.texts(t, "source"), self.texts(t, "dest"))}
        unknown = (MEMORIES.index("?"),) * 2
        for one_set in self.sets:
            source, dest = ends.get(one_set, unknown)
            rows.dma_source.append(source)
            rows.dma_dest.append(dest)

    def _flow(self, rows: Rows) -> None:
        t = self.table("Flow", "in_id", "out_id", "in_table", "out_table", "dependency_type")
        if t is None:
            return
        trigger: dict[int, int] = {}
        for a, b, kind, one, other in zip(
                self.numbers(t, "Flow", "in_id", -1).tolist(), self.numbers(t, "Flow", "out_id", -1).tolist(),
                self.texts(t, "dependency_type"), self.texts(t, "in_table"), self.texts(t, "out_table")):
            ends = (str(one or "").lower(), str(other or "").lower())
            if ends == ("instruction", "instruction"):
                rows.edge_in.append(a)
                rows.edge_out.append(b)
                rows.edge_cause.append(CAUSES.index(vendor.DEPENDENCE.get(str(kind), "unknown")))
            elif ends[0] == "instruction" and ends[1].startswith("dma"):
                trigger.setdefault(b, a)
        if trigger and len(rows.dma_start):
            for one_set in self.sets:
                rows.dma_trigger.append(trigger.get(one_set, -1))

    def _clock(self, rows: Rows) -> None:
        t = self.table("Throttle", "timestamp", "duration", "k", "n", "pcore_idx")
        if t is None:
            return
        columns = [self.numbers(t, "Throttle", c, required=c != "pcore_idx")
                   for c in ("pcore_idx", "timestamp", "duration", "k", "n")]
        for core, start, duration, k, n in zip(*(c.tolist() for c in columns)):
            start -= self.base
            if not (0 <= start < 10**15 and 0 <= duration < 10**15 and 0 <= k <= n <= 127 and 0 <= core <= 127):
                raise FileError(f"{self.folder}: Throttle has {k}/{n} for {duration} ns at {start}: not a clock state")
            rows.clock.append((core, start * 1000, duration * 1000, k, n))

    def _counters(self, rows: Rows, target: str) -> None:
        full = vendor.memory_bytes(load_machine(target))
        for table, name, column, scale in (
            ("DmaUsage", "DMA GB/s", "current_throughput", 1e-9), ("HbmUsage", "HBM GB/s", "current_throughput", 1e-9),
            ("PendingDma", "pending DMAs", "value", 1.0), ("SbufUsage", "SBUF bytes", "avg_util_percent", 0.0),
            ("PsumUsage", "PSUM bytes", "avg_util_percent", 0.0),
        ):
            t = self.table(table, "timestamp", column, "pcore_idx")
            if t is None or column not in t.columns or not len(t):
                continue
            values = np.nan_to_num(t[column].cast(float, strict=False).fill_null(0).to_numpy(), posinf=0, neginf=0)
            if not scale:
                # the schema calls it percent; the same figure of the JSON is a fraction
                scale = full[name] / (100.0 if values.max() > 1 else 1.0)
            if table == "HbmUsage" and not values.any():
                continue
            times = _ps(self.numbers(t, table, "timestamp", required=True) - self.base)
            cores = np.clip(self.numbers(t, table, "pcore_idx"), 0, 127)
            rows.counters[name] = list(zip(cores.tolist(), times.tolist(), (values * scale).tolist()))


def _memory(text: str | None) -> int:
    """"[[INPUT]]", "[SB]", "[VIRTUAL]" (a spill in HBM) as an index into MEMORIES."""
    names = {"SB": "SBUF", "PSUM": "PSUM", "INPUT": "HBM", "OUTPUT": "HBM", "VIRTUAL": "HBM", "WEIGHT": "HBM"}
    return MEMORIES.index(names.get((text or "").strip("[]' \""), "?"))


def _old_names(meta: dict[str, Any]) -> dict[str, Any]:
    """The few figures the metrics need under the names the JSON gives them."""
    names = {"tensor_engine_num_rows": "pe_num_rows", "tensor_engine_num_cols": "pe_num_cols",
             "tensor_engine_clock_freq": "pe_clock_freq"}
    return {old: meta[new] for new, old in names.items() if meta.get(new)}


def _fill(column: array, values: np.ndarray) -> None:
    column.frombytes(np.ascontiguousarray(values, np.int64).tobytes())


def _ps(ns: np.ndarray) -> np.ndarray:
    if len(ns) and (ns.max() > 10**15 or ns.min() < -(10**15)):
        raise FileError(f"a time of {int(ns.max())} ns is longer than eleven days")
    return ns * 1000


def _main(folder: str, result: str, sentence: str) -> None:
    """The decoding process: leaves a .simcore file, or a file with a sentence, or, when polars ends it, neither."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, ValueError, OSError):
        pass                            # no such limit here
    try:
        _read_here(Path(folder)).save(result)
    except FileError as e:
        Path(sentence).write_text(str(e))


if __name__ == "__main__":
    _main(*sys.argv[1:])

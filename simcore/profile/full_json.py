"""Reader of the vendor's full JSON (`view --output-format json`), plain or gzip.

Keys differ between versions, so rows are read by key with defaults and never by a fixed schema.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from simcore.errors import FileError
from simcore.machine import load_machine
from simcore.profile import vendor
from simcore.profile.assemble import MAX_TIME_PS, TRAFFIC, Rows, assemble
from simcore.profile.files import MAX_ROWS, clean, json_elements, open_text, sentences, whole
from simcore.timeline import CAUSES, ENGINES, Timeline

_ENGINE = {e.lower(): i for i, e in enumerate(ENGINES)}
_KEPT = (
    "summary", "metadata", "profile_info", "model_info", "neff_node", "neff_header", "warnings", "nc_mem_usage",
    "error",
)
_OWNER = re.compile(r"S\[(\d+)\] \((q\w+)\)")


def read_full_json(path: str | Path) -> Timeline:
    """A Timeline from the vendor's full JSON.  Raises FileError, in a sentence, for anything that is not one."""
    path = Path(path)
    with sentences(path), open_text(path) as stream:
        return _Reader(path).read(stream)


class _Reader:
    def __init__(self, path: Path):
        self.path = path
        self.rows = Rows()
        self.kept: dict[str, list[Any]] = {}
        self.queue_names: dict[tuple[str, str], list[str]] = {}
        self.packets: list[tuple[str, str]] = []
        self.lists = {
            "instruction": self.instruction, "dma": self.packet, "ham": self.limiter,
            "semaphore_update": self.semaphore, "pending_dma": self.pending, "dma_throughput": self.throughput,
            "instruction_usage": self.usage, "dma_queues_info": self.queue,
        }

    def read(self, stream) -> Timeline:
        counts: dict[str, int] = {}
        for key, row, listed in json_elements(stream):
            n = counts[key] = counts.get(key, 0) + 1
            take = self.lists.get(key)
            if take is not None:
                if n > MAX_ROWS:
                    raise FileError(f"{self.path}: {key!r} has more than {MAX_ROWS:,} rows; refusing to read it")
                if not listed:
                    raise FileError(f"{self.path}: {key!r} is not a list of rows")
                if not isinstance(row, dict):
                    raise FileError(f"{self.path}: row {n - 1} of {key!r} is not an object")
                take(row, f"{self.path}: row {n - 1} of {key!r}:")
            elif key in _KEPT and n <= 1000:
                self.kept.setdefault(key, []).append(clean(row))
        if "instruction" not in counts and "dma" not in counts:
            raise FileError(f"{self.path} has neither an 'instruction' nor a 'dma' list: not a full JSON profile")
        return self.timeline()

    # -------------------------------------------------------------------------------- rows

    def instruction(self, row: dict, where: str) -> None:
        r = self.rows
        engine = _ENGINE.get(str(row.get("subgroup", "")).lower())
        if engine is None:
            engine = _ENGINE.get(str(row.get("label", "")).removesuffix("Matrix").lower())
            if engine is None:   # collective cores and engines of other chips are not the five of ENGINES
                self.kept.setdefault("other_engines", [{}])[0][str(row.get("subgroup"))[:80]] = True
                return
        for column, key in ((r.id, "id"), (r.start, "timestamp"), (r.duration, "duration"), (r.wait, "evt_wait_time"),
                            (r.elements, "elements")):
            _append(column, row.get(key), where, key)
        for key in TRAFFIC:
            _append(r.traffic[key], row.get(key), where, key)
        opcode = str(row.get("opcode") or "?")[:80]
        fn = row.get("activation_fn")
        text = str(row.get("operands") or "").strip()[:4000]
        if fn and str(fn) not in text:
            text = f"{fn} {text}"
        r.core.append(_core(row))
        r.engine.append(engine)
        r.opcode.append(r.opcodes(opcode))
        r.operands.append(r.strings(text))
        where_from = row.get("nki_source_location") or row.get("bir_debug_info_source_location")
        r.site.append(r.sites(str(where_from)[:500]) if where_from else -1)
        r.transpose.append(row.get("instruction_type") == "TRANSPOSE")
        for n, owner in _OWNER.findall(text):
            r.semaphore_owner[int(n)] = owner
        before = row.get("predecessors") or ()
        if not isinstance(before, (list, tuple)):
            raise FileError(f"{where} predecessors is not a list")
        me = r.id[-1]
        for edge in before:
            if not isinstance(edge, dict):
                raise FileError(f"{where} a predecessor is not an object")
            _append(r.edge_in, edge.get("id"), where, "predecessor id")
            r.edge_out.append(me)
            r.edge_cause.append(CAUSES.index(vendor.DEPENDENCE.get(str(edge.get("type")), "unknown")))

    def packet(self, row: dict, where: str) -> None:
        r = self.rows
        size = row.get("transfer_size")
        engine = whole(row.get("dma_engine"), f"{where} dma_engine")
        for column, value, key in (
            (r.dma_start, row.get("timestamp"), "timestamp"), (r.dma_duration, row.get("duration"), "duration"),
            (r.dma_read, row.get("read_size", size), "read_size"),
            (r.dma_write, row.get("write_size", size), "write_size"),
            (r.dma_order, row.get("packet_idx"), "packet_idx"),
        ):
            _append(column, value, where, key)
        r.dma_core.append(_core(row))
        r.dma_engine.append(engine % 16)
        r.dma_kind.append(r.kinds(str(row.get("queue_type") or "?")[:40]))
        self.packets.append((str(row.get("subgraph")), str(row.get("dma_queue"))))

    def queue(self, row: dict, where: str) -> None:
        names = self.queue_names.setdefault((str(row.get("subgraph")), str(row.get("q_idx"))), [])
        name = str(row.get("q_name"))[:80]
        if name not in names:
            names.append(name)

    def limiter(self, row: dict, where: str) -> None:
        start, duration, k, n = (whole(row.get(key), f"{where} {key}") for key in ("timestamp", "duration", "k", "n"))
        if not (0 <= start < MAX_TIME_PS and 0 <= duration < MAX_TIME_PS and 0 <= k <= n <= 127):
            raise FileError(f"{where} {start}+{duration} at {k}/{n} is not a state of the clock limiter")
        self.rows.clock.append((_core(row), start, duration, k, n))

    def semaphore(self, row: dict, where: str) -> None:
        for n, owner in _OWNER.findall(str(row.get("id"))):
            self.rows.semaphore_owner[int(n)] = owner

    def pending(self, row: dict, where: str) -> None:
        self._count("pending DMAs", row, _real(row.get("value"), where), where)

    def throughput(self, row: dict, where: str) -> None:
        self._count("DMA GB/s", row, _real(row.get("transfer_rate"), where) / 1e9, where)
        if rate := _real(row.get("hbm_transfer_rate"), where):    # all 0 where the capture had no DGE notifications
            self._count("HBM GB/s", row, rate / 1e9, where)

    def usage(self, row: dict, where: str) -> None:
        used = _real(row.get("usage_avg"), where)
        name = {"sb": "SBUF bytes", "psum": "PSUM bytes"}.get(str(row.get("type")), "other usage")
        self._count(name, row, used, where)

    def _count(self, name: str, row: dict, value: float, where: str) -> None:
        time = whole(row.get("timestamp"), f"{where} timestamp")
        if not 0 <= time < MAX_TIME_PS:
            raise FileError(f"{where} the timestamp {time} is not within eleven days of the start")
        self.rows.counters[name].append((_core(row), time, value))

    # -------------------------------------------------------------------------------- the whole

    def timeline(self) -> Timeline:
        r = self.rows
        summary = next((s for s in self.kept.get("summary", ()) if isinstance(s, dict)), {})
        about = next((p for p in self.kept.get("profile_info", ()) if isinstance(p, dict)), {})
        fetch = r.kinds.index.get("instruction")
        for (graph, index), kind in zip(self.packets, r.dma_kind):
            names = self.queue_names.get((graph, index), [])
            # several table queues share an index; which one a fetch used is not said
            name = "instruction fetch" if kind == fetch else names[0] if len(names) == 1 else f"queue {index}"
            r.dma_queue.append(r.queues(name))
        scale = self._time_unit(summary)
        for column in (r.start, r.duration, r.wait, r.dma_start, r.dma_duration):
            _scale(column, scale, self.path)
        r.clock = [(c, s * scale, d * scale, k, n) for c, s, d, k, n in r.clock]
        target = vendor.target_of(summary)
        sizes = vendor.memory_bytes(load_machine(target))
        for name in list(r.counters):
            r.counters[name] = [(c, t * scale, v * sizes.get(name, 1)) for c, t, v in r.counters[name]]
        r.counters.pop("other usage", None)
        pending = [v for _, _, v in r.counters["pending DMAs"]]
        if pending == sorted(pending):
            del r.counters["pending DMAs"]     # only ever counted up: completions were not captured
        total = summary.get("total_time")
        totals = {"profiled_ps": round(total * 1e12)} if isinstance(total, (int, float)) and 0 < total < 1e6 else {}
        info = {key: rows[0] if key in ("summary", "metadata", "profile_info", "neff_header") else rows
                for key, rows in self.kept.items()}
        info["source"] = "vendor profile (full JSON)"
        try:
            return assemble(r, name=_name(about, self.path), target=target, totals=totals, info=info)
        except FileError as e:
            raise FileError(f"{self.path}: {e.message}") from None

    def _time_unit(self, summary: dict) -> int:
        """Picoseconds per tick: the file does not say, its own total time does."""
        total = summary.get("total_time")
        times = sorted(self.rows.start)
        if not isinstance(total, (int, float)) or not total > 0 or not times:
            return 1000
        return 1 if times[len(times) // 2] / (total * 1e9) > 30 else 1000    # the median: one wild row decides nothing


def _name(about: dict, path: Path) -> str:
    for suffix in (".gz", ".json", ".profile_full"):
        path = path.with_name(path.name.removesuffix(suffix)) if path.name != suffix else path
    return path.name or str(about.get("profile_name") or "profile")


def _core(row: dict) -> int:
    graph = row.get("subgraph")
    digits = str(graph)[2:] if graph is not None else ""
    return min(int(digits), 127) if digits.isascii() and digits.isdigit() and len(digits) < 4 else 0


def _append(column, value, where: str, key: str) -> None:
    try:
        column.append(value)
    except (TypeError, OverflowError):
        column.append(whole(value, f"{where} {key}"))


def _real(value, where: str) -> float:
    try:
        value = float(0 if value is None else value)
    except (TypeError, ValueError):
        raise FileError(f"{where} {str(value)[:40]!r} is not a number") from None
    return value if abs(value) < 1e30 else 0.0    # NaN and infinity: no reading


def _scale(column, factor: int, path: Path) -> None:
    if factor != 1:
        for i, v in enumerate(column):
            try:
                column[i] = v * factor
            except OverflowError:
                raise FileError(f"{path}: row {i} has the time {v} ns, longer than eleven days") from None

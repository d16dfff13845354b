"""The rows of the Neuron Explorer's tables, from any timeline.

What a timeline does not know is null.  Times are whole nanoseconds (rounded, start
and end each by itself), SBUF and PSUM bytes of compute rows per partition, `Metadata.is_simulation` says which it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np

from simcore.profile import schema, vendor
from simcore.profile.metrics import BF16_FACTOR, chip_of, queue_types, tensor_nodes, vendor_bytes
from simcore.profile.parquet_usage import Usage, columns, nanoseconds
from simcore.timeline import CAUSES, ENGINES, MEMORIES, Timeline

_DEPENDENCE = {"data": "FLOW_DEPENDENCE", "dma": "FLOW_DEPENDENCE", "reuse": "ANTI_DEPENDENCE",
               "bank": "ANTI_DEPENDENCE", "order": "ORDERED"}
_VARIABLE = re.compile(r"\b(dst|src)=\w+@([A-Za-z_][\w.]*)\+")


class Tables(Usage):
    """One method per table; each returns its columns, missing ones being null."""

    def __init__(self, timeline: Timeline):
        super().__init__(timeline)
        self.chip = chip_of(timeline)
        i, d = timeline.instructions, timeline.dma
        waiting = np.array([op in vendor.WAITING_OPCODES for op in timeline.opcodes] or [False], bool)
        self.works = ~waiting[i.opcode]
        # a row that only waits lasts as long as it waited; Timeline has it at the moment its wait ends
        self.start = nanoseconds(np.where(self.works, i.start_ps, np.maximum(i.start_ps - i.wait_ps, 0)))
        self.end = nanoseconds(i.end_ps)
        self.opcode = np.array(timeline.opcodes or ("",), dtype=object)[i.opcode]
        self.engine = np.array(ENGINES, dtype=object)[i.engine]
        self.text = _texts(timeline)
        self.tensors = {str(n.get("variable_name")): n for n in tensor_nodes(timeline)}
        self.d_start, self.d_end = nanoseconds(d.start_ps), nanoseconds(d.end_ps)
        self.size = np.maximum(d.read_bytes, d.write_bytes)
        self.queue = np.array(timeline.queues or ("",), dtype=object)[d.queue]
        self.queue_type = np.array(queue_types(timeline) or [""], dtype=object)[d.queue]
        self.triggers, self.first = np.unique(d.instruction[d.instruction >= 0], return_index=True)
        # ids: instructions, then packets, then triggers' sets of packets
        self.packet_id = len(i) + np.arange(len(d))
        self.set_base = len(i) + len(d)

    # -------------------------------------------------------------------------------- instructions

    def instruction(self) -> dict[str, Any]:
        t, i = self.t, self.t.instructions
        n = len(i)
        matmul = self.opcode == "MATMUL"
        transpose = (i.flops == 0) & (i.elements > 0)
        factor = np.array([BF16_FACTOR.get(name, 1.0) for name in t.dtypes] + [1.0])[i.dtype]
        flops = 2 * i.elements
        semaphore = ~np.isin(i.wait_cause, [CAUSES.index(c) for c in ("start", "engine", "queue")])
        kind = np.where(transpose, "TRANSPOSE", np.where(self._setup(), "", "REGULAR"))
        sites = [str(t.sites[s]) if s >= 0 else None for s in i.site.tolist()]
        traffic = vendor_bytes(t)
        evicts = ~np.array([vendor.is_dma(o) for o in t.opcodes] or [False], bool)[i.opcode]
        evicts &= (traffic["psum_read_bytes"] > 0) & (traffic["sbuf_write_bytes"] > 0)
        begin, end, wait = (np.full(n, None, dtype=object) for _ in range(3))
        done = nanoseconds(i.done_ps)
        for row, first, last in self._spans():
            begin[row], end[row], wait[row] = first, max(last, int(done[row])), first - int(self.end[row])
        return traffic | {
            "start_ts": self.start, "end_ts": self.end, "duration_ns": self.end - self.start,
            "engine": list(self.engine),
            "timeline_track": list(np.where(matmul, "TensorMatrix", self.engine)),
            "pcore_idx": i.core.astype(np.int64),
            "opcode": list(self.opcode), "operands": self.text, "id": np.arange(n), "pc": self._pc(),
            "bir_id": [""] * n, "evt_wait_time_ns": nanoseconds(np.where(semaphore, i.wait_ps, 0)),
            "nki_source_location": sites, "bir_debug_info_source_location": sites,
            "stack_frame_ids": [f"[{s + 1}]" if s >= 0 else None for s in i.site.tolist()],
            "dma_trigger_start_ts": list(begin), "dma_trigger_end_ts": list(end), "dma_wait_time_ns": list(wait),
            "psum_read_sbuf_write_bytes": np.where(evicts, traffic["sbuf_write_bytes"], 0),
            "tensor_instruction_type": list(kind), "tensor_elements": i.elements, "raw_flops": flops,
            "adjusted_flops": (flops * factor).astype(np.int64),
            "tensor_elements_transpose": np.where(transpose, i.elements, 0),
            "flops_transpose": np.where(transpose, flops, 0),
            "adjusted_flops_transpose": np.where(transpose, flops * factor, 0).astype(np.int64),
            "scalar_activation_fn": [_function(o, x) for o, x in zip(self.opcode, self.text)],
        }

    def _setup(self) -> np.ndarray:
        setup = np.array([o in vendor.SETUP_OPCODES for o in self.t.opcodes] or [False], bool)
        return setup[self.t.instructions.opcode]

    def _pc(self) -> np.ndarray:
        """Position on its own engine."""
        i = self.t.instructions
        lane = i.core.astype(np.int64) * len(ENGINES) + i.engine
        order = np.argsort(lane, kind="stable")
        fresh = np.append(True, lane[order][1:] != lane[order][:-1])[:len(order)]
        place = np.arange(len(order))
        pc = np.empty(len(order), np.int64)
        pc[order] = place - np.maximum.accumulate(np.where(fresh, place, 0)) if len(order) else place
        return pc

    def _spans(self):
        """(trigger's row, first start, last end) of the DMAs, in ns."""
        d = self.t.dma
        first = np.full(len(self.t.instructions), np.iinfo(np.int64).max)
        last = np.full(len(self.t.instructions), -1)
        own = d.instruction >= 0
        np.minimum.at(first, d.instruction[own], self.d_start[own])
        np.maximum.at(last, d.instruction[own], self.d_end[own])
        return zip(self.triggers.tolist(), first[self.triggers].tolist(), last[self.triggers].tolist())

    def active_time(self) -> dict[str, Any]:
        i = self.t.instructions
        rows = []
        for core in np.unique(i.core).tolist():
            for e, engine in enumerate(ENGINES):
                mine = self.works & (i.core == core) & (i.engine == e)
                rows += [(s, f, engine.lower(), core, f - s) for s, f in _merged(self.start[mine], self.end[mine])]
        return columns(rows, "start_ts", "end_ts", "engine", "pcore_idx", "duration_ns")

    def opcode_summary(self) -> dict[str, Any]:
        i, total = self.t.instructions, max(self._totalnanoseconds(), 1)
        rows = []
        for e, engine in enumerate(ENGINES):
            for o in np.unique(i.opcode[i.engine == e]).tolist():
                mine = (i.engine == e) & (i.opcode == o)
                active = sum(f - s for s, f in _merged(self.start[mine], self.end[mine]))
                time = int((self.end - self.start)[mine].sum())
                rows.append((engine, self.t.opcodes[o], int(mine.sum()), time, active, active / total))
        return columns(rows, "engine", "opcode", "instruction_count", "instruction_time_ns", "active_time_ns",
                        "active_time_percent")

    def flow(self) -> dict[str, Any]:
        e, d = self.t.dependences, self.t.dma
        kinds = [_DEPENDENCE.get(CAUSES[c], "ORDERED") for c in e.cause.tolist()]
        gap = np.maximum(self.start[e.consumer] - nanoseconds(self.t.instructions.done_ps[e.producer]), 0)
        trigger, started = self.triggers, np.array([first for _, first, _ in self._spans()], np.int64)
        n = len(trigger)
        return {
            "in_id": np.concatenate([e.producer.astype(np.int64), trigger]),
            "out_id": np.concatenate([e.consumer.astype(np.int64), self.set_base + np.arange(n)]),
            "in_table": ["Instruction"] * (len(e) + n),
            "out_table": ["Instruction"] * len(e) + ["DmaPacketAggregated"] * n,
            "dependency_type": kinds + ["DGE_TRIGGER"] * n,
            "gap_time": np.concatenate([gap, np.maximum(started - self.end[trigger], 0)]) if len(d) or len(e) else gap,
        }

    def semaphore_update(self) -> dict[str, Any]:
        """Increments at completion: those the operand text names, else one per instruction another engine waits for."""
        t, i, e = self.t, self.t.instructions, self.t.dependences
        named = {text: vendor.updates(text) for text in set(self.text)}
        events: list[tuple[int, str, str, int, int]] = []
        if any(named.values()):
            for row, text in enumerate(self.text):
                for n, owner in named[text]:
                    source = str(self.engine[row])
                    events.append((int(self.end[row]), f"S[{n}] ({owner})", source, int(i.core[row]), 1))
        else:
            # an engine's own results need no semaphore, DMAs do even where the same engine waits
            needs = (i.engine[e.producer] != i.engine[e.consumer]) | np.isin(e.producer, self.triggers)
            crossing, done = np.unique(e.producer[needs]), nanoseconds(i.done_ps)
            trigger = dict(zip(self.triggers.tolist(), t.dma.queue[t.dma.instruction >= 0][self.first].tolist()))
            for row in crossing.tolist():
                queue = trigger.get(row)
                owner = t.queues[queue] if queue is not None else str(self.engine[row])
                number = len(ENGINES) + queue if queue is not None else int(i.engine[row])
                source = "AXI" if queue is not None else owner
                step = 16 if queue is not None else 1       # one per DMA engine
                events.append((int(done[row]), f"S[{number}] ({owner})", source, int(i.core[row]), step))
        value: dict[tuple[str, int], int] = defaultdict(int)
        rows = []
        for when, name, source, core, step in sorted(events):
            value[name, core] += step
            rows.append((when, name, value[name, core], source, False, "sem_inc", "complete", core))
        return columns(rows, "timestamp", "id", "value", "update_source", "double_set_or_clear",
                        "update_operation_type", "update_trigger_timing", "pcore_idx")

    # -------------------------------------------------------------------------------- DMA

    def dma_packet(self) -> dict[str, Any]:
        d, n = self.t.dma, len(self.t.dma)
        place = np.searchsorted(self.triggers, np.maximum(d.instruction, 0))
        length = np.maximum(self.d_end - self.d_start, 1)
        return {
            "start_ts": self.d_start, "end_ts": self.d_end, "duration_ns": self.d_end - self.d_start,
            "pcore_idx": d.core.astype(np.int64), "id": self.packet_id, "packet_idx": np.arange(n),
            "packet_aggregation_id": np.where(d.instruction >= 0, self.set_base + place, -1),
            "engine_idx": d.core.astype(np.int64) * 16 + d.engine,
            "read_bytes": d.read_bytes, "write_bytes": d.write_bytes,
            "transfer_bytes": self.size, "throughput": self.size / length * 1e9, "queue_type": list(self.queue_type),
            "variable": [self._variable(r) for r in d.instruction.tolist()], "queue_name": list(self.queue),
            "queue_idx": d.queue.astype(np.int64), "crc": np.zeros(n, np.int64),
        }

    def dma_packet_aggregated(self) -> dict[str, Any]:
        t, i, d = self.t, self.t.instructions, self.t.dma
        own = d.instruction >= 0
        read, written = (np.bincount(d.instruction[own], c[own], len(i)).astype(np.int64)[self.triggers]
                         for c in (d.read_bytes, d.write_bytes)) if len(i) else (np.zeros(0, np.int64),) * 2
        rows, first = [], np.flatnonzero(own)[self.first] if len(d) else self.first
        for k, (row, start, end) in enumerate(self._spans()):
            packet = first[k]
            source, dest = MEMORIES[d.source[packet]], MEMORIES[d.dest[packet]]
            kind = self.tensors.get(self._variable(row), {}).get("type")
            # a tensor in HBM that is neither given nor returned is the compiler's or the kernel's own: VIRTUAL
            place = "VIRTUAL" if kind == "" else "INPUT" if kind == "IN" else "OUTPUT" if kind == "OUT" else None
            read_from, written_to = _PLACE_FROM[source], _PLACE_TO[dest]
            read_from = place or read_from if source == "HBM" else read_from
            written_to = place or written_to if dest == "HBM" else written_to
            moved = int(max(read[k], written[k]))
            queue = int(d.queue[packet])
            semaphore = vendor.trigger_semaphore(self.text[row])
            number = len(ENGINES) + queue if semaphore is None else semaphore
            rows.append((
                start, end, end - start, self.set_base + k, int(i.core[row]), k, queue, t.queues[queue],
                str(self.queue_type[packet]), "write" if dest == "HBM" else "read", self._variable(row),
                int(read[k]), int(written[k]), moved,
                moved / max(end - start, 1) * 1e9, f"[[{read_from}]]", f"[{written_to}]",
                f"S[{number}] ({t.queues[queue]})", int(self.start[row]), int(self.end[row]), *("",) * 8, 0, 0,
            ))
        return columns(rows, "start_ts", "end_ts", "duration_ns", "id", "pcore_idx", "block_id", "queue_idx",
                        "queue_name", "queue_type", "op", "variable", "read_bytes", "write_bytes",
                        "transfer_bytes", "throughput",
                        "source", "dest", "semaphore_id", "trigger", "completion", "read_sbuf_partitions",
                        "read_shape", "read_offset", "read_steps", "write_sbuf_partitions", "write_shape",
                        "write_offset", "write_steps",
                        "read_num_sbuf_partitions", "write_num_sbuf_partitions")

    def _variable(self, row: int) -> str:
        """The tensor in HBM a trigger reads or writes, where the operand text names it."""
        if row < 0:
            return "unknown"
        names = dict(_VARIABLE.findall(self.text[row]))
        i = self.t.instructions
        wanted = "dst" if i.hbm_write_bytes[row] and not i.hbm_read_bytes[row] else "src"
        return names.get(wanted) or next(iter(names.values()), "unknown")

    def dma_queues_info(self) -> dict[str, Any]:
        d = self.t.dma
        pairs = sorted(set(zip(d.queue.tolist(), d.core.tolist())))
        return columns([(self.t.queues[q], "data", c, q, c * 16, 0, 0) for q, c in pairs],
                        "name", "type", "pcore_idx", "idx", "engine_idx", "axi_port", "dram_channel")

    # -------------------------------------------------------------------------------- about it

    def _totalnanoseconds(self) -> int:
        return round((self.t.totals.get("profiled_ps") or self.t.end_ps) / 1000)

    def summary(self) -> dict[str, Any]:
        fields = schema.tables()["Summary"]
        return {k: [v] for k, v in self.metrics.items() if k in fields and not isinstance(v, str)}

    def metadata(self) -> dict[str, Any]:
        from simcore import __version__

        t, chip = self.t, self.chip
        machine = vendor.machine_of(t)
        given = self.metrics
        last = self._totalnanoseconds()
        one: dict[str, Any] = {
            "profile_schema_version": schema.VERSION, "ntff_version": 0, "num_physical_cores": int(chip.cores),
            "vnc_enabled": chip.cores > 1, "first_hw_timestamp": 0, "last_hw_timestamp": last,
            "first_ts": "1970-01-01 00:00:00+00:00", "last_ts": _clock_text(last),
            "dma_ddr_bandwidth": machine.dma.engines * machine.dma.engine_bytes_per_s,
            "num_dma_engines_per_neuroncore": machine.dma.engines, "hbm_ddr_bandwidth": chip.hbm_bytes_per_s,
            "tensor_engine_num_rows": chip.rows, "tensor_engine_num_cols": chip.columns,
            "tensor_engine_clock_freq": chip.pe_clock_hz / 1e9, "neuroncore_clock_freq": chip.base_clock_hz / 1e9,
            "ticks_per_nanosec": 1000, "instance_type": str(given.get("instance_type", vendor.instance_type(t))),
            "explorer_version": f"simcore {__version__}", "profile_name": t.name,
            "is_simulation": t.kind == "simulated",
            **{key: str(given[key]) for key in ("runtime_version", "collectives_version", "driver_version",
                                                "compiler_version") if key in given},
        }
        for name in ("vector", "scalar", "gpsimd"):
            one |= {f"{name}_engine_clock_freq": getattr(machine, name).clock_hz / 1e9,
                    f"{name}_engine_num_channels": machine.core.partitions}
        return {k: [v] for k, v in one.items()}

    def tensor_info(self) -> dict[str, Any]:
        rows = [(str(n["variable_name"]), str(n.get("type", "")), str(n.get("format", "")), str(n.get("shape", "")),
                 int(n["size"]) if str(n.get("size", "")).isdigit() else None, 0)   # sizes are text in the JSON
                for n in self.tensors.values() if n.get("type")]
        return columns(rows, "variable_name", "type", "format", "shape", "size", "pcore_idx")

    def warning(self) -> dict[str, Any]:
        given = self.t.info.get("warnings")
        rows = [(str(w.get("message", "")), str(w.get("category", ""))) if isinstance(w, dict) else (str(w), "simcore")
                for w in (given if isinstance(given, list) else ())]
        if self.t.kind == "simulated":
            rows.append(("This profile was simulated by simcore; no hardware ran.", "Simulation"))
        return columns(rows, "message", "category")

    def stack_frame(self) -> dict[str, Any]:
        ids = [str(k + 1) for k in range(len(self.t.sites))]
        return {"id": ids, "file_location_id": np.arange(1, len(ids) + 1), "parent_frame_id": ["0"] * len(ids)}

    def stack_frame_file_location(self) -> dict[str, Any]:
        files, functions = self._site_words("file"), self._site_words("function")
        rows = [(str(k), files[s.file], functions[s.function], s.line) for k, s in enumerate(self.t.sites, 1)]
        return columns(rows, "id", "file_name_id", "function_name_id", "line_number")

    def stack_frame_file_name(self) -> dict[str, Any]:
        return columns([(str(n), w) for w, n in self._site_words("file").items()], "id", "name")

    def stack_frame_function_name(self) -> dict[str, Any]:
        return columns([(str(n), w) for w, n in self._site_words("function").items()], "id", "name")

    def _site_words(self, what: str) -> dict[str, int]:
        return {w: n for n, w in enumerate(dict.fromkeys(getattr(s, what) for s in self.t.sites), 1)}

    def schema_fields(self) -> dict[str, Any]:
        types = {"int64": ("integer", "int64"), "int32": ("integer", "int32"), "float64": ("number", "float"),
                 "string": ("string", None), "boolean": ("boolean", None)}
        rows = [(table, "", field, "", types[kind][0], required, types[kind][1], unit or None)
                for table, fields in schema.tables().items() for field, (kind, unit, required) in fields.items()]
        return columns(rows, "table_name", "table_description", "field_name", "field_description", "field_type",
                        "field_required", "field_format", "field_unit")


def _texts(t: Timeline) -> list[str]:
    """Operands per row; of a simulated run at hand with tensors' names, offsets and strides."""
    rows = range(len(t.instructions))
    if t.kind == "simulated" and t.trace is not None:
        return [t.trace.operand_text(k) for k in t.instructions.source_row.tolist()]
    return [t.operands(r) for r in rows]


_PLACE_FROM = {"HBM": "INPUT", "SBUF": "SB", "PSUM": "PSUM", "?": "unknown"}
_PLACE_TO = {"HBM": "OUTPUT", "SBUF": "SB", "PSUM": "PSUM", "?": "unknown"}


def _merged(start: np.ndarray, end: np.ndarray) -> list[tuple[int, int]]:
    """Intervals merged where they touch or overlap."""
    if not len(start):
        return []
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    cut = np.flatnonzero(start[1:] > reach[:-1])
    return list(zip(start[np.append(0, cut + 1)].tolist(), reach[np.append(cut, len(reach) - 1)].tolist()))


def _function(opcode: str, text: str) -> str | None:
    """The activation function: the vendor's text begins with it, a simulated one says `op=`."""
    if not opcode.startswith("ACTIVATE"):
        return None
    found = re.search(r"\b(?:op|func|act_func)=(\w+)", text) or re.search(r"(?:^|\s)([A-Z][A-Z0-9_]+)(?=\s)", text)
    return found[1] if found else None


def _clock_text(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    hours, minutes = seconds // 3600 % 24, seconds // 60 % 60
    return f"1970-01-{1 + seconds // 86400:02d} {hours:02d}:{minutes:02d}:{seconds % 60:02d}.{rest:09d}+00:00"


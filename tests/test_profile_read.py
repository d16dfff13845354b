"""Readers of the vendor's profiles: what they recover, and what they say about files that are damaged or hostile."""

import copy
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simcore import analysis, read_profile
from simcore.errors import FileError
from simcore.profile import profile_kind
from simcore.timeline import CAUSES, ENGINES, Timeline

PROFILES = Path(os.environ.get("SIMCORE_PROFILES", Path(__file__).parents[2] / "shared" / "profiles"))
NAMES = ("baseline_fp32_s512", "baseline_bf16_s1024", "fused_fp32_s1024", "fused_bf16_s512")


def real(name):
    path = PROFILES / f"trn2-attn-{name}.profile_full.json.gz"
    if not path.exists():
        pytest.skip(f"no hardware profiles in {PROFILES} (set SIMCORE_PROFILES)")
    return read_profile(path)


def instruction(ident, engine, opcode, timestamp, duration, operands="", **more):
    row = {"id": ident, "subgroup": engine, "label": engine, "opcode": opcode, "timestamp": timestamp,
           "duration": duration, "operands": operands, "subgraph": "sg00", "evt_wait_time": 0}
    return row | more


def packet(timestamp, duration, size, engine, index):
    return {"timestamp": timestamp, "duration": duration, "transfer_size": size, "read_size": size, "write_size": size,
            "dma_engine": str(64 + engine), "dma_queue": "1", "packet_idx": index, "queue_type": "hardware_dynamic",
            "subgraph": "sg00"}


def small():
    """A load on two DMA engines, a matmul that waits for it, an eviction that waits for the matmul; set-up around."""
    return {
        "instruction": [
            instruction(1, "Sync", "WRITE", 0, 100),
            instruction(2, "Sync", "DMA_DIRECT2D", 1000, 500, " semaphore=8 sem_increment=16 ", hbm_read_bytes=8192,
                        sbuf_write_bytes=8192),
            instruction(3, "Tensor", "MATMUL", 4000, 300,
                        "S[8] (qSyncDynamicHW)>=16 S[5] (Tensor)++@complete acc_flags=3 "
                        "src=bfloat16@0x0[1,0,0][512,1,1] dst=0x2000000[1,0,0][512,1,1] 128*64", elements=4194304,
                        sbuf_read_bytes=1024, psum_write_bytes=2048, evt_wait_time=2500,
                        predecessors=[{"id": 2, "type": "FLOW_DEPENDENCE"}]),
            instruction(5, "Vector", "EVENT_SEMAPHORE", 200, 4150, "S[5] (Tensor)>=1",
                        predecessors=[{"id": 3, "type": "FLOW_DEPENDENCE"}]),
            instruction(4, "Vector", "COPY", 4360, 600,
                        "src=fp32@0x2000000[1,1][512,1] dst=fp32@0x4000[1,1][512,1] channels=64",
                        psum_read_bytes=2048, sbuf_write_bytes=2048,
                        predecessors=[{"id": 3, "type": "ANTI_DEPENDENCE"}, {"id": 99, "type": "FLOW_DEPENDENCE"}]),
        ],
        "dma": [packet(2300, 100, 4096, 0, 0), packet(2400, 8, 4, 0, 1),
                packet(2350, 150, 4096, 1, 0), packet(2500, 8, 4, 1, 1)],
        "dma_queues_info": [{"subgraph": "sg00", "q_idx": 1, "q_name": "qSyncDynamicHW"}],
        "ham": [{"timestamp": 3000, "duration": 2000, "k": 8, "n": 8, "subgraph": "sg00"}],
        "instruction_usage": [{"type": "psum", "usage_avg": 0.125, "timestamp": 4000, "subgraph": "sg00"}],
        "pending_dma": [{"timestamp": 1000, "value": 1, "subgraph": "sg00"},
                        {"timestamp": 2500, "value": 0, "subgraph": "sg00"}],
        "summary": [{"total_time": 5e-6, "instance_type": "trn2.3xlarge"}],
    }


def saved(tmp_path, data, name="p.json") -> Path:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


def row_of(t: Timeline, opcode: str) -> int:
    return next(r for r in range(len(t.instructions)) if t.opcode(r) == opcode)


# ------------------------------------------------------------------------------------------------ what is recovered

def test_full_json(tmp_path):
    t = read_profile(saved(tmp_path, small()))
    assert (t.kind, t.target, t.name, t.cores) == ("measured", "trn2", "p", (0,))
    i, load, matmul, copied = t.instructions, row_of(t, "DMA_DIRECT2D"), row_of(t, "MATMUL"), row_of(t, "COPY")
    assert [ENGINES[i.engine[r]] for r in (load, matmul, copied)] == ["Sync", "Tensor", "Vector"]
    assert (i.start_ps[matmul], i.end_ps[matmul]) == (4_000_000, 4_300_000)
    # bytes of compute rows are per partition in the file: 128 rows read, 64 columns written, 64 channels copied
    assert (i.sbuf_read_bytes[matmul], i.psum_write_bytes[matmul]) == (1024 * 128, 2048 * 64)
    assert (i.psum_read_bytes[copied], i.sbuf_write_bytes[load]) == (2048 * 64, 8192)
    assert (i.elements[matmul], i.flops[matmul], t.dtypes[i.dtype[matmul]]) == (4194304, 8388608, "bf16")
    assert t.totals == {"profiled_ps": 5_000_000, "kernel_start_ps": 1_000_000, "kernel_end_ps": 4_960_000,
                        "kernel_ps": 3_960_000}
    assert t.counters["PSUM bytes"].value.tolist() == [0.125 * 2 * 1024 * 1024]
    assert [(int(c.k[0]), int(c.end_ps[0])) for c in [t.clock]] == [(8, 5_000_000)]


def test_packets_belong_to_the_trigger_whose_turn_it_is(tmp_path):
    data = small()
    data["instruction"].append(instruction(6, "Sync", "DMA_DIRECT2D", 1600, 500, "semaphore=9", hbm_write_bytes=100))
    data["dma"] += [packet(3000, 50, 50, 0, 2), packet(3050, 8, 4, 0, 3),
                    packet(3100, 50, 50, 1, 2), packet(3190, 8, 4, 1, 3)]
    t = read_profile(saved(tmp_path, data))
    first, second = (r for r in range(len(t.instructions)) if t.opcode(r) == "DMA_DIRECT2D")
    assert t.dma.instruction.tolist() == [first] * 4 + [second] * 4
    assert t.instructions.done_ps[[first, second]].tolist() == [2_508_000, 3_198_000]
    assert t.dma.source[:4].tolist() == [0] * 4 and t.dma.dest[4:].tolist() == [0] * 4     # from HBM, to HBM
    data["dma"].pop()                       # one completion is missing: nothing is guessed
    assert set(read_profile(saved(tmp_path, data)).dma.instruction.tolist()) == {-1}


def test_waits_name_their_cause(tmp_path):
    t = read_profile(saved(tmp_path, small()))
    i, load, matmul, copied = t.instructions, row_of(t, "DMA_DIRECT2D"), row_of(t, "MATMUL"), row_of(t, "COPY")
    assert CAUSES[i.wait_cause[row_of(t, "WRITE")]] == "start"
    assert (CAUSES[i.wait_cause[matmul]], i.wait_on[matmul], i.wait_ps[matmul]) == ("dma", load, 4_000_000)
    # the copy waited, through the EVENT_SEMAPHORE before it, for the matmul's result
    assert (CAUSES[i.wait_cause[copied]], i.wait_on[copied]) in (("reuse", matmul), ("data", matmul))
    e = t.dependences
    edges = {(int(p), int(c), CAUSES[k]) for p, c, k in zip(e.producer, e.consumer, e.cause)}
    assert (load, matmul, "dma") in edges and (matmul, copied, "reuse") in edges
    assert list(analysis.chain_back(t, copied))[:3] == [copied, matmul, load]


def test_what_an_event_semaphore_waited_for_is_what_the_next_row_waited_for(tmp_path):
    """The compiler makes the semaphore row a producer of the row after it; the DMA it waited for is the cause."""
    data = small()
    data["instruction"].insert(2, instruction(8, "Tensor", "EVENT_SEMAPHORE", 300, 3690, "S[8] (qSyncDynamicHW)>=16",
                                              predecessors=[{"id": 2, "type": "FLOW_DEPENDENCE"}]))
    data["instruction"][3]["predecessors"] = [{"id": 8, "type": "FLOW_DEPENDENCE"}]
    t = read_profile(saved(tmp_path, data))
    matmul, load = row_of(t, "MATMUL"), row_of(t, "DMA_DIRECT2D")
    assert (CAUSES[t.instructions.wait_cause[matmul]], t.instructions.wait_on[matmul]) == ("dma", load)


def test_event_semaphores_take_no_time_of_the_engine(tmp_path):
    t = read_profile(saved(tmp_path, small()))
    row = row_of(t, "EVENT_SEMAPHORE")
    assert t.instructions.start_ps[row] == t.instructions.end_ps[row] == 4_350_000
    assert t.instructions.wait_ps[row] == 4_150_000 and t.busy_ps("Vector") == 600_000


def test_picoseconds_are_noticed(tmp_path):
    data = small()
    for table in ("instruction", "dma", "ham", "pending_dma", "instruction_usage"):
        for row in data[table]:
            row["timestamp"] *= 1000
            if "duration" in row:
                row["duration"] *= 1000
    t = read_profile(saved(tmp_path, data))
    assert t.instructions.end_ps.max() == 4_960_000 and t.clock.end_ps[0] == 5_000_000


def test_rows_of_other_versions(tmp_path):
    """Missing keys have defaults, numbers may be text, unknown opcodes are work; other lists and engines are let be."""
    data = small()
    data["instruction"] += [{"subgroup": "Scalar", "opcode": "NEW_OPCODE", "timestamp": "5000", "duration": 10},
                            instruction(9, "CC-core", "CC", 5000, 10)]
    data["from_the_future"] = [{"a": [1, 2, {"b": None}]}]
    del data["dma_queues_info"], data["summary"], data["ham"]
    t = read_profile(saved(tmp_path, data))
    row = row_of(t, "NEW_OPCODE")
    assert t.instructions.start_ps[row] == 5_000_000 and row in analysis.kernel_rows(t)
    assert len(t.instructions) == 6 and t.info["other_engines"] == [{"CC-core": True}]
    assert t.totals["profiled_ps"] == 5_010_000


def test_two_cores_keep_apart(tmp_path):
    data = small()
    data["instruction"].append(instruction(7, "Vector", "COPY", 4400, 600, "channels=1", subgraph="sg01"))
    t = read_profile(saved(tmp_path, data))
    assert t.cores == (0, 1) and t.busy_ps("Vector", 1) == 600_000 and t.busy_ps("Vector") == 640_000


def test_gzip_and_plain_are_the_same(tmp_path):
    plain = read_profile(saved(tmp_path, small()))
    packed = read_profile(saved(tmp_path, gzip.compress(json.dumps(small()).encode()), "p.json.gz"))
    plain.save(tmp_path / "a.simcore")
    packed.save(tmp_path / "b.simcore")
    assert (tmp_path / "a.simcore").read_bytes() == (tmp_path / "b.simcore").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_real_profiles(name):
    t = real(name)
    rows = analysis.kernel_rows(t)
    i = t.instructions
    assert t.cores == (0, 1) and set(i.core[rows].tolist()) == {0}      # LNC=2: one of two cores does the work
    kernel_packets = np.array([q != "instruction fetch" for q in t.queues])[t.dma.queue]
    assert (t.dma.instruction[kernel_packets] >= 0).all()                # every packet found its trigger
    # and the bytes agree with what the trigger asked for (completion writes are 4 bytes on each of 16 engines)
    moved = np.bincount(t.dma.instruction[kernel_packets], t.dma.read_bytes[kernel_packets], len(i))
    triggers = np.unique(t.dma.instruction[kernel_packets])
    asked = np.maximum(i.hbm_read_bytes, i.hbm_write_bytes)[triggers]
    assert (moved[triggers] - 64 >= asked).all() and (moved[triggers] - 64 <= 2 * asked).all()
    assert not (i.done_ps[t.dependences.producer] > i.start_ps[t.dependences.consumer] + 2_000)[
        np.isin(t.dependences.cause, [CAUSES.index("dma")])].any()
    named = i.wait_ps[rows][i.wait_cause[rows] != CAUSES.index("unknown")].sum() / max(i.wait_ps[rows].sum(), 1)
    assert named > 0.9
    t._check("it")


def test_real_profile_survives_save_and_load(tmp_path):
    t = real("fused_bf16_s512")
    t.save(tmp_path / "x.simcore")
    again = Timeline.load(tmp_path / "x.simcore")
    assert again.info["summary"] == t.info["summary"] and (again.instructions.done_ps == t.instructions.done_ps).all()


# ------------------------------------------------------------------------------------------------ summaries

METRICS = {"total_time": 3.6e-05, "tensor_engine_active_time": 1.5e-05, "tensor_engine_instruction_count": 178,
           "hbm_read_bytes": 491520, "instance_type": "trn2.3xlarge", "nan_here": 1.5}
MODEL = "n_" + "0123456789" * 4


def test_summary_json(tmp_path):
    t = read_profile(saved(tmp_path, {MODEL: METRICS, "n_" + "f" * 40: {"total_time": 1.0}}))
    assert t.totals == {"profiled_ps": 36_000_000} and t.target == "trn2" and not len(t.instructions)
    assert t.info["summary"]["hbm_read_bytes"] == 491520 and "instructions" in t.info["lacks"]
    assert "2 models" in t.info["warnings"][0]["message"]


def test_summary_text(tmp_path):
    lines = ["WARNING: something about the capture", f"{MODEL}", *(f"    {k:<40} {v}" for k, v in METRICS.items()), ""]
    t = read_profile(saved(tmp_path, "\n".join(lines).encode(), "summary.txt"))
    assert t.info["summary"] == METRICS and t.info["model"] == MODEL and t.totals == {"profiled_ps": 36_000_000}


def test_figures_of_a_summary_are_its_own(tmp_path):
    t = read_profile(saved(tmp_path, {MODEL: METRICS}))
    s = t.summary()
    assert s.span_ps == 36_000_000 and s.hbm_read_bytes == 491520 and "instructions" in s.lacks
    assert [(e.engine, e.busy_ps, e.instructions) for e in s.engines] == [("Tensor", 15_000_000, 178)]
    assert "36.0 µs" in str(s) and "it records no instructions" in str(s)
    t.save(tmp_path / "s.simcore")
    assert Timeline.load(tmp_path / "s.simcore").info["lacks"] == t.info["lacks"]


# ------------------------------------------------------------------------------------------------ kinds

def test_kinds_are_told_apart_by_content(tmp_path):
    cases = {
        "full JSON": saved(tmp_path, small(), "a.txt"), "summary-json": saved(tmp_path, {MODEL: METRICS}, "b.dat"),
        "summary-text": saved(tmp_path, f"{MODEL}\n    total_time  1.0\n".encode(), "c.json"),
        None: saved(tmp_path, b"hello", "d.json"), "Parquet table": saved(tmp_path, b"PAR1....PAR1", "e.parquet"),
    }
    assert {profile_kind(path): path for path in cases.values()} == cases
    packed = saved(tmp_path, gzip.compress(json.dumps({MODEL: METRICS}).encode()), "f.gz")
    assert profile_kind(packed) == "summary-json"


def test_a_capture_gets_the_command_that_exports_it(tmp_path):
    (tmp_path / "my kernel.neff").write_bytes(b"x" * 2000)
    (tmp_path / "profile_exec_2.ntff").write_bytes(b"y" * 2000)
    for path in (tmp_path / "my kernel.neff", tmp_path / "profile_exec_2.ntff", tmp_path):
        with pytest.raises(FileError) as e:
            read_profile(path)
        assert (f"neuron-explorer view -n '{tmp_path}/my kernel.neff' -s {tmp_path}/profile_exec_2.ntff "
                "--output-format parquet --output-file tables/") in str(e.value)


@pytest.mark.parametrize("data, says", [
    (b"", "not a profile simcore knows"), (b"hello\nworld", "not a profile"), (b"\x00\xff" * 999, "not a profile"),
    (b"PAR1....PAR1", "is one table; give simcore the folder"),
    (b'{"a": [1, 2]}', "neither an 'instruction' nor a 'dma' list"), (b'{"traceEvents": []}', "neither"),
    (b'{"n_0123456789abcdef": 5}', "no total_time"), (b'{"n_0123456789abcdef": {"total_time": NaN}}', "no total_time"),
    (b"n_0123456789abcdef\n    total_time  soon\n", "no total_time"),
])
def test_what_is_no_profile(tmp_path, data, says):
    with pytest.raises(FileError, match=says):
        read_profile(saved(tmp_path, data))


def test_missing_file(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        read_profile(tmp_path / "nothing.json")


# ------------------------------------------------------------------------------------------------ damage

def broken(change):
    data = copy.deepcopy(small())
    change(data)
    return data


ROW = [
    ({"timestamp": "soon"}, "row 2 of 'instruction': timestamp is 'soon', not a finite number"),
    ({"timestamp": [1]}, "not a finite number"), ({"timestamp": {}}, "not a finite number"),
    ({"timestamp": float("nan")}, "not a finite number"), ({"duration": float("inf")}, "not a finite number"),
    ({"timestamp": -5}, "negative timestamp"), ({"duration": -5}, "negative duration"),
    ({"timestamp": 10**30}, "larger than any real profile"), ({"timestamp": 2**55}, "longer than eleven days"),
    ({"timestamp": 2**62}, "longer than eleven days"), ({"sbuf_read_bytes": 2**62}, "which no instruction can have"),
    ({"hbm_read_bytes": -1}, "which no instruction can have"), ({"elements": 2**62}, "which no instruction can have"),
    ({"predecessors": "all"}, "predecessors is not a list"), ({"predecessors": [3]}, "a predecessor is not an object"),
    ({"predecessors": [{"id": "x"}]}, "predecessor id is 'x'"),
]


@pytest.mark.parametrize("change, says", ROW, ids=[str(c)[:40] for c, _ in ROW])
def test_a_damaged_row_is_named(tmp_path, change, says):
    with pytest.raises(FileError, match=says) as e:
        read_profile(saved(tmp_path, broken(lambda d: d["instruction"][2].update(change))))
    assert str(e.value).startswith(str(tmp_path / "p.json")) and "\n" not in str(e.value)


TABLES = [
    (lambda d: d["instruction"].insert(1, 17), "row 1 of 'instruction' is not an object"),
    (lambda d: d.update(instruction={"a": 1}), "'instruction' is not a list of rows"),
    (lambda d: d["dma"][0].update(dma_engine=10**25), "larger than any real profile"),
    (lambda d: d["dma"][1].update(read_size=-4), "which no instruction can have"),
    (lambda d: d["dma"][1].update(timestamp="x"), "row 1 of 'dma': timestamp"),
    (lambda d: d.update(instruction=[instruction(n, "Sync", f"OP{n}", n, 1) for n in range(5000)]),
     "4,096 different opcodes"),
    (lambda d: d.update(instruction=[instruction(n, "Sync", "OP", n, 1, f"src=t{n}@0x0") for n in range(200)]),
     "different dtypes"),
    (lambda d: d["ham"][0].update(k=9), "not a state of the clock limiter"),
    (lambda d: d["ham"][0].update(timestamp=2**62), "not a state of the clock limiter"),
    (lambda d: d["pending_dma"][0].update(timestamp=-1), "not within eleven days"),
    (lambda d: d["pending_dma"][0].update(value={}), "is not a number"),
]


@pytest.mark.parametrize("change, says", TABLES, ids=range(len(TABLES)))
def test_a_damaged_table_is_named(tmp_path, change, says):
    with pytest.raises(FileError, match=says):
        read_profile(saved(tmp_path, broken(change)))


HARMLESS = [
    lambda d: [r.update(id=1) for r in d["instruction"]],
    lambda d: [r.update(predecessors=[{"id": r["id"], "type": "FLOW_DEPENDENCE"}]) for r in d["instruction"]],
    lambda d: d["instruction"][2].update(opcode=[1], operands=7, subgraph=["q"], label=None),
    lambda d: d.update(summary="x"), lambda d: d["summary"][0].update(total_time="NaN", instance_type=[3]),
    lambda d: d["instruction_usage"][0].update(usage_avg=float("nan")), lambda d: d["ham"][0].update(k=0, n=0),
    lambda d: (d["instruction"][2].update(opcode="../../etc/passwd", nki_source_location="/etc/passwd:1"),
               d.update(profile_info=[{"profile_name": "../../x"}]), d["dma_queues_info"][0].update(q_name="../y")),
]


@pytest.mark.parametrize("change", HARMLESS, ids=range(len(HARMLESS)))
def test_odd_but_readable(tmp_path, change):
    t = read_profile(saved(tmp_path, broken(change)))
    t._check("it")
    t.save(tmp_path / "x.simcore")
    Timeline.load(tmp_path / "x.simcore")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.json", "x.simcore"]      # nothing written elsewhere
    assert t.sources == {}                                                           # no file of the machine was read
    str(t.summary())


def test_truncated_everywhere(tmp_path):
    """Cut anywhere, plain or gzip, the answer is one sentence; never a traceback, never half a profile."""
    text = json.dumps(small()).encode()
    for data, name in ((text, "p.json"), (gzip.compress(text, mtime=0), "p.json.gz")):
        for cut in range(0, len(data) - 1, max(len(data) // 60, 1)):
            with pytest.raises(FileError) as e:
                read_profile(saved(tmp_path, data[:cut], name))
            assert "\n" not in str(e.value)


def test_flipped_bytes(tmp_path):
    """A changed byte gives a profile or a sentence."""
    rng = np.random.default_rng(0)
    text = json.dumps(small()).encode()
    for data, name in ((text, "p.json"), (gzip.compress(text, mtime=0), "p.json.gz")):
        for at in rng.integers(0, len(data), 200):
            hurt = bytearray(data)
            hurt[at] ^= 1 << int(rng.integers(0, 8))
            try:
                read_profile(saved(tmp_path, bytes(hurt), name))._check("it")
            except FileError as e:
                assert "\n" not in str(e)


@pytest.mark.parametrize("data", [b'{"instruction":[' + b"[" * 100_000, b'{"a":' * 50_000, b"[" * 100_000],
                         ids=["list", "object", "top"])
def test_deep_nesting(tmp_path, data):
    with pytest.raises(FileError):
        read_profile(saved(tmp_path, data))


def test_a_bomb_is_refused_while_it_unpacks(tmp_path):
    """A few hundred kilobytes that unpack to half a gigabyte: refused in bounded memory, in a process of its own."""
    zeros = gzip.compress(b" " * (1 << 24), 9, mtime=0)
    bomb = saved(tmp_path, gzip.compress(b'{"instruction": [', mtime=0) + zeros * 32, "bomb.json.gz")
    code = f"""
import resource, simcore
from simcore.errors import FileError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    simcore.read_profile({str(bomb)!r})
except FileError as e:
    print(e)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "more than 100 MB"
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "refusing to read it" in out


def test_memory_of_many_rows_is_bounded(tmp_path):
    """Thirty thousand rows, all of one id: the text is not kept, rows are columns."""
    before = [{"id": 1, "type": "ORDERED"}]
    row = json.dumps(instruction(1, "Vector", "COPY", 5, 5, "x" * 900, predecessors=before)).encode()
    path = saved(tmp_path, b'{"instruction": [' + b",".join([row] * 30_000) + b"]}")
    code = f"""
import resource, simcore
import simcore.profile.full_json
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(simcore.read_profile({str(path)!r}).instructions) == 30_000
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000, "more than 60 MB"
"""
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_the_core_stays_light():
    """Reading JSON needs no polars."""
    code = "import sys, simcore; simcore.read_profile; assert not {'polars', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

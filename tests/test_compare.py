"""Two runs side by side: what is matched, and that the gap is attributed to what was changed."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from handmade import NS, pipeline, random_rows

from simcore import compare, read_profile
from simcore.analysis import span_ps
from simcore.profile.align import align, increasing
from simcore.profile.summary_files import write_summary_json
from simcore.timeline import ENGINES, Timeline

NAMES = ("baseline_fp32_s512", "baseline_bf16_s1024", "fused_fp32_s1024", "fused_bf16_s512")


def later(t: Timeline, row: int, ps: int, *, longer: str = "") -> Timeline:
    """The serial pipeline with `ps` more before `row`, or in it (`longer` = "run" or "dma"): everything after moves."""
    i, d, old = t.instructions, t.dma, t.instructions.start_ps[row]
    move = (i.start_ps > old) | ((np.arange(len(i)) == row) & (not longer))
    columns = {f: getattr(i, f).copy() for f in i.__dataclass_fields__}
    for name in ("start_ps", "end_ps", "done_ps"):
        columns[name][move] += ps
    packets = {f: getattr(d, f).copy() for f in d.__dataclass_fields__}
    packets["start_ps"][move[d.instruction]] += ps
    packets["end_ps"][move[d.instruction]] += ps
    if longer == "run":
        columns["end_ps"][row] += ps
        columns["done_ps"][row] += ps
    if longer == "dma":
        columns["done_ps"][row] += ps
        packets["end_ps"][d.instruction == row] += ps
    if longer == "start":
        columns["done_ps"][row] += ps
        packets["start_ps"][d.instruction == row] += ps
        packets["end_ps"][d.instruction == row] += ps
    return dataclasses.replace(t, instructions=type(i)(**columns), dma=type(d)(**packets))


def causes(a: Timeline, b: Timeline) -> dict[str, int]:
    c = compare(a, b)
    assert sum(cause.ps for cause in c.causes) == c.gap_ps        # nothing is left over
    assert all(cause.meaning for cause in c.causes)
    return {cause.name: cause.ps for cause in c.causes}


# ------------------------------------------------------------------------------------------------ attribution

MATMUL, EXP, ADD, LOAD, STORE = 6, 7, 8, 5, 9       # rows of the second tile


def test_the_same_run_has_no_causes():
    c = compare(pipeline(), pipeline())
    assert (c.gap_ps, c.ratio, c.causes, c.attributed) == (0, 1.0, (), 1.0)
    assert c.matched.tolist() == [[r, r] for r in range(20)] and not len(c.only[0]) and not len(c.only[1])


@pytest.mark.parametrize("row, longer, expected", [
    (ADD, "run", {"Vector instructions": 300}), (EXP, "run", {"Scalar instructions": 300}),
    (ADD, "", {"semaphore waits": 300}), (LOAD, "", {"buffer reuse": 300}), (MATMUL, "", {"waits for DMA": 300}),
    # packets begin with the trigger, which is busy for 50 ns: those are hidden before, and count as transfer after
    (LOAD, "dma", {"descriptor cost": 300}), (LOAD, "start", {"DMA start": 250, "descriptor cost": 50}),
    # the Tensor engine of handmade.py runs at half rate all along: half of what is added is the limiter's
    (MATMUL, "run", {"Tensor instructions": 150, "clock limiter": 150}),
])
def test_what_was_changed_is_named(row, longer, expected):
    a = pipeline()
    b = later(a, row, 300 * NS, longer=longer)
    got = causes(a, b)
    assert got.keys() - {"DMA bytes"} == expected.keys()
    for name, ns in expected.items():       # bytes at the peak rate take 150.6 ns, of which a shows the last 150
        assert got[name] == pytest.approx(ns * NS, abs=1 * NS), name
    assert causes(b, a) == {name: -ps for name, ps in got.items()}


def test_clock_limiter():
    """The same work at full and at half rate: the difference is the limiter's, not the instructions'."""
    a = pipeline(tiles=1)
    full = dataclasses.replace(a, clock=dataclasses.replace(a.clock, k=np.array([8])))
    half = later(a, 1, 200 * NS, longer="run")          # 200 ns became 400
    assert causes(full, half) == {"clock limiter": 200 * NS}


def test_more_work_is_different_instructions():
    got = causes(pipeline(tiles=3), pipeline(tiles=4))
    assert sum(got.values()) == 900 * NS
    # a tile more: 200 ns of MATMUL, 100 of exp, 150 of add, and two DMAs with their triggers
    assert got["different instructions (Tensor)"] == 200 * NS and got["different instructions (Vector)"] == 150 * NS
    assert got["different instructions (DMA)"] == 450 * NS and got["different instructions (Scalar)"] == 100 * NS


def test_missing_overlap():
    """Two independent adds: one run does them one after the other, the other at once on two engines."""
    def two(start):
        t = pipeline(tiles=1)
        i = t.instructions.take(slice(2, 4))
        columns = {f: getattr(i, f).copy() for f in i.__dataclass_fields__}
        columns |= {"start_ps": np.array([0, start]), "end_ps": np.array([500, start + 700]),
                    "done_ps": np.array([500, start + 700]), "wait_on": np.array([-1, 0 if start else -1]),
                    "wait_cause": np.array([0, 2 if start else 0]), "wait_ps": np.array([0, 0])}
        return dataclasses.replace(t, instructions=type(i)(**columns), dma=t.dma.take(slice(0)),
                                   dependences=t.dependences.take(slice(0)), clock=t.clock.take(slice(0)))

    got = causes(two(0), two(500))
    assert got == {"missing overlap": 500}


@pytest.mark.parametrize("seed", range(8))
def test_random_runs_add_up(seed):
    same = random_rows(150, seed)
    assert causes(same, same) == {}
    rng = np.random.default_rng(seed)
    a, b = random_rows(int(rng.integers(1, 200)), seed), random_rows(int(rng.integers(1, 200)), seed + 100)
    got = causes(a, b)
    assert sum(got.values()) == (span_ps(b)[1] - span_ps(b)[0]) - (span_ps(a)[1] - span_ps(a)[0])
    assert {k: -v for k, v in causes(b, a).items()} == got


# ------------------------------------------------------------------------------------------------ figures

def test_figures_by_hand():
    a = pipeline(tiles=2)
    b = later(pipeline(tiles=2), ADD, 300 * NS, longer="run")
    c = compare(a, b)
    assert (c.span_ps, c.gap_ps) == ((1800 * NS, 2100 * NS), 300 * NS) and c.ratio == pytest.approx(7 / 6)
    engines = {e.engine: e for e in c.engines}
    assert engines["Vector"].busy_ps == (300 * NS, 600 * NS) and engines["Vector"].idle_ps == (1500 * NS, 1500 * NS)
    assert engines["DMA"].busy_ps == (900 * NS, 900 * NS) and engines["DMA"].instructions == (4, 4)
    (add,) = [o for o in c.opcodes if o.opcode == "TENSOR_TENSOR"]
    assert (add.instructions, add.time_ps, add.matched) == ((2, 2), (300 * NS, 600 * NS), 2)
    assert c.bytes["HBM read"] == (2 << 16, 2 << 16) and c.intensity == (a.flops / a.hbm_bytes,) * 2
    assert c.bytes["DMA, hardware dynamic queues"] == (4 << 16, 4 << 16)


def test_an_opcode_only_one_has():
    a, b = pipeline(), pipeline()
    b = dataclasses.replace(b, opcodes=("DMA_DIRECT2D", "MATMUL", "ACTIVATE", "SELECT_REDUCE"))
    c = compare(a, b)
    assert [a.opcode(r) for r in c.only[0].tolist()] == ["TENSOR_TENSOR"] * 4
    assert {o.opcode: (o.instructions, o.matched) for o in c.opcodes if o.engine == "Vector"} == {
        "TENSOR_TENSOR": ((4, 0), 0), "SELECT_REDUCE": ((0, 4), 0)}


def test_triggers_are_matched_across_engines():
    a, b = pipeline(), pipeline()
    moved = dataclasses.replace(b.instructions, engine=np.where(b.instructions.engine == 4, 2, b.instructions.engine))
    c = compare(a, dataclasses.replace(b, instructions=moved))
    triggers = [(i, j) for i, j in c.matched.tolist() if a.opcode(i) == "DMA_DIRECT2D"]
    assert triggers == [(r, r) for r in (0, 4, 5, 9, 10, 14, 15, 19)]


def test_json_and_text():
    c = compare(pipeline(), later(pipeline(), ADD, 300 * NS, longer="run"))
    data = json.loads(json.dumps(c.to_dict(), allow_nan=False))
    assert data["causes"] == [{"name": "Vector instructions", "ps": 300 * NS,
                               "meaning": "the same Vector instructions take longer or shorter"}]
    text = str(c)
    assert "b takes 300 ns longer (8.3 % of a)" in text and "100 % of the difference has a named cause" in text
    from rich.console import Console

    from simcore.viz.compare import render, to_json

    console = Console(width=160, record=True, file=open("/dev/null", "w"))
    console.print(render(c))
    assert "Vector instructions" in console.export_text() and json.loads(to_json(c)) == data


def test_a_summary_compares_by_its_metrics(tmp_path):
    write_summary_json(pipeline(), tmp_path / "s.json")
    c = compare(pipeline(), read_profile(tmp_path / "s.json"))
    assert c.attributed is None and "b (s) has no instructions" in c.partial[0]
    engines = {e.engine: e for e in c.engines}
    assert engines["Tensor"].busy_ps == (800 * NS, 800 * NS) and c.bytes["HBM read"] == (4 << 16, 4 << 16)
    assert str(c) and json.dumps(c.to_dict())


def test_nothing_to_compare():
    bare = dataclasses.replace(pipeline(), instructions=pipeline().instructions.take(slice(0)),
                               dma=pipeline().dma.take(slice(0)), dependences=pipeline().dependences.take(slice(0)))
    assert str(compare(bare, bare)) and compare(bare, pipeline()).causes == ()


# ------------------------------------------------------------------------------------------------ alignment

def check(a, b):
    pairs = align(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(p[0] < q[0] and p[1] < q[1] for p, q in itertools.pairwise(pairs))
    return pairs


@pytest.mark.parametrize("seed", range(20))
def test_alignment_is_increasing_and_finds_most(seed):
    """Against the longest common subsequence by the textbook."""
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 4, rng.integers(0, 40)).tolist() for _ in range(2))
    best = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, j in itertools.product(range(len(a)), range(len(b))):
        best[i + 1, j + 1] = best[i, j] + 1 if a[i] == b[j] else max(best[i, j + 1], best[i + 1, j])
    assert len(check(a, b)) == best[-1, -1]


def test_alignment_of_equal_and_of_edited_streams():
    loop = ["LDWEIGHTS", "MATMUL", "COPY", "ACTIVATE"] * 5000
    assert check(loop, loop) == [(k, k) for k in range(20_000)]
    assert len(check(loop, loop[:7] + ["NEW"] + loop[7:])) == 20_000
    rng = np.random.default_rng(0)
    long = rng.integers(0, 500, 20_000).tolist()
    cut = [x for k, x in enumerate(long) if k % 97]
    assert len(check(long, cut)) >= 0.99 * len(cut)
    assert check([], loop) == [] and check(["A"], ["B"]) == []
    assert len(check(loop, ["OTHER"] * 20_000)) == 0          # nothing in common costs little


def test_increasing():
    assert increasing([3, 1, 2, 5, 4]) in ([1, 2, 3], [1, 2, 4]) and increasing([]) == []


# ------------------------------------------------------------------------------------------------ hardware

@pytest.fixture(scope="module")
def real(profiles):
    return {name: read_profile(profiles / f"trn2-attn-{name}.profile_full.json.gz") for name in NAMES}


@pytest.mark.parametrize("names", list(itertools.combinations(NAMES, 2)))
def test_real_against_real(real, names):
    """Another kernel, another size: the gap still has names for nine tenths of it."""
    a, b = (real[n] for n in names)
    got = causes(a, b)
    c = compare(a, b)
    assert c.attributed >= 0.9 and len(c.matched) > 100
    assert causes(b, a) == {k: -v for k, v in got.items()}
    assert set(np.unique(c.matched[:, 0], return_counts=True)[1].tolist()) == {1}


def test_fused_and_baseline_attention(real):
    """What the fusion saves is what it was made for: the round trip through HBM."""
    c = compare(real["fused_bf16_s512"], real["baseline_fp32_s512"])
    assert c.causes[0].name == "different instructions (DMA)" and c.causes[0].ps > 0.4 * c.gap_ps
    assert c.bytes["HBM read"][1] > 5 * c.bytes["HBM read"][0]
    assert ENGINES.index("Tensor") == 0


@pytest.mark.parametrize("name", NAMES)
def test_prediction_against_measurement(real, refs, name):
    """The profiled kernels themselves, simulated: nine tenths of the gap and of the instructions have a counterpart."""
    import importlib.util

    import ml_dtypes

    from simcore import capture, load_machine, simulate
    from simcore.frontend.activation import activate

    kind, dtype, size = name.split("_")
    found = sorted(refs.glob(f"allenkchau+trainium-kernel-fusion@*/kernels/{kind}/attention.py"))
    if not found:
        pytest.skip("no checkout of allenkchau/trainium-kernel-fusion")
    spec = importlib.util.spec_from_file_location(f"{kind}_attention_of_profile", found[0])
    with activate():
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        number = {"fp32": np.float32, "bf16": ml_dtypes.bfloat16}[dtype]
        inputs = [np.zeros((128, int(size[1:])), number) for _ in range(3)]
        kernel = getattr(module, "fused_attention" if kind == "fused" else "baseline_attention")
        trace = capture(kernel, *inputs, target="trn2", values=False)
    predicted = simulate(trace, load_machine("trn2"))
    c = compare(predicted, real[name])
    assert sum(cause.ps for cause in c.causes) == c.gap_ps
    assert c.attributed >= 0.9
    assert len(c.matched) >= 0.95 * len(predicted.instructions)

"""The benchmark for a Trainium host, as far as it can be tested without one: the vendor's package is played by a
stand-in.
"""

import json
import subprocess
import sys
import types

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from simcore.apps.qwen3 import attention, benchmark, bundle, sizes  # noqa: E402
from simcore.errors import SimcoreError  # noqa: E402

TINY = sizes.Size(name="tiny", hidden=128, intermediate=256, layers=1, heads=2, kv_heads=1, head_dim=64)


def test_arguments():
    o = benchmark.parse(["--nki", "--layers", "2", "--seq", "256"])
    assert (o.attention, o.layers, o.seq, o.runs, o.warmup) == ("flash", 2, 256, 5, 2)
    assert o.name == "qwen3-0.6B-2l-1x256-bfloat16-flash-trn2"
    assert benchmark.parse([]).configuration == {
        "size": "0.6B",
        "layers": 4,
        "seq": 16_384,
        "batch": 1,
        "dtype": "bfloat16",
        "attention": "eager",
        "target": "trn2",
    }


@pytest.mark.parametrize("wrong", [["--nki", "--seq", "100"], ["--runs", "0"], ["--size", "2B"], ["--warmup", "-1"]])
def test_wrong_arguments(wrong, capsys):
    with pytest.raises(SystemExit) as stop:
        benchmark.parse(wrong)
    assert stop.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_compiler_is_told_to_use_one_core():
    assert "--lnc=1" in benchmark.compiler_arguments(benchmark.parse([]))
    assert "--lnc=1" not in benchmark.compiler_arguments(benchmark.parse(["--target", "trn1"]))
    environment = {}
    benchmark.prepare_environment(benchmark.parse([]), environment)
    assert environment == {
        "NEURON_RT_VISIBLE_CORES": "0",
        "NEURON_LOGICAL_NC_CONFIG": "1",
        "NEURON_PLATFORM_TARGET_OVERRIDE": "trn2",
    }


def test_timing_leaves_out_the_warm_up():
    ticks = iter([0.0, 1.0, 10.0, 12.5])
    calls = []
    assert benchmark.timed(lambda: calls.append(1), warmup=3, runs=2, clock=lambda: next(ticks)) == [1.0, 2.5]
    assert len(calls) == 5


def test_device_time_of_a_summary():
    assert benchmark.device_seconds(
        'reading\n{"n_0123": {"total_time": 0.25, "x": 1}, "n_4567": {"total_time": 0.5}}'
    ) == [0.25, 0.5]
    with pytest.raises(SimcoreError, match="no summary"):
        benchmark.device_seconds("nothing here")


def test_without_a_chip_it_says_what_to_do(capsys):
    with pytest.raises(SystemExit) as stop:
        benchmark.main([])
    assert "simcore qwen3 predict" in str(stop.value.code)


class StandIn:
    """torch_neuronx as documented: trace() returns a script module; here torch.jit's own, on the CPU."""

    def __init__(self):
        self.calls = []

    def trace(self, func, example_inputs, *, compiler_workdir, compiler_args):
        self.calls.append((compiler_workdir, compiler_args))
        return torch.jit.trace(func, example_inputs, check_trace=False)


@pytest.fixture
def chip(monkeypatch):
    stand_in = StandIn()
    module = types.ModuleType("torch_neuronx")
    module.trace = stand_in.trace
    module.__spec__ = types.SimpleNamespace(name="torch_neuronx")
    monkeypatch.setitem(sys.modules, "torch_neuronx", module)
    monkeypatch.setitem(sizes.SIZES, "0.6B", TINY)
    monkeypatch.setattr(sizes, "VOCABULARY", 256)
    monkeypatch.setattr(sizes, "config", lambda of, layers=None, **changes: _config(of, layers, **changes))
    for name in ("NEURON_RT_VISIBLE_CORES", "NEURON_LOGICAL_NC_CONFIG", "NEURON_PLATFORM_TARGET_OVERRIDE"):
        monkeypatch.setenv(name, "")
    return stand_in


def _config(of, layers, vocabulary=256, **changes):
    return CONFIG(of, layers, vocabulary=vocabulary, **changes)


CONFIG = sizes.config


@pytest.mark.filterwarnings("ignore")
def test_whole_measurement(chip, tmp_path, capsys):
    """Reference, compile, save, time, compare, bundle; a second run loads the saved model and reference."""
    arguments = [
        "--layers",
        "1",
        "--seq",
        "128",
        "--dtype",
        "float32",
        "--runs",
        "3",
        "--folder",
        str(tmp_path / "kept"),
    ]
    benchmark.main(arguments)
    out = capsys.readouterr().out
    assert "prompts/s" in out
    assert "simcore qwen3 compare" in out
    saved = bundle.read(tmp_path / "kept" / "qwen3-0.6B-1l-1x128-float32-eager-trn2.json")
    assert len(saved.latency_s) == 3
    assert saved.accuracy["cosine_similarity"] > 0.9999
    assert chip.calls == [
        (
            str(tmp_path / "kept" / "qwen3-0.6B-1l-1x128-float32-eager-trn2.work"),
            ["--model-type=transformer", "--auto-cast=none", "--lnc=1"],
        )
    ]
    benchmark.main(arguments)
    assert len(chip.calls) == 1


@pytest.mark.filterwarnings("ignore")
def test_measurement_with_the_kernel(chip, tmp_path, monkeypatch, capsys):
    """--nki puts the adapter in front of the kernel; here the kernel is attention in torch."""
    shapes = []

    def run(q, k, v, scale, causal):
        shapes.append(tuple(tuple(int(n) for n in x.shape) for x in (q, k, v)))
        sharing = q.shape[0] // k.shape[0]
        return torch.nn.functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.repeat_interleave(sharing, 0).transpose(1, 2),
            v.repeat_interleave(sharing, 0),
            is_causal=causal,
            scale=scale,
        )

    monkeypatch.setattr(benchmark, "on_device", lambda: run)
    benchmark.main(
        ["--nki", "--layers", "1", "--seq", "128", "--dtype", "float32", "--runs", "1", "--folder", str(tmp_path)]
    )
    saved = bundle.read(tmp_path / "qwen3-0.6B-1l-1x128-float32-flash-trn2.json")
    assert saved.configuration["attention"] == "flash"
    assert saved.accuracy["cosine_similarity"] > 0.9999
    assert set(shapes) == {((2, 64, 128), (1, 64, 128), (1, 128, 64))}


def test_profile_runs_once_more_under_the_documented_switches(tmp_path):
    calls = []

    def run(command, **options):
        calls.append((command, options))
        return subprocess.CompletedProcess(command, 0, stdout=json.dumps({"n_1": {"total_time": 0.2504}}))

    o = benchmark.parse(["--profile", "--nki", "--folder", str(tmp_path)])
    seconds, kept = benchmark.take_profile(o, ["--profile", "--nki", "--folder", str(tmp_path)], run)
    assert seconds == [0.2504]
    assert kept == [str(tmp_path / f"{o.name}.profile")]
    again, view = calls
    assert "--profile" not in again[0]
    assert "--nki" in again[0]
    assert again[1]["env"]["NEURON_RT_INSPECT_ENABLE"] == "1"
    assert again[1]["env"]["NEURON_RT_INSPECT_OUTPUT_DIR"] == kept[0]
    assert view[0][:4] == ["neuron-explorer", "view", "-d", kept[0]]


def test_adapter_name_is_the_one_registered():
    assert attention.register(lambda *a: None, "nki") == "nki"

"""Machines: every number has a kind and a source, what is missing says so, and users can build on ours."""

import tomllib
from pathlib import Path

import pytest

import simcore
from simcore.errors import MachineError, UsageError
from simcore.frontend.launch import TensorSpec, check_target
from simcore.machine import Machine, available, chip_of, generation, load_machine
from simcore.machine.mechanisms import MECHANISMS, without
from simcore.machine.sections import KINDS

CHIPS = ("trn1", "trn2", "trn3", "inf2")


def test_the_shipped_machines():
    assert set(CHIPS) <= set(available())


@pytest.mark.parametrize("name", CHIPS)
def test_every_number_has_kind_and_source(name):
    facts = list(load_machine(name).facts())
    assert len(facts) > 80
    for fact in facts:
        assert fact.kind in KINDS and fact.source, fact
    assert len({f.name for f in facts}) == len(facts)


@pytest.mark.parametrize("name", CHIPS)
def test_round_trip(name):
    machine = load_machine(name)
    assert Machine.from_dict(machine.to_dict()) == machine


def test_specified_figures():
    trn1, trn2, trn3 = (load_machine(n) for n in ("trn1", "trn2", "trn3"))
    assert (trn1.tensor.clock_hz, trn2.tensor.clock_hz, trn3.tensor.clock_hz) == (2.8e9, 2.4e9, 2.4e9)
    assert (trn1.vector.clock_hz, trn2.vector.clock_hz, trn3.vector.clock_hz) == (1.12e9, 0.96e9, 1.2e9)
    assert [m.sbuf.bytes_per_partition // 1024 for m in (trn1, trn2, trn3)] == [192, 224, 256]
    assert trn2.psum.banks * trn2.psum.bank_bytes_per_partition == 16384
    for m in (trn1, trn2, trn3):
        peak = m.tensor.rows * m.tensor.columns * 2 * m.tensor.clock_hz
        assert m.tensor.peak_flops_per_s["bf16"] == pytest.approx(peak, rel=1e-3)
        assert m.tensor.peak_flops_per_s["fp32"] == pytest.approx(peak / 4, rel=1e-3)


def test_measured_laws_of_trn2():
    vector, scalar = load_machine("trn2").vector, load_machine("trn2").scalar

    def ns(engine, op, n, **form):
        return engine.ps(engine.law(op, **form).cycles(n)) / 1000

    sbuf = dict(memories=("sbuf",), dest="sbuf")
    psum = dict(memories=("psum",), dest="sbuf")
    assert ns(vector, "tensor_copy", 512, inputs=(4,), out=4, **psum) == pytest.approx(690, rel=0.01)
    assert ns(vector, "tensor_copy", 512, inputs=(4,), out=4, **sbuf) == pytest.approx(420, rel=0.02)
    assert ns(vector, "tensor_copy", 512, inputs=(2,), out=2, **sbuf) == pytest.approx(155.7 + 0.269 * 512, rel=0.01)
    assert ns(vector, "reciprocal", 8, inputs=(4,), out=4, **sbuf) == pytest.approx(202, rel=0.02)
    assert ns(scalar, "activation", 128, function="exp", inputs=(2,), out=2, **sbuf) == pytest.approx(400, rel=0.04)


def test_missing_is_an_error_that_says_what_to_add():
    dma = load_machine("trn1").dma
    assert dma.get("trigger_hw_ns") is None
    with pytest.raises(MachineError, match=r"no number for dma.trigger_hw_ns.*\[dma\]"):
        _ = dma.trigger_hw_ns
    with pytest.raises(AttributeError, match="engine_bytes_per_s"):
        _ = dma.engine_bytes_per_ss


def test_what_if_machine(tmp_path):
    base = tmp_path / "fast.toml"
    base.write_text('extends = "trn2"\n[tensor]\nclock_hz = 3.0e9\n[dma]\nengines = 32\n')
    other = tmp_path / "faster.toml"
    other.write_text('extends = "fast.toml"\n[[vector.laws]]\nops = ["reciprocal"]\nfixed_cycles = 10\n'
                     'cycles_per_element = 1\nkind = "assumed"\nsource = "what if"\n')
    machine = load_machine(other)
    assert chip_of(other) == "trn2"
    assert machine.tensor.clock_hz == 3.0e9 and machine.dma.engines == 32
    assert machine.vector.law("reciprocal").cycles(10) == 20
    kinds = {f.name: f.kind for f in machine.facts()}
    assert kinds["tensor.clock_hz"] == "assumed" and kinds["tensor.rows"] == "specified"


def test_fitted_part_overrides_and_is_overridden(tmp_path):
    a = tmp_path / "a.toml"
    a.write_text('extends = "trn2"\n[fitted]\n'
                 '"semaphore.handoff_ns" = { value = 41.5, source = "profiles", residual = "3 ns" }\n')
    machine = load_machine(a)
    assert machine.semaphore.handoff_ns == 41.5
    fact = next(f for f in machine.facts() if f.name == "semaphore.handoff_ns")
    assert fact.kind == "fitted" and "residual 3 ns" in fact.source
    b = tmp_path / "b.toml"
    b.write_text('extends = "a.toml"\n[semaphore]\nhandoff_ns = 7.0\n')
    assert load_machine(b).semaphore.handoff_ns == 7.0


@pytest.mark.parametrize(("text", "says"), [
    ('[tensr]\nclock_hz = 1.0\n', r"no section \[tensr\]. Did you mean 'tensor'"),
    ('[tensor]\nclock_hzz = 1.0\n', "no such number. Did you mean 'clock_hz'"),
    ('[tensor]\nclock_hz = "fast"\n', "must be a number"),
    ('[tensor]\nclock_hz = inf\n', "finite"),
    ('[tensor]\nrows = 1.5\n', "whole"),
    ('[tensor]\nclock_hz = { value = 1.0, kind = "guessed", source = "x" }\n', "kind is 'guessed'"),
    ('[tensor]\nclock_hz = { value = 1.0, kind = "measured" }\n', "no source"),
    ('[[vector.laws]]\ncontiguous = "true"\nkind = "assumed"\nsource = "x"\n', "cannot be 'true'"),
    ('[tensor\n', "not valid TOML"),
])
def test_bad_files(tmp_path, text, says):
    path = tmp_path / "bad.toml"
    path.write_text('extends = "trn2"\n' + text)
    with pytest.raises(MachineError, match=says):
        load_machine(path)


def test_unknown_names(tmp_path):
    with pytest.raises(MachineError, match="Did you mean 'trn2'"):
        load_machine("trn22")
    with pytest.raises(MachineError, match="cannot read"):
        load_machine(tmp_path / "none.toml")
    loop = tmp_path / "loop.toml"
    loop.write_text('extends = "loop.toml"\n')
    with pytest.raises(MachineError, match="extends itself"):
        load_machine(loop)


def test_trn3_says_what_it_only_inherits():
    machine = load_machine("trn3")
    kinds = {f.name: f.kind for f in machine.facts()}
    assert kinds["tensor.clock_hz"] == "inferred" and kinds["vector.clock_hz"] == "specified"


def test_a_chip_is_one_file():
    """Targets and generations are read from the machines, so a new TOML needs no second place."""
    assert {name: generation(name) for name in available()} == {"inf2": 2, "trn1": 2, "trn2": 3, "trn3": 4}
    assert all(check_target(name) == name for name in available()) and check_target("gen3") == "trn2"
    with pytest.raises(UsageError, match="Did you mean 'trn2'"):
        check_target("trn22")


def test_files_are_plain_toml():
    for path in Path(__file__).parents[1].joinpath("simcore/machine").glob("*.toml"):
        tomllib.loads(path.read_text())


def test_a_machine_and_its_sections_print():
    """Also where numbers are missing: a notebook shows what it is given."""
    machine = load_machine("trn2")
    assert repr(machine).startswith("<Machine trn2: ")
    assert "clock_hz=" in repr(machine.gpsimd) and "peak_flops_per_s" not in repr(machine.gpsimd)


@pytest.mark.parametrize("name", ["trn1", "inf2", "trn2", "trn3"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_can_be_switched_off(name, mechanism):
    machine = load_machine(name)
    off = without(machine, mechanism)
    values = [{f.name: f.value for f in m.facts()} for m in (machine, off)]
    assert (values[0] == values[1]) == (name in ("trn1", "inf2") and mechanism in ONLY_LATER)
    assert {f.name: f.value for f in without(off, mechanism).facts()} == values[1]


ONLY_LATER = {"limiter", "passes", "rows", "read-ahead", "shared-hbm"}
"""What the model has for trn2 and later only."""


def test_a_mechanism_that_does_not_exist_is_named():
    with pytest.raises(UsageError, match="there is no mechanism 'limitter'.*limiter"):
        without(load_machine("trn2"), "limitter")


def test_a_machine_file_is_a_target_in_python_too(tmp_path):
    path = tmp_path / "twice.toml"
    path.write_text('extends = "trn2"\n[dma]\nengine_bytes_per_s = 54.4e9\n')

    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 8192), dtype=a.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)

    a = TensorSpec.parse("float32[128,8192]")
    runs = [simcore.profile(kernel, a, target=target, values=False) for target in ("trn2", path)]
    assert [run.target for run in runs] == ["trn2", "twice"] and runs[1].end_ps < runs[0].end_ps
    assert chip_of(path) == "trn2" and runs[1].trace.target == "trn2"

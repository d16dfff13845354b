"""Calibration and validation: figures by hand, profiles where they are at hand."""

import os
from pathlib import Path

import pytest

from simcore import load_machine, read_profile
from simcore.apps.validate.cases import Case, load_cases, missing, resolve
from simcore.apps.validate.predict import Result, predict
from simcore.apps.validate.report import markdown
from simcore.apps.validate.statistics import effects, families, kendall_tau, mape, median, ratio, signs
from simcore.calibrate import (
    Fit,
    Observation,
    from_cases,
    from_profiles,
    from_triggers,
    median_fit,
    write_fitted,
)
from simcore.errors import UsageError

ROOT = Path(__file__).parents[1]
PROFILES = Path(os.environ.get("SIMCORE_PROFILES", ROOT.parent / "shared" / "profiles"))
REFS = Path(os.environ.get("SIMCORE_REFS", "/nonexistent"))


def case(id, measured, *, family="f", quality="measured", pair="p", use="absolute"):
    return Case(id, family, "k", "v", "trn2", 1, "device", measured, quality, use, pair, "s", {}, [])


def results():
    return [Result(case("a", 100.0), 110.0), Result(case("b", 200.0), 150.0),
            Result(case("c", 50.0, use="relative"), 500.0),
            Result(case("d", 400.0, family="g", pair="q"), 400.0),
            Result(case("e", 1.0), None, failure="KernelError: no")]


def test_errors_by_hand():
    r = results()
    assert mape(r) == pytest.approx((10 + 25 + 0) / 3)
    assert median(r) == pytest.approx(10)
    assert ratio(r[:2]) == pytest.approx((1.1 * 0.75) ** 0.5)


def test_signs_and_ranks_by_hand():
    # a < b and 110 < 150: right; a > c but 110 < 500, b > c but 150 < 500: wrong
    assert signs(results()) == (1.0, 3)
    assert kendall_tau([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)
    assert kendall_tau([1, 1], [1, 2]) is None


def test_families_count_what_did_not_run():
    f, g = families(results())
    assert (f.name, f.run, f.cases) == ("f", 3, 4) and (g.run, g.mape) == (1, 0.0)


def test_report_names_failures_and_worst():
    text = markdown(results(), [], {}, "simcore validate")
    assert "KernelError: no" in text and "-25 %" in text and "| a |" in text


def test_validation_set_is_whole():
    cases = load_cases()
    assert len(cases) > 250 and len({c.id for c in cases}) == len(cases)
    for c in cases:
        assert c.measured_us > 0 and c.source and c.launches
        for launch in c.launches:
            assert "@" in launch["checkout"] and not Path(launch.get("file", "x")).is_absolute()
    with pytest.raises(UsageError, match="mlp_tkg"):
        load_cases(("mlp_tk",))
    assert missing(cases[0], Path("/nonexistent")) == cases[0].launches[0]["checkout"]


def test_arguments_in_json():
    value = resolve([{"tensor": "bfloat16[2,3]", "fill": 4}, {"tuple": [1, {"dict": {"a": None}}]}, {"attr": "math:pi"},
                     {"call": "builtins:complex", "args": [1], "kwargs": {"imag": 2}}])
    assert (value[0].shape, value[0].fill) == ((2, 3), 4) and value[1] == (1, {"a": None})
    assert value[2] == pytest.approx(3.14159, abs=1e-5) and value[3] == 1 + 2j


# ------------------------------------------------------------------------------------------------ calibration


def test_one_run_of_a_kernel_serves_every_setting(tmp_path):
    """The kernel leaves a mark when it runs; without the notice of DMA it is faster, with other numbers slower."""
    folder = tmp_path / "me+kernels@1"
    folder.mkdir()
    (folder / "k.py").write_text("""
import nki.isa as nisa, nki.language as nl
from pathlib import Path
def k(a):
    mark = Path(__file__).parent / "runs"
    mark.write_text((mark.read_text() if mark.exists() else "") + "x")
    x = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=x, src=a)
    nisa.activation(dst=x, op=nl.exp, data=x)
""")
    launch = {"checkout": "me+kernels@1", "file": "k.py", "name": "k", "args": [{"tensor": "float32[128,512]"}],
              "kwargs": {}}
    mine = Case("m1", "own", "k", "", "trn2", 1, "benchmark", 10.0, "measured", "absolute", "[]", "", {}, [launch])
    full, without, slow = predict(mine, tmp_path, [{}, "completion", {"dma.load_sw_ns": 5000.0}])
    assert without.predicted_us < full.predicted_us < slow.predicted_us
    assert (folder / "runs").read_text() == "x"
    rows = effects([full], {"completion": [without]})
    assert [r[0] for r in rows] == ["–", "completion"] and rows[1][-1] == "1"


def test_median_fit():
    fit = median_fit("semaphore.handoff_ns", [30, 40, 35, 90], "ns", "x")
    assert (fit.value, fit.samples, fit.scatter) == (37.5, 4, 5.0)
    assert median_fit("n", [1, 2], "ns", "x") is None


def test_cases_choose_a_setting_only_if_it_generalises():
    def rows(good):
        return [Observation(f, 1 + k % 2, 100.0 + (5 if k % 2 else 0), 10.0,
                            {"new": 90.0 if good else 40.0, "old": 70.0})
                for f in ("a", "b", "c") for k in range(4)]

    better = from_cases(rows(True), ["old", "new"], "old")
    assert better["setting"] == "new" and better["pair_us"] == 5.0 and better["error"] == 0.0
    kept = from_cases(rows(False), ["old", "new"], "old")
    assert kept["setting"] == "old"


def test_a_fit_that_only_helps_its_own_family_is_refused():
    def one(family, old, new):
        return [Observation(family, 1, 100.0, 0.0, {"old": old, "new": new}) for _ in range(3)]

    rows = one("a", 99.0, 100.0) + one("b", 99.0, 60.0)
    assert from_cases(rows, ["old", "new"], "old")["setting"] == "old"


def test_short_launches_tell_the_fixed_part_from_the_triggers():
    """Spans of 2 and 1000 triggers at 350 and 525 ns each, measured with 400 ns each and 12 us besides."""
    def launch(triggers, rest):
        return Observation("a", 1, 12.0 + rest + triggers * 0.4, 0.0,
                           {350.0: rest + triggers * 0.35, 525.0: rest + triggers * 0.525})

    found = from_triggers([launch(2, 3.0), launch(1000, 1.0), launch(50, 0.5)], 350.0, 525.0)
    assert found["fixed_us"] == pytest.approx(12.0) and found["issue_ns"] == pytest.approx(400.0)
    assert found["error"] == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(UsageError, match="three measured launches"):
        from_triggers([launch(2, 3.0)], 350.0, 525.0)
    with pytest.raises(UsageError, match="triggers alike"):
        from_triggers([launch(4, 1.0)] * 3, 350.0, 525.0)


def test_fitted_part_is_replaced_and_read_again(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "trn2"\n')
    for value in (11.0, 12.0):
        write_fitted(path, [Fit("semaphore.handoff_ns", value, 5, 1.0, "ns", "waits").toml("profiles")])
    assert path.read_text().count("[fitted]") == 1
    assert load_machine(path).semaphore.handoff_ns == 12.0


def test_no_profiles_is_a_sentence():
    with pytest.raises(UsageError, match="--profiles"):
        from_profiles([], load_machine("trn2"))


needs_profiles = pytest.mark.skipif(not any(PROFILES.glob("*.json.gz")), reason=f"no profiles in {PROFILES}")


@needs_profiles
def test_profiles_give_the_numbers_of_the_machine():
    """The fit is deterministic, and the shipped trn2 agrees with it."""
    profiles = [read_profile(p) for p in sorted(PROFILES.glob("*.json.gz"))]
    machine = load_machine("trn2")
    fits = {f.name: f for f in from_profiles(profiles, machine)}
    assert fits == {f.name: f for f in from_profiles(profiles, machine)}
    assert {"tensor.pipeline_latency_cycles", "dma.packet_ns", "semaphore.handoff_ns", "dma.load_hw_ns",
            "kernel.start_ns"} <= set(fits)
    for name, fit in fits.items():
        section, _, number = name.partition(".")
        assert getattr(getattr(machine, section), number) == pytest.approx(fit.value, rel=0.2), name


@needs_profiles
@pytest.mark.skipif(not (REFS / "allenkchau+trainium-kernel-fusion@d709ddf").is_dir(),
                    reason="no checkout of trainium-kernel-fusion")
def test_profiles_are_met():
    """The four profiles: totals within 10 %, Tensor busy time within 5 %, median durations within 5 %."""
    from simcore.apps.validate.profiles import compare_profiles, wape

    results = compare_profiles(PROFILES, REFS)
    assert len(results) == 4
    for r in results:
        assert r.predicted_us == pytest.approx(r.measured_us, rel=0.10), r.name
        matmuls = next(o for o in r.opcodes if o.opcode == "MATMUL")
        assert matmuls.measured == matmuls.predicted
    assert wape(results, "Tensor") < 5 and wape(results, "Vector") < 12 and wape(results, "Scalar") < 15
    errors = sorted(abs(o.error) for r in results for o in r.opcodes if o.predicted)
    assert errors[len(errors) // 2] < 0.05

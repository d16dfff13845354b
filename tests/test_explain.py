"""Explain is right about planted faults, and says so in stable text, JSON and SARIF.

tests/twins holds pairs of plain NKI kernels: one with a fault, one without.  The fault must be named at its line, the
repaired twin must be clean of it, and the saving must be what simulating the twin shows, within 20 %.
"""

from __future__ import annotations

import dataclasses
import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from handmade import check_golden, pipeline
from rich.console import Console

import simcore
from simcore.explain import RULES, explain
from simcore.explain.loops import loops
from simcore.explain.sketch import Sketch
from simcore.explain.symptoms import free_elements, partitions, stationary_columns
from simcore.frontend.activation import activate
from simcore.frontend.launch import TensorSpec
from simcore.viz import explain as view

TWINS = Path(__file__).parent / "twins"
FAULTS = {
    "input_reload": "input-reload",
    "unfused_passes": "unfused-passes",
    "engine_idle": "engine-idle",
    "one_tile": "engine-idle",
    "unhidden_load": "unhidden-load",
    "small_free": "small-free",
    "small_partitions": "small-partitions",
    "uncombined": "uncombined",
    "short_stationary": "short-stationary",
    "transposes": "transposes",
    "small_dma": "small-dma",
    "dma_transpose": "dma-transpose",
    "whole_load": "unhidden-load",
    "row_by_row": "small-dma",
    "separate_sum": "uncombined",
}
"""Twin -> the rule of its planted fault."""

NOT_SPOTLESS = {"dma_transpose": {"small-dma", "transposes"}, "unfused_passes": {"engine-idle"}}
"""Twins whose repair, as the guide gives it, has lesser faults of its own."""


@cache
def twin(name: str):
    import importlib.util

    with activate():
        spec = importlib.util.spec_from_file_location(f"twins_{name}", TWINS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@cache
def trace(name: str, which: str):
    module = twin(name)
    arguments = getattr(module, "ARGS", None) or getattr(module, f"{which.upper()}_ARGS")
    return simcore.capture(getattr(module, which), *map(TensorSpec.parse, arguments), target="trn2", values=False)


@cache
def run(name: str, which: str):
    return simcore.simulate(trace(name, which), simcore.load_machine("trn2"))


@cache
def explained(name: str, which: str):
    return explain(run(name, which))


def fault_line(name: str) -> int:
    lines = (TWINS / f"{name}.py").read_text().splitlines()
    return next(i for i, text in enumerate(lines, 1) if text.strip() == twin(name).LINE)


def test_every_optimisation_of_the_guide_has_a_twin():
    assert set(FAULTS.values()) == set(RULES)
    assert {p.stem for p in TWINS.glob("*.py")} == set(FAULTS)
    assert sorted({rule.number.rstrip("ab") for rule in RULES.values()}, key=int) == [str(i) for i in range(1, 11)]


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_named_first_and_with_its_line(name):
    finding = explained(name, "faulty").findings[0]
    assert finding.rule == FAULTS[name]
    assert Path(finding.site.file).name == f"{name}.py" and finding.site.line == fault_line(name)
    assert finding.source == twin(name).LINE


@pytest.mark.parametrize("name", FAULTS)
def test_the_saving_is_what_the_twin_shows(name):
    difference = run(name, "faulty").end_ps - run(name, "repaired").end_ps
    assert difference > 0.05 * run(name, "faulty").end_ps
    assert explained(name, "faulty").findings[0].saving_ps == pytest.approx(difference, rel=0.2)


@pytest.mark.parametrize("name", FAULTS)
def test_the_repaired_twin_is_clean(name):
    found = {f.rule for f in explained(name, "repaired").findings}
    assert FAULTS[name] not in found
    assert found <= NOT_SPOTLESS.get(name, set())


@pytest.mark.parametrize(
    "name, which", [(n, w) for n in ("uncombined", "small_dma", "transposes") for w in ("faulty", "repaired")]
)
def test_a_sketch_left_alone_is_the_trace(name, which):
    """Taking a trace apart and putting it together again changes nothing that takes time."""
    again = simcore.simulate(Sketch(trace(name, which)).to_trace(), simcore.load_machine("trn2"))
    for column in ("engine", "start_ps", "end_ps", "done_ps", "wait_cause", "wait_on"):
        np.testing.assert_array_equal(
            getattr(again.instructions, column), getattr(run(name, which).instructions, column)
        )


def test_loops_are_found():
    found = loops(Sketch(trace("small_dma", "faulty")))
    assert [(x.period, x.count) for x in found] == [(3, 64)]
    found = loops(Sketch(trace("small_free", "faulty")))
    assert [(x.start, x.period, x.count) for x in found] == [(1, 1, 64)]


def test_the_explanation_leaves_the_run_alone():
    before = run("uncombined", "faulty").instructions.start_ps.copy()
    explain(run("uncombined", "faulty"))
    np.testing.assert_array_equal(before, run("uncombined", "faulty").instructions.start_ps)
    assert explain(run("uncombined", "faulty")) == explained("uncombined", "faulty")


def _relative(explanation):
    """Paths as a checkout elsewhere would have them."""

    def site(s):
        return dataclasses.replace(s, file=f"twins/{Path(s.file).name}") if s else s

    return dataclasses.replace(
        explanation,
        findings=tuple(dataclasses.replace(f, site=site(f.site)) for f in explanation.findings),
        critical_lines=tuple((site(s), ps, text) for s, ps, text in explanation.critical_lines),
    )


def _example():
    """A run and an explanation whose figures do not depend on the simulator."""
    t = pipeline(4)
    e = explain(t)
    findings = explained("uncombined", "faulty").findings[:1]
    return _relative(
        dataclasses.replace(
            e, simulated=True, notes=(), findings=tuple(dataclasses.replace(f, saving_ps=720_000) for f in findings)
        )
    )


def test_text_is_stable():
    check_golden("explain.txt", f"{_example()}\n")


def test_json_is_stable():
    check_golden("explain.json", view.to_json([_example()]) + "\n")


def test_sarif_is_stable():
    check_golden("explain.sarif", view.to_sarif([_example()]) + "\n")


def test_sarif_has_what_2_1_0_requires():
    log = json.loads(view.to_sarif([_relative(explained(n, "faulty")) for n in ("small_free", "transposes")]))
    assert log["version"] == "2.1.0" and len(log["runs"]) == 2
    for one in log["runs"]:
        rules = one["tool"]["driver"]["rules"]
        assert one["tool"]["driver"]["name"] == "simcore"
        for result in one["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            assert result["level"] in ("warning", "note") and result["message"]["text"]
            place = result["locations"][0]["physicalLocation"]
            assert place["region"]["startLine"] >= 1 and not place["artifactLocation"]["uri"].startswith("/")


def test_rich_shows_the_findings():
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(view.render(explained("small_free", "faulty")))
    shown = " ".join(console.file.getvalue().split())
    for word in (
        "Bounds beside the time",
        "Critical path by kernel line",
        "would save",
        "small-free",
        "32 elements per partition",
    ):
        assert word in shown, word


def test_a_clean_run_says_so():
    assert "Nothing: none of the guide's ten optimisations" in str(explained("uncombined", "repaired"))


# ---------------------------------------------------------------------------------------------- without the trace


@pytest.mark.parametrize(
    "text, free, lanes, columns",
    [
        ("src=bfloat16@0x37600[1,0,0][512,1,1] dst=0x2000000[1,0,0][512,1,1] 128*96 acc_flags=3", 512, 0, 96),
        ("src=fp32@0x20580[1,1,1][1,1,1] dst=fp32@0x20590[1,1,1][1,1,1] channels=64", 1, 64, 0),
        (
            "nc_matmul(dst=float32[1,512]@psum, stationary=bfloat16[128,1]@sbuf, moving=bfloat16[128,512]@sbuf)",
            512,
            128,
            1,
        ),
        ("activation(dst=float32[64,2,16]@sbuf, data=float32[64,32]@sbuf)", 32, 64, 0),
        ("cycle=12", 0, 0, 0),
    ],
)
def test_operand_text_is_read(text, free, lanes, columns):
    assert (free_elements(text), partitions(text), stationary_columns(text)) == (free, lanes, columns)


@pytest.mark.parametrize(
    "name", ["small_free", "small_partitions", "short_stationary", "transposes", "small_dma", "unhidden_load"]
)
def test_a_saved_run_shows_the_symptom(name, tmp_path):
    path = tmp_path / "run.simcore"
    dataclasses.replace(run(name, "faulty"), trace=None).save(path)  # as a run too long to carry its trace
    saved = explain(simcore.Timeline.load(path))
    assert not saved.simulated and saved.notes
    finding = next((f for f in saved.findings if f.rule == FAULTS[name]), None)
    assert finding is not None, [f.rule for f in saved.findings]
    assert finding.saving_ps is None and finding.cost_ps > 0
    if name != "unhidden_load":  # what waits is the computation; the loads are lines of their own
        assert finding.site.line == fault_line(name)


def test_measured_profiles_are_explained(profiles):
    for path in sorted(profiles.glob("*.json.gz")):
        e = explain(simcore.read_profile(path))
        assert sum(e.critical_path_ps.values()) == e.span_ps
        assert {f.rule for f in e.findings} <= set(RULES) and all(f.saving_ps is None for f in e.findings)
        json.loads(view.to_sarif([e]))
    fused = explain(simcore.read_profile(profiles / "trn2-attn-fused_fp32_s1024.profile_full.json.gz"))
    assert "transposes" in {f.rule for f in fused.findings}


@pytest.mark.parametrize(
    "name, repair, size",
    [("small_free", "process", 1024), ("small_dma", "double", 2048), ("whole_load", "exponentials", 8)],
)
def test_another_repair_of_the_same_fault_saves_about_as_much(name, repair, size):
    """The guide's sizes are not the only ones: a repair with other tiles must come close to what was predicted, too."""
    arguments = [TensorSpec.parse(text) for text in twin(name).ARGS]
    other = simcore.capture(lambda x: getattr(twin(name), repair)(x, size), *arguments, target="trn2", values=False)
    difference = run(name, "faulty").end_ps - simcore.simulate(other, simcore.load_machine("trn2")).end_ps
    assert explained(name, "faulty").findings[0].saving_ps == pytest.approx(difference, rel=0.2)

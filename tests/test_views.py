"""Every picture takes a simulated run, a saved one and a measured profile; a run and its file look the same."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from handmade import pipeline

import simcore
from simcore import viz
from simcore.errors import UsageError
from simcore.frontend.activation import activate
from simcore.frontend.launch import TensorSpec
from simcore.viz import VIEWS

PICTURES = [name for name, view in VIEWS.items() if view.kind == "file" and name in ("roofline", "gantt", "occupancy")]
KERNEL = Path(__file__).parent / "twins" / "transposes.py"


@cache
def simulated():
    import importlib.util

    with activate():
        spec = importlib.util.spec_from_file_location("views_kernel", KERNEL)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    arguments = [TensorSpec.parse(text) for text in module.FAULTY_ARGS]
    return simcore.simulate(
        simcore.capture(module.faulty, *arguments, target="trn2", values=False), simcore.load_machine("trn2")
    )


@pytest.mark.parametrize("name", PICTURES)
def test_a_saved_run_looks_like_the_run(name, tmp_path):
    simulated().save(tmp_path / "run.simcore")
    view, saved = VIEWS[name].load(), simcore.Timeline.load(tmp_path / "run.simcore")
    for which, timeline in (("run", simulated()), ("file", saved)):
        view(timeline, tmp_path / f"{which}.svg")
    assert (tmp_path / "run.svg").read_bytes() == (tmp_path / "file.svg").read_bytes()


def test_summary_and_report_of_a_saved_run(tmp_path):
    simulated().save(tmp_path / "run.simcore")
    saved = simcore.Timeline.load(tmp_path / "run.simcore")
    assert str(saved.summary()) == str(simulated().summary())
    VIEWS["report"].load()(saved, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 20_000


@pytest.mark.parametrize("name", [*PICTURES, "report"])
def test_measured_profiles_are_drawn(name, profiles, tmp_path):
    for path in sorted(profiles.glob("*.json.gz")):
        output = tmp_path / f"{path.name.split('.')[0]}{VIEWS[name].suffixes[0]}"
        VIEWS[name].load()(simcore.read_profile(path), output)
        assert output.stat().st_size > 10_000


def test_predicted_and_measured_on_one_roofline(profiles, tmp_path):
    measured = simcore.read_profile(next(profiles.glob("*.json.gz")))
    VIEWS["roofline"].load()([simulated(), measured], tmp_path / "both.svg")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (
            ("explain", KERNEL, "--kernel", "faulty", "--arg", "a=bfloat16[2048,128]", "--arg", "b=bfloat16[128,512]"),
            "transposes",
        ),
        (
            (
                "explain",
                KERNEL,
                "--kernel",
                "repaired",
                "--arg",
                "a=bfloat16[16,128,128]",
                "--arg",
                "b=bfloat16[128,512]",
            ),
            "Nothing",
        ),
    ],
)
def test_the_command_explains(simcore_command, arguments, words):
    done = simcore_command(*arguments)
    assert done.code == 0, done.err
    assert words in done.out


def test_the_command_writes_sarif(simcore_command, tmp_path):
    arguments = (
        "--kernel",
        "faulty",
        "--arg",
        "a=bfloat16[2048,128]",
        "--arg",
        "b=bfloat16[128,512]",
        "-o",
        "why.sarif",
    )
    done = simcore_command("explain", KERNEL, *arguments)
    assert done.code == 0, done.err
    assert '"ruleId": "transposes"' in (tmp_path / "why.sarif").read_text()


def test_a_notebook_shows_pictures_and_pages():
    t = pipeline(2)
    shown = {view: viz.show(t, view)._repr_mimebundle_() for view in ("gantt", "roofline", "report")}
    assert shown["gantt"]["image/svg+xml"].lstrip().startswith("<?xml")
    assert shown["roofline"]["image/png"].startswith(b"\x89PNG")
    frame = shown["report"]["text/html"]
    assert frame.startswith('<iframe srcdoc="&lt;!doctype html&gt;') and frame.count('"') == 4
    with pytest.raises(UsageError, match="a notebook can show roofline, gantt, occupancy, report, not 'tui'"):
        viz.show(t, "tui")


def test_what_is_typed_at_a_prompt_is_short():
    t = pipeline(2)
    assert repr(t) == "<Timeline pipeline: simulated on trn2, 1.80 µs, 10 instructions>"
    assert repr(t.summary()) == str(t.summary()) and "<table>" in t.summary()._repr_html_()


def test_activation_stays_until_it_is_taken_away():
    code = """
import sys, simcore
names = simcore.activate()
import nki.language as nl
assert nl.__name__ == "simcore.frontend.nki.language"
names.__exit__()
try: import nki
except ModuleNotFoundError: print("gone")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "gone\n", done.stderr

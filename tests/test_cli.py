"""The command line: scripts, kernels, saved runs and profiles into every view; data and narration apart."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap

import pytest

from simcore.apps.arguments import parse
from simcore.apps.cli import _split
from simcore.apps.commands import COMMANDS
from simcore.apps.options import window_ps
from simcore.apps.output import numbered
from simcore.budget import picoseconds
from simcore.errors import UsageError
from simcore.files import replacing
from simcore.timeline import Timeline

TWICE = """\
import sys
import numpy as np
import nki
import nki.isa as nisa
import nki.language as nl


@nki.jit
def double(a):
    out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=a)
    nisa.tensor_scalar(dst=tile, data=tile, op0=nl.multiply, operand0=2.0)
    nisa.dma_copy(dst=out, src=tile)
    return out


def main():
    columns = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    a = np.arange(128 * columns, dtype=np.float32).reshape(128, columns)
    b = double(double(a))
    assert np.array_equal(b, 4 * a)
    print("four times", columns, "columns")


if __name__ == "__main__":
    main()
"""


@pytest.fixture
def twice(tmp_path):
    path = tmp_path / "twice.py"
    path.write_text(textwrap.dedent(TWICE), encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------ scripts


def test_a_script_runs_as_main_with_its_arguments(simcore_command, twice):
    result = simcore_command("run", twice, "--", "16")
    assert result.code == 0, result.err
    assert "four times 16 columns" in result.err  # what the script prints is narration
    assert "four times" not in result.out
    assert result.out.count("simulated on trn2") == 2  # two launches
    assert "double #1" in result.out and "double #2" in result.out


def test_one_launch_of_a_script(simcore_command, twice):
    result = simcore_command("run", twice, "--launch", "2", "--json")
    [summary] = json.loads(result.out)
    assert summary["name"] == "double" and summary["target"] == "trn2"


def test_timing_only_ends_where_the_script_looks_at_a_result(simcore_command, root):
    result = simcore_command("run", root / "kernels/tensor_add.py", "--no-values", "--json")
    assert result.code == 0, result.err
    assert "timing only" in result.err
    with_values = simcore_command("run", root / "kernels/tensor_add.py", "--json")
    assert json.loads(result.out) == json.loads(with_values.out)  # the timeline does not depend on values


def test_one_kernel_with_arguments(simcore_command, twice):
    result = simcore_command("run", twice, "--kernel", "double", "--arg", "a=bfloat16[128,64]", "--target", "trn1")
    assert result.code == 0, result.err
    assert "simulated on trn1" in result.out


def test_a_machine_file_as_target(simcore_command, twice, tmp_path):
    (tmp_path / "slow.toml").write_text('extends = "trn2"\n[dma]\nengine_bytes_per_s = 1e9\n', encoding="utf-8")
    arguments = ("run", twice, "-k", "double", "-a", "a=float32[128,4096]", "--json")
    [fast], [slow] = (
        json.loads(simcore_command(*arguments, *target).out) for target in ((), ("--target", "slow.toml"))
    )
    assert slow["span_ps"] > 2 * fast["span_ps"]


# ------------------------------------------------------------------------------------------ saved runs and views


def test_a_saved_run_says_the_same(simcore_command, twice):
    saved = simcore_command("run", twice, "--launch", "1", "-o", "run.simcore", "--json")
    assert saved.code == 0, saved.err
    assert "saved run.simcore" in saved.err
    again = simcore_command("run", "run.simcore", "--json")
    assert json.loads(again.out) == json.loads(saved.out)


def test_several_launches_are_saved_apart(simcore_command, twice, tmp_path):
    assert simcore_command("run", twice, "-o", "run.simcore").code == 0
    assert sorted(p.name for p in tmp_path.glob("*.simcore")) == ["run.1.simcore", "run.2.simcore"]
    assert Timeline.load(tmp_path / "run.2.simcore").name == "double #2"


def test_the_same_run_gives_the_same_bytes(simcore_command, twice, tmp_path):
    for name in ("a.simcore", "b.simcore"):
        assert simcore_command("run", twice, "--launch", "1", "-o", name).code == 0
    assert (tmp_path / "a.simcore").read_bytes() == (tmp_path / "b.simcore").read_bytes()


FILES = {"roofline": b"\x89PNG", "gantt": b"<?xml", "occupancy": b"<?xml", "perfetto": b"\n"}


@pytest.mark.parametrize("view", FILES)
def test_each_view_takes_script_saved_run_and_profile(simcore_command, twice, tmp_path, profiles, view):
    assert simcore_command("run", twice, "--launch", "1", "-o", "run.simcore").code == 0
    profile = next(profiles.glob("*fused_bf16_s512*"))
    for i, arguments in enumerate(([twice, "--launch", "1"], ["run.simcore"], [profile])):
        output = tmp_path / f"{i}{'.pftrace' if view == 'perfetto' else '.png' if view == 'roofline' else '.svg'}"
        result = simcore_command(view, *arguments, "-o", output)
        assert result.code == 0, result.err
        assert output.read_bytes().startswith(FILES[view])
        assert result.out == ""


def test_the_default_output_lies_here_and_is_named_after_the_file(simcore_command, twice, tmp_path):
    result = simcore_command("gantt", twice, "--launch", "1")
    assert "wrote twice-gantt.svg" in result.err and (tmp_path / "twice-gantt.svg").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["twice-gantt.svg", "twice.py"]  # nothing else is left behind


def test_explain_as_text_json_and_sarif(simcore_command, root, twice):
    kernel = root / "kernels/naive_attn.py"
    text = simcore_command("explain", kernel).out
    assert "Critical path by kernel line" in text and "naive_attn.py:" in text
    [explanation] = json.loads(simcore_command("explain", kernel, "--format", "json").out)
    findings = explanation["findings"]
    results = json.loads(simcore_command("explain", kernel, "--format", "sarif").out)["runs"][0]["results"]
    assert len(findings) == len(results) > 0
    assert simcore_command("explain", kernel, "--format", "xml").code == 2
    assert len(json.loads(simcore_command("explain", twice, "--format", "json").out)) == 2


def test_compare(simcore_command, root, profiles):
    naive, flash = root / "kernels/naive_attn.py", root / "kernels/flash_attn.py"
    assert "b takes" in simcore_command("compare", naive, flash).out
    both = json.loads(simcore_command("compare", naive, flash, "--json").out)
    assert both["span_ps"][0] > both["span_ps"][1] and both["gap_ps"] < 0
    measured = sorted(profiles.glob("*.gz"))[:2]
    assert simcore_command("compare", *measured).code == 0
    assert simcore_command("compare", naive).code == 2
    assert "terminal" in simcore_command("compare", naive, flash, "--tui").err


def test_export_is_read_back(simcore_command, twice, tmp_path):
    [simulated] = json.loads(simcore_command("run", twice, "--launch", "1", "--json").out)
    assert simcore_command("export", twice, "--launch", "1", "-o", "tables").code == 0
    [back] = json.loads(simcore_command("run", tmp_path / "tables", "--json").out)
    assert back["instructions"] == simulated["instructions"] and back["hbm_read_bytes"] == simulated["hbm_read_bytes"]
    assert simcore_command("export", twice, "--launch", "1", "-o", "summary.json").code == 0
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))


def test_a_frame_of_the_tui_needs_no_terminal(simcore_command, root, tmp_path):
    kernel = root / "kernels/tensor_add.py"
    result = simcore_command("tui", kernel, "-o", "frame.svg", "--size", "100x30", "--keys", "question_mark")
    assert result.code == 0, result.err
    frame = (tmp_path / "frame.svg").read_text(encoding="utf-8")
    assert frame.startswith("<svg") and "tensor_add" in frame
    assert simcore_command("tui", kernel, "-o", "frame.svg", "--size", "big").code == 2
    assert simcore_command("tui", kernel, "-o", "frame.png").code == 2


def test_report(simcore_command, twice, tmp_path):
    assert simcore_command("report", twice, "--launch", "1", "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>") and 'src="http' not in page and "<link" not in page


# ------------------------------------------------------------------------------------------ machines


def test_machines(simcore_command):
    brief = simcore_command("machines").out
    assert all(name in brief for name in ("trn1", "trn2", "trn3", "Tensor clock", "HBM bandwidth"))
    full = simcore_command("machines", "trn2").out
    assert "tensor.clock_hz" in full and "2.40 GHz" in full and "specified" in full and "measured" in full
    [data] = json.loads(simcore_command("machines", "trn2", "--json").out)
    assert data["tensor"]["clock_hz"]["value"] == 2.4e9 and data["tensor"]["clock_hz"]["source"]


# ------------------------------------------------------------------------------------------ the command itself


def test_help_lists_every_command(simcore_command):
    listed = simcore_command("--help").out
    for command in COMMANDS:
        assert f" {command.__name__.replace('_', '-')} " in listed
        assert command.__doc__
    assert simcore_command("--version").out.startswith("simcore ")


@pytest.mark.parametrize("command", [command.__name__.replace("_", "-") for command in COMMANDS])
def test_every_command_has_help(simcore_command, command):
    result = simcore_command(command, "--help")
    assert result.code == 0 and "Usage" in result.out


def test_what_follows_two_dashes_is_the_scripts():
    assert _split(["run", "a.py", "-o", "x", "--", "-o", "--", "y"]) == (["run", "a.py", "-o", "x"], ["-o", "--", "y"])
    assert _split(["run", "a.py"]) == (["run", "a.py"], [])


def test_a_reader_that_goes_away_is_no_error(root):
    line = f"{sys.executable} -m simcore.apps machines trn2 | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_an_interrupted_command_leaves_nothing_behind(tmp_path):
    (tmp_path / "endless.py").write_text(
        "import sys, time\nprint('started', file=sys.stderr, flush=True)\ntime.sleep(600)\n", encoding="utf-8"
    )
    # started as from a prompt, also where the tests themselves ignore interrupts, as a shell's background jobs do
    start = ("import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
             "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])")
    command = [sys.executable, "-c", start, "-m", "simcore.apps", "gantt", "endless.py", "-o", "picture.svg"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and err.endswith("simcore: interrupted\n") and "Traceback" not in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["endless.py"]


# ------------------------------------------------------------------------------------------ pieces


def test_arguments_of_every_kind():
    given = parse(
        [
            "q=bfloat16[128, 64]",
            "ids=int32[8]:3",
            "scale=0.5",
            "causal=true",
            "mask=none",
            "mode=fast",
            "sizes=(1,2)",
            "name='a b'",
        ]
    )
    assert given["q"].shape == (128, 64) and given["q"].dtype == "bfloat16"
    assert given["ids"].fill == 3
    assert [given[n] for n in ("scale", "causal", "mask", "mode", "sizes", "name")] == [
        0.5,
        True,
        None,
        "fast",
        (1, 2),
        "a b",
    ]


def test_times_and_windows():
    assert picoseconds("12.5us") == 12_500_000 == picoseconds("12500 ns")
    assert window_ps("10us:2ms") == (10_000_000, 2_000_000_000) and window_ps(None) is None
    for wrong in ("10", "10:20", "ten us:1ms", "10us", "-1us:1us"):
        with pytest.raises(UsageError):
            window_ps(wrong)


def test_numbered_paths(tmp_path):
    assert numbered(tmp_path / "a.svg", 1) == [tmp_path / "a.svg"]
    assert [p.name for p in numbered(tmp_path / "a.svg", 2)] == ["a.1.svg", "a.2.svg"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    target = tmp_path / "picture.svg"
    target.write_text("before", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), replacing(target) as part:
        part.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["picture.svg"] and target.read_text(encoding="utf-8") == "before"


def test_compare_writes_one_page(simcore_command, root, tmp_path):
    script = root / "kernels/tensor_add.py"
    result = simcore_command("compare", script, script, "--html", tmp_path / "both.html", "--no-values")
    assert result.code == 0, result.err
    assert "tensor_add #1 and tensor_add #2" in (tmp_path / "both.html").read_text()
    refused = simcore_command("compare", script, script, "--html", tmp_path / "both.txt")
    assert refused.code == 2 and "writes an .html file" in refused.err

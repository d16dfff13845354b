"""capture-hw and its bundles, against a FAKE of the vendor's tool (tests/fake_vendor_tools) and a recorded profile."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from simcore.apps.hardware import capture, record
from simcore.apps.hardware.bundle import is_bundle, read_manifest, read_timelines
from simcore.apps.options import Sources
from simcore.errors import FileError, SimcoreError, UsageError

TOOLS = Path(__file__).parent / "fake_vendor_tools"


@pytest.fixture
def host(tmp_path, monkeypatch, profiles):
    """A computer that seems to have a chip."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/neuron0").touch()
    monkeypatch.setenv("FAKE_PROFILE", str(next(profiles.glob("*fused_bf16_s512*"))))
    return capture.Host(devices=tmp_path / "dev", path=str(TOOLS), compilers=("numpy",))


@pytest.fixture
def script(tmp_path, root):
    path = tmp_path / "my_add.py"
    path.write_text((root / "kernels/tensor_add.py").read_text(encoding="utf-8"), encoding="utf-8")
    return path


@pytest.fixture
def bundled(host, script, tmp_path):
    output = tmp_path / "run.hwbundle"
    record.record(Sources(files=(script,), script_args=("--tile", "512")), output, host)
    return output


def test_without_a_chip_it_says_what_is_missing(simcore_command, script):
    result = simcore_command("capture-hw", script)
    assert result.code == 2 and result.out == ""
    for what in ("a Neuron device", "the profiler", "the compiler", "aws-neuronx-tools"):
        assert what in result.err
    assert not list(script.parent.glob("*.hwbundle"))


def test_each_missing_thing_is_named_alone(tmp_path, host):
    host.check()
    with pytest.raises(UsageError, match="a Neuron device") as error:
        replace(host, devices=tmp_path / "nothing").check()
    assert "profiler" not in str(error.value)
    with pytest.raises(UsageError, match="the profiler"):
        replace(host, path=str(tmp_path)).check()
    with pytest.raises(UsageError, match="the compiler"):
        replace(host, compilers=("surely_not_installed",)).check()


def test_a_bundle_holds_profile_versions_hash_and_shapes(bundled, script):
    manifest = read_manifest(bundled)
    assert manifest.script == "my_add.py" and manifest.script_args == ["--tile", "512"] and len(manifest.sha256) == 64
    assert manifest.versions["neuron-explorer"].endswith("(fake) 2.28.0") and "python" in manifest.versions
    assert any("tensor_add" in shape and "float32" in shape for shape in manifest.shapes)
    inspect, view, summary = manifest.commands
    assert inspect[1:3] == ["inspect", "-o"] and inspect[-3:] == [str(script), "--tile", "512"]
    assert view[1] == summary[1] == "view" and "summary-json" in summary
    names = zipfile.ZipFile(bundled).namelist()
    assert sorted(names) == ["manifest.json", "profile_1/profile.json", "profile_1/summary.json", "source/my_add.py"]


def test_a_kernel_of_a_file_runs_through_its_own_program(host, script, tmp_path):
    record.record(
        Sources(files=(script,), kernel="tensor_add", args=("a=float32[128,512]", "b=float32[128,512]")),
        tmp_path / "k.hwbundle",
        host,
    )
    program = read_manifest(tmp_path / "k.hwbundle").commands[0][4:]
    assert program[1:] == [
        "-m",
        "simcore.apps.hardware.launch_kernel",
        str(script),
        "tensor_add",
        "a=float32[128,512]",
        "b=float32[128,512]",
    ]


def test_every_view_takes_a_bundle(simcore_command, bundled):
    [timeline] = read_timelines(bundled)
    assert timeline.kind == "measured" and len(timeline.instructions) > 100
    [summary] = json.loads(simcore_command("run", bundled, "--json").out)
    assert summary["kind"] == "measured" and summary["instructions"] > 100


def test_predict_runs_the_script_again_and_compares(simcore_command, bundled, script):
    result = simcore_command("compare", "--predict", bundled, "--json")
    assert result.code == 0, result.err
    both = json.loads(result.out)
    assert (both["a"]["kind"], both["b"]["kind"]) == ("simulated", "measured")
    assert both["a"]["name"] == "tensor_add"


def test_the_copy_inside_a_bundle_is_never_run(simcore_command, bundled, script):
    script.write_text(script.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    refused = simcore_command("compare", "--predict", bundled)
    assert refused.code == 2 and "has changed" in refused.err
    named = simcore_command("compare", "--predict", bundled, script, "--json")
    assert named.code == 0 and "differs" in named.err


@pytest.mark.parametrize("fails", ["inspect", "view"])
def test_a_failing_tool_leaves_no_bundle(host, script, tmp_path, monkeypatch, fails):
    monkeypatch.setenv("FAKE_FAILS", fails)
    with pytest.raises(SimcoreError, match=f"neuron-explorer {fails} .*exit code 7"):
        record.record(Sources(files=(script,)), tmp_path / "run.hwbundle", host)
    assert not list(tmp_path.glob("*.hwbundle"))


def test_neffs_and_ntffs_are_paired_by_hash_or_folder(tmp_path):
    def touch(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    with pytest.raises(SimcoreError, match="no pair"):
        capture.pairs(tmp_path)
    touch(
        "a/neff_1111111_vnc_0.neff",
        "a/1111111_vnc_0.ntff",
        "a/1111111_vnc_0_exec_2.ntff",
        "a/1111111_vnc_0_exec_10.ntff",
        "a/neff_2222222.neff",
        "a/2222222_instid_0_vnc_0.ntff",
        "b/file.neff",
        "b/profile_nc_0_session_0.ntff",
    )
    assert [(n.name, t.name) for n, t in capture.pairs(tmp_path)] == [
        ("neff_1111111_vnc_0.neff", "1111111_vnc_0_exec_10.ntff"),
        ("neff_2222222.neff", "2222222_instid_0_vnc_0.ntff"),
        ("file.neff", "profile_nc_0_session_0.ntff"),
    ]


def test_damaged_and_hostile_bundles(bundled, tmp_path):
    cut = tmp_path / "cut.hwbundle"
    cut.write_bytes(bundled.read_bytes()[:-100])
    assert not is_bundle(cut)
    for wrong in (
        {
            "format": "simcore-hardware-bundle",
            "version": 1,
            "script": "x",
            "sha256": "y",
            "path": "z",
            "args": "not a list",
        },
        {"format": "simcore-hardware-bundle", "version": 99},
        {"format": "simcore-hardware-bundle", "version": 1},
        [],
    ):
        hostile = tmp_path / "hostile.hwbundle"
        with zipfile.ZipFile(hostile, "w") as z:
            z.writestr("manifest.json", json.dumps(wrong))
            z.writestr("profile_1/../../escaped.json", "{}")
        with pytest.raises(FileError):
            read_manifest(hostile)
        with pytest.raises(FileError, match="no profile"):
            read_timelines(hostile)
    assert not list(tmp_path.parent.glob("escaped.json"))

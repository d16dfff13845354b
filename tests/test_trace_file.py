"""A saved run carries its trace: read back it simulates and explains the same, and damage is a sentence."""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import simcore
from simcore import trace_file
from simcore.errors import FileError
from simcore.explain import explain
from simcore.frontend.activation import activate
from simcore.frontend.launch import TensorSpec

ROOT = Path(__file__).parents[1]
CASES = {
    "twins/uncombined.py": ("faulty", ("float32[128,4096]", "float32[128,1]", "float32[128,1]")),
    "twins/one_tile.py": ("faulty", ("bfloat16[128,128]", "bfloat16[128,8192]")),
    "../kernels/flash_attn.py": ("flash_attn", ("bfloat16[1,128,512]", "bfloat16[1,128,512]", "bfloat16[1,512,128]")),
    "../kernels/embedding.py": (None, ()),
}


@cache
def run(name: str):
    import importlib.util

    with activate():
        spec = importlib.util.spec_from_file_location(f"case_{Path(name).stem}", ROOT / "tests" / name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    kernel, arguments = CASES[name]
    if kernel is None:  # indices that are read at run time
        given = (TensorSpec.parse("bfloat16[4096,256]"), np.arange(512, dtype=np.int32).reshape(512, 1))
        trace = simcore.capture(module.embedding, *given, target="trn2")
    else:
        trace = simcore.capture(getattr(module, kernel), *map(TensorSpec.parse, arguments), target="trn2", values=False)
    return simcore.simulate(trace, simcore.load_machine("trn2"))


@pytest.fixture(params=CASES)
def timeline(request):
    try:
        return run(request.param)
    except (AttributeError, simcore.SimcoreError) as e:
        pytest.skip(f"the kernel takes other arguments: {e}")


def test_the_trace_comes_back(timeline, tmp_path):
    timeline.save(tmp_path / "a.simcore")
    back = simcore.Timeline.load(tmp_path / "a.simcore")
    again = simcore.simulate(back.trace, simcore.load_machine("trn2"))
    for column in (
        "engine",
        "opcode",
        "start_ps",
        "end_ps",
        "done_ps",
        "wait_cause",
        "wait_on",
        "flops",
        "hbm_read_bytes",
    ):
        np.testing.assert_array_equal(getattr(again.instructions, column), getattr(timeline.instructions, column))
    assert again.strings == timeline.strings
    back.save(tmp_path / "b.simcore")
    assert (tmp_path / "a.simcore").read_bytes() == (tmp_path / "b.simcore").read_bytes()


def test_a_saved_run_is_explained_as_the_run(timeline, tmp_path):
    timeline.save(tmp_path / "a.simcore")
    assert explain(simcore.Timeline.load(tmp_path / "a.simcore")).to_dict() == explain(timeline).to_dict()


def test_a_long_trace_stays_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(trace_file, "MOST_INSTRUCTIONS", 3)
    run("twins/uncombined.py").save(tmp_path / "a.simcore")
    assert simcore.Timeline.load(tmp_path / "a.simcore").trace is None


def _changed(path: Path, change) -> Path:
    """The file with its header's trace changed."""
    other = path.with_name("changed.simcore")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == "header.json":
                header = json.loads(data)
                change(header["trace"])
                data = json.dumps(header).encode()
            new.writestr(info, data)
    return other


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["variants"][0].update(row="no_such_instruction"),
        lambda t: t["variants"].pop(),
        lambda t: t["layouts"][0].__setitem__(2, "float17"),
        lambda t: t["variants"][0]["params"].append(["op", {"enum": "os", "name": "system"}]),
        lambda t: t["storage_words"]["shape"].clear(),
        lambda t: t.pop("sites"),
    ],
)
def test_damage_is_a_sentence(change, tmp_path):
    run("twins/uncombined.py").save(tmp_path / "a.simcore")
    with pytest.raises(FileError, match="the trace in the file is damaged"):
        simcore.Timeline.load(_changed(tmp_path / "a.simcore", change))

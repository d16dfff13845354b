"""`simcore qwen3 ...` as a person types it."""

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from simcore.apps.qwen3 import bundle

ROOT = Path(__file__).resolve().parents[1]
needs_model = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("transformers") is None, reason="needs the extra `model`"
)
CONFIGURATION = {
    "size": "0.6B",
    "layers": 1,
    "seq": 256,
    "batch": 1,
    "dtype": "bfloat16",
    "attention": "flash",
    "target": "trn2",
}


@needs_model
def test_swap(simcore_command):
    done = simcore_command("qwen3", "swap", "--layers", "1", "--seq", "128")
    assert done.code == 0, done.err
    assert "attention by flash_attn, 1 launches" in done.out
    assert "cosine similarity 1.000000" in done.out


@needs_model
def test_predict_prints_tables_and_draws(simcore_command, tmp_path):
    done = simcore_command(
        "qwen3",
        "predict",
        "--seq",
        "256",
        "--layers",
        "2",
        "--rows",
        "3",
        "--chart",
        "time.png",
        "--roofline",
        "roof.svg",
    )
    assert done.code == 0, done.err
    for text in ("eager attention on trn2", "flash attention on trn2", "Where the time goes", "Peeling the onion"):
        assert text in done.out
    assert "nothing was measured for this configuration" in done.out
    assert (tmp_path / "time.png").stat().st_size > 10_000
    assert (tmp_path / "roof.svg").read_text().startswith("<?xml")


@needs_model
def test_predict_as_json_is_the_same_twice(simcore_command):
    first, second = (simcore_command("qwen3", "predict", "--seq", "128", "--layers", "1", "--json") for _ in range(2))
    assert first.out == second.out
    eager, flash = json.loads(first.out)
    assert eager["attention"] == "eager"
    assert flash["device_ps"] == flash["start_ps"] + sum(r["count"] * r["timed"]["time_ps"] for r in flash["rows"])


@needs_model
def test_decode(simcore_command):
    done = simcore_command("qwen3", "predict", "--decode", "--seq", "256", "--layers", "1", "--rows", "2")
    assert done.code == 0, done.err
    assert "one token after 255" in done.out
    assert "tokens/s" in done.out


@needs_model
def test_scale(simcore_command, tmp_path):
    done = simcore_command("qwen3", "scale", "--seq", "128,256", "--layers", "1,3", "-o", "growth.png")
    assert done.code == 0, done.err
    assert len([line for line in done.out.splitlines() if line.startswith(("  eager", "  flash"))]) == 8
    assert (tmp_path / "growth.png").exists()


@needs_model
def test_compare(simcore_command, tmp_path):
    made = bundle.Bundle(configuration=CONFIGURATION, latency_s=[0.01, 0.011], device_s=[0.002])
    bundle.write(made, tmp_path / "run.json")
    done = simcore_command("qwen3", "compare", "run.json")
    assert done.code == 0, done.err
    assert "outside the device" in done.out
    assert "2 runs" in done.out


@needs_model
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("predict", "--size", "9B"), "there is no Qwen3 of size '9B'"),
        (("predict", "--attention", "fast"), "eager, flash or both"),
        (("predict", "--seq", "100"), "multiple of 128"),
        (("predict", "--fusion", "row"), "rows"),
        (("predict", "--dtype", "int8"), "--dtype is"),
        (("predict", "--decode", "--attention", "flash"), "multiple of 128"),
        (("predict", "--target", "trn9", "--seq", "128"), "trn9"),
        (("scale", "--seq", "1k"), "numbers with commas"),
        (("compare", "nowhere.json"), "cannot read nowhere.json"),
        (("swap", "--nki-library", "nowhere"), "not a checkout"),
        (("predict", "--seq", "128", "--layers", "1", "--chart", "time.txt"), "a picture ends in"),
    ],
)
def test_mistakes_are_sentences(arguments, says, capsys, tmp_path, monkeypatch):
    from simcore.apps.cli import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["qwen3", *arguments])
    assert stop.value.code
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told


def documented() -> list[str]:
    text = (ROOT / "docs" / "qwen3.md").read_text(encoding="utf-8")
    return re.findall(r"^(?:\$ )?simcore qwen3 ([^\n#]+)", text, re.MULTILINE)


@pytest.mark.parametrize("line", documented())
def test_commands_of_the_tour_are_understood(line):
    """Running them takes minutes; that they are accepted is checked here, what they do above."""
    from typer.main import get_command

    from simcore.apps.qwen3.commands import app

    name, *arguments = shlex.split(line)
    command = get_command(app).commands[name]
    with command.make_context(name, arguments):
        pass


def test_tour_links_lead_somewhere():
    text = (ROOT / "docs" / "qwen3.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > 8
    assert not [link for link in links if not (ROOT / "docs" / link).exists()]


def test_benchmark_commands_of_the_tour_are_understood():
    from simcore.apps.qwen3.benchmark import parse

    text = (ROOT / "docs" / "qwen3.md").read_text(encoding="utf-8")
    lines = re.findall(r"^python -m simcore.apps.qwen3.benchmark([^\n#]*)", text, re.MULTILINE)
    assert len(lines) == 2
    assert f"{parse(shlex.split(lines[1])).name}.json" in text

"""What the README says works as written: its commands, its Python, its links."""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every `simcore ...` line of a shell block, and those of the prose, without comments."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`(simcore [a-z]+ [^`]*\.py[^`]*)`", README)
    return [line.split("  #")[0].strip() for line in lines if line.startswith("simcore ")]


def environment(folder: Path) -> dict[str, str]:
    """`simcore` on the path is the one under test."""
    script = folder / "simcore"
    if not script.exists():
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m simcore.apps "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TERM": "xterm-256color",
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder like the repository's, to run in and write to."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "bin").mkdir()
    (folder / "kernels").symlink_to(ROOT / "kernels")
    return folder


def in_terminal(line: str, folder: Path, keys: str = "q", limit_s: float = 60) -> int:
    """Exit code of a command in a pseudo-terminal of 100 x 30 that gets `keys` once it has drawn something."""
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen(
        ["sh", "-c", f"exec {line}"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=folder,
        env=environment(folder / "bin"),
        close_fds=True,
        start_new_session=True,
    )
    os.close(follower)
    deadline, drawn, sent = time.monotonic() + limit_s, b"", False
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([leader], [], [], 0.5)[0]:
                try:
                    drawn += os.read(leader, 1 << 16)
                except OSError:
                    break
            elif b"\x1b[?1049h" in drawn and not sent:  # the alternate screen is up, and has come to rest
                os.write(leader, keys.encode())
                sent = True
        process.wait(timeout=max(deadline - time.monotonic(), 5))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        os.close(leader)
    assert b"Traceback" not in drawn, drawn.decode()
    assert sent, f"{line!r} drew no screen: {drawn.decode()}"
    return process.returncode


def test_there_are_commands():
    assert len(commands()) >= 9


def test_commands_run_in_their_order(place):
    """One after the other, as somebody who reads from the top would."""
    for line in commands():
        if " tui " in line:
            assert in_terminal(line, place) == 0, line
            continue
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=place,
            env=environment(place / "bin"),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        output = re.search(r" -o (\S+)", line)
        assert output is None or (place / output[1]).stat().st_size > 1000, line


def test_python_examples_run(tmp_path):
    """With a kernel and tensors in front, as the text takes for granted."""
    setup = """
import importlib, sys
from simcore.frontend import activate
with activate():
    kernel = importlib.import_module("simcore.kernels.flash_attn").flash_attn
import ml_dtypes, numpy as np
rng = np.random.default_rng(0)
q, k, v = (rng.standard_normal(s).astype(ml_dtypes.bfloat16) for s in ((1, 128, 512), (1, 128, 512), (1, 512, 128)))
"""
    [example] = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", setup + example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "simulated on trn2" in done.stdout


def test_the_machine_example_loads(tmp_path):
    """It says "twice the bandwidth"; the fitted bandwidth it doubles may move a little."""
    from simcore import load_machine

    [example] = blocks("toml")
    (tmp_path / "fast.toml").write_text(example, encoding="utf-8")
    ours = load_machine("trn2").dma.engine_bytes_per_s
    assert load_machine(tmp_path / "fast.toml").dma.engine_bytes_per_s == pytest.approx(2 * ours, rel=0.05)


@pytest.mark.parametrize(
    "document",
    ["README.md", "CONTRIBUTING.md", *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").glob("*.md"))],
)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert not [link for link in links if link and not (ROOT / document).parent.joinpath(link).exists()]


def test_make_targets_and_ci_agree_with_the_readme():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    ci = ROOT / ".ci/run"
    assert os.access(ci, os.X_OK)
    assert [
        line for line in ci.read_text(encoding="utf-8").splitlines() if "make" in line and not line.startswith("#")
    ] == ["exec make test"]

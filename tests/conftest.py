"""Fixtures of every test: the repository, outside material that may be absent, the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy loads: test processes share the machine

ROOT = Path(__file__).resolve().parents[1]

OUTSIDE = {
    "SIMCORE_PROFILES": "../shared/profiles",
    "SIMCORE_CORPUS": "../shared/corpus",
    "SIMCORE_LATENCY": "../shared/latency",
    "SIMCORE_FACTS": "../shared/facts",
    "SIMCORE_REFS": None,
}
"""Environment variable -> where the material lies beside a checkout of this repository, if anywhere."""


def outside(variable: str) -> Path | None:
    """The folder of material that is not part of the project, or None."""
    given, fallback = os.environ.get(variable), OUTSIDE[variable]
    path = Path(given) if given else (ROOT / fallback if fallback else None)
    return path if path is not None and path.is_dir() else None


def _needed(variable: str) -> Path:
    path = outside(variable)
    if path is None:
        pytest.skip(f"needs the folder named by {variable}")
    return path


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def profiles() -> Path:
    """The four trn2 profiles."""
    return _needed("SIMCORE_PROFILES")


@pytest.fixture(scope="session")
def facts() -> Path:
    return _needed("SIMCORE_FACTS")


@pytest.fixture(scope="session")
def refs() -> Path:
    """Checkouts of public repositories, as owner+name@commit."""
    return _needed("SIMCORE_REFS")


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, standard output and error."""

    code: int
    out: str
    err: str


@pytest.fixture
def simcore_command(tmp_path):
    """`simcore_command("run", file, ...)` runs the command line in its own process and folder, without a terminal."""

    def run(*arguments: object, cwd: Path = tmp_path, timeout: float = 300) -> Result:
        environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "simcore.apps", *map(str, arguments)],
            cwd=cwd,
            env=environment,
            timeout=timeout,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert "Traceback (most recent call last)" not in done.stderr + done.stdout, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    return run

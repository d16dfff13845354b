"""What is installed is what the repository holds: editable, wheel and sdist."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]


def folder_of(package: str) -> Path:
    """Where a package's source lies, by the longest entry of the package-dir map."""
    parts = package.split(".")
    for n in range(len(parts), 0, -1):
        if (start := ".".join(parts[:n])) in FOLDERS:
            return ROOT.joinpath(FOLDERS[start], *parts[n:])
    raise AssertionError(package)


def test_every_package_is_listed():
    listed = {folder_of(p) for p in PROJECT["tool"]["setuptools"]["packages"]}
    there = {
        path.parent
        for room in FOLDERS.values()
        for path in (ROOT / room).rglob("*.py")
        # no package, but packaged: see below
        if "__pycache__" not in path.parts and path.name != "sitecustomize.py"
    }
    assert (ROOT / "apps" / PROJECT["tool"]["setuptools"]["package-data"]["simcore.apps"][0]).exists()
    assert there == listed
    assert not [p for p in there if not (p / "__init__.py").exists()]


def test_every_data_file_is_packaged():
    suffixes = {pattern.lstrip("*") for pattern in PROJECT["tool"]["setuptools"]["package-data"]["*"]}
    data = {
        path
        for room in FOLDERS.values()
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix != ".py" and not {"__pycache__", ".ruff_cache"} & set(path.parts)
    }
    assert not [str(p.relative_to(ROOT)) for p in data if p.suffix not in suffixes and p.name not in suffixes]


def test_version_is_in_the_changelog():
    assert f"## {PROJECT['project']['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel built from that sdist.

    Built from a copy: setuptools writes beside its sources.
    """
    pytest.importorskip("build")
    pytest.importorskip("setuptools", minversion="77")
    out, copy = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("source") / "simcore"
    shutil.copytree(
        ROOT,
        copy,
        ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "*.egg-info", ".hypothesis"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_wheel_holds_one_package(built):
    [wheel] = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "simcore",
        f"simcore-{PROJECT['project']['version']}.dist-info",
    }
    held = {name for name in names if name.endswith((".py", ".toml"))}
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        for path in folder_of(package).glob("*.py"):
            assert f"{package.replace('.', '/')}/{path.name}" in held


def test_sdist_can_be_tested(built):
    [sdist] = built.glob("*.tar.gz")
    names = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "tests/conftest.py", "tests/test_packaging.py"} <= names


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory) -> Path:
    """Python of a fresh virtual environment that holds the wheel; its dependencies come from the running one."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    [wheel] = built.glob("*.whl")
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # Dependencies by path, without the .pth files beside them: an editable simcore must not come along.
    paths = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    Path(site, "dependencies.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            "--force-reinstall",
            "--ignore-installed",
            str(wheel),
        ],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return python


def in_environment(python: Path, code: str) -> str:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, cwd=python.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_wheel_imports_every_room_from_its_own_environment(environment):
    files = in_environment(
        environment,
        """
import simcore, simcore.viz, simcore.viz.tui, simcore.apps.cli, simcore.kernels
for m in (simcore, simcore.viz, simcore.viz.tui, simcore.apps.cli, simcore.kernels): print(m.__file__)
""",
    )
    inside = str(environment.parent.parent)
    assert all(line.startswith(inside) for line in files.splitlines()), files


def test_wheel_leaks_no_generic_name(environment):
    found = in_environment(
        environment,
        """
import importlib.util
print([n for n in ("viz", "apps", "kernels", "tests", "nki", "neuronxcc") if importlib.util.find_spec(n)])
""",
    )
    assert found == "[]"


def test_wheel_carries_machines_and_command(environment):
    assert in_environment(
        environment, "import simcore; print(simcore.load_machine('trn2').name, simcore.__version__)"
    ) == (f"trn2 {PROJECT['project']['version']}")
    command = environment.parent / "simcore"
    done = subprocess.run([command, "machines", "trn2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tensor.clock_hz" in done.stdout


def test_editable_install_finds_every_room(tmp_path):
    """The environment the tests run in, from another folder."""
    code = "import simcore.viz, simcore.apps, simcore.kernels; print(simcore.viz.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "simcore.viz"), done.stderr

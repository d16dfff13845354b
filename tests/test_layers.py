"""Imports run one way: apps -> viz -> simcore; kernels import nki only; the core draws nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"simcore": "simcore", "viz": "simcore.viz", "apps": "simcore.apps", "kernels": "simcore.kernels"}
MAY_IMPORT = {  # simcore's rooms
    "simcore": {"simcore"},
    "viz": {"simcore", "viz"},
    "apps": {"simcore", "viz", "apps", "kernels"},
    "kernels": set(),
}
CORE_LIBRARIES = {"numpy", "ml_dtypes", "threadpoolctl"}
OPTIONAL_IN_CORE = {"polars", "torch"}  # inside a function only: Parquet files, torch tensors given as inputs
PLOTTING = {
    "viz/style",
    "viz/window",
    "viz/roofline",
    "viz/gantt",
    "apps/validate/pictures",
    "viz/occupancy",
    "apps/validate",
    "apps/qwen3",
    "apps/commands/validate",
}


def sources(room: str) -> list[Path]:
    return sorted(p for p in (ROOT / room).rglob("*.py") if "__pycache__" not in p.parts)


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """(module, line, at module level and not for type checkers) of each import of a file."""
    found = []

    def walk(node, top):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, child.lineno, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno} relative import: modules name their room"
                found.append((child.module, child.lineno, top))
                if child.module == "simcore":  # `from simcore import viz`
                    found.extend((f"simcore.{alias.name}", child.lineno, top) for alias in child.names)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            walk(
                child,
                top and not typing_only and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda),
            )

    walk(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def room_of(module: str) -> str | None:
    """The room of ours a module lies in."""
    first, _, rest = module.partition(".")
    if first != "simcore":
        return None
    second = rest.partition(".")[0]
    return second if second in ROOMS and second != "simcore" else "simcore"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_one_way(room):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(room)
        for module, line, _ in imports(path)
        if (target := room_of(module)) is not None and target not in MAY_IMPORT[room]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_imported_by_their_installed_name(room):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(room)
        for module, line, _ in imports(path)
        if module.partition(".")[0] in {"viz", "apps", "kernels", "tests"}
    ]
    assert not wrong, "\n".join(wrong)


def test_core_needs_only_light_libraries():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources("simcore")
        for module, line, top in imports(path)
        if (name := module.partition(".")[0])
        not in sys.stdlib_module_names | CORE_LIBRARIES | {"simcore", "__future__"}
        and not (name in OPTIONAL_IN_CORE and not top)
    ]
    assert not wrong, "\n".join(wrong)


def test_core_neither_prints_nor_exits():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.func.id}()"
        for path in sources("simcore")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"print", "exit", "quit", "eval"}
        and not path.relative_to(ROOT).as_posix().startswith("simcore/frontend/")  # nki's own device_print prints
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library, allowed", [("textual", {"viz/tui"}), ("matplotlib", PLOTTING)])
def test_heavy_libraries_stay_in_their_place(library, allowed):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for room in ROOMS
        for path in sources(room)
        for module, line, top in imports(path)
        if module.partition(".")[0] == library and not path.relative_to(ROOT).as_posix().startswith(tuple(allowed))
    ]
    assert not wrong, "\n".join(wrong)


def test_kernels_import_only_nki_and_numpy():
    allowed = {"nki", "numpy", "ml_dtypes"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources("kernels")
        for module, line, _ in imports(path)
        if module.partition(".")[0] not in allowed | sys.stdlib_module_names
    ]
    assert not wrong, "\n".join(wrong)


HEAVY = (
    "matplotlib",
    "textual",
    "rich",
    "typer",
    "polars",
    "pandas",
    "torch",
    "transformers",
    "perfetto",
    "simcore.viz",
    "simcore.apps",
)


@pytest.mark.parametrize(
    "statement",
    [
        "import simcore",
        "import simcore; simcore.Timeline, simcore.load_machine('trn2')",
        "import simcore; simcore.capture, simcore.simulate, simcore.bounds",
        "import simcore; simcore.compare, simcore.read_profile, simcore.profile",
    ],
)
def test_import_simcore_loads_nothing_heavy(statement):
    code = f"{statement}\nimport sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_public_names_are_what_they_say():
    """`simcore.bounds` and `simcore.profile` stay functions although submodules have the same names."""
    code = (
        "import simcore, simcore.bounds, simcore.profile\nfrom simcore import *\n"
        "assert callable(simcore.bounds) and callable(simcore.profile) and callable(bounds)\n"
        "assert not [n for n in simcore.__all__ if not hasattr(simcore, n)]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr

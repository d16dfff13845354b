"""Running someone's FILE: as a script whose launches are captured, or one kernel of it with given arguments."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import os
import runpy
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import simcore
from simcore.apps import arguments, notebook
from simcore.apps.options import Sources
from simcore.apps.output import narrate
from simcore.errors import SimcoreError, UsageError, nearest
from simcore.timeline import Site
from simcore.trace import Trace


class ScriptError(SimcoreError):
    """The script or kernel itself raised; `site` is its innermost line."""


def run_script(file: Path, sources: Sources) -> list[Trace]:
    """Run the file as `__main__` with its arguments; the trace of each kernel launch in it, in order.

    What the script prints goes to standard error: standard output belongs to the command.  Without values a script
    ends where it first looks at a result (its own check, usually): there is none to look at.
    """
    with _captured(sources) as traces, _as_program(file, sources.script_args):
        try:
            if file.suffix == notebook.SUFFIX:
                notebook.load(file, "__main__")
            else:
                runpy.run_path(str(file), run_name="__main__")
        except SystemExit as e:
            if e.code not in (None, 0):
                what = f"with exit code {e.code}" if isinstance(e.code, int) else f"saying: {e.code}"
                raise ScriptError(f"{file} ended {what}") from None
            if not traces:
                raise UsageError(f"{file} ended before it launched a kernel") from None
        except Exception as e:
            explained = _explained(e, file)
            if sources.values or not traces or _inside_launch(e):
                raise explained from e
            narrate(
                f"timing only: the script ended where it looked at a result, after {len(traces)} "
                f"launch{'es' * (len(traces) > 1)} ({str(explained).splitlines()[0]})"
            )
    if not traces:
        raise UsageError(_nothing_launched(file))
    return traces


def run_kernel(file: Path, sources: Sources) -> list[Trace]:
    """Import the file and launch one kernel of it with the arguments of --arg."""
    from simcore.frontend.jit import jit

    given = arguments.parse(sources.args)
    with _captured(sources) as traces, _as_program(file, ()):
        try:
            module = import_file(file)
        except Exception as e:
            raise _explained(e, file) from e
        kernel = _kernel(module, file, sources.kernel)
        _check_arguments(kernel, given, file)
        try:
            jit(kernel)(**given)
        except Exception as e:
            raise _explained(e, file) from e
    return traces


@contextlib.contextmanager
def _captured(sources: Sources) -> Iterator[list[Trace]]:
    """While this is open, `import nki` works and each kernel launch appends its trace to the list."""
    from simcore.apps.devices import standing_in
    from simcore.frontend import Session, activate, use_session
    from simcore.frontend.launch import check_release
    from simcore.machine import chip_of

    traces: list[Trace] = []
    release = {} if sources.release is None else {"release": check_release(sources.release)}
    session = Session(chip_of(sources.target or "trn2"), sources.values, sources.lnc, traces.append, **release)
    with activate(), standing_in(), use_session(session):
        yield traces


def instructions() -> int:
    """How many instructions of the launch that runs now are recorded."""
    from simcore.frontend import state

    recorder = state.recorder
    return 0 if recorder is None else len(recorder)


# ------------------------------------------------------------------------------------------ the file as a program


@contextlib.contextmanager
def _as_program(file: Path, script_args: tuple[str, ...]) -> Iterator[None]:
    """The surroundings `python FILE ARGS` gives: its folder first on the path, its arguments, its own output."""
    argv, path = sys.argv, list(sys.path)
    sys.argv = [str(file), *script_args]
    sys.path.insert(0, str(file.resolve().parent))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.argv, sys.path[:] = argv, path


def import_file(file: Path) -> ModuleType:
    """Import a file under its dotted name when it lies in a package (so its relative imports work), else its own."""
    file = file.resolve()
    if file.suffix == notebook.SUFFIX:
        return notebook.load(file, file.stem)
    root, parts = file.parent, [file.stem]
    while (root / "__init__.py").exists():
        parts.insert(0, root.name)
        root = root.parent
    if len(parts) > 1:
        sys.path.insert(0, str(root))
        return importlib.import_module(".".join(parts))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------------------ kernels of a module


def kernels(module: ModuleType) -> dict[str, object]:
    """The functions the module itself defines under nki.jit, by name."""
    from simcore.frontend.jit import Kernel

    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Kernel) and value.__module__ == module.__name__
    }


def _kernel(module: ModuleType, file: Path, name: str | None):
    found = kernels(module)
    if name is not None:
        kernel = getattr(module, name, None)
        if not callable(kernel):
            have = f" It defines {', '.join(found)}." if found else ""
            raise UsageError(f"{file} has no kernel {name!r}.{nearest(name, vars(module))}{have}")
        return kernel
    if not found:
        raise UsageError(f"{file} defines no kernel (no function decorated with nki.jit)")
    if len(found) > 1:
        raise UsageError(f"{file} defines {len(found)} kernels; choose one with --kernel: {', '.join(found)}")
    return next(iter(found.values()))


def _check_arguments(kernel, given: dict, file: Path) -> None:
    """Say which --arg is missing or unknown before Python does."""
    function = inspect.unwrap(kernel)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    name = getattr(function, "__name__", "the kernel")
    named = {p.name: p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    takes_any = any(p.kind == p.VAR_KEYWORD for p in signature.parameters.values())
    for argument in given:
        if argument not in named and not takes_any:
            raise UsageError(
                f"{name} of {file} has no argument {argument!r}.{nearest(argument, named)} It takes {', '.join(named)}"
            )
    missing = [p.name for p in named.values() if p.default is p.empty and p.name not in given]
    if missing:
        raise UsageError(f"{name} of {file} needs {', '.join(missing)}: give each with --arg; {arguments.HELP}")


def _nothing_launched(file: Path) -> str:
    """Why a script's run left nothing to look at: read from its text, as the script may have hidden its names."""
    import ast

    text = notebook.source(file) if file.suffix == notebook.SUFFIX else file.read_text(encoding="utf-8")
    defined = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and any("jit" in ast.unparse(d) for d in node.decorator_list)
    ]
    if not defined:
        return f"{file} ran, but it launches no kernel and defines none"
    example = f"--kernel {defined[0]} --arg NAME=DTYPE[SHAPE]"
    return f"{file} launches no kernel; it defines {', '.join(defined)}. Run one with {example}"


# ------------------------------------------------------------------------------------------ errors of a script


def _explained(error: Exception, file: Path) -> SimcoreError:
    """The error as a sentence with the line of the kernel or script it arose on."""
    if isinstance(error, SimcoreError):
        found = error.site or _innermost(error)
        error.site = found and Site(_short(found.file), found.line, found.function)
        if error.site is not None and isinstance(error, UsageError):
            error.exit_code = ScriptError.exit_code  # the script asked for it, not the command line
        return error
    if isinstance(error, SyntaxError):
        if error.lineno is None:
            return ScriptError(f"{file} is not a Python file: {error.msg}")
        text = f": {error.text.strip()}" if error.text else ""
        return ScriptError(f"{error.msg}{text}", site=Site(error.filename or str(file), error.lineno))
    text = "\n".join(line for line in str(error).splitlines() if line.strip()) or _failing_line(error)
    return ScriptError(f"{type(error).__name__}: {text}", site=_innermost(error))


def _innermost(error: BaseException) -> Site | None:
    """The innermost line of an exception that is neither simcore's nor a library's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_library(f.filename)]
    return Site(_short(frames[-1].filename), frames[-1].lineno or 0, frames[-1].name) if frames else None


def _inside_launch(error: BaseException) -> bool:
    """Whether the exception came out of a kernel, not out of the script around it."""
    from simcore.frontend import launch

    return any(f.filename == launch.__file__ for f in traceback.extract_tb(error.__traceback__))


def _failing_line(error: BaseException) -> str:
    """The source text of the line, for `assert x` without a message."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_library(f.filename)]
    return frames[-1].line or "" if frames else ""


def _short(file: str) -> str:
    """Relative to the current folder when it lies in it, as it was probably typed."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


_HERE = tuple(
    os.path.realpath(folder) + os.sep
    for folder in (
        *simcore.__path__,
        *(os.path.join(os.path.dirname(__file__), part) for part in ("", "commands")),
        sysconfig.get_paths()["stdlib"],
        sysconfig.get_paths()["purelib"],
        *site.getsitepackages(),
    )
)


def _is_library(filename: str) -> bool:
    if filename.startswith("<"):
        return True
    real = os.path.realpath(filename)
    return real.startswith(_HERE) and f"simcore{os.sep}kernels{os.sep}" not in real

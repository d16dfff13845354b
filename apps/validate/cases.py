"""The validation set: measured kernels whose source is public.

`cases.json` holds one measurement per line: where the kernel lies (repository and commit), its arguments as shapes and
dtypes, and the measured time with its kind.  Kernels are imported from checkouts the user names (`--refs`), one folder
per repository called owner+name@commit; nothing of them is in simcore.

Arguments are written as {"tensor": "bfloat16[128,512]"}, {"attr": "module:name"}, {"call": "module:name", ...},
{"tuple": [...]}, {"dict": {...}}, or plain JSON.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import logging
import re
import sys
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from simcore.errors import UsageError, nearest

CLEAN = ("measured", "precise", "rounded")


@dataclass(frozen=True)
class Case:
    """One measured configuration.

    kind     what was measured: ci (a library's reference), benchmark, benchmark_p99, profiled, device
    quality  of the figure: measured, precise, rounded, copied, edited, or contradicted: its source gives another figure
             for the same file, further away than the 5 % by which its other repeated measurements differ
    use      absolute, or relative where only comparisons within the source are trusted
    """

    id: str
    family: str
    kernel: str
    variant: str
    hardware: str
    cores: int
    kind: str
    measured_us: float
    quality: str
    use: str
    pair: str
    source: str
    options: dict[str, Any]
    launches: list[dict[str, Any]]


def load_cases(families: tuple[str, ...] = (), hardware: tuple[str, ...] = ()) -> list[Case]:
    """All cases, or those of some families and chips.  Raises UsageError for a family that does not exist."""
    text = resources.files("simcore.apps.validate").joinpath("cases.json").read_text(encoding="utf-8")
    cases = [Case(**entry) for entry in json.loads(text)]
    known = sorted({c.family for c in cases})
    for f in families:
        if f not in known:
            raise UsageError(f"there is no family {f!r} in the validation set; there are "
                             f"{', '.join(known)}.{nearest(f, known)}")
    return [c for c in cases if (not families or c.family in families) and (not hardware or c.hardware in hardware)]


def missing(case: Case, refs: Path) -> str | None:
    """The checkout a case needs and refs does not have, or None."""
    for launch in case.launches:
        if not (refs / launch["checkout"]).is_dir():
            return launch["checkout"]
    return None


def build(launch: dict[str, Any], refs: Path) -> tuple[Any, list, dict, Any]:
    """(kernel, args, kwargs, grid) of a launch.  Imports the kernel's file; call with the `nki` names in place."""
    root = refs / launch["checkout"]
    if "module" in launch:
        _search(root / launch["path"])
        module = importlib.import_module(launch["module"])
    else:
        path = root / launch["file"]
        _search(*(refs / p for p in launch.get("paths", ())), path.parent)
        module = _import(path, launch.get("patch", ()))
    kernel = getattr(module, launch["name"])
    if "factory" in launch:
        kernel = kernel(*resolve(launch["factory"]))
    if "jit" in launch:
        kernel = importlib.import_module(launch["jit"]).jit(kernel)
    return kernel, resolve(launch["args"]), {k: resolve(v)
                                             for k, v in launch["kwargs"].items()}, resolve(launch.get("grid"))


def resolve(value: Any) -> Any:
    """What an argument written in JSON means."""
    from simcore.frontend import TensorSpec

    if isinstance(value, list):
        return [resolve(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        spec = TensorSpec.parse(value["tensor"])
        return TensorSpec(spec.shape, spec.dtype, value.get("fill"))
    if "attr" in value:
        return _attribute(value["attr"])
    if "call" in value:
        return _attribute(value["call"])(*resolve(value["args"]), **{k: resolve(v) for k, v in value["kwargs"].items()})
    if "tuple" in value:
        return tuple(resolve(value["tuple"]))
    return {k: resolve(v) for k, v in value["dict"].items()}


def _attribute(text: str) -> Any:
    module, _, name = text.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _search(*paths: Path) -> None:
    for path in paths:
        if str(path) not in sys.path:
            sys.path.insert(0, str(path))


def _import(path: Path, patch) -> Any:
    """A stand-alone kernel file; patch = [[pattern, replacement]] edits its constants, in a copy."""
    if not hasattr(logging, "OFF"):
        logging.OFF = logging.CRITICAL + 10     # type: ignore[attr-defined]   # the vendor's package adds this level
    if patch:
        text = path.read_text(encoding="utf-8")
        for pattern, replacement in patch:
            text, count = re.subn(pattern, replacement, text)
            if not count:
                raise UsageError(f"{path}: nothing matches {pattern!r}")
        folder = Path(tempfile.mkdtemp(prefix="simcore-validate-"))
        path = folder / path.name
        path.write_text(text, encoding="utf-8")
    name = "case_" + hashlib.sha1(str(path).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

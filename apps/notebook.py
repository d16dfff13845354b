"""A Jupyter notebook as a script: its code cells, one after the other, in one module.

What IPython alone understands (lines that start with % or !, cells of other languages) is left out.  A cell is named
`lab.ipynb[3]` in errors and reports: the third code cell, whose lines count from 1.
"""

from __future__ import annotations

import json
import linecache
import re
import sys
from pathlib import Path
from types import ModuleType

from simcore.errors import UsageError

SUFFIX = ".ipynb"
_PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun")     # magics around Python code
_MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)


def cells(file: Path) -> list[tuple[str, str]]:
    """(name, Python text) of each code cell.  Raises UsageError where the file is no notebook."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["cells"]
        texts = ["".join(c["source"]) for c in found if c["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{file} is not a Jupyter notebook with cells") from None
    return [(f"{file}[{i}]", _python(text)) for i, text in enumerate(texts, 1)]


def _python(text: str) -> str:
    if text.lstrip().startswith("%%") and not text.lstrip().startswith(_PYTHON_CELLS):
        return ""
    return _MAGIC.sub(r"\1pass", text)


def source(file: Path) -> str:
    return "\n".join(text for _, text in cells(file))


def load(file: Path, name: str) -> ModuleType:
    """Run the notebook as a module of that name."""
    module = ModuleType(name)
    module.__file__ = str(file)
    vars(module)["display"] = print
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        for cell, text in cells(file):
            linecache.cache[cell] = (len(text), None, text.splitlines(keepends=True), cell)
            exec(compile(text, cell, "exec"), vars(module))
    finally:
        if before is not None:
            sys.modules[name] = before
    return module

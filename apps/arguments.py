"""Kernel arguments from the command line: `q=bfloat16[128,4096]`, `scale=0.5`, `causal=true`, `mask=mask.npy`."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simcore.errors import FileError, UsageError
from simcore.frontend import TensorSpec

_TENSOR = re.compile(r"(?P<tensor>\w+\[[^\]]*\])(?::(?P<fill>[-+.\w]+))?")
_WORDS = {"true": True, "false": False, "none": None}
HELP = "write NAME=DTYPE[SHAPE] for a tensor (q=bfloat16[128,4096]) or NAME=VALUE for anything else (scale=0.5)"


def parse(texts: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments for a kernel.  Raises UsageError.

    A tensor is random with a fixed seed (normal; integers 0 to 7); `:NUMBER` after the shape fills it with that.
    `NAME=FILE.npy` reads an array; any other value is a Python literal, or else text.
    """
    arguments: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.isidentifier() or not value:
            raise UsageError(f"--arg {text!r} is not an argument: {HELP}")
        if name in arguments:
            raise UsageError(f"--arg {name} is given twice")
        arguments[name] = _value(text, value)
    return arguments


def _value(text: str, value: str) -> Any:
    if match := _TENSOR.fullmatch(value):
        return _tensor(text, match["tensor"], match["fill"])
    if value.endswith(".npy"):
        return _array(text, Path(value))
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        return ast.literal_eval(value)  # numbers, tuples, quoted strings: literals only, nothing runs
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        if re.fullmatch(r"[\w.+-]+", value):
            return value
        raise UsageError(f"--arg {text!r} is not an argument: {HELP}") from None


def _tensor(text: str, tensor: str, fill: str | None) -> TensorSpec:
    try:
        spec = TensorSpec.parse(tensor)
        return dataclasses.replace(spec, fill=float(fill)) if fill else spec
    except UsageError as e:
        raise UsageError(f"--arg {text!r}: {e}") from None
    except ValueError:
        raise UsageError(f"--arg {text!r}: a tensor is filled with a number, not {fill!r}") from None


def _array(text: str, path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as e:
        raise FileError(f"--arg {text!r}: cannot read {path}: {e}") from None

"""Kernel arguments from the command line: `q=bfloat16[128,4096]`, `scale=0.5`, `causal=true`, `mask=mask.npy`."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simcore import dtypes
from simcore.errors import FileError, UsageError

_TENSOR = re.compile(r"(?P<dtype>\w+)\[(?P<shape>[\d\s,]*)\](?::(?P<fill>\w+))?")
_WORDS = {"true": True, "false": False, "none": None}
FILLS = ("normal", "uniform", "zeros", "ones", "arange")
HELP = "write NAME=DTYPE[SHAPE] for a tensor (q=bfloat16[128,4096]) or NAME=VALUE for anything else (scale=0.5)"


def parse(texts: Sequence[str], *, values: bool) -> dict[str, Any]:
    """Keyword arguments for a kernel.  Raises UsageError.

    A tensor is filled from a generator with a fixed seed: floating point with a normal distribution, integers with
    zeros; `:FILL` after the shape chooses another (normal, uniform, zeros, ones, arange).  Without values a tensor is a
    view of a single zero, so its size costs no memory.
    """
    rng = np.random.default_rng(0)
    arguments: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.isidentifier() or not value:
            raise UsageError(f"--arg {text!r} is not an argument: {HELP}")
        if name in arguments:
            raise UsageError(f"--arg {name} is given twice")
        arguments[name] = _value(text, value, rng, values)
    return arguments


def _value(text: str, value: str, rng: np.random.Generator, values: bool) -> Any:
    if match := _TENSOR.fullmatch(value):
        return _tensor(text, match, rng, values)
    if value.endswith(".npy"):
        return _array(text, Path(value))
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        return ast.literal_eval(value)      # numbers, tuples, quoted strings: literals only, nothing runs
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        if re.fullmatch(r"[\w.+-]+", value):
            return value
        raise UsageError(f"--arg {text!r} is not an argument: {HELP}") from None


def _tensor(text: str, match: re.Match[str], rng: np.random.Generator, values: bool) -> np.ndarray:
    dtype = _dtype(text, match["dtype"])
    try:
        shape = tuple(int(n) for n in match["shape"].split(",") if n.strip())
    except ValueError:
        raise UsageError(f"--arg {text!r}: the shape is not a list of sizes") from None
    if 0 in shape:
        raise UsageError(f"--arg {text!r}: a tensor needs at least one element in each dimension")
    fill = match["fill"] or ("normal" if dtype.kind not in "iub" else "zeros")
    if fill not in FILLS:
        raise UsageError(f"--arg {text!r}: tensors are filled with {', '.join(FILLS)}, not {fill!r}")
    if not values:
        return np.broadcast_to(np.zeros((), dtype), shape)
    count = int(np.prod(shape, dtype=np.int64))
    if fill == "normal":
        return rng.standard_normal(shape, np.float32).astype(dtype)
    if fill == "uniform":
        return rng.random(shape, np.float32).astype(dtype)
    if fill == "arange":
        return np.arange(count).reshape(shape).astype(dtype)
    return np.full(shape, 0 if fill == "zeros" else 1, dtype)


def _dtype(text: str, name: str) -> np.dtype:
    try:
        return dtypes.to_dtype(name).np
    except UsageError as e:
        raise UsageError(f"--arg {text!r}: {e}") from None


def _array(text: str, path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as e:
        raise FileError(f"--arg {text!r}: cannot read {path}: {e}") from None

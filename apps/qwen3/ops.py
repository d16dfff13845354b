"""The terms of compilation: operators before fusion, and launches of kernels after it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from simcore.apps.qwen3.graph import View

SIZE = {"float32": 4, "int32": 4, "bfloat16": 2, "float16": 2, "uint8": 1}
"""Bytes of an element."""
ROWS = ("max", "sum", "mean")
"""Operators of a chain that reduce a row to one value."""


@dataclass(frozen=True)
class Slot:
    """The place of tensor number `index` in a launch's arguments."""

    index: int


@dataclass(frozen=True)
class Launch:
    """One kernel with its arguments.

    tensors    (storage, dtype, shape) of each tensor argument; `arguments` refers to them by Slot
    results    storages the kernel's outputs become, each as a flat row-major array
    operators  names of the graph's nodes it does; shapes: of what they read and write, as they see it
    """

    kernel: str
    function: str
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...]
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...]
    results: tuple[str, ...]
    label: str
    module: str
    operators: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def signature(self) -> tuple:
        """Two launches with the same signature take the same time."""
        return self.kernel, self.function, tuple((d, s) for _, d, s in self.tensors), self.arguments, self.options


@dataclass
class Op:
    """An operator in the terms of the kernels, before fusion.  Element-wise ones are chains of (operator, operands,
    result).
    """

    kind: str  # "chain", "matmul", "copy", "transpose", "concat", "gather", "attention"
    out: View
    inputs: tuple[View, ...]
    module: str
    nodes: list[str]
    names: list[str]
    steps: list[tuple[str, tuple[Any, ...], View]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def reduces(self) -> bool:
        return any(operator in ROWS for operator, _, _ in self.steps)

    @property
    def full(self) -> tuple[int, ...]:
        """The shape a chain iterates over: the largest of its operands and results."""
        views = [*self.inputs, *(v for _, _, v in self.steps)]
        return max((v.shape for v in views), key=lambda shape: (math.prod(shape), len(shape)))


def outside(steps) -> tuple[View, ...]:
    """What a chain reads from outside, in the order of use."""
    made = {v.base for _, _, v in steps}
    found: dict[View, None] = {}
    for _, given, _ in steps:
        for a in given:
            if isinstance(a, View) and a.base not in made:
                found[a] = None
    return tuple(found)


def same_layout(a: View, b: View) -> bool:
    """Does each element lie at the same distance from the first?"""
    return a.shape == b.shape and all(x == y for x, y, n in zip(a.strides, b.strides, a.shape) if n > 1)


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))

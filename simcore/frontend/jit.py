"""nki.jit: kernels as objects that can be launched, subscripted with a grid, or called from other kernels."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simcore.frontend import launch as cap
from simcore.frontend import state


@dataclass(frozen=True)
class Launch:
    """A launch grid: sizes per dimension, and how many physical cores run the programs."""

    grid: tuple[int, ...] = (1,)
    cores: int = 1
    given: bool = False
    core_of: Callable[[tuple[int, ...]], int] | None = None      # index of a program -> its core; None: in turns

    @property
    def programs(self) -> int:
        return math.prod(self.grid)

    @classmethod
    def of(cls, grid: Any, lnc: int | None = None) -> Launch:
        """From a subscript: an integer, a tuple of them, or `nl.nc(2)` / `nl.spmd_dim` objects of the older dialect.

        In the current dialect `kernel[2]` is LNC=2; grid objects of the older dialect say how many cores they use.
        """
        if isinstance(grid, Launch):
            return grid
        if grid is None:
            return cls((lnc,), lnc) if lnc and lnc > 1 else cls()
        entries = grid if isinstance(grid, tuple | list) else (grid,)
        sizes, cores = [], 1
        for e in entries:
            sizes.append(int(getattr(e, "size", e)))
            cores = max(cores, int(getattr(e, "cores", 1)))
        if cores == 1 and len(sizes) == 1 and sizes[0] in (1, 2) and not hasattr(entries[0], "size"):
            cores = sizes[0]
        return cls(tuple(sizes), lnc or cores, True)


class Kernel:
    """A kernel function under nki.jit.

    Called from Python it is a launch in the current session; called inside another kernel it runs inline.
    """

    def __init__(self, function: Callable, grid: Any = None, **options):
        functools.update_wrapper(self, function)
        self.function = function
        self.grid = grid
        self.options = options

    @property
    def func(self) -> Callable:
        """The function that was decorated, under the vendor's name for it."""
        return getattr(self, "plain", self.function)

    def __getitem__(self, grid) -> Kernel:
        return type(self)(self.function, grid, **self.options)

    def __call__(self, *args, **kwargs):
        if state.recorder is not None:
            return self.function(*args, **kwargs)
        settings = cap.session()
        from simcore.frontend.activation import activate

        with activate():
            trace = cap.record(self.function, args, kwargs, Launch.of(self.grid if self.grid is not None
                                                                      else self.options.get("grid"), settings.lnc))
        if settings.on_trace is not None:
            settings.on_trace(trace)
        return trace.outputs

    def __get__(self, instance, owner=None):
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<nki kernel {self.__name__}>"


def jit(function: Callable | None = None, **options):
    """`@nki.jit`, bare, called empty, or with options of any release (unknown ones are accepted and ignored)."""
    if function is None:
        return functools.partial(jit, **options)
    if isinstance(function, Kernel):
        return function
    return Kernel(function, **options)


def unwrap(kernel: Callable) -> tuple[Callable, Any]:
    """The plain function of a kernel, and the grid it was subscripted with."""
    if isinstance(kernel, Kernel):
        return kernel.function, kernel.grid if kernel.grid is not None else kernel.options.get("grid")
    if _older_dialect(kernel):
        from simcore.frontend.neuronxcc.kernel import translated

        return translated(kernel), None
    return kernel, None


def _older_dialect(function: Callable) -> bool:
    """Is this a plain function of a file that imports `neuronxcc`?"""
    names = getattr(function, "__globals__", {}).values()
    return any(getattr(v, "__name__", "").startswith("simcore.frontend.neuronxcc") for v in names
               if inspect.ismodule(v))

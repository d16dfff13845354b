"""Kernels of the older dialect: launches, simulation, and the decorators that measure on a device."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from simcore.frontend import launch as cap
from simcore.frontend import state
from simcore.frontend.jit import Kernel, Launch
from simcore.frontend.measured import Keeping
from simcore.frontend.neuronxcc import results
from simcore.frontend.neuronxcc import tile as tiles
from simcore.frontend.neuronxcc.grid import GridDim
from simcore.frontend.neuronxcc.vendor import ClosedKernel
from simcore.tensor import Tensor


def to_tiles(value: Any) -> Any:
    """Launch arguments as this dialect sees them: tensors become tiles, also inside containers."""
    if isinstance(value, Tensor):
        return tiles.as_tile(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(to_tiles(v) for v in value))
    if isinstance(value, tuple | list):
        return type(value)(to_tiles(v) for v in value)
    if isinstance(value, dict):
        return {k: to_tiles(v) for k, v in value.items()}
    return value


def translated(function: Callable) -> Callable:
    """The kernel as the core launches it: core tensors in, results recorded to the end."""

    @functools.wraps(function)
    def run(*args, **kwargs):
        results.pending.clear()
        results.aliases.clear()
        out = function(*(to_tiles(a) for a in args), **{k: to_tiles(v) for k, v in kwargs.items()})
        results.flush()
        results.aliases.clear()
        return out

    run.dialect = "neuronxcc.nki"
    return run


def grid_of(grid: Any) -> Launch:
    """Grid entries multiply out; `nl.nc(n)` says how many physical cores share the programs, and which runs which."""
    if grid is None or isinstance(grid, Launch):
        return grid or Launch()
    entries = grid if isinstance(grid, tuple | list) else (grid,)
    cores = math.prod(e.cores for e in entries if isinstance(e, GridDim))

    def core_of(index: tuple[int, ...]) -> int:
        found = 0
        for i, e in zip(index, entries, strict=True):
            if isinstance(e, GridDim):
                found = found * e.cores + e.core(i)
        return found

    return Launch(tuple(int(e) for e in entries), cores, True, core_of)


class LegacyKernel(Kernel):
    """A kernel under a decorator of `neuronxcc.nki`: launched from Python, run inline inside another kernel."""

    def __init__(self, function: Callable, grid: Any = None, **options):
        super().__init__(function, grid, **options)
        self.plain = function
        self.function = translated(function)

    def __getitem__(self, grid) -> LegacyKernel:
        return type(self)(self.plain, grid_of(grid), **self.options)

    def __call__(self, *args, **kwargs):
        if state.recorder is not None:
            return self.plain(*(to_tiles(a) for a in args), **{k: to_tiles(v) for k, v in kwargs.items()})
        return super().__call__(*args, **kwargs)


def jit(func: Callable | None = None, mode: str = "auto", **kwargs):
    """`@nki.jit` in any mode: a call from Python runs the simulator, a call from a kernel runs inline."""
    if func is None:
        return functools.partial(jit, mode=mode, **kwargs)
    if isinstance(func, ClosedKernel):
        return func
    function, grid = (func.plain, func.grid) if isinstance(func, LegacyKernel) else (func, None)
    return LegacyKernel(function, grid, mode=mode, **{k: v for k, v in kwargs.items() if k != "grid"})


def simulate_kernel(kernel, *args, **kwargs):
    """Run a kernel on the CPU; returns its arrays and updates output arguments in place."""
    if not isinstance(kernel, Kernel):
        kernel = jit(kernel)
    return (LegacyKernel.__call__(kernel, *args, **kwargs) if isinstance(kernel, LegacyKernel)
            else kernel(*args, **kwargs))


# ---------------------------------------------------------------------------------------- measured runs


class MeasuredKernel(Keeping, LegacyKernel):
    """A kernel under benchmark, profile or baremetal: `benchmark_result` has the predicted latency of its last run."""

    def __getitem__(self, grid):
        kernel = super().__getitem__(grid)
        kernel.owner = self
        return kernel

    def __call__(self, *args, **kwargs):
        if state.recorder is not None:
            return LegacyKernel.__call__(self, *args, **kwargs)
        settings = cap.session()

        args = tuple(_prepared(a) for a in args)
        # described tensors have no values
        values = settings.values and not any(isinstance(a, cap.TensorSpec) for a in args)
        with cap.use_session(cap.Session(settings.target, values, settings.lnc, self.keep(settings))):
            return LegacyKernel.__call__(self, *args, **kwargs)


def _prepared(value):
    """Arguments of measured kernels may be described, `nt.tensor[[4096, 8192], dtype]`: shape and dtype only."""
    from simcore.dtypes import to_dtype
    from simcore.frontend.neuronxcc.nki.typing import Described

    if not isinstance(value, Described) or value.dtype is None:
        return value
    return cap.TensorSpec(tuple(int(n) for n in value.shape), to_dtype(value.dtype))


def measured(kernel: Callable | None = None, **kwargs):
    """`@nki.benchmark`, `@nki.profile`, `@nki.baremetal`: options of the device run (warmup, iters) are accepted."""
    if kernel is None:
        return functools.partial(measured, **kwargs)
    if isinstance(kernel, LegacyKernel):
        return MeasuredKernel(kernel.plain, kernel.grid)
    return MeasuredKernel(kernel)

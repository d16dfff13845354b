"""Host entry points of the current dialect: nki.simulate and the device runners."""

from __future__ import annotations

import dataclasses
import functools

from simcore.frontend import launch as cap
from simcore.frontend import state
from simcore.frontend.jit import Kernel, Launch, unwrap
from simcore.frontend.measured import Keeping


class Simulated:
    """A kernel that runs on the CPU when it is called, with or without a launch grid: `nki.simulate(k)[2](...)`."""

    def __init__(self, function, grid=None):
        functools.update_wrapper(self, function)
        self.function, self.grid = function, grid

    def __getitem__(self, grid) -> Simulated:
        return Simulated(self.function, grid)

    def __call__(self, *args, **kwargs):
        settings = cap.session()
        from simcore.frontend.activation import activate

        with activate():
            trace = cap.record(self.function, args, kwargs, Launch.of(self.grid, settings.lnc))
        if settings.on_trace is not None:
            settings.on_trace(trace)
        return trace.outputs


def simulate(kernel) -> Simulated:
    """A callable that runs the (subscripted) kernel on the CPU and returns its arrays; arguments change in place."""
    return Simulated(*unwrap(kernel))


def simulate_kernel(func, args=(), kwargs=None, lnc=None):
    """The older spelling of nki.simulate."""
    return simulate(func[lnc] if lnc and lnc > 1 and isinstance(func, Kernel) else func)(*args, **(kwargs or {}))


class MeasuredKernel(Keeping, Kernel):
    """A kernel under benchmark, profile or baremetal: `benchmark_result` has the predicted latency of its last run."""

    def __getitem__(self, grid) -> MeasuredKernel:
        kernel = MeasuredKernel(self.function, grid, **self.options)
        kernel.owner = self
        return kernel

    def __call__(self, *args, **kwargs):
        if state.recorder is not None:
            return super().__call__(*args, **kwargs)
        settings = cap.session()

        with cap.use_session(dataclasses.replace(settings, on_trace=self.keep(settings))):
            return super().__call__(*args, **kwargs)


def _runner(function=None, **options):
    """Decorators that run on a device; here they run in simulation, and what they would save is not written."""
    if function is None:
        return functools.partial(_runner, **options)
    plain, grid = unwrap(function)
    return MeasuredKernel(plain, grid)


benchmark = baremetal = profile = trace = _runner

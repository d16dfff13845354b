"""Host entry points of the current dialect: nki.simulate and the device runners."""

from __future__ import annotations

import functools

from simcore.frontend import launch as cap
from simcore.frontend.jit import Kernel, Launch, jit, unwrap


def simulate(kernel):
    """A callable that runs the (subscripted) kernel on the CPU and returns its arrays; arguments change in place."""
    function, grid = unwrap(kernel)

    @functools.wraps(function)
    def run(*args, **kwargs):
        settings = cap.session()
        from simcore.frontend.activation import activate

        with activate():
            trace = cap.record(function, args, kwargs, Launch.of(grid, settings.lnc))
        if settings.on_trace is not None:
            settings.on_trace(trace)
        return trace.outputs

    return run


def simulate_kernel(func, args=(), kwargs=None, lnc=None):
    """The older spelling of nki.simulate."""
    return simulate(func[lnc] if lnc and lnc > 1 and isinstance(func, Kernel) else func)(*args, **(kwargs or {}))


def _runner(function=None, **options):
    """Decorators that run on a device; here they run in simulation, and what they would save is not written."""
    if function is None:
        return functools.partial(_runner, **options)
    return jit(function)


benchmark = baremetal = profile = trace = _runner

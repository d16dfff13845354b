"""simcore: runs unmodified NKI kernels on a laptop and shows what a NeuronCore would do.

    simcore.activate()                               # in a notebook: from here on `import nki` is simcore's
    trace = simcore.capture(kernel, q, k, v)         # what the kernel asks for (and its values)
    machine = simcore.load_machine("trn2")           # what the hardware is
    timeline = simcore.simulate(trace, machine)      # what happens when
    print(timeline.summary())

Public names are imported when first used, so `import simcore` costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simcore.bounds import Bounds, bounds
    from simcore.errors import SimcoreError
    from simcore.frontend import activate, capture, profile
    from simcore.machine import Machine, load_machine
    from simcore.profile import read_profile
    from simcore.profile.compare import Comparison, compare
    from simcore.schedule import simulate
    from simcore.timeline import Timeline
    from simcore.trace import Trace

_HOME = {
    "Bounds": "simcore.bounds",
    "bounds": "simcore.bounds",
    "SimcoreError": "simcore.errors",
    "activate": "simcore.frontend",
    "capture": "simcore.frontend",
    "profile": "simcore.frontend",
    "Machine": "simcore.machine",
    "load_machine": "simcore.machine",
    "Comparison": "simcore.profile.compare",
    "compare": "simcore.profile.compare",
    "read_profile": "simcore.profile",
    "simulate": "simcore.schedule",
    "Timeline": "simcore.timeline",
    "Trace": "simcore.trace",
}

__all__ = [
    "activate",
    "capture",
    "load_machine",
    "simulate",
    "bounds",
    "compare",
    "read_profile",
    "profile",
    "Trace",
    "Machine",
    "Timeline",
    "Bounds",
    "Comparison",
    "SimcoreError",
]


def __getattr__(name: str):
    if name == "__version__":
        from importlib.metadata import version

        return version("simcore")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'simcore' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


class _Package(ModuleType):
    """Keeps `simcore.bounds` and `simcore.profile` the functions.

    Importing the submodule of the same name would put the module in their place; the submodules stay
    reachable as every `from simcore.bounds import ...` reaches them.
    """

    def __setattr__(self, name: str, value) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

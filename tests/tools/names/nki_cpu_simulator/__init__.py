"""The runner that nki-library's test suite looks for in its simulation mode, served by simcore."""

import importlib
import os
import sys
import time
import types

from simcore.frontend import activation
from simcore.frontend.launch import Session, check_target, use_session

if "nki" not in sys.modules:
    activation.install()
nki = importlib.import_module("nki")


spent: dict = {}        # seconds in kernels, for whoever wants to know
options: dict = {"release": "0.3"}      # of the sessions: nki-library's tag 2.29 was tested with this release


def builtin(function):
    """A mark on host helpers."""
    return function


class _Simulated:
    """`cpu_simulate(kernel)[lnc](**inputs)`: the kernel's arrays."""

    def __init__(self, kernel, lnc=1):
        self.kernel, self.lnc = kernel, lnc

    def __getitem__(self, lnc):
        return _Simulated(self.kernel, lnc)

    def __call__(self, *args, **kwargs):
        target = check_target(os.environ.get("NKI_NC_VERSION", "gen3"))
        kernel = nki.jit(self.kernel)
        start = time.perf_counter()
        try:
            with use_session(Session(target, **options)):
                return nki.simulate(kernel[self.lnc] if self.lnc > 1 else kernel)(*args, **kwargs)
        finally:
            spent["kernel_seconds"] = round(spent.get("kernel_seconds", 0) + time.perf_counter() - start, 2)


nki.cpu_simulate = _Simulated
for _name in ("compiler", "isa", "isa.constants", "language", "tensor", "typing"):
    sys.modules[f"{__name__}.nki.{_name}"] = importlib.import_module(f"nki.{_name}")
sys.modules[f"{__name__}.nki"] = nki
nki.language.dtypes = sys.modules[f"{__name__}.nki.language.dtypes"] = importlib.import_module("nki.dtype")
_builtin = types.ModuleType(f"{__name__}.nki.builtin")
_builtin.builtin = builtin
sys.modules[_builtin.__name__] = _builtin
nki.builtin = builtin

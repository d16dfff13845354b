"""Parts of the vendor's `neuronxcc` package beside the language: helpers public scripts import, and closed kernels.

`neuronxcc.nki.kernels` is published as `nki_samples.reference`; where that can be imported, it answers.  The kernels
of the other namespaces are closed: importing them works, so that a file with kernels of its own can be used; calling
one is an error that says what it is.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import numpy as np

from simcore.errors import KernelError

CLOSED = ("neuronxcc.nki.kernels", "neuronxcc.nki._private_kernels", "neuronxcc.nki._pre_prod_kernels",
          "neuronxcc.nki._pre_prod_nkl")
PUBLISHED = {"neuronxcc.nki.kernels": "nki_samples.reference"}


def allclose(a, b, rtol: float = 1e-5, atol: float = 1e-8, verbose=0, **ignored) -> bool:
    """numpy.allclose in float64; says how many elements differ where `verbose` asks for it."""
    a, b = (np.asarray(x).astype(np.float64) for x in (a, b))
    close = np.isclose(a, b, rtol=rtol, atol=atol)
    if verbose and not close.all():
        print(f"{close.size - int(close.sum())} of {close.size} elements differ (largest difference "
              f"{np.abs(a - b).max():.3g}, rtol {rtol}, atol {atol})")
    return bool(close.all())


def _names() -> dict[str, dict]:
    """What each module of neuronxcc that is not a file here holds."""
    from simcore.frontend.neuronxcc.nki import language as nl

    dims = {"VNC": nl.nc, "nc": nl.nc, "vnc": nl.nc}
    return {
        "neuronxcc.starfish": {},
        "neuronxcc.starfish.support": {},
        "neuronxcc.starfish.support.util": {"allclose": allclose},
        "neuronxcc.starfish.support.dtype": {"bfloat16": nl.bfloat16, "static_cast": nl.static_cast},
        "neuronxcc.starfish.penguin": {},
        "neuronxcc.starfish.penguin.targets": {},
        "neuronxcc.starfish.penguin.targets.nki": {},
        "neuronxcc.starfish.penguin.targets.nki.private_api": dims,
        "neuronxcc.nki.compiler.backends.neuron.dimensions": dims,
        "neuronxcc.nki.compiler.backends.neuron.tensors": {"KernelHBMTensor": nl.tensor, "TensorRef": nl.tensor},
    }


def find(name: str) -> ModuleType | None:
    """The module of that name, or None where there is none."""
    for closed in CLOSED:
        if name == closed or name.startswith(closed + "."):
            return _published(closed, name) or _Closed(name)
    names = _names()
    if name not in names:
        return None
    module = ModuleType(name, __doc__)
    vars(module).update(names[name], __path__=[])
    return module


def _published(closed: str, name: str) -> ModuleType | None:
    public = PUBLISHED.get(closed, "") + name[len(closed):]
    try:
        found = closed in PUBLISHED and importlib.util.find_spec(public)
    except ModuleNotFoundError:
        found = None
    return importlib.import_module(public) if found else None


class _Closed(ModuleType):
    """A module of closed kernels: any name is there, and none can be called."""

    __path__: list = []

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return ClosedKernel(self.__name__, name)


class ClosedKernel:
    """A name of the vendor's closed kernels: a kernel, or an enum whose members are looked up on it."""

    def __init__(self, module: str, name: str):
        self.__module__, self.__name__ = module, name

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return ClosedKernel(self.__module__, f"{self.__name__}.{name}")

    def __getitem__(self, grid):
        return self

    def __eq__(self, other):
        return isinstance(other, ClosedKernel) and repr(self) == repr(other)

    def __hash__(self):
        return hash(repr(self))

    def __call__(self, *args, **kwargs):
        from simcore.frontend import state

        public = next((p for c, p in PUBLISHED.items() if self.__module__.startswith(c)), None)
        where = (f"it is published as {public} of the repository aws-neuron/nki-samples: put its folder src on "
                 "PYTHONPATH" if public else "public kernels of the same kind are in aws-neuron/nki-library")
        raise KernelError(f"{self.__name__} of {self.__module__} comes with the vendor's compiler and is not part of "
                          f"simcore; {where}", site=state.user_site(2))

    def __repr__(self) -> str:
        return f"<{self.__module__}.{self.__name__}, closed>"

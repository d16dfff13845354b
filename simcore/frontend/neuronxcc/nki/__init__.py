"""`neuronxcc.nki`: decorators and host entry points of the older dialect."""

from simcore.errors import nearest
from simcore.frontend.neuronxcc.kernel import jit, simulate_kernel
from simcore.frontend.neuronxcc.kernel import measured as _measured
from simcore.frontend.neuronxcc.tile import Tile as tensor

benchmark = baremetal = profile = _measured
trace = jit


class FrameworkKernel:
    """Base of framework glue; here a kernel is launched directly."""

    def __init__(self, func=None, *args, **kwargs):
        self.func = func
        self.kernel = jit(func) if func is not None else None

    def __getitem__(self, grid):
        return self.kernel[grid]

    def __call__(self, *args, **kwargs):
        return self.kernel(*args, **kwargs)


class nki_jit:
    """`nki.nki_jit`: an older spelling of jit."""

    def __new__(cls, func=None, **kwargs):
        return jit(func, **kwargs)


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    import importlib

    if name in ("language", "isa", "typing", "compiler", "nccl", "kernels"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError("neuronxcc.nki has no "
                         f"{name!r}.{nearest(name, [n for n in globals() if not n.startswith('_')])}")


__all__ = ["FrameworkKernel", "baremetal", "benchmark", "jit", "profile", "simulate_kernel", "tensor", "trace"]

"""`neuronxcc.nki._private.private_api`: what has a public equivalent; the rest is closed and says so when called."""

from simcore.errors import KernelError
from simcore.frontend.neuronxcc.nki.isa import core_barrier, sendrecv

__all__ = ["core_barrier", "sendrecv"]


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)

    def closed(*args, **kwargs):
        raise KernelError(f"{name} of neuronxcc.nki._private is closed source and not modelled")

    closed.__name__ = name
    return closed

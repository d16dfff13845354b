"""`neuronxcc.nki.nccl`: collectives between devices."""

from simcore.errors import KernelError


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)

    def collective(*args, **kwargs):
        raise KernelError(f"nccl.{name} exchanges data between devices; one device is simulated")

    collective.__name__ = name
    return collective

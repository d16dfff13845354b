"""Stands in for torch_xla in scripts that only ask it for a device: the device is the CPU, where simcore runs kernels."""


def device(*args):
    import torch

    return torch.device("cpu")


def sync(*args, **kwargs):
    """Nothing is queued."""

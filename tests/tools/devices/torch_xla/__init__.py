"""Stands in for torch_xla in scripts that only ask it for a device: the CPU, where simcore runs kernels."""


def device(*args):
    import torch

    return torch.device("cpu")


def sync(*args, **kwargs):
    """Nothing is queued."""

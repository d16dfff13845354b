"""xla_device() and its kind, on the CPU."""

import torch


def xla_device(*args):
    return torch.device("cpu")


def mark_step(*args, **kwargs):
    """Nothing is queued."""


wait_device_ops = mark_step

"""`neuronxcc.nki.nccl.collectives`: see neuronxcc.nki.nccl."""

from simcore.frontend.neuronxcc.nki.nccl import __getattr__  # noqa: F401

"""`neuronxcc.nki.nccl`: collectives between devices."""

from simcore.frontend.neuronxcc.refusal import refusing

__getattr__ = refusing("nccl.{} exchanges data between devices; one device is simulated")

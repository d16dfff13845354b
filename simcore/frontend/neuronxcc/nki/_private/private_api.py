"""`neuronxcc.nki._private.private_api`: what has a public equivalent; the rest is closed and says so when called."""

from simcore.frontend.neuronxcc.nki.isa import core_barrier, sendrecv
from simcore.frontend.neuronxcc.refusal import refusing

__all__ = ["core_barrier", "sendrecv"]

__getattr__ = refusing("{} of neuronxcc.nki._private is closed source and not modelled")

"""The older dialect, `neuronxcc.nki`: translated onto the same instruction rows, Trace and cost rules as `nki`."""

from simcore.frontend.neuronxcc import nki

__all__ = ["nki"]
__version__ = "2.21.0.0+simcore"

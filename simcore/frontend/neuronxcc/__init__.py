"""The older dialect, `neuronxcc.nki`: translated onto the same instruction rows, Trace and cost rules as `nki`."""

import logging

from simcore.frontend.neuronxcc import assign, nki  # assign gives tiles `t[...] = x` and `t += x`

if not hasattr(logging, "OFF"):
    # the vendor's package defines this level, and scripts switch logging off with it
    logging.OFF = logging.CRITICAL + 10

__all__ = ["assign", "nki"]
__version__ = "2.21.0.0+simcore"

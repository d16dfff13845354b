"""`neuronxcc.nki.isa.neuron_isa`: the instructions, under the vendor's other name."""

from simcore.frontend.neuronxcc.nki.isa import *  # noqa: F403

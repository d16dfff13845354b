"""Machines: what the hardware is, as data with a source for every number."""

from simcore.machine.load import available, chip_of, generation, load_machine
from simcore.machine.machine import Fact, Law, Machine, ps_per_cycle

__all__ = ["Fact", "Law", "Machine", "available", "chip_of", "generation", "load_machine", "ps_per_cycle"]

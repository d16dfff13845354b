"""`neuronxcc.nki.isa.constants`: the enums of the instructions."""

from enum import Enum

from simcore.isa.table import DmaEngine as dma_engine
from simcore.isa.table import Engine as engine
from simcore.isa.table import MatmulPerfMode as matmul_perf_mode
from simcore.isa.table import NcVersion as nc_version
from simcore.isa.table import OobMode as oob_mode
from simcore.isa.table import ReduceCmd as reduce_cmd

__all__ = ["dge_mode", "dma_engine", "engine", "matmul_perf_mode", "nc_version", "oob_mode", "reduce_cmd"]


class dge_mode(Enum):
    """Who generates the descriptors of a DMA (this dialect's numbers)."""

    none = 0
    swdge = 1
    hwdge = 2
    unknown = 3

"""`nki.isa.constants`: the enums of `nki.isa` under their older home."""

from simcore.isa.table import DgeMode as dge_mode
from simcore.isa.table import DmaEngine as dma_engine
from simcore.isa.table import Engine as engine
from simcore.isa.table import MatmulPerfMode as matmul_perf_mode
from simcore.isa.table import NcVersion as nc_version
from simcore.isa.table import OobMode as oob_mode
from simcore.isa.table import ReduceCmd as reduce_cmd

__all__ = ["dge_mode", "dma_engine", "engine", "matmul_perf_mode", "nc_version", "oob_mode", "reduce_cmd"]

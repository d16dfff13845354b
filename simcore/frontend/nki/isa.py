"""`nki.isa`: every row of the instruction table as a function, and the enums they take."""

from __future__ import annotations

from simcore.errors import NkiValidationError, nearest
from simcore.frontend import launch as _cap
from simcore.frontend.instructions import GENERATION, NkiInstruction, build
from simcore.isa.table import DgeMode as dge_mode
from simcore.isa.table import DmaEngine as dma_engine
from simcore.isa.table import Engine as engine
from simcore.isa.table import MatmulPerfMode as matmul_perf_mode
from simcore.isa.table import NcVersion as nc_version
from simcore.isa.table import OobMode as oob_mode
from simcore.isa.table import ReduceCmd as reduce_cmd
from simcore.registers import Register as VirtualRegister

globals().update(vars(build()))

tensor_engine, vector_engine, scalar_engine = engine.tensor, engine.vector, engine.scalar
gpsimd_engine, dma_engine_, sync_engine, unknown_engine = engine.gpsimd, engine.dma, engine.sync, engine.unknown


def get_nc_version():
    """The NeuronCore generation of the target: gen2 trn1, gen3 trn2, gen4 trn3 (ordered)."""
    return nc_version(GENERATION[_cap.session().target])


def get_nc_sub_version():
    return 0


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    from simcore.isa.table import rows

    raise AttributeError(f"nki.isa has no instruction {name!r}.{nearest(name, [*rows(), 'engine', 'dge_mode', 'reduce_cmd'])}")


__all__ = ["NkiInstruction", "NkiValidationError", "VirtualRegister", "dge_mode", "dma_engine", "engine", "matmul_perf_mode", "nc_version",
           "oob_mode", "reduce_cmd"]

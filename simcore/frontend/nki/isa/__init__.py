"""`nki.isa`: every row of the instruction table as a function, and the enums they take."""

from __future__ import annotations

from simcore.errors import NkiValidationError, nearest
from simcore.frontend import launch as _launch
from simcore.frontend.control import (
    core_barrier,
    register_alloc,
    register_load,
    register_move,
    register_store,
    sendrecv,
)
from simcore.frontend.instructions import NkiInstruction, build
from simcore.isa.table import DgeMode as dge_mode
from simcore.isa.table import DmaEngine as dma_engine
from simcore.isa.table import Engine as engine
from simcore.isa.table import MatmulPerfMode as matmul_perf_mode
from simcore.isa.table import NcVersion as nc_version
from simcore.isa.table import OobMode as oob_mode
from simcore.isa.table import ReduceCmd as reduce_cmd
from simcore.machine import generation as _generation
from simcore.registers import Register as VirtualRegister

# they move registers, or meet the other core
_by_hand = {"core_barrier", "register_load", "register_move", "register_store", "sendrecv"}
_instructions = {name: f for name, f in vars(build()).items() if not name.startswith("_") and name not in _by_hand}
globals().update(_instructions)

tensor_engine, vector_engine, scalar_engine = engine.tensor, engine.vector, engine.scalar
gpsimd_engine, sync_engine, unknown_engine = engine.gpsimd, engine.sync, engine.unknown


def get_nc_version():
    """The NeuronCore generation of the target: gen2 trn1, gen3 trn2, gen4 trn3 (ordered)."""
    return nc_version(_generation(_launch.session().target))


def get_nc_sub_version():
    """The silicon revision within a generation; always the first."""
    return 0


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    known = [*_instructions, *_by_hand, "register_alloc", "engine", "dge_mode", "reduce_cmd", "oob_mode", "dma_engine",
             "nc_version", "matmul_perf_mode"]
    raise AttributeError(f"nki.isa has no instruction {name!r}.{nearest(name, known)}")


__all__ = ["NkiInstruction", "NkiValidationError", "VirtualRegister", "core_barrier", "dge_mode", "dma_engine",
           "engine", "get_nc_sub_version",
           "get_nc_version", "gpsimd_engine", "matmul_perf_mode", "nc_version", "oob_mode", "reduce_cmd",
           "register_alloc", "register_load",
           "register_move", "register_store", "scalar_engine", "sendrecv", "sync_engine", "tensor_engine",
           "unknown_engine", "vector_engine"]
__all__ += list(_instructions)

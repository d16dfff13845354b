"""`neuronxcc.nki.isa`: instructions that give tiles, over the rows of the instruction table."""

# ruff: noqa: F401  the module is the sum of its parts
from simcore.errors import nearest as _nearest
from simcore.frontend import launch as _launch
from simcore.frontend.neuronxcc.nki.isa._elementwise import (
    activation,
    activation_reduce,
    memset,
    reciprocal,
    scalar_tensor_tensor,
    tensor_copy,
    tensor_copy_dynamic_dst,
    tensor_copy_dynamic_src,
    tensor_copy_predicated,
    tensor_scalar,
    tensor_tensor,
)
from simcore.frontend.neuronxcc.nki.isa._move import (
    _tiled_offloaded_fma,
    _tiled_offloaded_memcpy,
    core_barrier,
    dma_copy,
    dma_transpose,
    nc_stream_shuffle,
    sendrecv,
)
from simcore.frontend.neuronxcc.nki.isa._reduce import (
    bn_aggr,
    bn_stats,
    tensor_partition_reduce,
    tensor_reduce,
    tensor_scalar_cumulative,
    tensor_scalar_reduce,
    tensor_tensor_scan,
)
from simcore.frontend.neuronxcc.nki.isa._select import (
    affine_select,
    dropout,
    iota,
    local_gather,
    max8,
    nc_find_index8,
    nc_match_replace8,
    range_select,
    select_reduce,
    sequence_bounds,
)
from simcore.frontend.neuronxcc.nki.isa._tensor import (
    nc_matmul,
    nc_transpose,
)
from simcore.frontend.neuronxcc.nki.isa.constants import (
    dge_mode,
    dma_engine,
    engine,
    matmul_perf_mode,
    nc_version,
    oob_mode,
    reduce_cmd,
)
from simcore.machine import generation as _generation

unknown_engine, tensor_engine, vector_engine = engine.unknown, engine.tensor, engine.vector
scalar_engine, gpsimd_engine = engine.scalar, engine.gpsimd
pe_engine, act_engine, pool_engine, dve_engine = tensor_engine, scalar_engine, gpsimd_engine, vector_engine


def get_nc_version():
    """The NeuronCore generation of the target: gen2 trn1, gen3 trn2, gen4 trn3 (ordered)."""
    return nc_version(_generation(_launch.session().target))


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError("neuronxcc.nki.isa has no "
                         f"{name!r}.{_nearest(name, [n for n in globals() if not n.startswith('_')])}")

"""Data movement: DMA, shuffles, exchange between cores."""

from __future__ import annotations

from simcore.errors import KernelError, NkiValidationError
from simcore.frontend import control
from simcore.frontend.neuronxcc.calls import now, operand, result, result_dtype
from simcore.frontend.neuronxcc.nki.isa.constants import dge_mode, engine, oob_mode
from simcore.frontend.neuronxcc.results import flush
from simcore.isa.operators import to_operator
from simcore.layout import sbuf


def dma_copy(*, dst, src, mask=None, dst_rmw_op=None, oob_mode=oob_mode.error, dge_mode=dge_mode.unknown, **kwargs):
    """dst = src by DMA, at once."""
    from simcore.frontend.neuronxcc.memory import move

    move(operand(dst, "dst"), operand(src, "src"), mask, oob_mode=_core_oob(oob_mode), dge_mode=_core_dge(dge_mode),
         dst_rmw_op=to_operator(dst_rmw_op))


def _core_dge(mode):
    from simcore.isa.table import DgeMode

    return DgeMode[getattr(mode, "name", str(mode))]


def _core_oob(mode):
    from simcore.isa.table import OobMode

    return OobMode[getattr(mode, "name", str(mode))]


def dma_transpose(src, *, axes=None, mask=None, dtype=None, dge_mode=dge_mode.unknown, oob_mode=oob_mode.error,
                  **kwargs):
    """A transpose by DMA into SBUF."""
    src = operand(src, "src")
    order = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}.get(src.ndim)
    if order is None:
        raise NkiValidationError(f"nisa.dma_transpose: src has {src.ndim} dimensions; 2, 3 and 4 are possible")
    if axes is not None and tuple(axes) != order:
        raise NkiValidationError(f"nisa.dma_transpose: axes {tuple(axes)} is not possible; use {order}")
    return result("dma_transpose", tuple(src.shape[k] for k in order), result_dtype(dtype, src), {"src": src},
                   {"dge_mode": _core_dge(dge_mode), "oob_mode": _core_oob(oob_mode)}, mask, targets=(sbuf,),
                   grid=src.shape, dst_dims=order)


def nc_stream_shuffle(src, dst, shuffle_mask, *, dtype=None, mask=None, **kwargs):
    """Within each 32 partitions: dst[i] = src[shuffle_mask[i]]."""
    now("nc_stream_shuffle", operand(dst, "dst"), {"src": operand(src, "src")},
         {"shuffle_mask": tuple(int(m) for m in shuffle_mask)}, mask, reads_dst=True)


def core_barrier(data, cores, engine=engine.gpsimd, **kwargs):
    """Both cores wait for each other."""
    data = operand(data, "data")
    flush()
    control.core_barrier(data.tensor(), cores, engine)


def sendrecv(*, src, dst, send_to_rank, recv_from_rank, pipe_id=0, use_gpsimd_dma=False, mask=None, **kwargs):
    """Exchange tiles between the two cores of LNC 2."""
    src, dst = operand(src, "src"), operand(dst, "dst")
    flush()
    control.sendrecv(src.tensor(), dst.tensor(), send_to_rank, recv_from_rank, pipe_id, use_gpsimd_dma=use_gpsimd_dma)


def _tiled_offloaded_memcpy(dst=None, src=None, *args, **kwargs):
    """Used by collectives helpers: a copy by DMA."""
    dma_copy(dst=dst, src=src)


def _tiled_offloaded_fma(*tensors, scales=None, dst=None, **kwargs):
    """Used by collectives helpers: dst = sum of scaled tensors, by DMA."""
    raise KernelError("nisa._tiled_offloaded_fma is internal to the vendor's collectives and is not modelled")

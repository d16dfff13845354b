"""Instructions of the sequencers: registers, loops, barriers and exchanges between the two cores of a launch.

Registers are virtual: the compiler keeps them on the engines that need them.  Their rows carry tensors only; the front
end (frontend/control.py) moves the values, because a register is not a tensor.
"""

from __future__ import annotations

from simcore.isa.table import (
    DMA,
    GPSIMD,
    SCALAR,
    SYNC,
    TENSOR,
    VECTOR,
    DmaEngine,
    Engine,
    Read,
    Write,
    instruction,
    require,
)
from simcore.layout import psum, sbuf, shared_hbm


@instruction(engines=(SYNC,), opcode="REGISTER_MOVE")
def register_move():
    """register = constant or register."""


@register_move.values
def _():
    pass


@instruction(engines=(SYNC,), opcode="REGISTER_LOAD")
def register_load(src: Read):
    """register = the one element of src."""


@register_load.check
def _(v):
    _one_element(v, "src")


@register_load.values
def _():
    pass


@instruction(engines=(SYNC,), opcode="REGISTER_STORE")
def register_store(dst: Write):
    """the one element of dst = register."""


@register_store.check
def _(v):
    _one_element(v, "dst")


@register_store.values
def _():
    pass


def _one_element(v, name: str) -> None:
    lay = v[name]
    require(lay.size == 1, f"nisa.{v.name}: {name} must have one element, but has shape {lay.shape}")
    require(lay.dtype.itemsize <= 4, f"nisa.{v.name}: {name} must be at most 32 bits wide, but is {lay.dtype}")
    require(lay.buffer is not psum, f"nisa.{v.name}: {name} must be in SBUF or HBM, but is in PSUM")


@instruction(engines=(SYNC,), opcode="BRANCH")
def _branch():
    """One turn of a device loop: compare the loop register and jump."""


@_branch.values
def _():
    pass


@instruction(engines=(GPSIMD, TENSOR, VECTOR, SCALAR, SYNC), since=3, opcode="CORE_BARRIER")
def core_barrier(data: Read, cores, engine=Engine.gpsimd):
    """Tell the other core that this one is done with `data` (the waiting half is `_core_barrier_wait`)."""


@core_barrier.check
def _(v):
    require(tuple(v.params["cores"]) == (0, 1), f"nisa.core_barrier: cores must be (0, 1), not {v.params['cores']}")
    # documented for shared HBM; published kernels that run on the chip also name a tile in SBUF
    require(v["data"].buffer in (shared_hbm, sbuf), "nisa.core_barrier: data must be in shared HBM, but is in "
            f"{v['data'].buffer.value}")



@core_barrier.values
def _():
    pass


@instruction(engines=(GPSIMD, TENSOR, VECTOR, SCALAR, SYNC), since=3, opcode="CORE_BARRIER")
def _core_barrier_wait(data: Write, engine=Engine.gpsimd):
    """Wait for the other core's core_barrier; what follows may use `data`."""


@_core_barrier_wait.values
def _():
    pass


_GPSIMD_LIMIT = {4: 1024, 2: 512, 1: 256}


@instruction(engines=(DMA, GPSIMD), since=3, opcode="SENDRECV")
def sendrecv(src: Read, dst: Write, send_to_rank, recv_from_rank, pipe_id, dma_engine=DmaEngine.dma):
    """One direction of an exchange: this core's src goes to the other core's dst."""


@sendrecv.check
def _(v):
    src, dst = v["src"], v["dst"]
    for name in ("src", "dst"):
        require(v[name].buffer is sbuf, f"nisa.sendrecv: {name} must be in SBUF, but is in {v[name].buffer.value}")
    require(src.dtype is dst.dtype, f"nisa.sendrecv: src is {src.dtype}, dst is {dst.dtype}; they must agree")
    require(src.shape == dst.shape, f"nisa.sendrecv: src has shape {src.shape}, dst {dst.shape}; they must agree")
    for name in ("send_to_rank", "recv_from_rank"):
        require(v.params[name] in (0, 1), f"nisa.sendrecv: {name} must be 0 or 1, not {v.params[name]!r}")
    if getattr(v.params["dma_engine"], "name", "") == "gpsimd_dma":
        size, limit = src.free * src.dtype.itemsize, _GPSIMD_LIMIT[src.dtype.itemsize]
        require(size <= limit, f"nisa.sendrecv: {size} bytes per partition of {src.dtype} exceed the {limit} "
                               "that gpsimd_dma can carry")


@sendrecv.values
def _(src, dst):
    dst.write(src.read())

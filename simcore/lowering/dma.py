"""A DMA as descriptors: how many contiguous pieces it moves and how long each of the 16 engines works on its share."""

from __future__ import annotations

from dataclasses import dataclass

from simcore.machine import Machine
from simcore.trace import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One DMA instruction's work.

    queue        "Sync", "GpSimd", "Scalar": the engine whose instruction triggers it
    mode         "hw", "sw" or "static": who makes the descriptors
    descriptors  contiguous pieces
    bytes        moved in all; read_bytes/write_bytes differ where the DMA casts
    engines      how many of the 16 DMA engines take part
    share_ps     busy time of each of them
    """

    queue: str
    mode: str
    descriptors: int
    read_bytes: int
    write_bytes: int
    engines: int
    share_ps: int
    dispatch_ps: int
    completion_ps: int
    source: str
    dest: str


def transfer(v: Variant, machine: Machine) -> Transfer:
    """The transfer of a dma_copy or dma_transpose variant."""
    dma = machine.dma
    dst = v["dst"]
    srcs = [o.layout for o in v.operands if o.name != "dst"] or [dst]
    src = srcs[0]
    indirect = any(lay.indirect == "vector" for lay in (dst, *srcs))
    asked = getattr(v.params.get("dge_mode"), "name", "unknown")
    hw = machine.dma.get("hw_dge_instances", 0)
    store = not dst.on_chip
    if indirect or asked == "swdge":
        mode = "sw"
    elif asked == "none" or not hw:
        mode = "static"
    elif asked == "hwdge":
        mode = "hw"
    else:
        mode = "sw" if store else "hw"
    queue = "GpSimd" if mode == "sw" else "Sync"
    engine = getattr(v.params.get("engine"), "name", "unknown")
    if engine == "scalar":
        queue = "Scalar"
    run = min(lay.run * lay.dtype.itemsize for lay in (dst, src))
    read = sum(lay.nbytes for lay in srcs)
    write = dst.nbytes
    pieces = max(dst.runs, src.runs, 1)
    packets = max(pieces, -(-read // dma.packet_bytes))
    if v.name == "dma_transpose":
        packets = max(packets, read // max(run, 2 * dst.dtype.itemsize))
    engines = min(dma.engines, packets)
    fixed = dma.descriptor_sw_ns if mode == "sw" else dma.packet_ns
    per = -(-packets // engines)
    share = per * fixed + max(read, write) / engines / dma.engine_bytes_per_s * 1e9
    return Transfer(queue=queue, mode=mode, descriptors=packets, read_bytes=read, write_bytes=write, engines=engines,
                    share_ps=round(share * 1000), dispatch_ps=round(getattr(dma, f"dispatch_{mode if mode != 'hw' else 'hw'}_ns") * 1000),
                    completion_ps=round(dma.completion_ns * 1000), source=_memory(src), dest=_memory(dst))


def _memory(lay) -> str:
    return {"sbuf": "SBUF", "psum": "PSUM"}.get(lay.buffer.value, "HBM")

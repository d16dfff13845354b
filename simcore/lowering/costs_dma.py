"""DMA costs: a transfer as descriptors on the engines.

A descriptor moves one run that is contiguous on both sides.  Descriptors are dealt to the 16 engines in order; an
engine works through its own one after the other, in packets of at most 4 KiB.
"""

from __future__ import annotations

from dataclasses import dataclass

from simcore.isa.table import GPSIMD, SCALAR, SYNC, DgeMode, Engine, Op
from simcore.layout import Layout
from simcore.machine import Machine
from simcore.machine.sections import Dma
from simcore.trace import Variant

HW, SW, STATIC = "hw", "sw", "static"


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one DMA trigger sets going.

    mode            who generates the descriptors: "hw", "sw" or "static"
    load            towards SBUF (True) or out of it
    descriptors     number of contiguous runs; engine_ps the work of one engine, longest first dealt
    engines         how many engines take part; work_ps[i] is what the i-th of them has to do
    issue_ps        until the queue can take the next trigger; busy_ps as the profiler shows the trigger
    ready_ps        data ready -> trigger; first_ps trigger -> first packet
    fill_ps         a load from HBM: until the first data arrive on an engine that was not reading
    """

    mode: str
    load: bool
    descriptors: int
    bytes: int
    hbm_read: int
    hbm_write: int
    sbuf_read: int
    sbuf_write: int
    engines: int
    work_ps: tuple[int, ...]
    issue_ps: int
    busy_ps: int
    ready_ps: int
    first_ps: int
    fill_ps: int
    source: str
    dest: str


def run_bytes(lay: Layout) -> int:
    """Bytes of one contiguous run of a view; on chip a run ends with its partition."""
    run = 1
    for stride, count in reversed(list(zip(lay.strides, lay.shape, strict=True))[1 if lay.on_chip else 0:]):
        if count == 1:
            continue
        if stride != run:
            break
        run *= count
    return run * lay.dtype.itemsize


def choose_mode(v: Variant, machine: Machine, indirect: bool, argument: bool) -> str:
    given = v.params.get("dge_mode")
    asked = DgeMode(given).name if isinstance(given, int) else getattr(given, "name", "unknown")
    has_hw = machine.dma.get("hw_dge_instances", 0) > 0
    if asked == "none":
        return STATIC
    if argument and asked == "unknown" and has_hw and machine.compiler.get("software_arguments"):
        return SW
    if asked == "swdge" or indirect:
        return SW
    if asked == "hwdge" or has_hw:
        return HW if has_hw else STATIC
    return STATIC


def _whole_tiles(dst: Layout, dma: Dma) -> float:
    """How much more than dst the DMA engines write when they transpose: together they fill one tile after the other."""
    across, along = dma.transpose_tile_partitions, dma.transpose_tile_elements
    return -(-dst.shape[0] // across) * across / dst.shape[0] * -(-dst.shape[-1] // along) * along / dst.shape[-1]


def dma_cost(v: Variant, machine: Machine, times: int = 1, argument: bool = False) -> tuple[Op, ...]:
    if v.name == "core_barrier":
        ps = round(machine.semaphore.instruction_ns * 1000)
        return (Op(engine=GPSIMD, opcode=v.row.opcode, issue_ps=ps, latency_ps=ps),)
    d = machine.dma
    writes = [o.layout for o in v.operands if "w" in o.access]
    reads = [o.layout for o in v.given if o.access == "r"]
    dst = writes[0] if writes else v.operands[0].layout
    src = reads[0] if reads else dst
    indirect = any(o.layout.indirect == "vector" for o in v.operands)
    mode = choose_mode(v, machine, indirect, argument)
    total = max(dst.nbytes, max((r.nbytes for r in reads), default=0))

    run = min(run_bytes(dst) * total // max(dst.nbytes, 1), run_bytes(src) * total // max(src.nbytes, 1))
    run = max(1, min(run, total))
    if not dst.on_chip and not src.on_chip:
        run = min(run, max(d.split_bytes, -(-total // d.engines)))
    slow = 1.0
    if v.name == "dma_transpose":
        slow = 1.0 / (d.transpose_sbuf_fraction if src.on_chip else d.transpose_fraction)
        run = min(max(run, d.split_bytes), total)
        if not src.on_chip and dst.on_chip:
            slow *= _whole_tiles(dst, d)
            if src.dtype.itemsize not in (2, 4):
                slow *= d.transpose_other_factor
    elif v.name == "dma_compute":
        slow = max(len(reads), 1 / d.compute_fraction)
    count = -(-total // run) * times
    total *= times
    packets = -(-run // d.packet_bytes)
    one = d.packet_ns * packets + run / d.engine_bytes_per_s * 1e9 * slow
    one = max(one, d.min_descriptor_ns)
    if run < d.scattered_bytes and not dst.on_chip:
        one = max(one, d.scattered_write_ns)
    if indirect:
        one += d.indirect_ns_per_index
    engines = min(d.engines, count)
    base, extra = divmod(count, engines)
    write_ns = d.completion_write_ns
    work = tuple(round(((base + (1 if i < extra else 0)) * one + write_ns) * 1000) for i in range(engines))

    load = dst.on_chip
    # HBM serves what the engines have in flight at its own rate before data come as fast as the engines take them
    ahead = min(-(-total // engines), d.read_ahead_bytes)
    fill = d.read_latency_ns + ahead * engines / machine.hbm.bytes_per_s * 1e9 if load and not src.on_chip else 0.0
    per = {HW: d.get("issue_hw_ns_per_descriptor", 0.0), SW: d.get("issue_sw_ns_per_descriptor", 0.0),
           STATIC: 0.0}[mode]
    issue = getattr(d, f"issue_{mode}_ns") + per * count
    if any(o.layout.indirect == "scalar" for o in v.operands):
        issue = max(issue, d.issue_dynamic_ns)
    busy = getattr(d, f"trigger_{mode}_ns") + (per * max(0, count - d.trigger_hw_descriptors) if mode == HW else 0.0)
    ready = getattr(d, f"ready_{mode}_ns") + (issue if mode == SW else 0.0)
    first = getattr(d, f"{'load' if load else 'store'}_{mode}_ns")
    queue = {HW: SYNC if load or not src.on_chip else SCALAR, SW: GPSIMD, STATIC: SYNC}[mode]
    asked = v.engine
    if asked not in (Engine.unknown, Engine.dma, None) and mode != SW:
        queue = asked
    transfer = Transfer(
        mode=mode, load=load, descriptors=count, bytes=total,
        hbm_read=times * sum(r.nbytes for r in reads if not r.on_chip), hbm_write=0 if dst.on_chip
        else times * dst.nbytes, sbuf_read=times * sum(r.nbytes for r in reads if r.on_chip),
        sbuf_write=times * dst.nbytes if dst.on_chip else 0,
        engines=engines, work_ps=work, issue_ps=round(issue * 1000), busy_ps=round(busy * 1000),
        ready_ps=round(ready * 1000), first_ps=round(first * 1000), fill_ps=round(fill * 1000),
        source="SBUF" if src.on_chip else "HBM", dest="SBUF" if dst.on_chip else "HBM",
    )
    return (Op(engine=queue, opcode=v.row.opcode, issue_ps=transfer.issue_ps, latency_ps=transfer.busy_ps,
               reads=tuple(o.name for o in v.reads), writes=tuple(o.name for o in v.writes), dma=transfer),)

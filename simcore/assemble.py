"""From a schedule to a Timeline: columns, clock states, transfers, counters."""

from __future__ import annotations

import numpy as np

from simcore.limiter import clock_states
from simcore.lowering.coverage import extrapolated, outside_calibration
from simcore.lowering.program import Program
from simcore.machine import Machine
from simcore.ordering import stable_order
from simcore.timeline import CAUSES, MEMORIES, Counter, Dependences, DmaTransfers, Instructions, Timeline
from simcore.trace import Trace


def assemble(trace: Trace, machine: Machine, p: Program, run) -> Timeline:
    """The Timeline of a schedule (schedule.Run)."""
    start = np.asarray(run.chip_start, np.int64)
    order = stable_order(start)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    row = p.trace_row[order]
    lead = p.first_chip[p.unit_row] == np.arange(len(start))       # the first chip instruction of its instruction
    last = p.last_chip[p.unit_row] == np.arange(len(start))
    on = np.asarray(run.on, np.int64)[p.unit_row]
    on = np.where(lead, np.where(on >= 0, rank[p.last_chip[on]], -1), rank[np.arange(len(start)) - 1])[order]
    cause = np.where(lead, np.asarray(run.cause, np.int8)[p.unit_row], CAUSES.index("engine"))[order]
    wait = np.where(lead, np.asarray(run.wait, np.int64)[p.unit_row], 0)[order]
    end = np.asarray(run.chip_end, np.int64)
    done = np.where(last, np.asarray(run.done, np.int64)[p.unit_row], end)
    operand_id, strings = _operand_texts(trace, p)
    opcodes = tuple(dict.fromkeys(p.opcodes))
    code = np.array([opcodes.index(o) for o in p.opcodes], np.int16)
    dtypes = tuple(dict.fromkeys(d for d in p.dtypes if d))
    dt = np.array([dtypes.index(d) if d else -1 for d in p.dtypes], np.int8)
    op = p.op[order]
    instructions = Instructions(
        core=p.core[order], engine=p.engine[order], opcode=code[op], operands=operand_id[order], site=trace.site[row],
        source_row=row, start_ps=start[order], end_ps=end[order], done_ps=done[order],
        wait_cause=cause, wait_on=on, wait_ps=wait, dtype=dt[op],
        **{name: getattr(p, name)[op]
           for name in ("elements", "flops", "hbm_read_bytes", "hbm_write_bytes", "sbuf_read_bytes",
                        "sbuf_write_bytes", "psum_read_bytes", "psum_write_bytes")},
    )
    dma, queues = _transfers(p, run, rank)
    hard = ~p.soft
    dependences = Dependences(producer=rank[p.last_chip[p.producer[hard]]],
                              consumer=rank[p.first_chip[p.consumer[hard]]], cause=p.cause[hard])
    end_ps = int(max(end.max(initial=0), done.max(initial=0), run.transfer_end.max(initial=0)))
    totals = {"kernel_ps": end_ps, **_totals(end_ps, trace.cores, machine)}
    return Timeline(
        name=trace.name, kind="simulated", target=machine.name, instructions=instructions, dma=dma,
        dependences=dependences,
        clock=clock_states(run.limiters, end_ps), opcodes=opcodes, strings=strings, sites=tuple(trace.sites),
        queues=queues, dtypes=dtypes,
        counters=_counters(p, instructions, dma, rank), sources=trace.sources, totals=totals,
        info=trace.info | {"tensors": _tensors(trace), "outside_calibration": outside_calibration(trace, machine),
                           "extrapolated": extrapolated(machine)},
        machine=machine.to_dict(), trace=trace,
    )


def _totals(span: int, cores: int, machine: Machine) -> dict[str, int]:
    """The span as the different measurements would show it: each adds its own start and end."""
    out = {}
    for kind in LAUNCH_NUMBERS:
        fixed = launch_ps(kind, cores, machine)
        if fixed is not None:
            out[f"{kind}_ps"] = span + fixed
    return out


# a library's reference is the profiler's total time (nki-library, test/utils/metrics_collector.py)
LAUNCH_NUMBERS = {"profiled": ("start_ns", "end_ns"), "device": ("device_fixed_ns",),
                  "benchmark": ("benchmark_fixed_ns",), "reference": ("start_ns", "end_ns")}


def launch_ps(kind: str, cores: int, machine: Machine) -> int | None:
    """What a measurement of this kind holds beyond the kernel's span; None where the machine does not say."""
    names = LAUNCH_NUMBERS[kind] + (("pair_fixed_ns",) if cores > 1 else ())
    given = [machine.kernel.get(x) for x in names]
    return None if any(x is None for x in given) else round(sum(given) * 1000)


def _tensors(trace: Trace) -> list[dict]:
    """The kernel's tensors in HBM: what a roofline needs to tell the bytes a kernel must move from those it does."""
    return [{"name": s.name, "kind": s.kind, "bytes": s.nbytes, "shape": list(s.shape), "dtype": str(s.dtype)}
            for s in trace.storages if not s.buffer.on_chip]


def _operand_texts(trace: Trace, p: Program) -> tuple[np.ndarray, tuple[str, ...]]:
    """Operand text per variant (views show storages through the trace where it is at hand)."""
    texts = tuple(repr(v) for v in trace.variants)
    return trace.variant[p.trace_row].astype(np.int32), texts


def _transfers(p: Program, run, rank) -> tuple[DmaTransfers, tuple[str, ...]]:
    if not len(run.transfers):
        return DmaTransfers.empty(), ()
    instruction, first, count = run.transfers.T
    entry = np.repeat(np.arange(len(instruction)), count)
    within = np.arange(len(entry)) - np.repeat(np.cumsum(count) - count, count)
    engines = max(16, int(count.max()))
    kinds, kind = np.unique(p.kind[instruction], return_inverse=True)
    ops = [p.ops[o] for o in p.first_op[kinds].tolist()]
    queue = [queue_name(o.engine.display, o.dma.mode) for o in ops]
    names = tuple(dict.fromkeys(queue))

    def column(f):
        """A figure of the transfer, one entry per DMA engine it uses."""
        return np.array([f(o.dma) for o in ops], np.int64)[kind][entry]

    share = column(lambda x: x.engines)
    start = run.transfer_start
    order = stable_order(start, (first[entry] + within) % engines)
    columns = dict(
        core=p.core[p.first_chip[instruction]][entry], engine=(first[entry] + within) % engines,
        queue=np.array([names.index(q) for q in queue])[kind][entry],
        instruction=rank[p.first_chip[instruction]][entry], start_ps=start,
        end_ps=run.transfer_end,
        read_bytes=column(lambda x: x.hbm_read + x.sbuf_read) // share,
        write_bytes=column(lambda x: x.hbm_write + x.sbuf_write) // share,
        descriptors=-(-column(lambda x: x.descriptors) // share),
        source=column(lambda x: MEMORIES.index(x.source)), dest=column(lambda x: MEMORIES.index(x.dest)),
    )
    return DmaTransfers(**{k: v[order] for k, v in columns.items()}), names


def queue_name(engine: str, mode: str) -> str:
    """The profiler's name of a DMA queue."""
    return f"q{engine}" + {"hw": "DynamicHW", "sw": "Dynamic", "static": "SpillReload0"}[mode]


def _counters(p: Program, instructions: Instructions, dma: DmaTransfers, rank) -> dict[str, Counter]:
    """Occupancy of SBUF and PSUM, and what the DMA engines move."""
    out = {}
    for name, (born, died, size) in p.occupancy.items():
        if not len(born):
            continue
        start = instructions.start_ps[rank[born]]
        end = instructions.done_ps[rank[died]]
        out[f"{name} bytes"] = _steps(np.concatenate([start, end]), np.concatenate([size, -size]).astype(np.float64))
    if len(dma):
        hbm = MEMORIES.index("HBM")
        seconds = np.maximum(dma.end_ps - dma.start_ps, 1) / 1e12
        rate = np.maximum(dma.read_bytes, dma.write_bytes) / seconds / 1e9
        touches = ((dma.source == hbm).astype(float) + (dma.dest == hbm)) * rate
        out["DMA GB/s"] = _steps(np.concatenate([dma.start_ps, dma.end_ps]), np.concatenate([rate, -rate]))
        out["HBM GB/s"] = _steps(np.concatenate([dma.start_ps, dma.end_ps]), np.concatenate([touches, -touches]))
        rows = np.unique(dma.instruction)
        one = np.ones(len(rows))
        out["pending DMAs"] = _steps(np.concatenate([instructions.start_ps[rows], instructions.done_ps[rows]]),
                                     np.concatenate([one, -one]))
    return out


def _steps(time: np.ndarray, change: np.ndarray) -> Counter:
    order = stable_order(time)
    time, value = time[order], np.cumsum(change[order])
    last = np.append(time[1:] != time[:-1], True)
    value = np.round(value[last], 6)
    return Counter(time_ps=time[last], value=np.where(np.abs(value) < 1e-6, 0.0, value))

"""simulate(): in-order engines, DMA queues and semaphores turn a Trace into a Timeline.

One pass in program order.  Every engine executes its queue in order: an instruction starts when its engine can issue
again and everything it waits for is done; which of these came last is stored with it.
"""

from __future__ import annotations

import numpy as np

from simcore.isa.table import ENGINE_INDEX
from simcore.lowering.program import Program, lower
from simcore.machine import Machine
from simcore.timeline import CAUSES, ENGINES, MEMORIES, ClockStates, Counter, Dependences, DmaTransfers, Instructions, Timeline
from simcore.trace import Trace

_CAUSE = {name: i for i, name in enumerate(CAUSES)}


def simulate(trace: Trace, machine: Machine) -> Timeline:
    """When every engine does what.  Raises CapacityError when SBUF or PSUM cannot hold the kernel's tiles."""
    from simcore.bounds import bounds_of

    program = lower(trace, machine)
    clock = Limiter(machine, trace.cores)
    run = _run(program, machine, clock)
    timeline = _timeline(trace, machine, program, run, clock)
    limits = bounds_of(program, machine)
    timeline.bounds.update(limits.to_dict())
    object.__setattr__(timeline, "trace", trace)
    return timeline


class Limiter:
    """The Tensor engine's clock limiter.

    Time is cut into windows; a window runs at full rate when the one before streamed at least a threshold of its cycles,
    at half rate otherwise.  It starts at half rate.
    """

    def __init__(self, machine: Machine, cores: int):
        pe = machine.tensor
        self.on = pe.get("limiter_window_cycles") is not None
        if not self.on:
            return
        self.window = round(pe.limiter_window_cycles * 1e12 / machine.core.base_clock_hz)
        self.need = pe.limiter_threshold_fraction * self.window * pe.clock_hz / 1e12
        self.slow = 1 / pe.limiter_rate_fraction
        self.full = 1e12 / pe.clock_hz
        self.busy: list[dict[int, float]] = [{} for _ in range(max(1, cores))]

    def stretch(self, core: int, start: int) -> float:
        """How many times longer than at full clock the engine takes at this time."""
        if not self.on:
            return 1.0
        return 1.0 if self.busy[core].get(start // self.window - 1, 0.0) >= self.need else self.slow

    def note(self, core: int, start: int, end: int, cycles: float) -> None:
        """`cycles` were streamed between start and end."""
        if not self.on or end <= start:
            return
        busy, first, last = self.busy[core], start // self.window, (end - 1) // self.window
        for w in range(first, last + 1):
            a, b = max(start, w * self.window), min(end, (w + 1) * self.window)
            busy[w] = busy.get(w, 0.0) + cycles * (b - a) / (end - start)

    def states(self, end_ps: int) -> ClockStates:
        rows = []
        if self.on:
            for core, busy in enumerate(self.busy):
                for w in range(0, end_ps // self.window + 1):
                    k = 8 if busy.get(w - 1, 0.0) >= self.need else 4
                    if rows and rows[-1][0] == core and rows[-1][3] == k:
                        rows[-1][2] = (w + 1) * self.window
                    else:
                        rows.append([core, w * self.window, (w + 1) * self.window, k, 8])
        columns = list(zip(*rows, strict=True)) or [()] * 5
        return ClockStates(*(np.array(c) for c in columns))


class Run:
    """What the scheduler found, per chip instruction."""

    def __init__(self, n: int):
        self.start, self.end, self.done = [0] * n, [0] * n, [0] * n
        self.cause, self.on, self.wait = [0] * n, [-1] * n, [0] * n
        self.dma: list[tuple] = []


def _run(p: Program, machine: Machine, clock: Limiter) -> Run:
    n = len(p.engine)
    run = Run(n)
    engine, core = p.engine.tolist(), p.core.tolist()
    issue, latency, pe = p.issue_ps.tolist(), p.latency_ps.tolist(), p.pe_cycles.tolist()
    edge_start, producer, cause_of = p.edge_start.tolist(), p.producer.tolist(), p.cause.tolist()
    transfers = p.transfers
    handoff = round(machine.semaphore.handoff_ns * 1000)
    trigger_wait = round((machine.semaphore.get("dma_trigger_ns") or 0) * 1000)
    cores = max(1, p.cores)
    free = [[0] * len(ENGINES) for _ in range(cores)]
    last = [[-1] * len(ENGINES) for _ in range(cores)]
    dma_free = [[0] * machine.dma.engines for _ in range(cores)]
    next_engine = [0] * cores
    start, end, done = run.start, run.end, run.done
    tensor = ENGINES.index("Tensor")
    is_dma = [t is not None for t in transfers]
    c_engine, c_start, c_dma, c_data = _CAUSE["engine"], _CAUSE["start"], _CAUSE["dma"], _CAUSE["data"]
    for i in range(n):
        c, e = core[i], engine[i]
        t = free[c][e]
        cause, on = (c_engine, last[c][e]) if last[c][e] >= 0 else (c_start, -1)
        ready = 0
        for k in range(edge_start[i], edge_start[i + 1]):
            j = producer[k]
            at = done[j]
            if engine[j] != e and not is_dma[j]:
                at += handoff
            if is_dma[i]:
                at += trigger_wait
            if at > ready:
                ready = at
                if at > t:
                    why = cause_of[k]
                    cause, on = (c_dma if why == c_data and is_dma[j] else why), j
        run.wait[i] = max(0, ready - t)
        if ready > t:
            t = ready
        run.cause[i], run.on[i] = cause, on
        start[i] = t
        if e == tensor:
            stretch = clock.stretch(c, t)
            gap = round(issue[i] * stretch)
            end[i] = done[i] = t + round(latency[i] * stretch) if stretch == 1.0 else t + gap + latency[i] - issue[i]
            if pe[i]:
                clock.note(c, t, t + gap, pe[i])
            free[c][e] = t + gap
        elif transfers[i] is None:
            end[i] = done[i] = t + latency[i]
            free[c][e] = t + issue[i]
        else:
            x = transfers[i]
            end[i] = t + latency[i]
            free[c][e] = t + issue[i]
            engines = dma_free[c]
            at = t + x.dispatch_ps
            finish = at
            first = next_engine[c]
            for k in range(x.engines):
                d = (first + k) % len(engines)
                begin = engines[d] if engines[d] > at else at
                engines[d] = begin + x.share_ps
                run.dma.append((c, d, i, begin, begin + x.share_ps))
                if engines[d] > finish:
                    finish = engines[d]
            next_engine[c] = (first + x.engines) % len(engines)
            done[i] = finish + x.completion_ps
        last[c][e] = i
    return run


def _timeline(trace: Trace, machine: Machine, p: Program, run: Run, clock: Limiter) -> Timeline:
    start = np.asarray(run.start, np.int64)
    order = np.lexsort((np.arange(len(start)), start))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    on = np.asarray(run.on, np.int64)
    on = np.where(on >= 0, rank[on], -1)[order] if len(on) else on
    row = p.trace_row[order]
    operand_id, strings = _operand_texts(trace, p)
    opcodes = tuple(dict.fromkeys(p.opcodes))
    code = np.array([opcodes.index(o) for o in p.opcodes], np.int16)
    dtypes = tuple(dict.fromkeys(d for d in p.dtypes if d))
    dt = np.array([dtypes.index(d) if d else -1 for d in p.dtypes], np.int8)
    op = p.op[order]
    instructions = Instructions(
        core=p.core[order], engine=p.engine[order], opcode=code[op], operands=operand_id[order], site=trace.site[row], source_row=row,
        start_ps=start[order], end_ps=np.asarray(run.end, np.int64)[order], done_ps=np.asarray(run.done, np.int64)[order],
        wait_cause=np.asarray(run.cause, np.int8)[order], wait_on=on, wait_ps=np.asarray(run.wait, np.int64)[order], dtype=dt[op],
        **{name: getattr(p, name)[op] for name in ("elements", "flops", "hbm_read_bytes", "hbm_write_bytes", "sbuf_read_bytes",
                                                   "sbuf_write_bytes", "psum_read_bytes", "psum_write_bytes")},
    )
    dma, queues = _transfers(p, run, rank)
    consumer = np.repeat(np.arange(len(p.engine)), np.diff(p.edge_start))
    dependences = Dependences(producer=rank[p.producer], consumer=rank[consumer], cause=p.cause)
    end_ps = int(max(max(run.end, default=0), max(run.done, default=0)))
    kernel = machine.kernel
    totals = {"kernel_ps": end_ps}
    for name, numbers in (("profiled_ps", ("start_ns", "end_ns")), ("device_ps", ("device_fixed_ns",)), ("benchmark_ps", ("benchmark_fixed_ns",))):
        if all(kernel.get(x) is not None for x in numbers):
            totals[name] = end_ps + round(sum(kernel.get(x) for x in numbers) * 1000)
    return Timeline(
        name=trace.name, kind="simulated", target=trace.target, instructions=instructions, dma=dma, dependences=dependences,
        clock=clock.states(end_ps), opcodes=opcodes, strings=strings, sites=tuple(trace.sites), queues=queues, dtypes=dtypes,
        counters=_counters(p, instructions, dma, rank), sources=trace.sources, totals=totals, info=dict(trace.info), machine=machine.to_dict(),
    )


def _operand_texts(trace: Trace, p: Program) -> tuple[np.ndarray, tuple[str, ...]]:
    """Operand text per variant (views show storages through the trace where it is at hand)."""
    texts = tuple(repr(v) for v in trace.variants)
    return trace.variant[p.trace_row].astype(np.int32), texts


def _transfers(p: Program, run: Run, rank) -> tuple[DmaTransfers, tuple[str, ...]]:
    if not run.dma:
        return DmaTransfers.empty(), ()
    table = np.array(run.dma, np.int64)
    rows = table[:, 2]
    xs = [p.transfers[i] for i in rows.tolist()]
    names = tuple(dict.fromkeys(f"q{x.queue}{'Dynamic' if x.mode == 'sw' else 'DynamicHW' if x.mode == 'hw' else 'SpillReload0'}" for x in xs))
    at = {n: i for i, n in enumerate(names)}
    order = np.lexsort((table[:, 1], table[:, 3]))
    return DmaTransfers(
        core=table[order, 0], engine=table[order, 1],
        queue=np.array([at[f"q{x.queue}{'Dynamic' if x.mode == 'sw' else 'DynamicHW' if x.mode == 'hw' else 'SpillReload0'}"] for x in xs])[order],
        instruction=rank[rows][order], start_ps=table[order, 3], end_ps=table[order, 4],
        read_bytes=np.array([x.read_bytes // x.engines for x in xs])[order], write_bytes=np.array([x.write_bytes // x.engines for x in xs])[order],
        descriptors=np.array([-(-x.descriptors // x.engines) for x in xs])[order],
        source=np.array([MEMORIES.index(x.source) for x in xs])[order], dest=np.array([MEMORIES.index(x.dest) for x in xs])[order],
    ), names


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
        out["pending DMAs"] = _steps(np.concatenate([instructions.start_ps[rows], instructions.done_ps[rows]]), np.concatenate([one, -one]))
    return out


def _steps(time: np.ndarray, change: np.ndarray) -> Counter:
    order = np.argsort(time, kind="stable")
    time, value = time[order], np.cumsum(change[order])
    last = np.append(time[1:] != time[:-1], True)
    value = np.round(value[last], 6)
    return Counter(time_ps=time[last], value=np.where(np.abs(value) < 1e-6, 0.0, value))


__all__ = ["ENGINE_INDEX", "Limiter", "simulate"]

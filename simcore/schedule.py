"""simulate(): in-order engines, DMA queues and semaphores turn a Trace into a Timeline.

An engine executes its instructions in program order: one starts when the engine can issue again and everything it waits for is
done.  Engines meet only through dependences, so each runs ahead as far as it can.  DMA queues share the 16 DMA engines, so
their transfers are dealt out in the order of time: whenever no engine can go on, the transfer that is triggered first is next.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from simcore.limiter import Limiter
from simcore.lowering.program import Program, lower
from simcore.machine import Machine
from simcore.timeline import CAUSES, Timeline
from simcore.trace import Trace

_ENGINE, _START, _DATA, _DMA, _QUEUE = (CAUSES.index(c) for c in ("engine", "start", "data", "dma", "queue"))


def simulate(trace: Trace, machine: Machine) -> Timeline:
    """When every engine does what.  Raises CapacityError when SBUF or PSUM cannot hold the kernel's tiles."""
    from simcore.assemble import assemble
    from simcore.bounds import bounds_of

    program = lower(trace, machine)
    timeline = assemble(trace, machine, program, run(program, machine))
    timeline.bounds.update(bounds_of(program, machine).to_dict())
    return timeline


@dataclass(slots=True)
class Run:
    """What the schedule found.  start, done, cause, on, wait: per instruction; chip_start, chip_end: per chip instruction."""

    start: list[int]
    done: list[int]
    cause: list[int]
    on: list[int]
    wait: list[int]
    chip_start: list[int]
    chip_end: list[int]
    transfers: list[tuple[int, int, int]] = field(default_factory=list)    # (instruction, first DMA engine, how many)
    transfer_start: list[int] = field(default_factory=list)                # per DMA engine of each transfer
    transfer_end: list[int] = field(default_factory=list)
    limiters: list[Limiter] = field(default_factory=list)


def run(p: Program, machine: Machine) -> Run:
    """The schedule of a program."""
    return _Scheduler(p, machine).run()


class _Scheduler:
    def __init__(self, p: Program, machine: Machine):
        self.p, self.machine = p, machine
        n = len(p.stream)
        chips = len(p.op)
        cores = max(1, p.cores)
        self.out = Run([0] * n, [0] * n, [0] * n, [-1] * n, [0] * n, [0] * chips, [0] * chips,
                       limiters=[Limiter(machine) for _ in range(cores)])
        order = np.argsort(p.stream, kind="stable")
        bounds = np.searchsorted(p.stream[order], np.arange(len(p.streams) + 1))
        self.members = [order[a:b].tolist() for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
        self.variant = p.variant.tolist()
        self.first_chip = p.first_chip.tolist()
        self.stream = p.stream.tolist()
        self.pending = np.bincount(p.consumer, minlength=n).tolist()
        by = np.argsort(p.producer, kind="stable")
        self.next_start = np.searchsorted(p.producer[by], np.arange(n + 1)).tolist()
        self.next = p.consumer[by].tolist()
        self.next_soft = p.soft[by].tolist()
        self.next_cause = p.cause[by].tolist()
        self.ready = [0] * n
        self.why = [-1] * n
        self.because = [_START] * n
        self.is_queue = [bool(s.queue) for s in p.streams]
        self._costs(machine)

    def _costs(self, machine: Machine) -> None:
        """Per variant: what the loop needs; per stream: what a waiting instruction pays for the hand-off."""
        p = self.p
        hand = machine.semaphore
        ps = [[round(hand.tensor_handoff_ns * 1000) if s.engine == "Tensor" else round(hand.handoff_ns * 1000)
               for s in p.streams], [0] * len(p.streams)]
        self.handoff = ps
        self.same = round(hand.same_engine_ns * 1000)
        self.issue = [sum(o.issue_ps for o in mine) for mine in p.variant_ops]
        self.latency = [sum(o.issue_ps for o in mine[:-1]) + mine[-1].latency_ps for mine in p.variant_ops]
        self.transfer = [mine[0].dma for mine in p.variant_ops]
        pe = machine.tensor
        self.passes = [[(pe.ps(a.pe_cycles), pe.ps(b.pe_cycles)) for a, b in zip(mine[::2], mine[1::2], strict=True)]
                       if mine[0].opcode == "LDWEIGHTS" else [] for mine in p.variant_ops]

    def run(self) -> Run:
        streams = self.p.streams
        self.free = [0] * len(streams)
        self.last = [-1] * len(streams)
        self.head = [0] * len(streams)
        self.waiting: list[list[tuple[int, int]]] = [[] for _ in streams]      # DMA queues: (ready, instruction)
        self.events: list[tuple[int, int]] = []                                # (earliest next trigger, queue)
        self.active = [s for s in range(len(streams)) if not self.is_queue[s]]
        self._dma_state()
        for s, queue in enumerate(self.is_queue):
            if queue:
                self.waiting[s] = [(0, i) for i in self.members[s] if not self.pending[i]]
                if self.waiting[s]:
                    self.events.append((0, s))
        heapq.heapify(self.events)
        advance = [self._tensor if s.engine == "Tensor" else self._engine for s in streams]
        active, events = self.active, self.events
        while True:
            while active:
                s = active.pop()
                advance[s](s)
            if not events:
                break
            at, s = heapq.heappop(events)
            self._trigger(at, s)
        stuck = [i for i, left in enumerate(self.pending) if left]
        assert not stuck, f"instructions {stuck[:5]} wait for each other"
        return self.out

    # ------------------------------------------------------------------------------ engines

    def _engine(self, s: int) -> None:
        """Execute what can be executed of an in-order engine."""
        members, pending, ready, variant = self.members[s], self.pending, self.ready, self.variant
        issue, latency, out, first_chip, ops = self.issue, self.latency, self.out, self.first_chip, self.p.variant_ops
        start, done, chip_start, chip_end = out.start, out.done, out.chip_start, out.chip_end
        k, free, last = self.head[s], self.free[s], self.last[s]
        while k < len(members):
            i = members[k]
            if pending[i]:
                break
            v = variant[i]
            t = ready[i]
            if t > free:
                out.cause[i], out.on[i], out.wait[i] = self.because[i], self.why[i], t - free
            else:
                t = free
                out.cause[i], out.on[i] = (_ENGINE, last) if last >= 0 else (_START, -1)
            start[i] = t
            free = t + issue[v]
            done[i] = t + latency[v]
            c = first_chip[i]
            mine = ops[v]
            if len(mine) == 1:
                chip_start[c] = t
                chip_end[c] = t + latency[v]
            else:
                at = t
                for j, o in enumerate(mine):
                    chip_start[c + j], chip_end[c + j] = at, at + o.latency_ps
                    at += o.issue_ps
            last = i
            k += 1
            self.head[s], self.free[s], self.last[s] = k, free, last
            self._release(i, s, t, t + latency[v], 0)

    def _tensor(self, s: int) -> None:
        """The Tensor engine: the stationary tile of a product loads behind the product before."""
        pe = self.machine.tensor
        limiter = self.out.limiters[self.p.streams[s].core]
        overhead, cold = pe.ps(pe.issue_overhead_cycles), pe.ps(pe.stationary_overhead_cycles)
        tail, lead = pe.ps(pe.pipeline_latency_cycles), pe.ps(pe.limited_lead_cycles)
        seen = tail // 2
        members, pending, ready, variant, passes = self.members[s], self.pending, self.ready, self.variant, self.passes
        out, first_chip = self.out, self.first_chip
        chip_start, chip_end = out.chip_start, out.chip_end
        k, last = self.head[s], self.last[s]
        if k == 0:
            self.began, self.through = getattr(self, "began", {}), getattr(self, "through", {})
            self.began.setdefault(s, 0)
            self.through.setdefault(s, 0)
        began, through = self.began[s], self.through[s]      # of the last product: its stream's first column in, last column in
        while k < len(members):
            i = members[k]
            if pending[i]:
                break
            t = ready[i]
            if t > through:
                out.cause[i], out.on[i], out.wait[i] = self.because[i], self.why[i], t - through
            else:
                out.cause[i], out.on[i] = (_ENGINE, last) if last >= 0 else (_START, -1)
            c = first_chip[i]
            first = -1
            for load, work in passes[variant[i]]:
                full = limiter.full(began if began > t else t)
                a = began if began > t else t                       # load behind the product before, when it may
                loaded = a + (load if full else load * limiter.slow)
                b = through + overhead if full and through else through
                if loaded + (cold if full else 0) > b:
                    b = loaded + (cold if full and a == began else 0)
                through = limiter.stream(b, work)
                began = b
                shown = b if full else b - lead
                chip_start[c], chip_end[c] = a, loaded + seen
                if shown < a:
                    shown = a
                chip_start[c + 1], chip_end[c + 1] = shown, through + tail
                c += 2
                if first < 0:
                    first = a
            out.start[i] = first
            out.done[i] = through + tail
            last = i
            k += 1
            self.head[s], self.last[s] = k, last
            self.began[s], self.through[s] = began, through
            self._release(i, s, first, through + tail, 0)

    # ------------------------------------------------------------------------------ DMA

    def _dma_state(self) -> None:
        d = self.machine.dma
        cores = max(1, self.p.cores)
        self.engines = [[0] * d.engines for _ in range(cores)]
        self.rotation = [0] * cores
        self.skew = round(d.engine_skew_ns * 1000)
        self.notice = round(d.completion_ns * 1000)
        self.depth = d.queue_depth
        self.inflight: list[deque[int]] = [deque() for _ in self.p.streams]
        stack = max(1, self.machine.hbm.get("cores_per_stack", 1))
        self.hbm_free = [0] * (cores // stack + 1)
        self.stack = stack
        self.hbm_ps = 1e12 / self.machine.hbm.bytes_per_s

    def _trigger(self, at: int, s: int) -> None:
        """Trigger the next transfer of a queue: of those ready by then, the first in the program."""
        waiting = self.waiting[s]
        if not waiting:
            return
        earliest = max(self.free[s], waiting[0][0])
        if earliest > at:
            heapq.heappush(self.events, (earliest, s))
            return
        i = self._pick(waiting, earliest)
        t = earliest
        out = self.out
        x = self.transfer[self.variant[i]]
        if self.ready[i] >= t and self.why[i] >= 0:
            out.cause[i], out.on[i], out.wait[i] = self.because[i], self.why[i], max(0, self.ready[i] - self.free[s])
        else:
            out.cause[i], out.on[i] = (_QUEUE, self.last[s]) if self.last[s] >= 0 else (_START, -1)
        core = self.p.streams[s].core
        end = self._move(i, x, core, t + x.first_ps)
        done = end + self.notice
        c = self.first_chip[i]
        out.start[i], out.done[i] = t, done
        out.chip_start[c], out.chip_end[c] = t, t + x.busy_ps
        free = t + x.issue_ps
        line = self.inflight[s]
        line.append(end)
        if len(line) >= self.depth:
            free = max(free, line.popleft())
        self.free[s], self.last[s] = free, i
        if waiting:
            heapq.heappush(self.events, (max(free, waiting[0][0]), s))
        self._release(i, s, t, done, 1)

    @staticmethod
    def _pick(waiting: list[tuple[int, int]], t: int) -> int:
        """Take the first instruction in program order among those ready by t."""
        if len(waiting) == 1:
            return waiting.pop()[1]
        best = min((entry[1], entry) for entry in waiting if entry[0] <= t)[1]
        waiting.remove(best)
        heapq.heapify(waiting)
        return best[1]

    def _move(self, i: int, x, core: int, arrival: int) -> int:
        """Put a transfer on its engines; returns when the last byte has moved."""
        engines, skew = self.engines[core], self.skew
        out = self.out
        first = 0
        if x.engines == len(engines):
            starts = [a if a > b else b for a, b in zip(engines, range(arrival, arrival + skew * len(engines), skew), strict=True)]
            ends = [a + w for a, w in zip(starts, x.work_ps, strict=True)]
            engines[:] = ends
        else:
            first = self.rotation[core]
            starts, ends = [], []
            for k, w in enumerate(x.work_ps):
                e = (first + k) % len(engines)
                a = max(engines[e], arrival + skew * k)
                starts.append(a)
                ends.append(a + w)
                engines[e] = a + w
            self.rotation[core] = (first + x.engines) % len(engines)
        out.transfers.append((i, first, x.engines))
        out.transfer_start.extend(starts)
        out.transfer_end.extend(ends)
        end = max(ends)
        hbm = x.hbm_read + x.hbm_write
        if hbm and self.p.cores > 1:
            stack = core // self.stack
            begin = max(self.hbm_free[stack], starts[0])
            self.hbm_free[stack] = begin + round(hbm * self.hbm_ps)
            if self.hbm_free[stack] > end:
                end = self.hbm_free[stack]
        return end

    # ------------------------------------------------------------------------------ dependences

    def _release(self, i: int, s: int, start: int, done: int, dma: int) -> None:
        """Tell the instructions that wait for i."""
        pending, ready, stream = self.pending, self.ready, self.stream
        for k in range(self.next_start[i], self.next_start[i + 1]):
            c = self.next[k]
            to = stream[c]
            if self.next_soft[k]:
                t = start
            elif to == s and not dma:
                t = done + self.same
            else:
                t = done + self.handoff[dma][to]
            if self.is_queue[to]:
                x = self.transfer[self.variant[c]]
                t += x.ready_ps if not dma else x.ready_ps // 4
            if t > ready[c]:
                ready[c] = t
                self.why[c] = i
                why = self.next_cause[k]
                self.because[c] = _DMA if dma and why == _DATA else why
            pending[c] -= 1
            if not pending[c]:
                if self.is_queue[to]:
                    waiting = self.waiting[to]
                    heapq.heappush(waiting, (ready[c], c))
                    heapq.heappush(self.events, (max(self.free[to], ready[c]), to))
                elif to != s and self.members[to][self.head[to]] == c:
                    self.active.append(to)

"""simulate(): in-order engines, DMA queues and semaphores turn a Trace into a Timeline.

An engine executes its instructions in program order: one starts when the engine can issue again and everything it waits
for is done.  Engines meet only through dependences, so each runs ahead as far as it can.  DMA queues share the 16 DMA
engines, so their transfers are dealt out in the order of time: whenever no engine can go on, the transfer that is
triggered first is next.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate

import numpy as np

from simcore import collector
from simcore.isa.table import Op
from simcore.limiter import Limiter
from simcore.lowering.dependences import DATA, ORDER
from simcore.lowering.program import Program, Stream, lower
from simcore.machine import Machine
from simcore.ordering import runs, stable_order
from simcore.timeline import CAUSES, Timeline
from simcore.trace import Trace

_ENGINE, _START, _DATA, _DMA, _QUEUE = (CAUSES.index(c) for c in ("engine", "start", "data", "dma", "queue"))

_NEVER = 1 << 62


def simulate(trace: Trace, machine: Machine) -> Timeline:
    """When every engine does what.  Raises CapacityError when SBUF or PSUM cannot hold the kernel's tiles."""
    from simcore.assemble import assemble
    from simcore.bounds import bounds_of

    with collector.paused():
        program = lower(trace, machine)
        timeline = assemble(program.trace or trace, machine, program, run(program, machine))
        timeline.bounds.update(bounds_of(program, machine).to_dict())
    return timeline


@dataclass(slots=True)
class Run:
    """What was found: start, done, cause, on, wait per unit; chip_start, chip_end per chip instruction."""

    start: np.ndarray
    done: np.ndarray
    cause: np.ndarray
    on: np.ndarray
    wait: np.ndarray
    chip_start: np.ndarray
    chip_end: np.ndarray
    transfers: list[tuple[int, int, int]]       # (instruction, first DMA engine, how many)
    transfer_start: list[int]                   # per DMA engine of each transfer
    transfer_end: list[int]
    limiters: list[Limiter]


def run(p: Program, machine: Machine) -> Run:
    """The schedule of a program."""
    return _Scheduler(p, machine).run()


class _Scheduler:
    def __init__(self, p: Program, machine: Machine):
        self.p, self.machine = p, machine
        n = len(p.stream)
        self.limiters = [Limiter(machine) for _ in range(max(1, p.cores))]
        order = stable_order(p.stream)
        bounds = np.searchsorted(p.stream[order], np.arange(len(p.streams) + 1))
        # Python's own integers: a list gives one to the loop several times as fast as an array; units share theirs
        number = np.arange(n + 1).astype(object)
        self.members = [number[order[a:b]].tolist() for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
        position = np.empty(n, np.int64)
        position[order] = np.arange(n) - np.repeat(bounds[:-1], np.diff(bounds))
        self.position = number[position].tolist()
        self.variant = p.kind.tolist()
        self.stream = p.stream.tolist()
        self.pending = np.bincount(p.consumer, minlength=n).tolist()      # -1: executed
        by = stable_order(p.producer)
        self.next_start = np.searchsorted(p.producer[by], np.arange(n + 1)).tolist()
        self.next = number[p.consumer[by]].tolist()
        self.next_soft = p.soft[by].tolist()
        self.next_delay, self.next_cause = self._delays(p, by, machine)
        self.producer = p.producer[by]
        turn = _turns(p, machine)
        self.turn, self.of_turn = turn.tolist(), np.argsort(turn).tolist()
        self.ready = [0] * n
        self.via = [-1] * n             # the dependence that was fulfilled last
        # notes in the order of execution, one after the other: written and read where memory is warm
        self.log: list[int] = []        # unit, when its inputs and when its engine were ready, start, done
        self.products: list[int] = []   # start and end of each chip instruction of the Tensor engine
        self.transfers: list[tuple[int, int, int]] = []
        self.transfer_start: list[int] = []
        self.transfer_end: list[int] = []
        self._costs(machine)

    def _costs(self, machine: Machine) -> None:
        """Per kind of unit: what the loop needs."""
        p = self.p
        self.issue = [sum(o.issue_ps for o in mine) for mine in p.kind_ops]
        self.latency = [max(sum(o.issue_ps for o in mine[:j]) + mine[j].latency_ps for j in range(len(mine)))
                        for mine in p.kind_ops]
        self.transfer = [mine[0].dma for mine in p.kind_ops]
        pe = machine.tensor
        self.passes = [[(pe.ps(a.pe_cycles), pe.ps(b.pe_cycles)) for a, b in zip(mine[::2], mine[1::2], strict=True)]
                       if mine[0].opcode == "LDWEIGHTS" else [] for mine in p.kind_ops]
        self.row_share = [mine[0].row_share for mine in p.kind_ops]
        self.kind_cells = [mine[0].cells for mine in p.kind_ops]

    def run(self) -> Run:
        streams = self.p.streams
        count = len(streams)
        late = round(self.machine.dma.start_sw_ns * 1000) if any(s.queue == "sw" for s in streams) else 0
        self.free = [late if s.queue == "sw" else 0 for s in streams]
        self.head = [0] * count                                                # position of the oldest not yet executed
        self.waiting: list[list[tuple[int, int]]] = [[] for _ in streams]      # (ready, instruction), as a heap
        self.now: list[list[int]] = [[] for _ in streams]                      # ready by the engine's time, as a heap
        self.parked: list[list[tuple[int, int]]] = [[] for _ in streams]       # ready, but beyond the window
        self.events: list[tuple[int, int]] = []                                # (earliest next start, stream)
        self.due = [_NEVER] * count                                            # the one event of a stream that counts
        self.window = [_window(s, self.machine, self.p.legacy) for s in streams]
        self.limit = list(self.window)                                         # first position beyond the window
        self.began, self.through = [0] * count, [0] * count                    # Tensor engine: first and last column in
        self._dma_state()
        self._tensor_state()
        execute = [self._transfer_op if s.queue else self._tensor_op if s.engine == "Tensor" else self._engine_op
                   for s in streams]
        self.execute = execute
        self.active = [s for s in range(count) if self.window[s] == 1]
        for s in range(count):
            if self.window[s] != 1:
                for i in self.members[s]:
                    if not self.pending[i]:
                        self._offer(i, s)
        active, events, due = self.active, self.events, self.due
        while True:
            while active:
                self._in_order(active.pop())
            if not events:
                break
            at, s = heappop(events)
            if at == due[s]:            # else an earlier look has replaced it
                self._out_of_order(at, s)
        stuck = [i for i, left in enumerate(self.pending) if left > 0]
        assert not stuck, f"instructions {stuck[:5]} wait for each other"
        return self._found()

    def _found(self) -> Run:
        """The columns of the schedule: what each unit waited for, and the times of chip instructions."""
        p = self.p
        log = _column(self.log).reshape(-1, 5)
        order = log[:, 0].copy()
        start, done, wait = np.empty((3, len(order)), np.int64)
        start[order], done[order], wait[order] = log[:, 3], log[:, 4], log[:, 1] - log[:, 2]
        via = _column(self.via)
        before = np.full(len(p.stream), -1, np.int64)           # executed before it by the same stream
        by = order[stable_order(p.stream[order])]
        same = p.stream[by[1:]] == p.stream[by[:-1]]
        before[by[1:][same]] = by[:-1][same]
        waited = (wait > 0) & (via >= 0)
        engine = np.array([_QUEUE if s.queue else _ENGINE for s in p.streams], np.int8)
        cause = np.where(before >= 0, engine[p.stream], np.int8(_START))
        cause[waited] = self.next_cause[via[waited]]
        before[waited] = self.producer[via[waited]]
        # chip instructions: the Tensor engine's are in its log, the others follow each other
        shift = np.array([k for mine in p.kind_ops for k in _shifts(mine)], np.int64)
        length = np.array([o.latency_ps if o.dma is None else o.dma.busy_ps for o in p.ops], np.int64)
        tensor = np.array([not s.queue and s.engine == "Tensor" for s in p.streams], bool)[p.stream]
        chip_start, chip_end = np.empty((2, len(p.op)), np.int64)
        times, units = _column(self.products).reshape(-1, 2), order[tensor[order]]
        count = (p.last_chip - p.first_chip + 1)[units]
        chip = np.repeat(p.first_chip[units] - (np.cumsum(count) - count), count) + np.arange(len(times))
        chip_start[chip], chip_end[chip] = times.T
        other = np.flatnonzero(~tensor[p.unit_row])
        chip_start[other] = start[p.unit_row[other]] + shift[p.op[other]]
        chip_end[other] = chip_start[other] + length[p.op[other]]
        return Run(start, done, cause, before, np.where(waited, wait, 0), chip_start, chip_end, self.transfers,
                   self.transfer_start, self.transfer_end, self.limiters)

    # ------------------------------------------------------------------------------ order

    def _in_order(self, s: int) -> None:
        """Execute what can be executed of an engine that keeps program order."""
        members, pending, execute, head = self.members[s], self.pending, self.execute[s], self.head
        n = len(members)
        while head[s] < n:
            i = members[head[s]]
            if pending[i]:
                return
            head[s] += 1
            execute(i, s, self.free[s] if self.free[s] > self.ready[i] else self.ready[i])

    def _offer(self, i: int, s: int) -> None:
        """An instruction of a reordered stream has everything it waits for."""
        if self.position[i] >= self.limit[s]:
            heappush(self.parked[s], (self.position[i], i))
            return
        at, free = self.ready[i], self.free[s]
        if at > free:
            heappush(self.waiting[s], (at, i))
        else:
            at = free
            heappush(self.now[s], self.turn[i])
        if at < self.due[s]:
            self.due[s] = at
            heappush(self.events, (at, s))

    def _look(self, s: int, at: int) -> None:
        """Look at a stream again at this time, unless it will be looked at earlier anyway."""
        if at < self.due[s]:
            self.due[s] = at
            heappush(self.events, (at, s))

    def _out_of_order(self, at: int, s: int) -> None:
        """Execute the next instruction of a reordered stream: of those ready by then, the one whose turn is first."""
        self.due[s] = _NEVER
        waiting, now, t = self.waiting[s], self.now[s], self.free[s]
        if not now:
            if not waiting:
                return
            if waiting[0][0] > t:
                t = waiting[0][0]
        if t > at:
            self._look(s, t)
            return
        while waiting and waiting[0][0] <= t:
            heappush(now, self.turn[heappop(waiting)[1]])
        i = self.of_turn[heappop(now)]
        pending = self.pending
        pending[i] = -1
        head, members = self.head[s], self.members[s]
        if members[head] == i:
            n = len(members)
            while head < n and pending[members[head]] < 0:
                head += 1
            self.head[s] = head
            self.limit[s] = limit = head + self.window[s]
            parked = self.parked[s]
            while parked and parked[0][0] < limit:
                j = heappop(parked)[1]
                heappush(waiting, (self.ready[j], j))
        self.execute[s](i, s, t)
        if now or waiting:
            t = self.free[s]
            if not now and waiting[0][0] > t:
                t = waiting[0][0]
            if t < self.due[s]:
                self.due[s] = t
                heappush(self.events, (t, s))

    # ------------------------------------------------------------------------------ engines

    def _engine_op(self, i: int, s: int, t: int) -> None:
        v, idle = self.variant[i], self.free[s]
        self.free[s] = t + self.issue[v]
        self._release(i, s, idle, t, t + self.latency[v])

    def _tensor_state(self) -> None:
        pe = self.machine.tensor
        self.overhead, self.cold = pe.ps(pe.issue_overhead_cycles), pe.ps(pe.stationary_overhead_cycles)
        self.tail, self.lead = pe.ps(pe.pipeline_latency_cycles), pe.ps(pe.limited_lead_cycles)
        self.loaded = pe.ps(pe.stationary_latency_cycles)
        self.shortest = pe.ps(pe.min_issue_cycles)
        parts = pe.rows * pe.columns // pe.smallest_tile ** 2
        self.cells = [[0] * parts for _ in self.p.streams]      # per part of the array: last column in
        self.whole = [0] * len(self.p.streams)                  # the same of products that use all of it

    def _tensor_op(self, i: int, s: int, t: int) -> None:
        """The Tensor engine: the stationary tile of a product loads behind the product before.

        Products in tiling mode that use different parts of the array stream at the same time.
        """
        limiter = self.limiters[self.p.streams[s].core]
        products, v = self.products, self.variant[i]
        began, latest, mine = self.began[s], self.through[s], self.kind_cells[v]
        through = max(self.whole[s], *[self.cells[s][x] for x in mine]) if mine else latest
        idle, first = through, -1
        for load, work in self.passes[v]:
            a = began if began > t else t                       # loads behind the product before, when it may
            full = limiter.full(a)
            loaded = a + (load if full else load * limiter.slow)
            seen = loaded + self.loaded
            if full and a == began:
                loaded += self.cold
            b = through + self.overhead if full and through else through
            if loaded > b:
                b = loaded
            if mine and b < began + self.shortest:
                b = began + self.shortest
            # behind a running product both are seen from when it is through, under the limiter earlier; at the head of
            # a burst the product is seen waiting for its stationary tile
            early = self.lead if not full and through > a else 0
            products += (a - early if a == began else a, seen, max(a, through - early))
            through = limiter.stream(b, work, self.row_share[v])
            began = b
            products.append(through + self.tail)
            if first < 0:
                first = a
        done = through + self.tail
        if mine:
            for x in mine:
                self.cells[s][x] = through
        else:
            self.whole[s] = through
        self.began[s], self.through[s] = began, latest if latest > through else through
        self.free[s] = began
        self._release(i, s, idle, first, done)

    # ------------------------------------------------------------------------------ DMA

    def _dma_state(self) -> None:
        d = self.machine.dma
        cores = max(1, self.p.cores)
        self.engines = [[0] * d.engines for _ in range(cores)]
        self.reading = [[False] * d.engines for _ in range(cores)]              # was its last transfer a load from HBM?
        self.rotation = [0] * cores
        self.skew = round(d.engine_skew_ns * 1000)
        self.notice = round(d.completion_ns * 1000)
        self.depth = d.queue_depth
        self.inflight: list[deque[int]] = [deque() for _ in self.p.streams]
        stack = max(1, self.machine.hbm.get("cores_per_stack", 1))
        self.hbm_free = [0] * (cores // stack + 1)
        self.stack = stack
        self.hbm_ps = 1e12 / self.machine.hbm.bytes_per_s

    def _transfer_op(self, i: int, s: int, t: int) -> None:
        """Trigger a transfer."""
        x = self.transfer[self.variant[i]]
        idle = self.free[s]
        end = self._move(i, x, self.p.streams[s].core, t + x.first_ps)
        done = end + self.notice
        free = t + x.issue_ps
        line = self.inflight[s]
        line.append(end)
        if len(line) >= self.depth:
            free = max(free, line.popleft())
        self.free[s] = free
        self._release(i, s, idle, t, done)

    def _move(self, i: int, x, core: int, arrival: int) -> int:
        """Put a transfer on its engines; returns when the last byte has moved."""
        engines, reading, skew, fill = self.engines[core], self.reading[core], self.skew, x.fill_ps
        n = len(engines)
        first = 0 if x.engines == n else self.rotation[core]
        starts, ends = [], []
        e = first
        for w in x.work_ps:
            a = engines[e]
            if arrival > a:
                a = arrival
            starts.append(a)
            if fill and (a == arrival or not reading[e]):       # nothing was read ahead: its first packets wait for HBM
                a += fill
            a += w
            ends.append(a)
            engines[e], reading[e] = a, fill > 0
            arrival += skew
            e += 1
            if e == n:
                e = 0
        if x.engines != n:
            self.rotation[core] = e
        self.transfers.append((i, first, x.engines))
        self.transfer_start.extend(starts)
        self.transfer_end.extend(ends)
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

    @staticmethod
    def _delays(p: Program, by, machine: Machine) -> tuple[list[int], np.ndarray]:
        """Per dependence: the time from the producer's end (its start, where only the order matters) until the consumer
        may start, and the cause a wait for it has."""
        hand = machine.semaphore
        producer, consumer, soft = p.stream[p.producer[by]], p.consumer[by], p.soft[by]
        to, cause = p.stream[consumer], p.cause[by].astype(np.int64)
        queue = np.array([bool(s.queue) for s in p.streams], bool)
        handoff = np.array([round((hand.tensor_handoff_ns if s.engine == "Tensor" else hand.handoff_ns) * 1000)
                            for s in p.streams], np.int64)
        ready = np.array([mine[0].dma.ready_ps if mine[0].dma is not None else 0 for mine in p.kind_ops], np.int64)
        from_dma = queue[producer] if len(producer) else np.zeros(0, bool)
        same = (producer == to) & ~from_dma
        delay = np.where(soft | from_dma, 0, np.where(same, round(hand.same_engine_ns * 1000), handoff[to]))
        # a trigger that waits for another transfer starts with its notice: completion_ns says it all
        delay += np.where(from_dma, 0, ready[p.kind[consumer]])
        return _shared(delay), np.where(from_dma & (cause == _DATA), _DMA, cause)

    def _release(self, i: int, s: int, idle: int, start: int, done: int) -> None:
        """Note when i ran, and tell the units that wait for it."""
        pending, ready = self.pending, self.ready
        self.log += (i, ready[i], idle, start, done)
        follow, soft, delay = self.next, self.next_soft, self.next_delay
        for k in range(self.next_start[i], self.next_start[i + 1]):
            c = follow[k]
            t = (start if soft[k] else done) + delay[k]
            if t > ready[c]:
                ready[c] = t
                self.via[c] = k
            left = pending[c] - 1
            pending[c] = left
            if not left:
                to = self.stream[c]
                if self.window[to] != 1:
                    self._offer(c, to)
                elif to != s and self.members[to][self.head[to]] == c:
                    self.active.append(to)


def _column(values: list[int]) -> np.ndarray:
    return np.fromiter(values, np.int64, len(values))


def _shared(column: np.ndarray) -> list[int]:
    """A column with few different values as a list: equal values are one object."""
    order = stable_order(column)
    new = runs(column[order])
    which = np.empty(len(order), np.int64)
    which[order] = np.cumsum(new) - 1
    return column[order][new].astype(object)[which].tolist()


def _shifts(mine: tuple[Op, ...]) -> list[int]:
    """When each chip instruction of a unit starts, from the first one's start."""
    return [0, *accumulate(o.issue_ps for o in mine[:-1])]


def _window(stream: Stream, machine: Machine, legacy: bool) -> int:
    """How many instructions of a stream may overtake each other: the compiler orders them by when they can start."""
    if stream.queue:
        return 1 << 30
    return machine.compiler.legacy_reorder_window if legacy else machine.compiler.reorder_window


def _turns(p: Program, machine: Machine) -> np.ndarray:
    """Per unit, its number in the order in which ready ones are taken: that of the program, except that a load comes
    when the first instruction that needs it does (compiler.loads_by_need)."""
    n = len(p.stream)
    turn = np.arange(n)
    if not machine.compiler.get("loads_by_need"):
        return turn
    load = np.array([mine[0].dma is not None and mine[0].dma.load for mine in p.kind_ops], bool)[p.kind]
    # an explicit order says so too: identity matrices are no operands of the transposes that need them
    need, waits = np.full(n, n, np.int64), (p.cause == DATA) | (p.cause == ORDER)
    np.minimum.at(need, p.producer[waits], p.consumer[waits])
    turn[np.lexsort((turn, np.where(load, need, turn)))] = np.arange(n)
    return turn

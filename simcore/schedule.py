"""simulate(): in-order engines, DMA queues and semaphores turn a Trace into a Timeline.

An engine executes its instructions in program order: one starts when the engine can issue again and everything it waits
for is done.  Engines meet only through dependences, so each runs ahead as far as it can.  DMA queues share the 16 DMA
engines, so their transfers are dealt out in the order of time: whenever no engine can go on, the transfer that is
triggered first is next.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate

import numpy as np

from simcore import collector
from simcore.isa.table import Op
from simcore.limiter import Limiter
from simcore.lowering.dependences import DATA, ORDER
from simcore.lowering.program import Program, Stream, lower
from simcore.machine import Machine
from simcore.ordering import stable_order
from simcore.timeline import CAUSES, Timeline
from simcore.trace import Trace

_ENGINE, _START, _DATA, _DMA, _QUEUE = (CAUSES.index(c) for c in ("engine", "start", "data", "dma", "queue"))

_NEVER = 1 << 62


def simulate(trace: Trace, machine: Machine, *, spill: bool = False) -> Timeline:
    """When every engine does what.  Raises CapacityError when SBUF or PSUM cannot hold the kernel's tiles.

    spill  where tiles do not fit as written: reorder instructions and spill tiles as the compiler does.  Otherwise that
           is an error too, for a kernel of the current dialect (the older compiler's output is always modelled so)
    """
    from simcore.assemble import assemble
    from simcore.bounds import bounds_of

    with collector.paused():
        program = lower(trace, machine, spill)
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
    transfers: np.ndarray                       # (instruction, first DMA engine, how many), one row each
    transfer_start: np.ndarray                  # per DMA engine of each transfer
    transfer_end: np.ndarray
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
        self.kind = p.kind.tolist()
        self.stream = p.stream.tolist()
        self.pending = np.bincount(p.consumer, minlength=n).tolist()      # -1: executed
        by = stable_order(p.producer)
        self.next_start = np.searchsorted(p.producer[by], np.arange(n + 1)).tolist()
        self.next = number[p.consumer[by]].tolist()
        self.next_delay, self.next_cause = self._delays(p, by)
        self.producer = p.producer[by]
        turn = _turns(p, machine)
        self.turn, self.of_turn = turn.tolist(), np.argsort(turn).tolist()
        self.ready = [0] * n
        self.via = [-1] * n             # the dependence that was fulfilled last
        # notes in the order of execution, one after the other: written and read where memory is warm
        self.log = array("q")           # unit, when its inputs and when its engine were ready, start, done
        self.products = array("q")      # start and end of each chip instruction of the Tensor engine
        self.transfers = array("q")     # unit, first DMA engine, how many
        self.transfer_start, self.transfer_end = array("q"), array("q")
        self._costs()

    def _costs(self) -> None:
        """Per kind of unit: what the loop needs."""
        p = self.p
        self.issue = [sum(o.issue_ps for o in mine) for mine in p.kind_ops]
        self.latency = [max(sum(o.issue_ps for o in mine[:j]) + mine[j].latency_ps for j in range(len(mine)))
                        for mine in p.kind_ops]
        self.transfer = [mine[0].dma for mine in p.kind_ops]

    def run(self) -> Run:
        streams = self.p.streams
        late = round(self.machine.dma.start_sw_ns * 1000) if any(s.queue == "sw" for s in streams) else 0
        self.free = [late if s.queue == "sw" else 0 for s in streams]
        self._dma_state()
        self._loop()
        stuck = [i for i, left in enumerate(self.pending) if left > 0]
        assert not stuck, f"instructions {stuck[:5]} wait for each other"
        return self._found()

    def _found(self) -> Run:
        """The columns of the schedule: what each unit waited for, and the times of chip instructions."""
        p = self.p
        log = _numbers(self.log).reshape(-1, 5)
        order = log[:, 0].copy()
        start, done, wait = np.empty((3, len(order)), np.int64)
        start[order], done[order], wait[order] = log[:, 3], log[:, 4], log[:, 1] - log[:, 2]
        via = np.fromiter(self.via, np.int64, len(self.via))
        before = np.full(len(p.stream), -1, np.int64)           # executed before it by the same stream
        by = order[stable_order(p.stream[order])]
        same = p.stream[by[1:]] == p.stream[by[:-1]]
        before[by[1:][same]] = by[:-1][same]
        # who was ready and still did not start had a trigger before it
        behind = np.zeros(len(start), bool)
        behind[order] = log[:, 3] > np.maximum(log[:, 1], log[:, 2])
        waited = (wait > 0) & (via >= 0) & ~behind
        engine = np.array([_QUEUE if s.queue else _ENGINE for s in p.streams], np.int8)
        cause = np.where(before >= 0, engine[p.stream], np.int8(_START))
        cause[waited] = self.next_cause[via[waited]]
        before[waited] = self.producer[via[waited]]
        # chip instructions: the Tensor engine's are in its log, the others follow each other
        shift = np.array([k for mine in p.kind_ops for k in _shifts(mine)], np.int64)
        length = np.array([o.latency_ps if o.dma is None else o.dma.busy_ps for o in p.ops], np.int64)
        tensor = np.array([not s.queue and s.engine == "Tensor" for s in p.streams], bool)[p.stream]
        chip_start, chip_end = np.empty((2, len(p.op)), np.int64)
        times, units = _numbers(self.products).reshape(-1, 2), order[tensor[order]]
        count = (p.last_chip - p.first_chip + 1)[units]
        chip = np.repeat(p.first_chip[units] - (np.cumsum(count) - count), count) + np.arange(len(times))
        chip_start[chip], chip_end[chip] = times.T
        other = np.flatnonzero(~tensor[p.unit_row])
        chip_start[other] = start[p.unit_row[other]] + shift[p.op[other]]
        chip_end[other] = chip_start[other] + length[p.op[other]]
        return Run(start, done, cause, before, np.where(waited, wait, 0), chip_start, chip_end,
                   _numbers(self.transfers).reshape(-1, 3), _numbers(self.transfer_start),
                   _numbers(self.transfer_end), self.limiters)

    # ------------------------------------------------------------------------------ order

    def _loop(self) -> None:
        """Execute all units in the order of time; of those of a stream that are ready by then, the one whose turn is
        first.

        One function over local lists: what it does per unit and per dependence is most of the time a schedule takes.
        """
        p, members, position, turn, of_turn = self.p, self.members, self.position, self.turn, self.of_turn
        pending, ready, via, stream, note = self.pending, self.ready, self.via, self.stream, self.log.fromlist
        first, follow, delay = self.next_start, self.next, self.next_delay
        free, kind, issue, latency = self.free, self.kind, self.issue, self.latency
        execute = [self._queue(n) if s.queue else self._tensor_engine(s.core) if s.engine == "Tensor" else None
                   for n, s in enumerate(p.streams)]
        window = [_window(s, self.machine, p.legacy) for s in p.streams]
        limit = list(window)                                                # first position beyond the window
        head = [0] * len(window)                                            # position of the oldest not yet executed
        now: list[list[int]] = [[] for _ in window]                         # turns of those that are ready, as a heap
        later: list[list[tuple[int, int]]] = [[] for _ in window]           # (when ready, unit), as a heap
        parked: list[list[tuple[int, int]]] = [[] for _ in window]          # (position, unit) beyond the window
        due = [_NEVER] * len(window)                                        # next start
        # a trigger stands in the program of its engine: what is ready after it waits until it is through
        engine = {(x.core, x.engine): n for n, x in enumerate(p.streams) if not x.queue}
        behind = [engine.get((x.core, x.engine), -1) if x.queue else -1 for x in p.streams]
        taken = [0] * len(window)                                           # until when
        for c in (i for mine in members for i in mine if not pending[i]):
            s = stream[c]
            if position[c] < limit[s]:
                heappush(now[s], turn[c])
                due[s] = free[s]
            else:
                heappush(parked[s], (position[c], c))
        while due:
            t = min(due)
            if t == _NEVER:
                break
            s = due.index(t)
            here, soon = now[s], later[s]
            if here:
                while soon and soon[0][0] <= t:
                    heappush(here, turn[heappop(soon)[1]])
                i = of_turn[heappop(here)]
            else:
                i = heappop(soon)[1]
                if soon and soon[0][0] <= t:
                    heappush(here, turn[i])
                    while soon and soon[0][0] <= t:
                        heappush(here, turn[heappop(soon)[1]])
                    i = of_turn[heappop(here)]
            pending[i] = -1
            if position[i] == head[s]:
                mine, k = members[s], position[i] + 1
                while k < len(mine) and pending[mine[k]] < 0:
                    k += 1
                head[s] = k
                limit[s] = end = k + window[s]
                beyond = parked[s]
                while beyond and beyond[0][0] < end:
                    c = heappop(beyond)[1]
                    heappush(soon, (max(ready[c], taken[s]), c))

            run = execute[s]
            if run is None:
                idle, start, done = free[s], t, t + latency[kind[i]]
                free[s] = t + issue[kind[i]]
            else:
                idle, start, done, free[s] = run(i, t)
                to = behind[s]
                if to >= 0:
                    taken[to] = until = t + latency[kind[i]]
                    queued = later[to]
                    if queued:
                        queued[:] = [(until if t < at < until else at, c) for at, c in queued]
                        heapify(queued)
                        if not now[to]:
                            due[to] = max(free[to], queued[0][0])
            note([i, ready[i], idle, start, done])
            due[s] = _NEVER
            for k in range(first[i], first[i + 1]):
                c, wait = follow[k], delay[k]
                at = done + wait if wait >= 0 else start
                if at > ready[c]:
                    ready[c] = at
                    via[c] = k
                left = pending[c] = pending[c] - 1
                if not left:
                    to = stream[c]
                    if position[c] >= limit[to]:
                        heappush(parked[to], (position[c], c))
                        continue
                    at = ready[c]
                    if at < taken[to]:
                        at = taken[to]
                    if at > free[to]:
                        heappush(later[to], (at, c))
                    else:
                        at = free[to]
                        heappush(now[to], turn[c])
                    if at < due[to]:
                        due[to] = at
            if here:
                due[s] = free[s]
            elif soon:
                due[s] = max(free[s], soon[0][0])

    # ------------------------------------------------------------------------------ engines

    def _tensor_engine(self, core: int) -> Callable[[int, int], tuple[int, int, int, int]]:
        """The Tensor engine of a core: the stationary tile of a product loads behind the product before.

        Products in tiling mode that use different parts of the array stream at the same time.  The function returned
        executes unit i at time t: (when its engine was ready, start, done, when the next one may start).
        """
        pe = self.machine.tensor
        overhead, cold = pe.ps(pe.issue_overhead_cycles), pe.ps(pe.stationary_overhead_cycles)
        tail, lead = pe.ps(pe.pipeline_latency_cycles), pe.ps(pe.limited_lead_cycles)
        hidden, shortest = pe.ps(pe.stationary_latency_cycles), pe.ps(pe.min_issue_cycles)
        cells = [0] * (pe.rows * pe.columns // pe.smallest_tile ** 2)   # per part of the array: last column in
        whole = 0                                                       # the same of products that use all of it
        began = latest = 0                                              # first and last column in
        limiter, note, kind = self.limiters[core], self.products.fromlist, self.kind
        stream, slow = limiter.stream, limiter.slow
        work = [([(pe.ps(a.pe_cycles), pe.ps(b.pe_cycles)) for a, b in zip(mine[::2], mine[1::2], strict=True)]
                 if mine[0].opcode == "LDWEIGHTS" else [], mine[0].row_share, mine[0].cells)
                for mine in self.p.kind_ops]

        def execute(i: int, t: int) -> tuple[int, int, int, int]:
            nonlocal whole, began, latest
            passes, share, mine = work[kind[i]]
            through = max(whole, *[cells[x] for x in mine]) if mine else latest
            idle, first = through, -1
            for load, moving in passes:
                a = began if began > t else t                       # loads behind the product before, when it may
                early, b = 0, through
                if limiter.factor == 1 if limiter.begin <= a < limiter.end else limiter.full(a):
                    loaded = a + load
                    seen = loaded + hidden
                    if a == began:
                        loaded += cold
                    if through:
                        b += overhead
                else:
                    loaded = a + load * slow
                    seen = loaded + hidden
                    if through > a:
                        early = lead
                if loaded > b:
                    b = loaded
                if mine and b < began + shortest:
                    b = began + shortest
                # behind a running product both are seen from when it is through, under the limiter earlier; at the head
                # of a burst the product is seen waiting for its stationary tile
                shown = max(a, through - early)
                through = stream(b, moving, share)
                note([a - early if a == began else a, seen, shown, through + tail])
                began = b
                if first < 0:
                    first = a
            if mine:
                for x in mine:
                    cells[x] = through
            else:
                whole = through
            if through > latest:
                latest = through
            return idle, first, through + tail, began

        return execute

    # ------------------------------------------------------------------------------ DMA

    def _dma_state(self) -> None:
        d = self.machine.dma
        cores = max(1, self.p.cores)
        self.engines = [[0] * d.engines for _ in range(cores)]
        self.reading = [[False] * d.engines for _ in range(cores)]              # was its last transfer a load from HBM?
        self.answered = [[0] * d.engines for _ in range(cores)]                 # since when data come for its loads
        self.rotation = [0] * cores
        self.skew = round(d.engine_skew_ns * 1000)
        self.asked = round(d.read_ahead_bytes / d.engine_bytes_per_s * 1e12)    # last request to last byte
        self.notice = round(d.completion_ns * 1000)
        self.room = d.queue_bytes
        self.inflight: list[deque[tuple[int, int]]] = [deque() for _ in self.p.streams]      # end, bytes per engine
        self.under_way = [0] * len(self.p.streams)                              # bytes per engine
        self.stack = max(1, self.machine.hbm.get("cores_per_stack", 1))
        stacks = -(-cores // self.stack)
        self.hbm_work: list[dict[int, int]] = [{} for _ in range(stacks)]       # core -> time HBM needs for what waits
        self.hbm_at = [0] * stacks                                              # of when that is
        self.hbm_ps = 1e12 / self.machine.hbm.bytes_per_s

    def _queue(self, s: int) -> Callable[[int, int], tuple[int, int, int, int]]:
        """A DMA queue.  The function returned triggers transfer i at time t, with the same results as the Tensor
        engine's."""
        core, line = self.p.streams[s].core, self.inflight[s]

        def execute(i: int, t: int) -> tuple[int, int, int, int]:
            x = self.transfer[self.kind[i]]
            end = self._move(i, x, core, t + x.first_ps)
            free = t + x.issue_ps
            share = x.bytes // x.engines
            line.append((end, share))
            self.under_way[s] += share
            while self.under_way[s] >= self.room and len(line) > 1:
                through, share = line.popleft()
                self.under_way[s] -= share
                free = max(free, through)
            return self.free[s], t, end + self.notice, free

        return execute

    def _move(self, i: int, x, core: int, arrival: int) -> int:
        """Put a transfer on its engines; returns when the last byte has moved."""
        engines, reading, skew, fill = self.engines[core], self.reading[core], self.skew, x.fill_ps
        asked, answered, began = self.asked, self.answered[core], arrival
        n = len(engines)
        first = 0 if x.engines == n else self.rotation[core]
        starts, ends = [], []
        e = first
        for w in x.work_ps:
            a = engines[e]
            if arrival > a:
                a = arrival
            starts.append(a)
            # nothing is read ahead on an engine that idles, writes or has asked for all its data: HBM must answer first
            if fill and (not reading[e] or a - arrival <= asked and arrival >= answered[e]):
                a += fill
                answered[e] = a
            a += w
            ends.append(a)
            engines[e], reading[e] = a, fill > 0
            arrival += skew
            e += 1
            if e == n:
                e = 0
        if x.engines != n:
            self.rotation[core] = e
        self.transfers.fromlist([i, first, x.engines])
        self.transfer_start.fromlist(starts)
        self.transfer_end.fromlist(ends)
        end = max(ends)
        hbm = x.hbm_read + x.hbm_write
        return self._share(core, hbm, began, end) if hbm and self.p.cores > 1 else end

    def _share(self, core: int, hbm: int, arrival: int, end: int) -> int:
        """When HBM is done with a transfer that its DMA engines finish at `end`.

        The cores of a stack with work waiting there get equal parts of its rate; what one leaves the others have.
        """
        stack, work = core // self.stack, self.hbm_work[core // self.stack]
        if arrival > self.hbm_at[stack]:
            free, self.hbm_at[stack], done = arrival - self.hbm_at[stack], arrival, 0
            for left, c in zip(range(len(work), 0, -1), sorted(work, key=lambda c: (work[c], c)), strict=True):
                each = min(work[c] - done, free // left)
                free -= each * left
                done += each
                work[c] -= done
        mine = work[core] = work.get(core, 0) + round(hbm * self.hbm_ps)
        return max(end, self.hbm_at[stack] + sum(min(w, mine) for w in work.values()))

    # ------------------------------------------------------------------------------ dependences

    def _delays(self, p: Program, by) -> tuple[list[int], np.ndarray]:
        """Per dependence: the time from the producer's end until the consumer may start (-1: from its start on, where
        only the order matters), and the cause a wait for it has."""
        hand = self.machine.semaphore
        producer, consumer, cause = p.stream[p.producer[by]], p.consumer[by], p.cause[by]
        from_dma = np.array([bool(s.queue) for s in p.streams], bool)[producer]
        # by the kind of the consumer: order only, from a transfer, on the same engine, from another engine.  A trigger
        # that waits for another transfer starts with its notice: completion_ns says it all.
        same = round(hand.same_engine_ns * 1000)
        table = []
        for mine in p.kind_ops:
            other = hand.tensor_handoff_ns if mine[0].engine.display == "Tensor" else hand.handoff_ns
            ready = mine[0].dma.ready_ps if mine[0].dma is not None else 0
            table += [-1, 0, same + ready, round(other * 1000) + ready]
        case = np.where(p.soft[by], 0, np.where(from_dma, 1, np.where(producer == p.stream[consumer], 2, 3)))
        delay = np.array(table, object)[4 * p.kind[consumer] + case]
        return delay.tolist(), np.where(from_dma & (cause == _DATA), _DMA, cause)


def _numbers(notes: array) -> np.ndarray:
    """The same memory as a NumPy array."""
    return np.frombuffer(notes, np.int64) if notes else np.zeros(0, np.int64)


def _shifts(mine: tuple[Op, ...]) -> list[int]:
    """When each chip instruction of a unit starts, from the first one's start."""
    return [0, *accumulate(o.issue_ps for o in mine[:-1])]


def _window(stream: Stream, machine: Machine, legacy: bool) -> int:
    """How many instructions of a stream may overtake each other: the compiler orders them by when they can start.

    A trigger stands in its engine's program: in the older dialect one that waits lets only so many pass.
    """
    if stream.queue and legacy:
        return machine.compiler.legacy_dma_window
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

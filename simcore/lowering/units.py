"""What the compiler makes of the instructions before it orders them: units of work.

Kernels of the current dialect are taken as they are written, one unit per instruction.  The compiler of the older
dialect rewrites loops first; what the profiles show of it is modelled here, by structure and not by kernel:

- a copy PSUM -> SBUF that changes no dtype and is read by Vector and Scalar only is left out: they read the PSUM tile,
  as long as no more than `forward_banks` banks are held that way;
- copies PSUM -> SBUF that fill neighbouring parts of one tile become one copy, of up to a bank; their PSUM tiles share
a bank;
- instructions of one value per partition (row maxima, sums, reciprocals) of neighbouring iterations become one;
- transfers of one source line that are alike and small become one, of up to `merge_bytes`;
- an instruction whose inputs have not changed since its line ran last is left out;
- a load of what an earlier load has brought from an argument the kernel does not write is left out, when not much else
  was loaded in between.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from simcore.layout import psum
from simcore.lowering.dependences import DATA, REUSE, one_per_pair, unique_edges
from simcore.lowering.written import Written
from simcore.machine import Machine
from simcore.ordering import stable_order
from simcore.trace import Trace

LEGACY = "neuronxcc.nki"
_PARALLEL = ("tensor_tensor", "tensor_scalar", "tensor_reduce", "tensor_copy", "activation", "reciprocal")


@dataclass(eq=False)
class Units:
    """unit[i]: the unit an instruction belongs to; units are numbered in the order the compiler would write them.

    row        per unit: the instruction that stands for it; times: how many instructions it does at once
    same       (kept, dropped) storages: the kept one is used in place of the dropped one and lives as long
    in_psum    SBUF storages whose copy was left out: they are read in PSUM
    bundles    PSUM storages that share a bank
    """

    unit: np.ndarray
    row: np.ndarray
    times: np.ndarray
    producer: np.ndarray
    consumer: np.ndarray
    cause: np.ndarray
    same: list[tuple[int, int]] = field(default_factory=list)
    in_psum: set[int] = field(default_factory=set)
    bundles: list[list[int]] = field(default_factory=list)


def units_of(trace: Trace, machine: Machine, producer, consumer, cause, room: float = 1.0) -> Units:
    """Units of a trace, with the dependences between units.  room: share of the memory for loads kept for later."""
    n = len(trace)
    identity = np.arange(n)
    if trace.info.get("dialect") != LEGACY or not n:
        return Units(identity, identity, np.ones(n, np.int64), producer, consumer, cause)
    return rewritten(Written(trace, producer, consumer, cause), machine, room)


def rewritten(given: Written, machine: Machine, room: float) -> Units:
    """Units of a trace in the older dialect."""
    return _Rewriter(given, machine, room).rewrite()


class _Rewriter:
    def __init__(self, given: Written, machine: Machine, room: float):
        self.room = int(room * machine.compiler.duplicate_bytes)
        self.given, self.trace, self.machine = given, given.trace, machine
        self.n = given.n
        self.group = list(range(self.n))                 # union: instruction -> the group's first
        # forwarded copy -> the instruction that wrote the PSUM tile last
        self.gone: dict[int, int] = {}
        self.dead: set[int] = set()
        self.same: list[tuple[int, int]] = []
        self.in_psum: set[int] = set()
        self.bundles: list[list[int]] = []
        self.members: dict[int, list[int]] = {}

    def rewrite(self) -> Units:
        compiler = self.machine.compiler
        given = self.given
        self._drop_dead()
        self._drop_repeats()
        self._drop_loads()
        self._vectorize(compiler.vectorize_elements)
        width = compiler.merge_iterations
        forwards = self._forward(compiler.forward_banks, width)
        narrow = width if forwards else compiler.merge_iterations_without_psum
        for v, rows in given.lines:
            rows = [i for i in rows if self.group[i] == i and i not in self.members]
            if len(rows) < 2 or v.name in ("nc_matmul", "nc_transpose"):
                continue
            if v.row.engines and any(o.layout.buffer is psum for o in v.operands):
                self._merge_copies(rows, compiler.merge_elements)
            elif all(o.layout.on_chip
                     for o in v.operands) and max(o.layout.free for o in v.operands) <= compiler.merge_small_elements:
                self._merge_runs(rows, narrow)
            elif v.name == "dma_copy" and len(rows) <= compiler.merge_transfers:
                size = max(o.layout.nbytes for o in v.operands)
                if any(self.trace.storages[given.tile[r]].kind != "input" for r in given.regions(rows[0])):
                    self._merge_runs([i for i in rows if not given.reads_input(i)],
                                     max(1, compiler.merge_bytes // size))
        return self._number()

    # ------------------------------------------------------------------------------ what is left out or merged

    def _forward(self, banks: int, width: int) -> bool:
        """Leave out copies whose readers can read PSUM; of each group of iterations the last ones, while banks last."""
        given, found = self.given, False
        for rows in given.forwardable:
            tiles = [given.storage(i, 1) for i in rows]
            if len(set(tiles)) < len(tiles):
                continue
            per = max(1, round(len(rows) / max(1, len({given.storage(i, 0) for i in rows}))))     # copies per SBUF tile
            for a in range(0, len(rows), width * per):
                block = rows[a:a + width * per]
                last = sorted(range(len(block)), key=lambda k: (k % per, k))[max(0, len(block) - banks):]
                for i in (block[k] for k in last):
                    writers = [j for j, why in given.before(i) if why == DATA]
                    if not writers:
                        continue
                    found = True
                    self.gone[i] = max(writers)
                    sb, ps = given.copies[i]
                    self.same.append((ps, sb))
                    self.in_psum.add(sb)
        return found

    def _drop_loads(self) -> None:
        """Leave out loads of what is in SBUF already."""
        loaded = 0
        first: dict[tuple[int, int], tuple[int, int]] = {}
        used: dict[tuple[int, int], int] = {}           # how much had been loaded when it was last used
        for i, key, tile in self.given.loads:
            if key not in first or loaded - used[key] > self.room:
                first[key], used[key] = (i, tile), loaded
                loaded += self.trace.storages[tile].bytes_per_partition
                continue
            earlier, place = first[key]
            used[key] = loaded
            self.gone[i] = earlier
            self.same.append((place, tile))

    def _drop_dead(self) -> None:
        """Leave out constants that are overwritten before anything reads them."""
        given = self.given
        for i in given.of(lambda v: v.name == "memset"):
            after = given.after(i)
            if i + 1 < self.n and not given.before(i) and all(why == REUSE for _, why in after):
                self.dead.add(i)
                self.gone[i] = min((c for c, _ in after), default=i + 1)

    def _drop_repeats(self) -> None:
        """Leave out instructions that would compute again what an earlier one has computed, while there is room for it.

        What is used again needs a place as long; a result that would have to outlive more than `room` bytes of others
        like it is computed again.
        """
        held = 0
        first: dict[tuple, tuple[int, int, int]] = {}      # -> instruction, tile, held then
        for i, key, tile in self.given.repeats:
            before = first.get(key)
            if before is not None and held - before[2] <= self.room:
                self.gone[i] = before[0]
                self.same.append((before[1], tile))
                first[key] = (before[0], before[1], held)
            else:
                held += self.trace.storages[tile].bytes_per_partition
                first[key] = (i, tile, held)

    def _vectorize(self, elements: int) -> None:
        """A parallel loop of nothing but Vector and Scalar work becomes one instruction per line, where all iterations
        of each make no more than `elements`."""
        trace = self.trace
        if trace.loops is None:
            return
        for start, each, count in trace.loops.tolist():
            body = [trace.variants[k] for k in trace.variant[start:start + each]]
            if all(v.name in _PARALLEL and not self._vector_operands(v)
                   and max(o.layout.free for o in v.operands) * count <= elements for v in body):
                for first in range(start, start + each):
                    rows = range(first, start + each * count, each)
                    alike = all(trace.variant[i] == trace.variant[first] and i not in self.gone for i in rows)
                    if alike and not self._related(list(rows)):
                        self._merge(list(rows))

    @staticmethod
    def _vector_operands(v) -> bool:
        """Does it read a value per partition beside a tile?  The next iteration would need another one."""
        widest = max(o.layout.free for o in v.operands)
        return any(o.access == "r" and o.layout.free < widest and o.name not in ("data", "src", "data1", "data2")
                   for o in v.operands)

    def _merge_copies(self, rows: list[int], elements: int) -> None:
        """Neighbouring copies out of PSUM into one tile become one, up to a bank of elements, if all of them fit."""
        copies = self.given.copies
        rows = [i for i in rows if i in copies and i not in self.gone]
        by_tile: dict[int, list[int]] = {}
        for i in rows:
            by_tile.setdefault(copies[i][0], []).append(i)
        for mine in by_tile.values():
            v = self.given.variant[mine[0]]
            free = v["src"].free
            per = elements // max(free, 1)
            size = v["src"].dtype.itemsize
            bank = self.machine.psum.bank_bytes_per_partition // max(free * size, 1)
            merged = per >= 2 and (size == 4 or len(mine) <= per)
            if not merged:
                per = bank                          # they share a bank all the same
            if per < 2 or len(mine) < 2:
                continue
            for a in range(0, len(mine), per):
                block = mine[a:a + per]
                tiles = [copies[i][1] for i in block]
                if len(block) > 1 and len(set(tiles)) == len(tiles):
                    if merged:
                        self._merge(block)
                    self.bundles.append(tiles)

    def _merge_runs(self, rows: list[int], width: int) -> None:
        rows = [i for i in rows if i not in self.gone]
        for a in range(0, len(rows), width):
            block = rows[a:a + width]
            if len(block) > 1 and not self._related(block):
                self._merge(block)

    def _related(self, block: list[int]) -> bool:
        """Does one of them depend on another, through whatever lies between?"""
        last, members = block[-1], set(block)
        after = self.given.after
        stack, seen = [c for i in block for c, _ in after(i)], set()
        while stack:
            i = stack.pop()
            if i in members:
                return True
            if i > last or i in seen:
                continue
            seen.add(i)
            stack.extend(c for c, _ in after(i))
        return False

    def _merge(self, block: list[int]) -> None:
        for i in block:
            self.group[i] = block[0]
        self.members[block[0]] = block

    # ------------------------------------------------------------------------------ the result

    def _dissolve(self, stuck: set[int], follow: dict[int, list[int]]) -> bool:
        """Take apart merged instructions that wait for each other.  False where there are none."""
        waits = {g: sum(c in stuck for c in follow[g]) for g in stuck}
        before: dict[int, list[int]] = {g: [] for g in stuck}
        for g in stuck:
            for c in follow[g]:
                if c in stuck:
                    before[c].append(g)
        ends = [g for g in stuck if not waits[g]]       # what only waits for a circle is not part of one
        while ends:
            g = ends.pop()
            stuck.discard(g)
            for p in before[g]:
                waits[p] -= 1
                if not waits[p]:
                    ends.append(p)
        merged = [g for g in stuck if g in self.members]
        for g in merged:
            for i in self.members.pop(g):
                self.group[i] = i
        return bool(merged)

    def _number(self) -> Units:
        """Group numbers in an order that dependences allow, earliest first."""
        n = self.n
        def home(i: int) -> int:
            while i in self.gone:
                i = self.gone[i]
            return self.group[i]

        to = list(self.group)
        for i in self.gone:
            to[i] = home(i)
        leader = np.array(to, np.int64)
        producer, consumer, cause = self.given.edges
        alive = np.ones(n, bool)
        alive[list(self.dead)] = False
        alive = alive[producer]
        extra = []
        # who overwrites the PSUM tile waits for those who read it in the copy's place
        for i in self.gone:
            after = self.given.after(i)
            readers = [j for j, why in after if why == DATA]
            for c, why in after:
                if why == REUSE:
                    extra += [(j, c) for j in readers]
        more = np.array(extra, np.int64).reshape(-1, 2)
        producer = leader[np.concatenate([producer[alive], more[:, 0]])]
        consumer = leader[np.concatenate([consumer[alive], more[:, 1]])]
        cause = np.concatenate([cause[alive], np.full(len(more), REUSE, np.int8)])
        apart = producer != consumer
        edges = one_per_pair(producer[apart], consumer[apart], cause[apart])
        leaders = np.unique(leader)
        waits = np.bincount(edges[1], minlength=n).tolist()
        by = stable_order(edges[0])
        begin = np.searchsorted(edges[0][by], np.arange(n + 1))
        follow, first = edges[1][by].tolist(), begin.tolist()
        # places as one number each: (where, its own number), and a load stands in front of the first that needs it
        place = np.arange(n) * (n + 1) + n
        load = np.array([v.name == "dma_copy" and v["dst"].on_chip and not v["src"].on_chip
                         for v in self.trace.variants], bool)[self.trace.variant] & (np.diff(begin) > 0)
        place[load] = edges[1][by][begin[:-1][load]] * (n + 1) + np.flatnonzero(load)
        where = place.tolist()
        free = [where[g] for g in leaders.tolist() if not waits[g]]
        heapq.heapify(free)
        rows: list[int] = []
        while free:
            at, g = divmod(heapq.heappop(free), n + 1)
            if g == n:
                g = at
            rows.append(g)
            for c in follow[first[g]:first[g + 1]]:
                left = waits[c] = waits[c] - 1
                if not left:
                    heapq.heappush(free, where[c])
        if len(rows) < len(leaders):
            stuck = set(leaders.tolist()) - set(rows)
            if self._dissolve(stuck, {g: follow[first[g]:first[g + 1]] for g in stuck}):
                return self._number()
            # leave the program as it was written
            one, order = np.arange(n), stable_order(self.given.edges[0])
            return Units(one, one, np.ones(n, np.int64), *(column[order] for column in self.given.edges))
        place_of = np.full(n, -1, np.int64)
        place_of[rows] = np.arange(len(rows))
        producer, consumer, cause = unique_edges(place_of[edges[0]], place_of[edges[1]], edges[2])
        return Units(place_of[leader], np.array(rows, np.int64),
                     np.array([len(self.members.get(g, (g,))) for g in rows], np.int64), producer, consumer, cause,
                     self.same, self.in_psum, self.bundles)

"""Why one run takes longer than another: the longer one's critical path, walked through both.

The path is a chain of instructions.  Each stretch from one to the next is measured in the longer run and, between the
same two instructions, in the shorter one; both are cut into the same parts (the instruction itself, its DMA, the wait
after it) and the parts subtracted.  The chain telescopes, so the differences add up to the gap: nothing is left over
and nothing is called "other".  What a measured profile does not explain is called "unknown".
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from simcore import analysis
from simcore.profile import vendor
from simcore.profile.align import increasing
from simcore.timeline import CAUSES, ENGINES, Timeline

UNKNOWN = "unknown"
WAITS = {
    "start": "launch", "engine": "issue gaps", "data": "semaphore waits", "dma": "waits for DMA",
    "reuse": "buffer reuse", "bank": "PSUM banks", "queue": "DMA queue full", "barrier": "the other core",
    "order": "explicit order", "unknown": UNKNOWN,
}
"""What a wait between two instructions is called, by its cause."""

MEANING = {
    "launch": "before the first instruction",
    "issue gaps": "an engine was free but its next instruction came later",
    "semaphore waits": "from a result to the instruction that waited for it",
    "waits for DMA": "from a DMA's last packet to the instruction that waited for it",
    "buffer reuse": "a buffer's earlier readers were not done",
    "PSUM banks": "a PSUM bank was in use by another engine",
    "DMA queue full": "a DMA queue had no room",
    "the other core": "a barrier between cores",
    "explicit order": "an order the kernel asked for",
    "DMA trigger": "an engine was busy triggering a DMA",
    "DMA start": "from a trigger to the first packet",
    "DMA bytes": "the bytes at the peak rate of the DMA engines",
    "descriptor cost": "packets took longer than their bytes need: small descriptors, few or shared engines",
    "clock limiter": "the Tensor engine ran below its full clock",
    "engine choice": "the same instructions on another engine",
    "missing overlap": "work on one's critical path that the other has too, but hides behind other work",
    "different instructions": "no instruction of the path is in both",
    "different instructions (DMA)": "DMAs that only one of the two has",
    "after the last instruction": "the end of the run",
    UNKNOWN: "the profile does not say",
} | {f"{e} instructions": f"the same {e} instructions take longer or shorter" for e in ENGINES} | {
    f"different instructions ({e})": f"{e} instructions that only one of the two has" for e in ENGINES}


@dataclass
class Cause:
    """Part of the gap.  `ps` is positive where b takes longer; `rows` are rows of the walked run, most time first."""

    name: str
    ps: int
    rows: list[int] = field(default_factory=list)

    @property
    def meaning(self) -> str:
        return MEANING.get(self.name, "")


def attribute(a: Timeline, b: Timeline, pairs: np.ndarray) -> list[Cause]:
    """The gap (b's kernel span minus a's) by cause, largest first.  The causes add up to the gap exactly."""
    span_a, span_b = (analysis.span_ps(t) for t in (a, b))
    flip = span_a[1] - span_a[0] > span_b[1] - span_b[0]
    slow, fast, partner = (a, b, pairs) if flip else (b, a, pairs[:, ::-1])
    walk = _Walk(slow, fast, partner)
    walk.run()
    sign = -1 if flip else 1
    causes = [
        Cause(name, sign * sum(by_row.values()),
              [r for r, _ in sorted(by_row.items(), key=lambda x: (-abs(x[1]), x[0]))[:50] if r >= 0])
        for name, by_row in walk.parts.items()
    ]
    return sorted((c for c in causes if c.ps), key=lambda c: (-abs(c.ps), c.name))


class _Run:
    """One of the two runs, with what the walk asks of it."""

    def __init__(self, t: Timeline):
        i, d = t.instructions, t.dma
        self.t = t
        self.begin, self.end = analysis.span_ps(t)
        self.start, self.done = i.start_ps, np.maximum(i.done_ps, i.end_ps)
        self.trigger = np.array([vendor.is_dma(o) for o in t.opcodes] or [False], bool)[i.opcode]
        self.trigger |= np.isin(np.arange(len(i)), d.instruction[d.instruction >= 0])
        # as the vendor counts: an instruction lasts until its result is there, a trigger until its engine is free
        self.stop = np.where(self.trigger, i.end_ps, self.done)
        self.first, self.last = self.stop.copy(), self.stop.copy()
        own = np.flatnonzero(d.instruction >= 0)
        if len(own):
            first = np.full(len(i), np.iinfo(np.int64).max)
            np.minimum.at(first, d.instruction[own], d.start_ps[own])
            last = np.full(len(i), -1)
            np.maximum.at(last, d.instruction[own], d.end_ps[own])
            has = last >= 0
            self.first[has], self.last[has] = np.maximum(first, self.stop)[has], np.maximum(last, self.stop)[has]
        moved = np.bincount(d.instruction[own], np.maximum(d.read_bytes, d.write_bytes)[own], len(i))
        machine = vendor.machine_of(t)
        self.wire = (moved / (machine.dma.engines * machine.dma.engine_bytes_per_s) * 1e12).astype(np.int64)
        self.on = analysis.waited_on(t)
        self.kernel = np.zeros(len(i), bool)
        self.kernel[analysis.kernel_rows(t)] = True
        c = t.clock
        full = {int(core): int(c.n[c.core == core].max()) for core in np.unique(c.core)} if len(c) else {}
        self.clock = [(core, start, end, 1 - k / max(full[core], 1)) for core, start, end, k in zip(
            c.core.tolist(), c.start_ps.tolist(), c.end_ps.tolist(), c.k.tolist())]

    def limited_ps(self, row: int, begin: int, end: int) -> int:
        """How much shorter the Tensor engine's stretch would have been at its full clock.

        A profile records nothing before the first window at full rate: until then the limiter is on, at half rate.
        """
        core = int(self.t.instructions.core[row])
        if ENGINES[self.t.instructions.engine[row]] != "Tensor" or not self.clock:
            return 0
        states = [s for s in self.clock if s[0] == core]
        lost = sum(max(min(end, e) - max(begin, s), 0) * f for _, s, e, f in states)
        if states and self.t.kind == "measured":
            lost += max(min(end, states[0][1]) - begin, 0) * 0.5
        return int(lost)

    def parts(self, row: int, until: int, wait: str, run: str) -> dict[str, int]:
        """[start of row, until] cut into the instruction, its DMA and the wait after it; they add up to it."""
        out: dict[str, int] = defaultdict(int)
        at = int(self.start[row])
        if until < at:
            out["missing overlap"] = until - at
            return out
        cut = min(int(self.stop[row]), until)
        if self.trigger[row]:
            out["DMA trigger"] = cut - at
        else:
            limited = min(self.limited_ps(row, at, cut), cut - at)
            out["clock limiter"], out[run] = limited, cut - at - limited
        at = cut
        if self.trigger[row]:
            cut = min(int(self.first[row]), until)
            out["DMA start"], at = cut - at, cut
            cut = min(int(self.last[row]), until)
            wire = min(int(self.wire[row]), cut - at)
            out["DMA bytes"], out["descriptor cost"], at = wire, cut - at - wire, cut
        out[wait] += until - at
        return out

    def length(self, row: int) -> int:
        """From its start until its result may be used."""
        return int(max(self.stop[row], self.last[row]) - self.start[row])


class _Walk:
    """The longer run's path through both runs; `parts[name][row]` collects picoseconds, longer minus shorter."""

    def __init__(self, slow: Timeline, fast: Timeline, partner: np.ndarray):
        self.slow, self.fast = _Run(slow), _Run(fast)
        self.partner = np.full(len(slow.instructions), -1, np.int64)
        self.partner[partner[:, 0]] = partner[:, 1]
        self.matched_fast = np.zeros(len(fast.instructions), bool)
        self.matched_fast[partner[:, 1]] = True
        self.parts: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, parts: dict[str, int], row: int, sign: int) -> None:
        for name, ps in parts.items():
            if ps:
                self.parts[name][row] += sign * ps

    def run(self) -> None:
        slow, fast = self.slow, self.fast
        path = analysis.critical_path(slow.t).rows.tolist()
        # anchors: instructions both runs have, in the same order of time
        both = [r for r in path if self.partner[r] >= 0]
        both = [both[k] for k in increasing(fast.start[self.partner[both]].tolist())] if both else []
        if not both:
            self.add({"different instructions": slow.end - slow.begin - (fast.end - fast.begin)}, -1, 1)
            return
        place = {row: k for k, row in enumerate(path)}
        first, last = both[0], both[-1]
        self._head(path, path[:place[first]], first)
        for row, after in pairwise(both):
            if between := path[place[row] + 1:place[after]]:
                self._detour(row, after, between)
            else:
                self._step(row, after)
        self._tail(last, path[place[last] + 1:])

    def _head(self, path: list[int], own: list[int], first: int) -> None:
        """From the start of both runs to the first instruction both have."""
        slow, fast = self.slow, self.fast
        before = int(slow.start[path[0]]) - slow.begin
        self.add({"launch": before}, path[0], 1)
        self._chain(slow, [*own, first], self.partner >= 0, path[0], 1)
        there = int(self.partner[first])
        chain = self._back(fast, there, fast.begin)
        self.add({"launch": int(fast.start[chain[0]]) - fast.begin}, first, -1)
        self._chain(fast, chain, self.matched_fast, first, -1)

    def _step(self, row: int, after: int) -> None:
        """From one instruction of the path to the next; both runs have both."""
        slow, fast = self.slow, self.fast
        r, q = int(self.partner[row]), int(self.partner[after])
        run = self._cost(row)
        self.add(self._link(slow, row, after, run), row, 1)
        self.add(self._link(fast, r, q, run), row, -1)

    @staticmethod
    def _link(run: _Run, row: int, after: int, cost: str) -> dict[str, int]:
        """The parts of one instruction up to the next of the path."""
        wait = _wait(run, after, row)
        parts = run.parts(row, int(run.start[after]), wait, cost)
        whole = int(run.start[row]) + run.length(row)
        if run.t.instructions.engine[row] != run.t.instructions.engine[after] and int(run.start[after]) < whole:
            # in this run the next one did not wait for this: its whole length counts, that it was hidden is overlap
            hidden = whole - int(run.start[after])
            parts = run.parts(row, whole, wait, cost)
            parts["missing overlap"] = parts.get("missing overlap", 0) - hidden
        return parts

    def _detour(self, row: int, after: int, between: list[int]) -> None:
        """Between two instructions of both, the longer run's path has others; so may the shorter's."""
        slow, fast = self.slow, self.fast
        r, q = int(self.partner[row]), int(self.partner[after])
        run = self._cost(row)
        self.add(slow.parts(row, int(slow.start[between[0]]), _wait(slow, between[0], row), run), row, 1)
        self._chain(slow, [*between, after], self.partner >= 0, row, 1)
        chain = self._back(fast, q, int(fast.start[r]))
        if chain[0] == r:
            self.add(fast.parts(r, int(fast.start[chain[1]]), _wait(fast, chain[1], r), run), row, -1)
            self._chain(fast, chain[1:], self.matched_fast, row, -1)
        else:
            # what reached over the common instruction's start
            self.add({"missing overlap": int(fast.start[chain[0]] - fast.start[r])}, row, -1)
            self._chain(fast, chain, self.matched_fast, row, -1)

    def _tail(self, last: int, own: list[int]) -> None:
        """From the last instruction of both to the end of both runs."""
        slow, fast = self.slow, self.fast
        r = int(self.partner[last])
        run = self._cost(last)
        end = "after the last instruction"
        if own:
            self.add(slow.parts(last, int(slow.start[own[0]]), _wait(slow, own[0], last), run), last, 1)
            self._chain(slow, own, self.partner >= 0, last, 1)
            self.add(self._named(slow, own[-1], slow.end, bool(self.partner[own[-1]] >= 0), end), last, 1)
        else:
            self.add(slow.parts(last, slow.end, end, run), last, 1)
        ending = analysis.critical_path(fast.t).rows.tolist()[-1]
        chain = self._back(fast, ending, int(fast.start[r])) if ending != r else [r]
        if chain[0] == r and len(chain) > 1:
            self.add(fast.parts(r, int(fast.start[chain[1]]), _wait(fast, chain[1], r), run), last, -1)
            chain = chain[1:]
        elif chain[0] == r:
            self.add(fast.parts(r, fast.end, end, run), last, -1)
            return
        else:
            self.add({"missing overlap": int(fast.start[chain[0]] - fast.start[r])}, last, -1)
        self._chain(fast, chain, self.matched_fast, last, -1)
        self.add(self._named(fast, chain[-1], fast.end, bool(self.matched_fast[chain[-1]]), end), last, -1)

    def _cost(self, row: int) -> str:
        """What a difference in an instruction's own time is called."""
        engine = self.slow.t.instructions.engine[row]
        same = engine == self.fast.t.instructions.engine[self.partner[row]]
        return f"{ENGINES[engine]} instructions" if same else "engine choice"

    @staticmethod
    def _back(run: _Run, row: int, since: int) -> list[int]:
        """`row` and what it waited for, back to the first that started no earlier than `since`; in order of time."""
        chain, before = [row], int(run.on[row])
        while before >= 0 and run.start[before] >= since:
            if run.kernel[before] and run.start[before] <= run.start[chain[-1]]:
                chain.append(before)
            before = int(run.on[before])
        return chain[::-1]

    def _chain(self, run: _Run, rows: list[int], matched: np.ndarray, at: int, sign: int) -> None:
        """From the first of `rows` to the last, each up to the next."""
        for row, following in pairwise(rows):
            parts = self._named(run, row, int(run.start[following]), bool(matched[row]),
                                _wait(run, following, row))
            self.add(parts, at, sign)

    @staticmethod
    def _named(run: _Run, row: int, until: int, matched: bool, wait: str) -> dict[str, int]:
        """The parts of an instruction off the common path: the other run has it elsewhere, or not at all."""
        engine = ENGINES[run.t.instructions.engine[row]]
        out: dict[str, int] = defaultdict(int)
        for name, ps in run.parts(row, until, wait, engine).items():
            if name == wait or name == "missing overlap":
                out[name] += ps
            elif matched:
                out["missing overlap"] += ps
            else:
                group = engine if name in (engine, "clock limiter") else "DMA"
                out[f"different instructions ({group})"] += ps
        return out


def _wait(run: _Run, row: int, before: int) -> str:
    """What the time between `before` and `row` is called, beyond `before` itself."""
    cause = CAUSES[run.t.instructions.wait_cause[row]]
    if cause == "engine" and run.on[row] != before:
        return "missing overlap"        # its engine was busy with other work, which the other run hides here
    return WAITS[cause]

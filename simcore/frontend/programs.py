"""The programs of one launch.

A launch runs its function once per program.  Programs on different cores (LNC=2) meet at barriers and exchanges, so
each runs in a thread of its own, but only one runs at a time: a program keeps the turn until it waits for the others or
ends. The order of turns is fixed, so the same launch records the same trace.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simcore.errors import KernelError
from simcore.frontend import state
from simcore.trace import Recorder


@dataclass
class Program:
    """One program: its index in each grid dimension and the core it runs on."""

    number: int
    index: tuple[int, ...]
    core: int
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    waiting: Any = None
    payload: Any = None
    done: bool = False
    result: Any = None
    error: BaseException | None = None
    allocations: int = 0


class Programs:
    """Runs a function once per program of a grid.  grid is a tuple of sizes, cores how many physical cores share it."""

    def __init__(self, rec: Recorder, grid: tuple[int, ...], cores: int, core_of: Callable | None = None):
        self.rec, self.grid, self.cores = rec, grid, cores
        total = 1
        for n in grid:
            total *= n
        indices = [_unravel(i, grid) for i in range(total)]
        self.programs = [Program(i, index, core_of(index) if core_of else i % cores) for i, index in enumerate(indices)]
        self.current = self.programs[0]
        self.back = threading.Semaphore(0)
        self.meetings: dict[Any, dict[int, Any]] = {}
        self.stopped = False

    def run(self, function: Callable[[], Any]) -> list[Any]:
        """Results of all programs, in order.  The first error of any program is raised."""
        if len(self.programs) == 1:
            return [function()]
        for p in self.programs:
            threading.Thread(target=self._thread, args=(p, function), daemon=True, name=f"program {p.number}").start()
        while not all(p.done for p in self.programs):
            ready = [p for p in self.programs if not p.done and (p.waiting is None or self._met(p.waiting))]
            if not ready:
                stuck = ", ".join(f"program {p.number} at its {p.waiting[1]}. {p.waiting[0][0]}" for p in self.programs
                                  if not p.done)
                self._stop()
                raise KernelError(f"the programs wait for each other and none can go on: {stuck}; every "
                                  "core must reach the same "
                                  "core_barrier and sendrecv calls")
            p = ready[0]
            self.current, p.waiting = p, None
            self.rec.core = p.core
            try:
                p.turn.release()
                self.back.acquire()
            except BaseException:       # the user interrupts: without a recorder, p ends at its next instruction
                state.begin(None)
                self.back.acquire()
                self._stop()
                raise
            if p.error is not None:
                self._stop()
                raise p.error
        return [p.result for p in self.programs]

    def _stop(self) -> None:
        """End the programs that still wait, so that their threads do not stay behind."""
        self.stopped = True
        for p in self.programs:
            if not p.done:
                p.turn.release()
                self.back.acquire()

    def _thread(self, p: Program, function) -> None:
        p.turn.acquire()
        try:
            if not self.stopped:
                p.result = function()
        except BaseException as e:      # handed to the launching thread, which raises it
            p.error = e
        p.done = True
        self.back.release()

    def _met(self, key) -> bool:
        return len(self.meetings.get(key, ())) >= self._expected(key)

    def _expected(self, key) -> int:
        return key[2] if isinstance(key, tuple) and len(key) > 2 else len(self.programs)

    def meet(self, key, payload=None, members: int | None = None,
             then: Callable[[dict], None] | None = None) -> dict[int, Any]:
        """Wait until `members` programs have come to the same key (all, by default); returns what each brought.

        then  called once, by the last to arrive, with what each brought by its program's number
        """
        p = self.current
        count = p.payload = (p.payload or {})
        nth = count[key] = count.get(key, 0) + 1
        meeting = (key, nth, members or len(self.programs))
        arrived = self.meetings.setdefault(meeting, {})
        arrived[p.number] = payload
        if self._met(meeting):
            if then is not None:
                then(arrived)
        else:
            p.waiting = meeting
            self.back.release()
            p.turn.acquire()
            if self.stopped:
                raise _Stopped
        return self.meetings[meeting]


class _Stopped(BaseException):
    """Another program of the launch failed."""


def _unravel(i: int, grid: tuple[int, ...]) -> tuple[int, ...]:
    out = []
    for n in reversed(grid):
        out.append(i % n)
        i //= n
    return tuple(reversed(out))


def programs() -> Programs:
    return state.current("nl.program_id").programs

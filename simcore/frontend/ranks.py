"""Several ranks of a collective on one machine.

Each rank is a launch of its own: own recorder, own memory, own trace.  Ranks run in threads that take turns, as the
programs of a launch do: a rank keeps the turn until it waits for others in a collective or ends, so a run is
deterministic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from simcore.errors import KernelError
from simcore.frontend import state
from simcore.trace import Trace

_local = threading.local()


def current() -> tuple[int, World | None]:
    """(rank, world) of the thread that starts a launch; (0, None) outside of `capture_ranks`."""
    return getattr(_local, "place", (0, None))


class World:
    """Ranks that take turns."""

    def __init__(self, ranks: int):
        self.ranks = ranks
        self.turns = [threading.Semaphore(0) for _ in range(ranks)]
        self.back = threading.Semaphore(0)
        self.waiting: list[Any] = [None] * ranks
        self.done = [False] * ranks
        self.results: list[Any] = [None] * ranks
        self.errors: list[BaseException | None] = [None] * ranks
        self.meetings: dict[Any, dict[int, Any]] = {}
        self.counts: dict[Any, int] = {}
        self.stopped = False

    def run(self, launch: Callable[[int], Any]) -> list[Any]:
        """Results of launch(rank) for every rank, in order.  The first error of any rank is raised."""
        for rank in range(self.ranks):
            threading.Thread(target=self._thread, args=(rank, launch), daemon=True, name=f"rank {rank}").start()
        while not all(self.done):
            ready = [r for r in range(self.ranks) if not self.done[r]
                     and (self.waiting[r] is None or self._met(self.waiting[r]))]
            if not ready:
                stuck = ", ".join(f"rank {r} at {self.waiting[r][0][0]}" for r in range(self.ranks) if not self.done[r])
                self._stop()
                raise KernelError(f"the ranks wait for each other and none can go on: {stuck}; every rank of a group "
                                  "must reach the same collectives")
            rank = ready[0]
            self.waiting[rank] = None
            self.turns[rank].release()
            try:
                self.back.acquire()
            except BaseException:       # the user interrupts: without a recorder, the rank ends at its next instruction
                state.begin(None)
                self.back.acquire()
                self._stop()
                raise
            if self.errors[rank] is not None:
                self._stop()
                raise self.errors[rank]
        return self.results

    def _stop(self) -> None:
        self.stopped = True
        for rank in range(self.ranks):
            if not self.done[rank]:
                self.turns[rank].release()
                self.back.acquire()

    def _thread(self, rank: int, launch) -> None:
        self.turns[rank].acquire()
        _local.place = (rank, self)
        before = state.begin(None)
        try:
            if not self.stopped:
                self.results[rank] = launch(rank)
        except BaseException as e:      # handed to the launching thread, which raises it
            self.errors[rank] = e
        state.begin(before)
        self.done[rank] = True
        self.back.release()

    def _met(self, meeting) -> bool:
        return len(self.meetings[meeting]) >= meeting[1]

    def meet(self, rank: int, key: tuple, members: int, payload, then: Callable[[dict], None]) -> None:
        """Wait until `members` ranks have come to the same key; the last calls `then` with what each brought."""
        nth = self.counts[key, rank] = self.counts.get((key, rank), 0) + 1
        meeting = ((*key, nth), members)
        arrived = self.meetings.setdefault(meeting, {})
        arrived[rank] = payload
        if self._met(meeting):
            then(arrived)
            return
        rec = state.recorder
        self.waiting[rank] = meeting
        self.back.release()
        self.turns[rank].acquire()
        state.begin(rec)
        if self.stopped:
            raise KernelError("another rank failed")


def capture_ranks(kernel: Callable, inputs: Sequence[Any] | Callable[[int], Any], ranks: int | None = None, *,
                  target: str | None = None, values: bool | None = None, lnc: int | None = None) -> list[Trace]:
    """Run a kernel on several ranks that exchange data through `nki.collectives`; returns one Trace per rank.

    inputs  what each rank is called with: a sequence of tuples (positional) or dicts (by name), or a function of the
            rank
    ranks   how many there are; by default as many as inputs
    target, values, lnc  as of `simcore.capture`
    """
    from simcore.frontend.activation import activate
    from simcore.frontend.jit import Launch, unwrap
    from simcore.frontend.launch import Session, check_target, record, session, use_session

    count = ranks if ranks is not None else len(inputs)      # type: ignore[arg-type]
    given = [inputs(r) if callable(inputs) else inputs[r] for r in range(count)]
    function, grid = unwrap(kernel)
    shape = Launch.of(grid, lnc)

    def launch(rank: int) -> Trace:
        one = given[rank]
        return record(function, (), one, shape) if isinstance(one, dict) else record(function, tuple(one), {}, shape)

    settings = Session(check_target(target or session().target), session().values if values is None else values, lnc,
                       release=session().release)
    with activate(), use_session(settings):
        traces = World(count).run(launch)
        state.begin(None)
    return traces

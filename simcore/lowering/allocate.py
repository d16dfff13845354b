"""Addresses: where each tile lies, and which earlier tiles' place it takes.

The compiler gives a tile an address for as long as it is alive (first to last access).  It spreads tiles over the free
memory before it uses a place again, because a tile that takes a used place waits for the last reader of the one before.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from typing import NoReturn

import numpy as np

from simcore.errors import CapacityError
from simcore.layout import psum, sbuf
from simcore.lowering.units import Units
from simcore.machine import Machine
from simcore.trace import Trace

ALIGN = 32


class Arena:
    """Free intervals of a memory, taken in rotation; packed: small tiles from the bottom, large ones from the top."""

    def __init__(self, size: int, packed: bool = False):
        self.size, self.packed = size, packed
        self.free: list[tuple[int, int]] = [(0, size)]
        self.at = 0

    def take(self, size: int) -> int | None:
        """The first free place of `size` at or after the last one taken, else the first free place, else None."""
        if self.packed:
            return self._pack(size)
        fallback = None
        for i, (a, b) in enumerate(self.free):
            start = max(a, self.at)
            if b - start >= size:
                return self._cut(i, start, size)
            if fallback is None and b - a >= size:
                fallback = i
        if fallback is None:
            return None
        return self._cut(fallback, self.free[fallback][0], size)

    def _pack(self, size: int) -> int | None:
        large = size * 32 >= self.size
        fits = [i for i, (a, b) in enumerate(self.free) if b - a >= size]
        if not fits:
            return None
        i = fits[-1] if large else fits[0]
        return self._cut(i, self.free[i][1] - size if large else self.free[i][0], size)

    def _cut(self, i: int, start: int, size: int) -> int:
        a, b = self.free[i]
        left = [(a, start)] if start > a else []
        right = [(start + size, b)] if start + size < b else []
        self.free[i:i + 1] = left + right
        self.at = start + size if start + size < self.size else 0
        return start

    def give(self, start: int, size: int) -> None:
        """Return a place, merging it with free neighbours."""
        end = start + size
        i = 0
        while i < len(self.free) and self.free[i][1] < start:
            i += 1
        j = i
        while j < len(self.free) and self.free[j][0] <= end:
            start, end = min(start, self.free[j][0]), max(end, self.free[j][1])
            j += 1
        self.free[i:j] = [(start, end)]


class Placement:
    """Where the tiles of a trace lie.

    address      per storage: byte within the partition, -1 for HBM and unused tiles
    size         bytes per partition
    born, died   first and last instruction that touches it
    before       (earlier storage, later storage): the later one takes (part of) the earlier one's place
    """

    def __init__(self, count: int):
        self.address = np.full(count, -1, np.int64)
        self.size = np.zeros(count, np.int64)
        self.born = np.full(count, -1, np.int64)
        self.died = np.full(count, -1, np.int64)
        self.before: list[tuple[int, int]] = []


def place(trace: Trace, machine: Machine, units: Units, *, packed: bool = False) -> Placement:
    """Give every on-chip tile an address.  Raises CapacityError, naming what fills the memory, when it does not fit.

    packed leaves large gaps together in SBUF instead of using all of it in turn.
    """
    placement = Placement(len(trace.storages))
    at = units.unit[np.repeat(np.arange(len(trace)), np.diff(trace.access_start))]
    storage = trace.region_storage[trace.access]
    placement.born[:] = len(trace)
    np.minimum.at(placement.born, storage, at)
    np.maximum.at(placement.died, storage, at)
    placement.born[placement.died < 0] = -1
    for kept, dropped in units.same:
        placement.died[kept] = max(placement.died[kept], placement.died[dropped])
        placement.born[dropped] = placement.died[dropped] = -1
    for core in range(max(1, trace.cores)):
        for buffer in (sbuf, psum):
            bundles = units.bundles if buffer is psum else []
            _place_memory(trace, machine, placement, buffer, core, bundles, packed and buffer is sbuf)
    return placement


def _capacity(machine: Machine, buffer) -> tuple[int, int]:
    """(bytes per partition, granularity of a place)."""
    if buffer is psum:
        return machine.psum.banks * machine.psum.bank_bytes_per_partition, machine.psum.bank_bytes_per_partition
    return machine.sbuf.get("usable_bytes_per_partition") or machine.sbuf.bytes_per_partition, ALIGN


def _place_memory(trace: Trace, machine: Machine, p: Placement, buffer, core: int, bundles: list[list[int]],
                  packed: bool) -> None:
    size, grain = _capacity(machine, buffer)
    tiles = [s for s in trace.storages if s.buffer is buffer and s.core == core and p.born[s.id] >= 0]
    followers: dict[int, list[int]] = {}                         # tiles that share the place of another
    for bundle in bundles:
        head, *rest = sorted(bundle, key=lambda i: (p.born[i], i))
        followers[head] = rest
        p.died[head] = max(p.died[i] for i in bundle)
    inside = {i for rest in followers.values() for i in rest}
    tiles = [s for s in tiles if s.id not in inside]
    tiles.sort(key=lambda s: (p.born[s.id], s.id))
    arena = Arena(size, packed)
    alive: list[tuple[int, int, int, int]] = []                  # (died, id, address, size)
    held = _Occupants()
    for s in tiles:
        born, died = int(p.born[s.id]), int(p.died[s.id])
        need = -(-max(1, s.bytes_per_partition) // grain) * grain if s.address is None else s.bytes_per_partition
        p.size[s.id] = need
        if s.address is not None:
            start = s.address[-1]
            if start + need > size:
                raise CapacityError(f"tile {s.name} at byte {start} of a partition needs {need} bytes and leaves the "
                                    f"{size} of {buffer.value}", site=_site(trace, s))
        else:
            while alive and alive[0][0] < born:
                _, _, at, n = heapq.heappop(alive)
                arena.give(at, n)
            start = arena.take(need)
            while start is None and alive and alive[0][0] == born:      # written where its last input was read
                _, _, at, n = heapq.heappop(alive)
                arena.give(at, n)
                start = arena.take(need)
            if start is None:
                _overflow(trace, p, tiles, s, buffer, size, need)
            heapq.heappush(alive, (died, s.id, start, need))
        p.address[s.id] = start
        for other in held.replace(start, start + need, s.id):
            if p.died[other] < died or s.address is not None:
                p.before += [(old, new) for old in (other, *followers.get(other, ()))
                             for new in (s.id, *followers.get(s.id, ()))]


class _Occupants:
    """Who held each byte range last: disjoint spans, ascending, in parallel lists."""

    def __init__(self):
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.holders: list[int] = []

    def replace(self, start: int, end: int, storage: int) -> list[int]:
        """Give [start, end) to `storage`; returns who held parts of it."""
        i = bisect_right(self.starts, start)
        if i and self.ends[i - 1] > start:
            i -= 1
        j = bisect_left(self.starts, end, i)
        out = self.holders[i:j]
        starts, ends, holders = [start], [end], [storage]
        if i < j and self.starts[i] < start:
            starts.insert(0, self.starts[i])
            ends.insert(0, start)
            holders.insert(0, self.holders[i])
        if i < j and self.ends[j - 1] > end:
            starts.append(end)
            ends.append(self.ends[j - 1])
            holders.append(self.holders[j - 1])
        self.starts[i:j], self.ends[i:j], self.holders[i:j] = starts, ends, holders
        return list(dict.fromkeys(out))


def _site(trace, storage):
    return trace.sites[storage.site] if storage.site is not None and storage.site >= 0 else None


def _overflow(trace, p, tiles, storage, buffer, size, need) -> NoReturn:
    born = p.born[storage.id]
    alive = [t for t in tiles if p.address[t.id] >= 0 and p.died[t.id] >= born and p.born[t.id] <= born]
    alive.sort(key=lambda t: -p.size[t.id])
    used = int(sum(p.size[t.id] for t in alive))
    lines = ", ".join(f"{t.name} {p.size[t.id]} B ({'x'.join(map(str, t.shape))} {t.dtype}"
                      + (f", line {_site(trace, t).line}" if _site(trace, t) else "") + ")" for t in alive[:5])
    more = f" and {len(alive) - 5} more" if len(alive) > 5 else ""
    hint = ("use fewer or smaller tiles at once, or evict results to SBUF sooner" if buffer is psum
            else "use smaller tiles, or load them later")
    if need > size:
        raise CapacityError(f"tile {storage.name} needs {need} bytes per partition, and "
                            f"{buffer.value.upper()} has {size}; "
                            "use smaller tiles", site=_site(trace, storage))
    raise CapacityError(f"{buffer.value.upper()} is full: tile {storage.name} needs {need} bytes per partition, {used} "
                        f"of {size} are in use by {len(alive)} tiles: {lines}{more}; {hint}",
                        site=_site(trace, storage))

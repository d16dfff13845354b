"""Addresses: where each tile lies, and which earlier tiles' place it takes.

The compiler gives a tile an address for as long as it is alive (first to last access).  It spreads tiles over the free
memory before it uses a place again, because a tile that takes a used place waits for the last reader of the one before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Literal, NoReturn

import numpy as np

from simcore.errors import CapacityError
from simcore.layout import psum, sbuf
from simcore.lowering.fit import fit, quarters
from simcore.lowering.units import Units
from simcore.machine import Machine
from simcore.ordering import stable_order
from simcore.trace import Trace

Mode = Literal["rotate", "apart", "packed", "fitted"]


class Arena:
    """Free intervals of [base, base + size), taken in rotation; packed: small tiles from the bottom, large ones from
    the top.

    The intervals are disjoint and ascending, in parallel lists of starts and ends.
    """

    def __init__(self, size: int, base: int = 0, packed: bool = False):
        self.base, self.end, self.packed = base, base + size, packed
        self.starts, self.ends = [base], [self.end]
        self.at = base

    def take(self, size: int) -> int | None:
        """The first free place of `size` at or after the last one taken, else the first free place, else None."""
        if self.packed:
            return self._pack(size)
        starts, ends, at = self.starts, self.ends, self.at
        for i in range(bisect_right(ends, at), len(ends)):
            start = starts[i]
            if start < at:
                start = at
            if ends[i] - start >= size:
                return self._cut(i, start, size)
        for i, start in enumerate(starts):
            if ends[i] - start >= size:
                return self._cut(i, start, size)
        return None

    def _pack(self, size: int) -> int | None:
        large = size * 32 >= self.end - self.base
        fits = [i for i, (a, b) in enumerate(zip(self.starts, self.ends, strict=True)) if b - a >= size]
        if not fits:
            return None
        i = fits[-1] if large else fits[0]
        return self._cut(i, self.ends[i] - size if large else self.starts[i], size)

    def _cut(self, i: int, start: int, size: int) -> int:
        starts, ends, end = self.starts, self.ends, start + size
        left, right = starts[i] < start, end < ends[i]
        if left and right:
            starts.insert(i + 1, end)
            ends.insert(i, start)
        elif right:
            starts[i] = end
        elif left:
            ends[i] = start
        else:
            del starts[i], ends[i]
        self.at = end if end < self.end else self.base
        return start

    def give(self, start: int, size: int) -> None:
        """Return a place, merging it with free neighbours."""
        starts, ends, end = self.starts, self.ends, start + size
        i = bisect_left(ends, start)
        j = bisect_right(starts, end, i)
        if i == j:
            starts.insert(i, start)
            ends.insert(i, end)
            return
        starts[i] = min(start, starts[i])
        ends[i] = max(end, ends[j - 1])
        if j > i + 1:
            del starts[i + 1:j], ends[i + 1:j]


class Apart:
    """An arena for each power of two of sizes: small tiles that stay do not cut up the room for large ones.

    Each gets what its tiles need at once, and what is left over in proportion to the bytes that pass through.
    """

    def __init__(self, size: int, grain: int, born: np.ndarray, died: np.ndarray, need: np.ndarray):
        bits = np.array([int(n).bit_length() for n in need.tolist()], np.int64)
        groups = [(b, bits == b) for b in np.unique(bits).tolist()]
        peaks = [_peak(born[mine], died[mine], need[mine]) for _, mine in groups]
        want, passing = sum(peaks), max(1, int(need.sum()))
        left = max(0, size - want)
        self.own: dict[int, Arena] = {}
        base = 0
        for (b, mine), peak in zip(groups, peaks, strict=True):
            share = peak + left * int(need[mine].sum()) // passing if left else peak * size // want
            share = min(share // grain * grain, size - base)
            self.own[b] = Arena(share, base)
            base += share
        self.all = list(self.own.values())

    def take(self, size: int) -> int | None:
        """A place in the arena of this size, or in another one where that is full."""
        first = self.own[size.bit_length()]
        found = first.take(size)
        for arena in self.all if found is None else ():
            if found is None and arena is not first:
                found = arena.take(size)
        return found

    def give(self, start: int, size: int) -> None:
        next(a for a in self.all if a.base <= start < a.end).give(start, size)


def _peak(born: np.ndarray, died: np.ndarray, need: np.ndarray) -> int:
    """The most that is alive at once; a tile may take the place of one that dies where it is born."""
    at = np.concatenate([born * 2 + 1, died * 2 + 2])
    change = np.concatenate([need, -need])
    return int(np.cumsum(change[stable_order(at)]).max(initial=0))


class Placement:
    """Where the tiles of a trace lie.

    address      per storage: byte within the partition, -1 for HBM and unused tiles
    size         bytes per partition
    born, died   first and last instruction that touches it
    before       rows of (earlier storage, later storage): the later one takes (part of) the earlier one's place
    """

    def __init__(self, count: int):
        self.address = np.full(count, -1, np.int64)
        self.size = np.zeros(count, np.int64)
        self.born = np.full(count, -1, np.int64)
        self.died = np.full(count, -1, np.int64)
        self.before = np.zeros((0, 2), np.int64)


def place(trace: Trace, machine: Machine, units: Units, mode: Mode = "rotate") -> Placement:
    """Give every on-chip tile an address.  Raises CapacityError, naming what fills the memory, when it does not fit.

    mode  how SBUF is given: all of it in turn ("rotate"), in turn with tiles of different size in different parts
          ("apart"), with the gaps left together ("packed"), or, as PSUM too, to the largest tile first ("fitted")
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
    before: list[int] = []
    for core in range(max(1, trace.cores)):
        for buffer in (sbuf, psum):
            bundles = units.bundles if buffer is psum else []
            way: Mode = mode if buffer is sbuf or mode == "fitted" else "rotate"
            before += _place_memory(trace, machine, placement, buffer, core, bundles, way)
    placement.before = np.array(before, np.int64).reshape(-1, 2)
    return placement


def capacity(machine: Machine, buffer) -> tuple[int, int]:
    """(bytes per partition, granularity of a place)."""
    if buffer is psum:
        return machine.psum.banks * machine.psum.bank_bytes_per_partition, machine.psum.bank_bytes_per_partition
    return machine.sbuf.get("usable_bytes_per_partition") or machine.sbuf.bytes_per_partition, machine.sbuf.align_bytes


def _place_memory(trace: Trace, machine: Machine, p: Placement, buffer, core: int, bundles: list[list[int]],
                  mode: Mode) -> list[int]:
    """Fill in the tiles of one memory.  Returns who takes whose place: earlier storage, later storage, and so on."""
    size, grain = capacity(machine, buffer)
    kinds, kind = trace.storage_kinds
    here = np.array([k.buffer is buffer and k.core == core for k in kinds], bool)
    tiles = np.flatnonzero(here[kind] & (p.born >= 0))
    followers: dict[int, list[int]] = {}                         # tiles that share the place of another
    for bundle in bundles:
        head, *rest = sorted(bundle, key=lambda i: (p.born[i], i))
        followers[head] = rest
        p.died[head] = max(p.died[i] for i in bundle)
    if followers:
        tiles = tiles[~np.isin(tiles, [i for rest in followers.values() for i in rest])]
    tiles = tiles[stable_order(p.born[tiles])]
    own = np.array([k.bytes_per_partition for k in kinds], np.int64)[kind[tiles]]
    asked = np.array([-1 if k.address is None else k.address[-1] for k in kinds], np.int64)[kind[tiles]]
    p.size[tiles] = np.where(asked >= 0, own, -(-np.maximum(1, own) // grain) * grain)
    if mode == "fitted":
        return _place_fitted(trace, machine, p, tiles, size, grain, own, followers)
    # in the order in which they die; those without an address of their own give their place back then
    mortal = tiles[asked < 0]
    dying = mortal[stable_order(p.died[mortal], mortal)].tolist()
    died, need, address = p.died.tolist(), p.size.tolist(), p.address.tolist()
    next_death, given = 0, set[int]()
    arena = (Apart(size, grain, p.born[mortal], p.died[mortal], p.size[mortal]) if mode == "apart"
             else Arena(size, packed=mode == "packed"))
    held = _Occupants()
    take, give, replace = arena.take, arena.give, held.replace
    before: list[int] = []
    for tile, born, at in zip(tiles.tolist(), p.born[tiles].tolist(), asked.tolist(), strict=True):
        room, end = need[tile], died[tile]
        if at >= 0:
            start = at
            if start + room > size:
                s = trace.storages[tile]
                raise CapacityError(f"tile {s.name} at byte {start} of a partition needs {room} bytes and leaves the "
                                    f"{size} of {buffer.value}", site=_site(trace, s))
        else:
            while died[dying[next_death]] < born:                # ends at this tile at the latest
                other = dying[next_death]
                next_death += 1
                if other not in given:
                    give(address[other], need[other])
            found = take(room)
            if found is None:
                for k in range(next_death, len(dying)):          # written where its last input was read
                    other = dying[k]
                    if died[other] != born or found is not None:
                        break
                    if address[other] >= 0 and other not in given:
                        given.add(other)
                        give(address[other], need[other])
                        found = take(room)
            if found is None:
                _overflow(trace, p, [i for i in tiles.tolist() if address[i] >= 0], tile, size)
            start = found
        address[tile] = start
        for other in replace(start, start + room, tile):
            if died[other] < end or at >= 0:
                if followers:
                    for old in (other, *followers.get(other, ())):
                        for new in (tile, *followers.get(tile, ())):
                            before += (old, new)
                else:
                    before += (other, tile)
    p.address[:] = address
    return before


def _place_fitted(trace: Trace, machine: Machine, p: Placement, tiles: np.ndarray, size: int, cell: int,
                  own: np.ndarray, followers: dict[int, list[int]]) -> list[int]:
    """As _place_memory, with the addresses of lowering/fit.py."""
    kept = [trace.storages[i] for i in tiles.tolist()]
    asked = np.array([-1 if s.address is None else s.address[-1] for s in kept], np.int64)
    start = np.array([0 if s.address is None else s.address[0] for s in kept], np.int64)
    align = machine.sbuf.align_bytes
    p.size[tiles] = np.where(asked >= 0, own, -(-np.maximum(1, own) // align) * align)
    at, where = fit(size, cell if cell > align else 1, p.born[tiles], p.died[tiles], p.size[tiles],
                    np.array([s.shape[0] for s in kept], np.int64), asked, start)
    if (at < 0).any():
        lost = int(np.flatnonzero(at < 0)[0])
        _overflow(trace, p, tiles[at >= 0].tolist(), int(tiles[lost]), size)
    p.address[tiles] = at
    held = [_Occupants() for _ in range(4)]
    before: list[int] = []
    for tile, a, mask, fixed in zip(tiles.tolist(), at.tolist(), where.tolist(), (asked >= 0).tolist(), strict=True):
        others = [o for q in quarters(mask) for o in held[q].replace(a, a + int(p.size[tile]), tile)]
        for other in dict.fromkeys(others):
            if p.died[other] < p.died[tile] or fixed:
                for old in (other, *followers.get(other, ())):
                    for new in (tile, *followers.get(tile, ())):
                        before += (old, new)
    return before


class _Occupants:
    """Who held each byte range last: disjoint spans, ascending, in parallel lists."""

    def __init__(self):
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.holders: list[int] = []

    def replace(self, start: int, end: int, storage: int) -> list[int]:
        """Give [start, end) to `storage`; returns who held parts of it, each once."""
        starts, ends, holders = self.starts, self.ends, self.holders
        i = bisect_right(ends, start)
        j = bisect_left(starts, end, i)
        if j == i + 1 and starts[i] == start and ends[i] == end:
            out, holders[i] = [holders[i]], storage     # the same place again, as in most loops
            return out
        out = holders[i:j]
        new_starts, new_ends, new_holders = [start], [end], [storage]
        if out:
            if starts[i] < start:
                new_starts.insert(0, starts[i])
                new_ends.insert(0, start)
                new_holders.insert(0, out[0])
            if ends[j - 1] > end:
                new_starts.append(end)
                new_ends.append(ends[j - 1])
                new_holders.append(out[-1])
        starts[i:j], ends[i:j], holders[i:j] = new_starts, new_ends, new_holders
        return out if len(out) < 2 else list(dict.fromkeys(out))


def _site(trace, storage):
    return trace.sites[storage.site] if storage.site is not None and storage.site >= 0 else None


def _overflow(trace: Trace, p: Placement, placed: list[int], tile: int, size: int) -> NoReturn:
    storage, born, need = trace.storages[tile], p.born[tile], int(p.size[tile])
    memory = storage.buffer
    alive = [trace.storages[i] for i in placed if p.died[i] >= born]
    alive.sort(key=lambda t: -p.size[t.id])
    used = int(sum(p.size[t.id] for t in alive))
    lines = ", ".join(f"{t.name} {p.size[t.id]} B ({'x'.join(map(str, t.shape))} {t.dtype}"
                      + (f", line {_site(trace, t).line}" if _site(trace, t) else "") + ")" for t in alive[:5])
    more = f" and {len(alive) - 5} more" if len(alive) > 5 else ""
    hint = ("use fewer or smaller tiles at once, or evict results to SBUF sooner" if memory is psum
            else "use smaller tiles, or load them later")
    if need > size:
        raise CapacityError(f"tile {storage.name} needs {need} bytes per partition, and {memory.value.upper()} has "
                            f"{size}; use smaller tiles", site=_site(trace, storage))
    raise CapacityError(f"{memory.value.upper()} is full: tile {storage.name} needs {need} bytes per partition, {used} "
                        f"of {size} are in use by {len(alive)} tiles: {lines}{more}; {hint}",
                        site=_site(trace, storage), memory=memory.value)

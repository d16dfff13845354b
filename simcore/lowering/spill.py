"""Spilling: what the compiler does where SBUF cannot hold the tiles alive at once.

The tile whose next use is farthest away goes to HBM and comes back before that use (Belady's rule); it is written out
once for each time it changes.  A tile that holds what a load brought from an argument is not written out: the load is
done again (measured: a matmul that overflows SBUF reads its right side 32 times and saves nothing, NKIBench on trn1).
That the compiler spills is documented by its metrics (`spill_save_bytes`, `spill_reload_bytes`); which tile it chooses
is not, so the rule is inferred.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

import numpy as np

from simcore.errors import CapacityError
from simcore.layout import layout, private_hbm, row_major, sbuf
from simcore.lowering.dependences import accesses
from simcore.lowering.edits import edited
from simcore.lowering.transfers import transfer
from simcore.tensor import Storage
from simcore.trace import Trace


def spill(trace: Trace, limit: int, align: int, order: np.ndarray) -> Trace:
    """The trace with saves and reloads, so that at most `limit` bytes per partition of tiles are alive at once.

    align  a tile takes a multiple of this
    order  its instructions in the order they shall have
    Raises CapacityError when the tiles of one instruction alone need more.
    """
    return _Spiller(trace, limit, align, order).run()


class _Spiller:
    def __init__(self, trace: Trace, limit: int, align: int, order: np.ndarray):
        self.trace, self.limit, self.align, self.order = trace, limit, align, order
        self.storages = list(trace.storages)
        self.variants, self.layouts = list(trace.variants), list(trace.layouts)
        self.known: dict[tuple, int] = {}
        self.where = {id(lay): k for k, lay in enumerate(self.layouts)}
        self.regions = [list(x) for x in zip(trace.region_storage.tolist(), trace.region_layout.tolist(),
                                             trace.region_offset.tolist(), strict=True)]
        self.columns: list[tuple[int, int, int, list[int]]] = []        # variant, site, core, regions
        self.moved: dict[tuple[int, int], int] = {}                     # (region, storage) -> region there
        self.now: dict[int, int] = {}                                   # tile -> storage that holds it now
        self.saved: dict[int, int] = {}                                 # tile -> storage in HBM with its content
        self.home: dict[int, int] = {}                                  # tile -> its storage in HBM
        self.loaded: dict[int, int] = {}                                # tile -> the load that brought its content
        self.resident: list[dict[int, int]] = [{} for _ in range(max(1, trace.cores))]
        self.used = [0] * max(1, trace.cores)
        self.moves = 0                                                  # bytes saved and reloaded

    def run(self) -> Trace:
        t = self.trace
        instruction, _, writes = accesses(t)
        stores = t.region_storage[t.access]
        movable = np.array([s.buffer is sbuf and s.address is None and s.kind == "tile" for s in t.storages], bool)
        self.uses: dict[int, list[int]] = defaultdict(list)
        at = np.empty(len(t), np.int64)
        at[self.order] = np.arange(len(t))
        for i, s in zip(at[instruction[movable[stores]]].tolist(), stores[movable[stores]].tolist(), strict=True):
            self.uses[s].append(i)
        for uses in self.uses.values():
            uses.sort()
        number = np.zeros(len(t), np.int64)
        starts, access, written = t.access_start.tolist(), t.access.tolist(), writes.tolist()
        stores, can = stores.tolist(), movable.tolist()
        variants, sites, cores = t.variant.tolist(), t.site.tolist(), t.core.tolist()
        changed = set(t.region_storage[t.access[writes]].tolist())
        for position, i in enumerate(self.order.tolist()):
            variant, site, core = variants[i], sites[i], cores[i]
            span = range(starts[i], starts[i + 1])
            tiles = {stores[k] for k in span if can[stores[k]]}
            for s in sorted(tiles):
                self._bring(s, position, site, core, tiles)
            number[i] = len(self.columns)
            self.columns.append((variant, site, core, [self._region(access[k], stores[k]) for k in span]))
            for k in span:
                if written[k]:
                    self.saved.pop(stores[k], None)
                    self.loaded.pop(stores[k], None)
            v = self.trace.variants[variant]
            if v.name == "dma_copy" and v["dst"].buffer is sbuf and not v["src"].on_chip:
                to, source = (stores[starts[i] + k] for k in (0, 1))
                if source not in changed and t.storages[to].nbytes == v["dst"].nbytes and v["src"].indirect is None:
                    self.loaded[to] = i
            for s in tiles:
                if self.uses[s][-1] == position:
                    self.used[core] -= self.resident[core].pop(s)
        return edited(self.trace, self.columns, self.regions, number, variants=self.variants, layouts=self.layouts,
                      storages=self.storages, info=self.trace.info | {"spilled_bytes": self.moves})

    # ------------------------------------------------------------------------------ tiles in and out

    def _bring(self, s: int, i: int, site: int, core: int, keep: set[int]) -> None:
        resident = self.resident[core]
        if s in resident:
            return
        need = -(-self.storages[s].bytes_per_partition // self.align) * self.align
        while self.used[core] + need > self.limit:
            others = [o for o in resident if o not in keep]
            if not others:
                raise CapacityError(f"SBUF is full: one instruction's tiles need more than {self.limit} bytes per "
                                    "partition", site=self.trace.sites[site] if site >= 0 else None)
            victim = max(others, key=lambda o: (self._next(o, i), o))
            self.used[core] -= resident.pop(victim)
            if victim not in self.saved and victim not in self.loaded:
                if victim not in self.home:
                    self.home[victim] = self._new(victim, private_hbm, "spill")
                self._copy(self.home[victim], self.now.get(victim, victim), site, core)
                self.saved[victim] = self.home[victim]
        resident[s] = need
        self.used[core] += need
        if s in self.loaded:
            load, t = self.loaded[s], self.trace
            self.now[s] = self._new(s, sbuf, "reload")
            dst, src = t.regions(load).tolist()
            self.columns.append((int(t.variant[load]), int(t.site[load]), core, [self._region(dst, s), src]))
            self.moves += self.storages[s].nbytes
        elif s in self.saved:
            self.now[s] = self._new(s, sbuf, "reload")
            self._copy(self.now[s], self.saved[s], site, core)

    def _next(self, s: int, i: int) -> int:
        uses = self.uses[s]
        return uses[bisect_right(uses, i)] if uses[-1] > i else len(self.trace)

    def _new(self, s: int, buffer, what: str) -> int:
        old = self.trace.storages[s]
        self.storages.append(Storage(len(self.storages), f"{old.name} ({what})", old.shape, old.dtype, buffer,
                                     site=old.site, kind="tile", core=old.core, born=old.born))
        return len(self.storages) - 1

    def _region(self, region: int, tile: int) -> int:
        place = self.now.get(tile, tile)
        if place == tile:
            return region
        found = self.moved.get((region, place))
        if found is None:
            found = self.moved[region, place] = len(self.regions)
            self.regions.append([place, *self.regions[region][1:]])
        return found

    def _copy(self, dst: int, src: int, site: int, core: int) -> None:
        a, b = self._whole(dst), self._whole(src)
        key = (self.regions[a][1], self.regions[b][1])
        variant = self.known.get(key)
        if variant is None:
            variant = self.known[key] = len(self.variants)
            self.variants.append(transfer(variant, *(self.layouts[k] for k in key)))
        self.moves += self.layouts[key[0]].nbytes
        self.columns.append((variant, site, core, [a, b]))

    def _whole(self, s: int) -> int:
        """The region that is all of a storage."""
        storage = self.storages[s]
        lay = layout(storage.shape, row_major(storage.shape), storage.dtype, storage.buffer)
        k = self.where.get(id(lay))
        if k is None:
            k = self.where[id(lay)] = len(self.layouts)
            self.layouts.append(lay)
        found = self.moved.get((-1, s))
        if found is None:
            found = self.moved[-1, s] = len(self.regions)
            self.regions.append([s, k, 0])
        return found

"""What the kernel wrote, as the rewriting of loops looks it up: the same for every way the compiler may try."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cached_property

import numpy as np

from simcore.layout import psum, sbuf
from simcore.lowering.dependences import DATA, accesses
from simcore.ordering import first_seen, runs, stable_order
from simcore.trace import Trace, Variant

_PURE = ("tensor_tensor", "tensor_scalar", "activation", "memset", "iota", "reciprocal", "affine_select")


class Written:
    """A trace and its dependences, in lists.

    variant        per instruction
    start, access  where in `access` its regions begin
    tile           per region: its storage
    writes         per storage: how many instructions write it
    """

    def __init__(self, trace: Trace, producer: np.ndarray, consumer: np.ndarray, cause: np.ndarray):
        self.trace, self.n = trace, len(trace)
        self.edges = producer, consumer, cause
        variants = np.empty(len(trace.variants), object)
        variants[:] = trace.variants
        self.variant: list[Variant] = variants[trace.variant].tolist()
        self.start, self.access = trace.access_start.tolist(), trace.access.tolist()
        self.tile = trace.region_storage.tolist()
        self.instruction, _, self.changing = accesses(trace)
        self.entry_tile = trace.region_storage[trace.access]
        self.writes = np.bincount(self.entry_tile[self.changing], minlength=len(trace.storages)).tolist()
        kinds, kind = trace.storage_kinds
        self.nbytes = np.array([k.nbytes for k in kinds], np.int64)[kind].tolist()
        self.after, self.before = _table(producer, consumer, cause, self.n), _table(consumer, producer, cause, self.n)

    def storage(self, i: int, k: int) -> int:
        return self.tile[self.access[self.start[i] + k]]

    def regions(self, i: int) -> list[int]:
        return self.access[self.start[i]:self.start[i + 1]]

    def readers(self, i: int) -> list[int]:
        return [j for j, why in self.after(i) if why == DATA]

    def reads_input(self, i: int) -> bool:
        return any(self.trace.storages[self.tile[r]].kind == "input" for r in self.regions(i))

    def of(self, test: Callable[[Variant], bool]) -> list[int]:
        """The instructions of the variants that pass a test."""
        table = np.array([test(v) for v in self.trace.variants], bool)
        return np.flatnonzero(table[self.trace.variant]).tolist()

    @cached_property
    def lines(self) -> list[tuple[Variant, list[int]]]:
        """Instructions of one variant and source line, in the order in which the lines are met."""
        number, first = first_seen(self.trace.site, self.trace.variant)
        order = stable_order(number)
        begins = np.flatnonzero(runs(number[order]))[1:]
        return [(self.variant[i], rows.tolist()) for i, rows in zip(first.tolist(), np.split(order, begins),
                                                                    strict=True)]

    @cached_property
    def copies(self) -> dict[int, tuple[int, int]]:
        """(SBUF storage, PSUM storage) of the instructions that copy a PSUM tile to SBUF."""
        out = {}
        for i in self.of(lambda v: v.name == "tensor_copy" and v["src"].buffer is psum and v["dst"].buffer is sbuf):
            names = [o.name for o in self.variant[i].operands]
            out[i] = self.storage(i, names.index("dst")), self.storage(i, names.index("src"))
        return out

    @cached_property
    def forwardable(self) -> list[list[int]]:
        """Per source line: copies out of PSUM whose readers could all read PSUM."""
        able: dict[int, list[int]] = {}
        for i, (tile, _) in self.copies.items():
            v = self.variant[i]
            if v["src"].dtype is not v["dst"].dtype or v["src"].free != v["dst"].free:
                continue
            readers = self.readers(i)
            if readers and all(self._reads_psum(j, tile, v["dst"].free) for j in readers):
                able.setdefault(int(self.trace.site[i]), []).append(i)
        return list(able.values())

    def _reads_psum(self, j: int, tile: int, copied: int) -> bool:
        """Could instruction j read this tile from PSUM?

        Not both inputs of one instruction may be there, and what it reads must be what one copy brought: a tile of
        several banks is put together in SBUF.
        """
        v = self.variant[j]
        if any(o.layout.free > copied for k, o in enumerate(v.operands) if self.storage(j, k) == tile):
            return False
        if v.name in ("tensor_reduce", "activation", "tensor_scalar", "activation_reduce", "tensor_scalar_reduce"):
            return True
        if v.name != "tensor_tensor":
            return False
        others = [k for k, o in enumerate(v.operands) if o.access == "r" and self.storage(j, k) != tile]
        return all(v.operands[k].layout.buffer is sbuf for k in others) and len(others) == 1

    @cached_property
    def loads(self) -> list[tuple[int, tuple[int, int], int]]:
        """(instruction, what it loads in which layout, the tile it fills): loads of what the kernel does not write."""
        out = []
        for i in self.of(lambda v: v.name == "dma_copy" and v["dst"].on_chip and not v["src"].on_chip
                         and not v["src"].indirect and not v["dst"].indirect):
            v = self.variant[i]
            names = [o.name for o in v.operands]
            region = self.regions(i)[names.index("src")]
            tile = self.storage(i, names.index("dst"))
            if not self.writes[self.tile[region]] and self.writes[tile] == 1 and self.nbytes[tile] == v["dst"].nbytes:
                out.append((i, (region, v["dst"].id), tile))
        return out

    @cached_property
    def repeats(self) -> list[tuple[int, tuple, int]]:
        """(instruction, what it computes, the tile it fills) where several compute the same from the same."""
        trace = self.trace
        changes = self._changes()
        found = []
        for i in self.of(lambda v: v.name in _PURE and len(v.writes) == 1 and v.writes[0].access == "w"):
            v, a, b = self.variant[i], self.start[i], self.start[i + 1]
            k = v.operands.index(v.writes[0])
            tile = self.tile[self.access[a + k]]
            if self.writes[tile] == 1 and self.nbytes[tile] == v.writes[0].layout.nbytes:
                inputs, state = self.access[a:b], changes[a:b]
                del inputs[k], state[k]
                found.append((i, (v.index, trace.storages[tile].core, *inputs, *state), tile))
        seen = Counter(key for _, key, _ in found)
        return [f for f in found if seen[f[1]] > 1]

    def _changes(self) -> list[int]:
        """Per access: how often its storage has been written by earlier instructions."""
        order = stable_order(self.entry_tile)
        tile, instruction, writes = self.entry_tile[order], self.instruction[order], self.changing[order]
        at, fresh = np.arange(len(order)), runs(tile)
        before = np.cumsum(writes) - writes
        own = np.maximum.accumulate(np.where(fresh | runs(instruction), at, 0))
        first = np.maximum.accumulate(np.where(fresh, at, 0))
        out = np.empty(len(order), np.int64)
        out[order] = before[own] - before[first]
        return out.tolist()


def _table(of: np.ndarray, other: np.ndarray, cause: np.ndarray, n: int) -> Callable[[int], list[tuple[int, int]]]:
    """A function from an instruction to (the other end, cause) of its dependences."""
    order = stable_order(of)
    start = np.searchsorted(of[order], np.arange(n + 1)).tolist()
    ends, why = other[order].tolist(), cause[order].tolist()

    def edges(i: int) -> list[tuple[int, int]]:
        a, b = start[i], start[i + 1]
        return list(zip(ends[a:b], why[a:b], strict=True))

    return edges

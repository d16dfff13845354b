"""What a whole trace shows to be wrong: reads of memory never written, races between the two cores, impossible
partitions.

The vendor's simulator fills memory with NaN so that such reads show; these checks name the line that reads and the line
that allocated.  They look at regions, not values, so they also work where only timing was captured.  Accesses with
run-time addresses count as writing all of a tensor and reading nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from simcore.isa.table import DMA
from simcore.tensor import Storage
from simcore.trace import Trace

LIMIT = 1 << 26      # elements of a tensor that are followed one by one
SHOWN = 20


class Accesses:
    """Every operand of every instruction: which instruction, which region, read or written."""

    def __init__(self, trace: Trace):
        self.trace = trace
        arity = np.array([len(v.operands) for v in trace.variants] or [0])
        table = np.zeros((len(arity), max(1, arity.max())), np.int8)
        for row, v in zip(table, trace.variants, strict=True):
            row[:len(v.operands)] = [_code(v, o) for o in v.operands]
        self.instruction = np.repeat(np.arange(len(trace)), arity[trace.variant])
        position = np.arange(len(self.instruction)) - trace.access_start[self.instruction]
        self.region = trace.access
        self.code = table[trace.variant[self.instruction], position]
        self.storage = trace.region_storage[self.region]

    @cached_property
    def kinds(self) -> np.ndarray:
        """Per storage: does the kernel itself write it first?  (Arguments and constants come filled.)"""
        return np.array([s.kind != "input" for s in self.trace.storages], bool)

    def events(self, chosen: np.ndarray):
        """First access of each (region, code) of the chosen accesses, by storage, in the order of the program."""
        at = np.flatnonzero(chosen)
        key = self.region[at].astype(np.int64) * 4 + self.code[at]
        _, first = np.unique(key, return_index=True)
        at = at[np.sort(first)]
        at = at[np.argsort(self.storage[at], kind="stable")]
        cuts = np.flatnonzero(np.diff(self.storage[at])) + 1
        return np.split(at, cuts) if len(at) else []


def _code(v, o) -> int:
    """1 reads, 2 writes, 0 neither: accumulators and predicated destinations keep what was there on purpose."""
    if o.access == "r":
        return 0 if o.layout.indirect is not None else 1
    return 2


def _mark(storage: Storage, lay, offset: int, bits: np.ndarray) -> np.ndarray:
    """The elements of a region in a storage's map of bytes."""
    size = lay.dtype.itemsize
    view = np.lib.stride_tricks.as_strided
    shape, strides = (*lay.shape, size), (*(s * size for s in lay.strides), 1)
    return view(bits[offset * size:], shape, strides)


def unwritten_reads(trace: Trace, accesses: Accesses | None = None) -> list[str]:
    """Sentences about reads of memory that nothing wrote before."""
    a = accesses or Accesses(trace)
    chosen = (a.code > 0) & a.kinds[a.storage]
    found: dict[str, None] = {}
    for group in a.events(chosen):
        storage = trace.storages[a.storage[group[0]]]
        codes = a.code[group]
        if not (codes == 1).any() or storage.size > LIMIT:
            continue
        bits = None
        for at in group:
            lay, offset = trace.layouts[trace.region_layout[a.region[at]]], int(trace.region_offset[a.region[at]])
            if a.code[at] == 2 and (lay.size * lay.dtype.itemsize == storage.nbytes or lay.indirect is not None):
                break                                   # all of it is written from here on
            if bits is None:
                bits = np.zeros(storage.nbytes, bool)
            there = _mark(storage, lay, offset, bits)
            if a.code[at] == 2:
                there[...] = True
            elif not there.all():
                missing = int((~there.reshape(-1, lay.dtype.itemsize).all(1)).sum())
                number = int(a.instruction[at])
                found.setdefault(_unwritten(trace, storage, number, missing, lay.size))
    return list(found)


def _unwritten(trace: Trace, storage: Storage, number: int, missing: int, size: int) -> str:
    return (f"{_site(trace, trace.site[number])}: nisa.{trace.row_name(number)} reads {missing} of {size} elements of "
            f"{storage.name} that nothing wrote; "
            f"it was allocated at {_site(trace, storage.site)}")


def _site(trace: Trace, number) -> str:
    return str(trace.sites[number]) if number is not None and number >= 0 else "the kernel"


def races(trace: Trace, meetings: Sequence[tuple[int, int]], accesses: Accesses | None = None) -> list[str]:
    """Sentences about shared HBM that one core writes and the other reads, without a barrier or exchange in between."""
    if trace.cores < 2:
        return []
    a = accesses or Accesses(trace)
    ends = np.array(sorted(last for _, last in meetings), np.int64)
    epoch, core = np.searchsorted(ends, a.instruction), trace.core[a.instruction]
    found: dict[str, None] = {}
    shared = [i for i, s in enumerate(trace.storages) if s.buffer == "shared_hbm" and s.size <= LIMIT]
    for number in shared:
        mine = np.flatnonzero((a.storage == number) & (a.code > 0))
        if not (a.code[mine] == 2).any() or len(np.unique(core[mine])) < 2:
            continue
        storage = trace.storages[number]
        for e in np.unique(epoch[mine]):
            at = mine[epoch[mine] == e]
            if len(np.unique(core[at])) == 2:
                for sentence in _races_in(trace, a, storage, at, core[at]):
                    found.setdefault(sentence)
    return list(found)


def _races_in(trace: Trace, a: Accesses, storage: Storage, at: np.ndarray, core: np.ndarray):
    written = {}
    for which in (0, 1):
        bits = written[which] = np.zeros(storage.nbytes, bool)
        for i in at[(core == which) & (a.code[at] == 2)]:
            lay = trace.layouts[trace.region_layout[a.region[i]]]
            if lay.indirect is None:
                _mark(storage, lay, int(trace.region_offset[a.region[i]]), bits)[...] = True
    for i, which in zip(at, core, strict=True):
        lay = trace.layouts[trace.region_layout[a.region[i]]]
        if a.code[i] != 1 or lay.indirect is not None:
            continue              # published kernels let both cores write the same result
        offset = int(trace.region_offset[a.region[i]])
        if (_mark(storage, lay, offset, written[1 - which]) & ~_mark(storage, lay, offset, written[which])).any():
            number = int(a.instruction[i])
            yield (f"{_site(trace, trace.site[number])}: core {which} reads {storage.name} while core {1 - which} "
                   "writes the same elements, with no "
                   "core_barrier or sendrecv in between")


def partition_starts(trace: Trace, accesses: Accesses | None = None) -> list[str]:
    """Sentences about engine accesses whose first partition the hardware cannot address.

    More than 64 partitions start at 0, 33 to 64 at 0 or 64, up to 32 at 0, 32, 64 or 96 (Trainium architecture guides).
    """
    a = accesses or Accesses(trace)
    dma = np.array([DMA in v.row.engines for v in trace.variants] or [False])
    count, start = np.zeros(len(trace.region_storage), np.int32), np.zeros(len(trace.region_storage), np.int32)
    for r, (s, lay, offset) in enumerate(zip(trace.region_storage, trace.region_layout, trace.region_offset,
                                             strict=True)):
        layout, storage = trace.layouts[lay], trace.storages[s]
        if layout.on_chip and layout.shape and layout.dtype.itemsize:
            pitch = max(1, storage.pitch * storage.dtype.itemsize // layout.dtype.itemsize)
            start[r] = int(offset) // pitch + (storage.address[0] if storage.address else 0)
            count[r] = layout.shape[0] if layout.strides[0] else 1
    step = np.where(count > 64, 128, np.where(count > 32, 64, 32))
    bad = (count > 0) & (start % step != 0)
    found: dict[str, None] = {}
    for i in np.flatnonzero(bad[a.region] & ~dma[trace.variant[a.instruction]]):
        number, region = int(a.instruction[i]), a.region[i]
        found.setdefault(f"{_site(trace, trace.site[number])}: nisa.{trace.row_name(number)} touches {count[region]} "
                         f"partitions from partition {start[region]} "
                         f"on; engines start {count[region]} partitions at a multiple of {step[region]}")
        if len(found) >= SHOWN:
            break
    return list(found)


def warnings(trace: Trace, meetings: Sequence[tuple[int, int]] = ()) -> list[str]:
    """All findings of a trace, at most `SHOWN` of each kind."""
    if not len(trace):
        return []
    a = Accesses(trace)
    return [*unwritten_reads(trace, a)[:SHOWN], *races(trace, meetings, a)[:SHOWN], *partition_starts(trace, a)]

"""Privatization: a tile that a loop overwrites as a whole is another tile in every iteration.

The compiler of the older dialect renames such tiles, so an iteration need not wait until the one before has read them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from simcore.lowering.dependences import accesses
from simcore.ordering import stable_order
from simcore.tensor import Storage
from simcore.trace import Trace


def privatize(trace: Trace) -> Trace:
    """The trace with one storage per version of each tile the kernel gave no address."""
    instruction, reads, writes = accesses(trace)
    storage = trace.region_storage[trace.access]
    whole = np.array([_whole(trace, r) for r in range(len(trace.region_storage))], bool)
    full = whole[trace.access] & writes & ~reads if len(trace.access) else np.zeros(0, bool)
    count = np.bincount(storage[full], minlength=len(trace.storages))
    many = np.flatnonzero(count > 1)
    if not len(many):
        return trace
    storages = list(trace.storages)
    access = trace.access.copy()
    region_storage, region_layout = trace.region_storage.tolist(), trace.region_layout.tolist()
    region_offset = trace.region_offset.tolist()
    order = stable_order(storage)
    start = np.searchsorted(storage[order], np.arange(len(trace.storages) + 1))
    for s in many.tolist():
        old = trace.storages[s]
        current, used = s, False
        by_region: dict[int, int] = {}
        mine = order[start[s]:start[s + 1]].tolist()
        reading = {int(instruction[k]) for k in mine if reads[k]}
        for k in mine:
            if full[k] and used and int(instruction[k]) not in reading:
                current, by_region = len(storages), {}
                storages.append(_copy(old, current))
            used = True
            if current != s:
                region = int(access[k])
                new = by_region.get(region)
                if new is None:
                    new = by_region[region] = len(region_storage)
                    region_storage.append(current)
                    region_layout.append(region_layout[region])
                    region_offset.append(region_offset[region])
                access[k] = new
    return dataclasses.replace(
        trace, access=access, storages=storages, region_storage=np.array(region_storage, np.int32),
        region_layout=np.array(region_layout, np.int32), region_offset=np.array(region_offset, np.int64))


def _whole(trace: Trace, region: int) -> bool:
    """Does a region cover all of an on-chip tile without a fixed address?"""
    storage = trace.storages[trace.region_storage[region]]
    lay = trace.layouts[trace.region_layout[region]]
    return (storage.buffer.on_chip and storage.address is None and lay.indirect is None
            and lay.nbytes == storage.nbytes and 0 not in lay.strides)


def _copy(old: Storage, number: int) -> Storage:
    return Storage(number, old.name, old.shape, old.dtype, old.buffer, address=None, site=old.site, kind=old.kind,
                   core=old.core, born=old.born)

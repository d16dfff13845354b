"""PSUM tiles that are read again long after they were written, moved to SBUF where PSUM is too small for all of them.

The vendor documents that its compiler spills between a memory and the next tier where live data overflows; which tiles
it moves is not public.  Here those go whose last reader comes after more other tiles than there are banks.
"""

from __future__ import annotations

import numpy as np

from simcore.isa.table import VECTOR
from simcore.layout import layout, psum, row_major, sbuf
from simcore.lowering.dependences import accesses
from simcore.lowering.edits import edited
from simcore.lowering.transfers import move
from simcore.tensor import Storage
from simcore.trace import Operand, Trace


def evicted(trace: Trace, banks: int) -> Trace | None:
    """The trace with a copy to SBUF after the last write of each such tile, and its readers reading that.

    None when there is no such tile.
    """
    instruction, reads, writes = accesses(trace)
    storage = trace.region_storage[trace.access]
    last_write, first_read, last_read = _spans(trace, instruction, storage, reads & ~writes, writes)
    kinds, kind = trace.storage_kinds
    able = np.array([k.buffer is psum and k.address is None for k in kinds], bool)[kind]
    able &= (last_write >= 0) & (last_write < first_read) & (first_read < len(trace))
    ends = np.sort(last_write[able])
    later = np.searchsorted(ends, last_read, "left") - np.searchsorted(ends, last_write, "right")
    moved = np.flatnonzero(able & (later >= banks)).tolist()
    if not moved:
        return None
    storages, layouts = list(trace.storages), list(trace.layouts)
    variants, regions = list(trace.variants), list(zip(trace.region_storage.tolist(), trace.region_layout.tolist(),
                                                       trace.region_offset.tolist(), strict=True))
    after: dict[int, list[tuple[int, list[int]]]] = {}          # instruction -> copies behind it: variant, regions
    place: dict[int, int] = {}
    copies: dict[tuple, int] = {}
    for s in moved:
        old = storages[s]
        place[s] = len(storages)
        storages.append(Storage(len(storages), f"{old.name} (evicted)", old.shape, old.dtype, sbuf, site=old.site,
                                kind="tile", core=old.core, born=old.born))
        key = (old.shape, old.dtype.name)
        if key not in copies:
            both = [layout(old.shape, row_major(old.shape), old.dtype, b) for b in (sbuf, psum)]
            layouts += both
            copies[key] = len(variants)
            variants.append(move("tensor_copy", len(variants), VECTOR, *both))
        variant = copies[key]
        at = len(layouts)
        layouts += [o.layout for o in variants[variant].operands]
        regions += [(place[s], at, 0), (s, at + 1, 0)]
        after.setdefault(int(last_write[s]), []).append((variant, [len(regions) - 2, len(regions) - 1]))
    here: dict[int, int] = {}                                    # region of a PSUM tile -> the same of its copy
    known: dict[tuple, int] = {}
    columns: list[tuple[int, int, int, list[int]]] = []
    number = np.zeros(len(trace), np.int64)
    starts, access = trace.access_start.tolist(), trace.access.tolist()
    for i, (v, site, core) in enumerate(zip(trace.variant.tolist(), trace.site.tolist(), trace.core.tolist(),
                                            strict=True)):
        mine = access[starts[i]:starts[i + 1]]
        swap = tuple(r for r in mine if regions[r][0] in place and last_write[regions[r][0]] < i)
        for r in swap:
            if r not in here:
                s, k, offset = regions[r]
                lay = layouts[k]
                layouts.append(layout(lay.shape, lay.strides, lay.dtype, sbuf, lay.indirect))
                here[r] = len(regions)
                regions.append((place[s], len(layouts) - 1, offset))
        if swap:
            key = (v, tuple(r in swap for r in mine))
            if key not in known:
                known[key] = len(variants)
                variants.append(variants[v].with_operands(len(variants), tuple(
                    Operand(o.name, o.access, layouts[regions[here[r]][1]]) if r in swap else o
                    for o, r in zip(variants[v].operands, mine, strict=True))))
            v, mine = known[key], [here.get(r, r) if r in swap else r for r in mine]
        number[i] = len(columns)
        columns.append((v, site, core, mine))
        columns += [(copy, site, core, both) for copy, both in after.get(i, ())]
    return edited(trace, columns, regions, number, variants=variants, layouts=layouts, storages=storages)


def _spans(trace: Trace, instruction, storage, reads, writes):
    """(last write, first read, last read) per storage: instructions; -1 and the number of them where there is none."""
    count = len(trace.storages)
    last_write, last_read = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    first_read = np.full(count, len(trace), np.int64)
    np.maximum.at(last_write, storage[writes], instruction[writes])
    np.minimum.at(first_read, storage[reads], instruction[reads])
    np.maximum.at(last_read, storage[reads], instruction[reads])
    return last_write, first_read, last_read

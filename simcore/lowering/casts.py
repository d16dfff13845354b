"""A copy whose result is only stored, and stored in another dtype, writes that dtype: the store need not cast.

So does the older compiler, as the profiles show (CAST from PSUM where the kernel asked for a copy).  Results of other
instructions stay as they are and the DMA casts.
"""

from __future__ import annotations

import copy
import dataclasses

import numpy as np

from simcore.layout import layout, sbuf
from simcore.lowering.dependences import accesses
from simcore.trace import Operand, Trace


def with_casts(trace: Trace) -> Trace:
    """The trace with such copies and stores changed."""
    dtypes: list = []
    copies = np.zeros(len(trace.variants) + 1, bool)                # a copy, its first operand written
    stored = np.full(len(trace.variants) + 1, -1, np.int64)         # a casting store: the dtype it writes
    for v in trace.variants:
        if v.name == "tensor_copy" and v.operands[0].name == "dst":
            copies[v.index] = True
        elif v.name == "dma_copy" and v["src"].on_chip and not v["dst"].on_chip:
            dtype = v["dst"].dtype
            if dtype is not v["src"].dtype:
                if dtype not in dtypes:
                    dtypes.append(dtype)
                stored[v.index] = dtypes.index(dtype)
    if not dtypes or not copies.any():
        return trace
    instruction, _, writes = accesses(trace)
    storage, variant = trace.region_storage[trace.access], trace.variant[instruction]
    tile = np.array([s.buffer is sbuf and s.kind == "tile" for s in trace.storages], bool)[storage]
    to = np.where(writes, -1, stored[variant])
    fits = tile & ((writes & copies[variant]) | (to >= 0))
    able = np.bincount(storage[~fits], minlength=len(trace.storages)) == 0
    lowest, highest = np.full(len(able), len(dtypes)), np.full(len(able), -1)
    np.minimum.at(lowest, storage[to >= 0], to[to >= 0])
    np.maximum.at(highest, storage[to >= 0], to[to >= 0])
    written = np.bincount(storage[writes], minlength=len(able)) > 0
    able &= written & (lowest == highest)
    if not able.any():
        return trace
    storages = list(trace.storages)
    for s in np.flatnonzero(able).tolist():
        storages[s] = copy.copy(storages[s])
        storages[s].dtype = dtypes[lowest[s]]
    layouts, region_layout = list(trace.layouts), trace.region_layout.copy()
    for r in np.flatnonzero(able[trace.region_storage]).tolist():
        layouts.append(_as(layouts[region_layout[r]], storages[trace.region_storage[r]].dtype))
        region_layout[r] = len(layouts) - 1
    variants, column = list(trace.variants), trace.variant.copy()
    known: dict[tuple, int] = {}
    for i in np.unique(instruction[able[storage]]).tolist():
        new = tuple(storages[s].dtype if able[s] else None for s in trace.region_storage[trace.regions(i)].tolist())
        key = (int(column[i]), new)
        if key not in known:
            known[key] = len(variants)
            old = variants[key[0]]
            variants.append(old.with_operands(len(variants), tuple(
                o if d is None else Operand(o.name, o.access, _as(o.layout, d))
                for o, d in zip(old.operands, new, strict=True))))
        column[i] = known[key]
    return dataclasses.replace(trace, storages=storages, layouts=layouts, region_layout=region_layout,
                               variants=variants, variant=column)


def _as(lay, dtype):
    return layout(lay.shape, lay.strides, dtype, lay.buffer, lay.indirect)

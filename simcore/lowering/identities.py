"""Identity matrices: what the Tensor engine multiplies by when it transposes comes from HBM.

The older compiler adds one load per dtype in front of everything else, by hardware descriptors, as the profiles show.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from simcore.isa.data_movement import transposes_on_vector
from simcore.layout import layout, private_hbm, row_major, sbuf
from simcore.lowering.transfers import transfer
from simcore.machine import Machine
from simcore.tensor import Storage
from simcore.trace import Trace


def with_identities(trace: Trace, machine: Machine) -> Trace:
    """The trace with a load of the identity in front for each dtype that the Tensor engine transposes, per core."""
    transposes = np.array([v.name == "nc_transpose" and not transposes_on_vector(v) for v in trace.variants], bool)
    found = np.flatnonzero(transposes[trace.variant]) if len(trace) else np.zeros(0, np.int64)
    if not len(found):
        return trace
    shape = (machine.core.partitions, machine.core.partitions)
    storages, layouts, variants = list(trace.storages), list(trace.layouts), list(trace.variants)
    regions: list[tuple[int, int]] = []                 # (storage, layout)
    loads: dict[tuple[int, str], int] = {}              # (core, dtype) -> the load, counted from the front
    columns: list[tuple[int, int, int]] = []            # variant, site, core
    order: list[tuple[int, int]] = []
    for i in found.tolist():
        core, dtype = int(trace.core[i]), trace.variants[trace.variant[i]]["data"].dtype
        if (core, dtype.name) not in loads:
            loads[core, dtype.name] = len(columns)
            for buffer in (sbuf, private_hbm):
                storages.append(Storage(len(storages), f"identity of {dtype}", shape, dtype, buffer, core=core))
                layouts.append(layout(shape, row_major(shape), dtype, buffer))
                regions.append((len(storages) - 1, len(layouts) - 1))
            columns.append((len(variants), int(trace.site[i]), core))
            variants.append(transfer(len(variants), *layouts[-2:]))
        order.append((loads[core, dtype.name], i))
    count, known = len(columns), len(trace.region_storage)
    pairs = np.array(order, np.int64) + [0, count]
    front_rows, new = np.array(columns, np.int64), np.array(regions, np.int64)

    def front(column: np.ndarray, first: np.ndarray) -> np.ndarray:
        return np.concatenate([first, column]).astype(column.dtype)

    def after(column: np.ndarray, last: np.ndarray) -> np.ndarray:
        return np.concatenate([column, last]).astype(column.dtype)

    old = trace.order + count if len(trace.order) else np.zeros((0, 2), np.int64)
    return dataclasses.replace(
        trace, variants=variants, storages=storages, layouts=layouts,
        variant=front(trace.variant, front_rows[:, 0]), site=front(trace.site, front_rows[:, 1]),
        core=front(trace.core, front_rows[:, 2]), access=front(trace.access, known + np.arange(2 * count)),
        access_start=front(trace.access_start + 2 * count, 2 * np.arange(count)),
        region_storage=after(trace.region_storage, new[:, 0]), region_layout=after(trace.region_layout, new[:, 1]),
        region_offset=after(trace.region_offset, np.zeros(2 * count, np.int64)),
        order=np.concatenate([old, pairs]),
        labels={i + count: text for i, text in trace.labels.items()})

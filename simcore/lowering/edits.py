"""A trace with other instructions: what a rewriting that adds some, or changes what they read, ends with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from simcore.trace import Trace


def edited(t: Trace, columns: Sequence[tuple[int, int, int, Sequence[int]]], regions: Sequence[Sequence[int]],
           number: np.ndarray, **changed) -> Trace:
    """t with these instructions.

    columns  per instruction: variant, site, core, the region of each operand
    regions  per region: storage, layout, offset
    number   which of the new instructions each old one is
    changed  further fields: variants, layouts, storages, info
    """
    variant, site, core, mine = zip(*columns, strict=True)
    count = np.array([len(r) for r in mine], np.int64)
    table = np.array(regions, np.int64)
    return dataclasses.replace(
        t, **changed, variant=np.array(variant, t.variant.dtype), site=np.array(site, t.site.dtype),
        core=np.array(core, t.core.dtype), access=np.array([r for rs in mine for r in rs], t.access.dtype),
        access_start=np.concatenate([[0], np.cumsum(count)]).astype(t.access_start.dtype),
        region_storage=table[:, 0].astype(t.region_storage.dtype),
        region_layout=table[:, 1].astype(t.region_layout.dtype), region_offset=table[:, 2],
        order=number[t.order] if len(t.order) else t.order,
        labels={int(number[i]): text for i, text in t.labels.items()})

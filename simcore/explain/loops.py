"""Rules 5a, 5b and 9: loops of small instructions or small transfers, written with larger tiles.

An innermost loop shows in a trace as a stretch of steps whose lines repeat.  `widen` rewrites k of its iterations as
one: the tiles of the iterations become slices of a wider tile (along the free dimension or along the partitions), and
every step of the body that can then be one instruction becomes one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simcore import format
from simcore.explain.rules import Candidate, Context
from simcore.explain.sketch import Sketch, Step, View, overlaps
from simcore.layout import PARTITIONS, Layout, layout
from simcore.tensor import Storage

SMALL_FREE = 128  # elements per partition; guide, optimisation 5a
WANTED_FREE = 512
SMALL_DMA_BYTES = 2048  # per partition; guide, optimisation 9, and the DMA bandwidth guide's recommended minimum
WANTED_DMA_BYTES = 4096  # 8 partitions x 4 KiB = 32 KiB per DMA engine
MAX_PERIOD = 48


@dataclass(frozen=True)
class Loop:
    """Steps start .. start + period * count in program order, the same lines and variants every `period`."""

    start: int
    period: int
    count: int


def loops(sketch: Sketch) -> list[Loop]:
    """Innermost loops, shortest bodies first; none overlaps another."""
    ids: dict[tuple, int] = {}
    keys = np.array([ids.setdefault((s.site, s.variant.index, s.core), len(ids)) for s in sketch.steps], np.int64)
    free = np.ones(len(keys), bool)
    found: list[Loop] = []
    for period in range(1, min(MAX_PERIOD, len(keys) // 2) + 1):
        equal = (keys[:-period] == keys[period:]) & free[:-period] & free[period:]
        edges = np.flatnonzero(np.diff(np.r_[False, equal, False].astype(np.int8)))
        for a, b in zip(edges[::2].tolist(), edges[1::2].tolist()):
            count = (b - a) // period + 1
            if count >= 2 and free[a : a + period * count].all():
                found.append(Loop(a, period, count))
                free[a : a + period * count] = False
    return sorted(found, key=lambda x: x.start)


def small_instructions(c: Context) -> Iterator[Candidate]:
    """5a and 5b: loops whose engine instructions process few elements, or use few partitions."""
    groups: dict[tuple[str, int], list[tuple[Loop, int]]] = {}
    counts: dict[tuple[str, int], int] = {}
    size: dict[tuple[str, int], int] = {}
    for loop in loops(c.sketch):
        body = c.sketch.steps[loop.start : loop.start + loop.period]
        for along, least, wanted, measure in (
            ("free", SMALL_FREE, WANTED_FREE, _free),
            ("partitions", PARTITIONS // 2 + 1, PARTITIONS, _partitions),
        ):
            small = [s for s in body if _computes(s) and 0 < measure(s) < least]
            if along == "partitions" and any(_computes(s) and measure(s) >= least for s in body):
                small = []  # the lanes are already used by others of the body
            mergeable = [s for s in small if _merge_views(c.sketch, loop, body.index(s), 2, along) is not None]
            if not mergeable:
                continue
            # the instruction that costs most names the line; the tiles grow until the largest is as large as wanted
            factor = min(loop.count, max(2, wanted // max(measure(s) for s in mergeable)))
            key = (along, mergeable[0].site)
            groups.setdefault(key, []).append((loop, factor))
            counts[key] = counts.get(key, 0) + len(mergeable) * loop.count
            size[key] = min(size.get(key, 1 << 30), *(measure(s) for s in mergeable))
            break
    for (along, site), parts in groups.items():
        if along == "free":
            message = f"{counts[along, site]} instructions process {size[along, site]} elements per partition each"
        else:
            message = f"{counts[along, site]} instructions use {size[along, site]} of 128 partitions each"
        rule = "small-free" if along == "free" else "small-partitions"
        yield Candidate(rule, site, counts[along, site], message, _widen_all(parts, along))


def small_transfers(c: Context) -> Iterator[Candidate]:
    """9: loops whose DMAs move little per partition."""
    yield from _narrow_transfers(c)
    groups: dict[int, list[tuple[Loop, int]]] = {}
    sizes: dict[int, list[int]] = {}
    for loop in loops(c.sketch):
        small = [s for s in _wider(c.sketch, loop, "free") if _dma_bytes(s) < SMALL_DMA_BYTES]
        if not small:
            continue
        factor = min(loop.count, max(2, WANTED_DMA_BYTES // max(_dma_bytes(s) for s in small)))
        site = small[0].site
        groups.setdefault(site, []).append((loop, factor))
        sizes.setdefault(site, []).extend([_dma_bytes(s) for s in small] * loop.count)
    for site, parts in groups.items():
        each = sizes[site]
        message = f"{len(each)} transfers move {format.size(min(each))} per partition each"
        yield Candidate("small-dma", site, len(each), message, _widen_all(parts, "free"))


def _wider(sketch: Sketch, loop: Loop, along: str) -> list[Step]:
    """The loads and stores of a loop's body that could do the work of two iterations at once."""
    body = sketch.steps[loop.start : loop.start + loop.period]
    return [
        s
        for i, s in enumerate(body)
        if s.name == "dma_copy" and (s.is_load or s.is_store) and _merge_views(sketch, loop, i, 2, along) is not None
    ]


def _narrow_transfers(c: Context) -> Iterator[Candidate]:
    """9: loops of DMAs that each fill or empty only some partitions of a tile: most DMA engines have nothing to do."""
    groups: dict[int, list[tuple[Loop, int]]] = {}
    each: dict[int, list[int]] = {}
    for loop in loops(c.sketch):
        body = c.sketch.steps[loop.start : loop.start + loop.period]
        small = [s for s in _wider(c.sketch, loop, "partitions") if _partitions(s) <= PARTITIONS // 2]
        if small and not any(_computes(s) for s in body):  # with computation in the body it is optimisation 5b
            groups.setdefault(small[0].site, []).append((loop, min(loop.count, PARTITIONS // _partitions(small[0]))))
            each.setdefault(small[0].site, []).extend([_partitions(s) for s in small] * loop.count)
    for site, parts in groups.items():
        message = f"{len(each[site])} transfers fill or empty {min(each[site])} of 128 partitions each"
        yield Candidate("small-dma", site, len(each[site]), message, _widen_all(parts, "partitions"))


def _computes(step: Step) -> bool:
    return not step.is_dma and bool(step.views) and step.name not in ("nc_matmul", "nc_matmul_mx", "nc_transpose")


def _free(step: Step) -> int:
    return max((v.layout.free for v in step.views if v.layout.on_chip), default=0)


def _partitions(step: Step) -> int:
    return max((v.layout.shape[0] for v in step.views if v.layout.on_chip), default=0)


def _dma_bytes(step: Step) -> int:
    tile = next(v for v in step.views if v.layout.on_chip)
    return tile.layout.free * tile.layout.dtype.itemsize


# ---------------------------------------------------------------------------------------------- widening


def _widen_all(parts: list[tuple[Loop, int]], along: str):
    def rewrite(sketch: Sketch) -> None:
        steps: list[Step] = []
        merged: dict[Step, Step] = {}
        at = 0
        for loop, factor in sorted(parts, key=lambda p: p[0].start):
            steps += sketch.steps[at : loop.start]
            for first in range(0, loop.count, factor):
                steps += _widen(sketch, loop, first, min(factor, loop.count - first), along, merged)
            at = loop.start + loop.period * loop.count
        steps += sketch.steps[at:]
        embed(steps, sketch)
        for step in steps:
            if step.after:
                step.after = [merged.get(p, p) for p in step.after]
        sketch.steps = steps

    def embed(steps: list[Step], sketch: Sketch) -> None:
        """Tiles that became slices of a wider one are slices wherever they are used."""
        moved = sketch.__dict__.get("moved", {})
        for step in steps:
            if any(v.storage.id in moved for v in step.views):
                views = [slice_of(v, *moved[v.storage.id]) if v.storage.id in moved else v for v in step.views]
                named = {o.name: v for o, v in zip(step.variant.operands, views, strict=True)}
                sketch.change(step, **named)

    return rewrite


def _widen(sketch: Sketch, loop: Loop, first: int, k: int, along: str, merged: dict[Step, Step]) -> list[Step]:
    """k iterations as one: per step of the body one merged step, or the k as they are."""
    out: list[Step] = []
    for q in range(loop.period):
        members = [sketch.steps[loop.start + (first + j) * loop.period + q] for j in range(k)]
        views = _merge_views(sketch, loop, q, k, along, first) if k > 1 else None
        if views is None:
            out += members
            continue
        one = members[-1]
        one.after = [p for m in members for p in m.after]
        sketch.change(one, **views)
        merged |= dict.fromkeys(members, one)
        out.append(one)
    return out


def _merge_views(sketch: Sketch, loop: Loop, q: int, k: int, along: str, first: int = 0) -> dict[str, View] | None:
    """The operands of k iterations of step q as one instruction's, or None where they do not fit together."""
    members = [sketch.steps[loop.start + (first + j) * loop.period + q] for j in range(k)]
    one = members[0]
    if _chained(members):
        return None
    out: dict[str, View] = {}
    for i, operand in enumerate(one.variant.operands):
        views = [m.views[i] for m in members]
        if all(v.key == views[0].key for v in views):
            if "w" in operand.access:
                return None
            out[operand.name] = views[0]
            continue
        on_chip = views[0].layout.on_chip
        if along == "free" and on_chip and views[0].layout.free == 1 and _free(one) > 1:
            return None  # another scale or bias per iteration: one instruction has one
        merged = _adjacent(views, along) or (_stack(sketch, views, along) if on_chip else _strided(views, along))
        if merged is None:
            return None
        out[operand.name] = merged
    return out


def _chained(members: list[Step]) -> bool:
    """Whether an iteration needs the one before (a running sum): such instructions cannot become one."""
    return any(
        overlaps(w, r)
        for a, b in itertools.pairwise(members)
        for w in a.writes()
        for r in b.reads()
        if w.storage is r.storage
    )


def _adjacent(views: list[View], along: str) -> View | None:
    """Neighbouring slices of one storage as one view."""
    a, lay = views[0], views[0].layout
    if any(v.storage is not a.storage or v.layout is not lay for v in views) or len(lay.shape) < 2:
        return None
    step = views[1].offset - a.offset
    if any(v.offset - a.offset != j * step for j, v in enumerate(views)):
        return None
    k = len(views)
    if along == "free" and lay.strides[-1] == 1 and step == lay.shape[-1] and len(lay.shape) == 2:
        return View(
            a.storage, layout((*lay.shape[:-1], k * lay.shape[-1]), lay.strides, lay.dtype, lay.buffer), a.offset
        )
    if along == "partitions" and step == lay.shape[0] * lay.strides[0]:
        return View(a.storage, layout((k * lay.shape[0], *lay.shape[1:]), lay.strides, lay.dtype, lay.buffer), a.offset)
    return _strided(views, along) if along == "free" else None


def _strided(views: list[View], along: str) -> View | None:
    """Equally spaced views as one with a further dimension: fewer triggers, the same runs."""
    a, lay = views[0], views[0].layout
    step = views[1].offset - a.offset
    if step == 0 or any(
        v.storage is not a.storage or v.layout is not lay or v.offset - a.offset != j * step
        for j, v in enumerate(views)
    ):
        return None
    if along == "partitions" and not lay.on_chip:
        shape, strides = (len(views), *lay.shape), (step, *lay.strides)
    else:
        shape, strides = (lay.shape[0], len(views), *lay.shape[1:]), (lay.strides[0], step, *lay.strides[1:])
    return View(a.storage, layout(shape, strides, lay.dtype, lay.buffer), a.offset)


def _stack(sketch: Sketch, views: list[View], along: str) -> View | None:
    """Tiles of their own as slices of one wider tile; remembered in sketch.moved for every other use of them."""
    storages = [v.storage for v in views]
    shape, lay = storages[0].shape, views[0].layout
    if (
        len({s.id for s in storages}) != len(storages)
        or len(shape) != 2
        or any(s.shape != shape or s.dtype != storages[0].dtype for s in storages)
        or any(v.layout is not lay or v.offset != views[0].offset for v in views)
    ):
        return None
    k = len(views)
    if along == "partitions" and k * shape[0] > PARTITIONS:
        return None
    moved = sketch.__dict__.setdefault("moved", {})
    if storages[0].id in moved:
        wide = moved[storages[0].id][0]
        if any(s.id not in moved or moved[s.id][0] is not wide for s in storages):
            return None
    else:
        wide = sketch.storage(storages[0], (shape[0], k * shape[1]) if along == "free" else (k * shape[0], shape[1]))
        for j, s in enumerate(storages):
            moved[s.id] = (wide, j, k, along)
    whole = slice_of(views[0], wide, 0, k, along)
    if along == "free":
        if lay.shape == shape:
            return View(wide, layout((shape[0], k * shape[1]), (k * shape[1], 1), lay.dtype, lay.buffer), whole.offset)
        inner = whole.layout
        return View(
            wide,
            layout(
                (inner.shape[0], k, *inner.shape[1:]),
                (inner.strides[0], shape[1], *inner.strides[1:]),
                lay.dtype,
                lay.buffer,
            ),
            whole.offset,
        )
    inner = whole.layout
    return View(
        wide, layout((k * inner.shape[0], *inner.shape[1:]), inner.strides, lay.dtype, lay.buffer), whole.offset
    )


def slice_of(view: View, wide: Storage, j: int, k: int, along: str) -> View:
    """A view of a tile, as a view of the wider tile it became a slice of."""
    lay: Layout = view.layout
    if along == "partitions":
        return View(wide, lay, view.offset + j * (wide.size // k))
    narrow = wide.pitch // k
    row, column = divmod(view.offset, narrow)
    strides = (
        lay.strides[0] // narrow * wide.pitch if lay.strides[0] % narrow == 0 else lay.strides[0],
        *lay.strides[1:],
    )
    return View(wide, layout(lay.shape, strides, lay.dtype, lay.buffer), row * wide.pitch + j * narrow + column)

"""A Trace one can change: instructions as a list of steps, to ask "what if the kernel had been written so?".

A rule of `explain` rewrites the sketch as the vendor's guide advises (drops a repeated load, widens a tile, moves a
load ahead) and the result is simulated like any other trace, so what a change saves is not a guess of its own.
Rewrites are about time only: where a step no longer reads what another wrote, an explicit order (`after`) keeps it
from starting too early, so no tile has to be carved up to stay faithful.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from simcore.layout import Layout, layout, row_major
from simcore.tensor import Storage
from simcore.trace import Operand, Trace, Variant


@dataclass(frozen=True, slots=True)
class View:
    """A region: a layout at an offset of a storage."""

    storage: Storage
    layout: Layout
    offset: int

    @property
    def key(self) -> tuple[int, int, int]:
        return self.storage.id, self.layout.id, self.offset


class Step:
    """One instruction.  `after` are steps that must be done before it starts."""

    __slots__ = ("after", "core", "index", "site", "variant", "views")

    def __init__(self, variant: Variant, views: list[View], site: int, core: int, index: int = -1):
        self.variant, self.views, self.site, self.core, self.index = variant, views, site, core, index
        self.after: list[Step] = []

    @property
    def name(self) -> str:
        return self.variant.name

    def operands(self) -> Iterator[tuple[Operand, View]]:
        return zip(self.variant.operands, self.views, strict=True)

    def reads(self) -> list[View]:
        return [v for o, v in self.operands() if "r" in o.access]

    def writes(self) -> list[View]:
        return [v for o, v in self.operands() if "w" in o.access]

    def view(self, name: str) -> View:
        """The region of an operand the instruction always has."""
        return next(v for o, v in self.operands() if o.name == name)

    def find(self, name: str) -> View | None:
        """The region of an operand that may be missing or a number."""
        return next((v for o, v in self.operands() if o.name == name), None)

    @property
    def is_dma(self) -> bool:
        return self.name in ("dma_copy", "dma_transpose")

    @property
    def is_load(self) -> bool:
        """A DMA from HBM to the chip."""
        return self._copies and self.writes()[0].layout.on_chip and not self.reads()[0].layout.on_chip

    @property
    def is_store(self) -> bool:
        return self._copies and not self.writes()[0].layout.on_chip and self.reads()[0].layout.on_chip

    @property
    def _copies(self) -> bool:
        """A DMA whose addresses are known: a gather may load something else every time."""
        return self.is_dma and not any(v.layout.indirect for v in self.views)

    def __repr__(self) -> str:
        return f"<{self.index} {self.variant!r}>"


class Sketch:
    """The steps of a trace in program order, free to be changed."""

    def __init__(self, trace: Trace):
        self.trace = trace
        self.storages = list(trace.storages)
        views = [
            View(trace.storages[s], trace.layouts[lay], int(offset))
            for s, lay, offset in zip(
                trace.region_storage.tolist(), trace.region_layout.tolist(), trace.region_offset.tolist()
            )
        ]
        start, access = trace.access_start.tolist(), trace.access.tolist()
        self.steps = [
            Step(trace.variants[v], [views[a] for a in access[start[i] : start[i + 1]]], site, core, i)
            for i, (v, site, core) in enumerate(zip(trace.variant.tolist(), trace.site.tolist(), trace.core.tolist()))
        ]
        self.original = list(self.steps)
        for producer, consumer in trace.order.tolist():
            self.original[consumer].after.append(self.original[producer])

    # ------------------------------------------------------------------------------------------ changing

    def storage(self, like: Storage, shape: tuple[int, ...] | None = None, buffer=None) -> Storage:
        """A new tile, like another or of another shape."""
        new = Storage(
            len(self.storages),
            f"{like.name}'",
            tuple(shape or like.shape),
            like.dtype,
            buffer or like.buffer,
            site=like.site,
            kind="tile",
            core=like.core,
            born=like.born,
        )
        self.storages.append(new)
        return new

    def tile(self, like: View, shape: tuple[int, ...], buffer=None) -> View:
        """A whole new tile of this shape with the dtype of `like`."""
        storage = self.storage(like.storage, shape, buffer)
        storage.dtype = like.layout.dtype
        return View(storage, layout(tuple(shape), row_major(shape), like.layout.dtype, storage.buffer), 0)

    def change(self, step: Step, **views: View) -> Step:
        """Give operands of a step other regions, and the step the variant that fits them."""
        step.views = [views.get(o.name, v) for o, v in step.operands()]
        step.variant = with_layouts(step.variant, tuple(v.layout for v in step.views))
        return step

    def drop(self, gone: Iterable[Step], instead: dict[Step, list[Step]] | None = None) -> None:
        """Remove steps; who had to come after one of them comes after `instead[step]`."""
        dead = set(gone)
        if not dead:
            return
        instead = instead or {}

        def alive(step: Step) -> Iterator[Step]:
            seen, open_ = set(), [step]
            while open_:
                p = open_.pop()
                if p not in dead:
                    yield p
                elif p not in seen:
                    seen.add(p)
                    open_ += instead.get(p, [])

        for step in self.steps:
            if step.after:
                step.after = list(dict.fromkeys(k for p in step.after for k in alive(p)))
        self.steps = [s for s in self.steps if s not in dead]

    # ------------------------------------------------------------------------------------------ facts

    def readers(self) -> dict[Step, list[Step]]:
        """Per step, later steps that read what it wrote."""
        read = {view.storage.id for step in self.steps for view in step.reads()}
        out: dict[Step, list[Step]] = {}
        writers: dict[int, dict[tuple[int, int, int], tuple[Step, Box]]] = {}
        for step in self.steps:
            for view in step.reads():
                known = writers.get(view.storage.id)
                if not known:
                    continue
                if view.key in known:
                    found = [known[view.key][0]]
                else:
                    mine = box(view)
                    found = [w for w, theirs in known.values() if meet(theirs, mine)]
                for w in dict.fromkeys(found):
                    if w is not step:
                        out.setdefault(w, []).append(step)
            for o, view in step.operands():
                if "w" not in o.access or view.storage.id not in read:
                    continue
                known = writers.setdefault(view.storage.id, {})
                mine = box(view)
                if o.access == "w" and view.key not in known and len(known) <= MAX_WRITERS:
                    for key in [k for k, (_, theirs) in known.items() if holds(mine, theirs)]:
                        del known[key]
                known[view.key] = (step, mine)
        return out

    # ------------------------------------------------------------------------------------------ back to a trace

    def to_trace(self) -> Trace:
        """The changed trace.  Orders of steps that no longer exist are gone; every order points backwards."""
        trace = self.trace
        variants: dict[Variant, int] = {}
        layouts: dict[int, int] = {}
        regions: dict[tuple[int, int, int], int] = {}
        layout_list: list[Layout] = []
        storage_col: list[int] = []
        layout_col: list[int] = []
        offset_col: list[int] = []
        access, start, variant_col = [], [0], []
        for step in self.steps:
            variant_col.append(variants.setdefault(step.variant, len(variants)))
            for view in step.views:
                at = regions.get(view.key)
                if at is None:
                    at = regions[view.key] = len(storage_col)
                    lay = layouts.get(view.layout.id)
                    if lay is None:
                        lay = layouts[view.layout.id] = len(layout_list)
                        layout_list.append(view.layout)
                    storage_col.append(view.storage.id)
                    layout_col.append(lay)
                    offset_col.append(view.offset)
                access.append(at)
            start.append(len(access))
        number = {step: i for i, step in enumerate(self.steps)}
        order = sorted(
            {(number[p], number[s]) for s in self.steps for p in s.after if p in number and number[p] < number[s]}
        )
        return dataclasses.replace(
            trace,
            variants=[renumbered(v, i) for v, i in variants.items()],
            variant=np.array(variant_col, np.int32),
            site=np.array([s.site for s in self.steps], np.int32),
            core=np.array([s.core for s in self.steps], np.int8),
            access=np.array(access, np.int32),
            access_start=np.array(start, np.int64),
            region_storage=np.array(storage_col, np.int32),
            region_layout=np.array(layout_col, np.int32),
            region_offset=np.array(offset_col, np.int64),
            layouts=layout_list,
            storages=self.storages,
            order=np.array(order, np.int64).reshape(-1, 2),
            labels={},
            outputs=None,
            has_values=False,
        )


def with_layouts(v: Variant, layouts: tuple[Layout, ...]) -> Variant:
    """The variant with other operand layouts.  Constraints are not checked: the rewrite is about time."""
    if all(o.layout is lay for o, lay in zip(v.operands, layouts, strict=True)):
        return v
    operands = tuple(Operand(o.name, o.access, lay) for o, lay in zip(v.operands, layouts, strict=True))
    return v.with_operands(v.index, operands)


def renumbered(v: Variant, index: int) -> Variant:
    return v if v.index == index else v.with_operands(index, v.operands)


def variant(row, operands: tuple[Operand, ...], params: dict, engine) -> Variant:
    """A variant of an instruction the kernel did not use."""
    new = Variant(row, -1, operands, params, tuple(range(len(operands))))
    new.engine = engine
    return new


# ---------------------------------------------------------------------------------------------- regions


Box = tuple[int, int, int, int]

MAX_WRITERS = 256
"""Beyond so many pieces of one tile, an older piece that a new one covers is not looked for (it stays a producer)."""


def box(view: View) -> Box:
    """(first partition, past last, first byte, past last byte) on chip; in HBM one row of bytes."""
    lay, size = view.layout, view.layout.dtype.itemsize
    if not lay.on_chip:
        low, high = lay.extent
        return 0, 1, (view.offset + low) * size, (view.offset + high) * size
    pitch = max(view.storage.bytes_per_partition, 1)
    row, column = divmod(view.offset * size, pitch)
    span = sum((n - 1) * s for n, s in zip(lay.shape[1:], lay.strides[1:], strict=True) if s > 0) * size + size
    return row, row + lay.shape[0], column, column + span


def meet(a: Box, b: Box) -> bool:
    """Whether two boxes share a byte."""
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


def holds(a: Box, b: Box) -> bool:
    """Whether box a holds all of b (holes of a strided view count as part of its box)."""
    return a[0] <= b[0] and b[1] <= a[1] and a[2] <= b[2] and b[3] <= a[3]


def overlaps(a: View, b: View) -> bool:
    return meet(box(a), box(b))


def covers(a: View, b: View) -> bool:
    return holds(box(a), box(b))

"""Trace: what a kernel asked for, in the order it asked.

An instruction is (variant, site, core, regions).  A *variant* is everything static about an instruction: which row of
the instruction table, the layout of each operand, operators, immediates.  A kernel has few variants however long it
runs, so constraints are checked and costs are computed once per variant and gathered for all instructions by NumPy.
A *region* is one view of one storage: (storage, layout, offset).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.layout import LAYOUTS, Layout, MemoryRegion
from simcore.ordering import first_seen
from simcore.tensor import Storage, Tensor
from simcore.timeline import Site

if TYPE_CHECKING:
    from simcore.isa.table import Row


RELEASES = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6")      # of the vendor's `nki` package, oldest first


@dataclass(frozen=True, slots=True)
class Operand:
    """One tensor operand of a variant.  access is "r", "w" or "rw" (accumulation)."""

    name: str
    access: str
    layout: Layout


class Variant:
    """Everything static about an instruction.

    operands  the tensor operands present, in the order of the row's signature; an instruction's regions follow the same
              order
    params    every other argument by name (operators, immediates, engine, flags)
    indexed   how many operands, at the end, are tiles that hold run-time addresses of others (named "dst.index")
    pick      while recording: the operands among the arguments of a call
    """

    __slots__ = ("row", "index", "operands", "params", "present", "engine", "indexed", "pick", "_named", "__dict__")
    engine: Any
    resets_psum: tuple[int, ...]

    def __init__(self, row: Row, index: int, operands: tuple[Operand, ...], params: dict[str, Any],
                 present: tuple[int, ...]):
        self.row, self.index, self.operands, self.params, self.present = row, index, operands, params, present
        self._named = {o.name: o.layout for o in operands}
        self.indexed = 0
        self.resets_psum = ()

    def with_operands(self, index: int, operands: tuple[Operand, ...], params: dict[str, Any] | None = None) -> Variant:
        """The same instruction on other operands, as many as before.  Its constraints are not checked again."""
        new = Variant(self.row, index, operands, self.params if params is None else params, self.present)
        new.engine, new.indexed, new.resets_psum = self.engine, self.indexed, self.resets_psum
        return new

    @property
    def name(self) -> str:
        return self.row.name

    def __getitem__(self, operand: str) -> Layout:
        """The layout of an operand.  KeyError when the instruction was given none (or a scalar)."""
        return self._named[operand]

    def get(self, operand: str) -> Layout | None:
        return self._named.get(operand)

    @property
    def given(self) -> tuple[Operand, ...]:
        """The operands without the tiles of run-time addresses."""
        return self.operands[:len(self.operands) - self.indexed] if self.indexed else self.operands

    @cached_property
    def writes(self) -> tuple[Operand, ...]:
        return tuple(o for o in self.operands if "w" in o.access)

    @cached_property
    def reads(self) -> tuple[Operand, ...]:
        return tuple(o for o in self.operands if "r" in o.access)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{o.name}={o.layout!r}" for o in self.operands)
        usual = {p.name: repr(p.default) for p in self.row.params}
        params = ", ".join(f"{k}={getattr(v, 'name', v)}" for k, v in self.params.items() if repr(v) != usual.get(k))
        return f"{self.name}({shapes}{', ' if params else ''}{params})"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Trace:
    """The instructions of one launch.

    variant, site, core  one entry per instruction (int32, int32, int8)
    access               region of each operand of each instruction, flat; instruction i has entries
                         access_start[i]:access_start[i+1], in the order of its variant's operands
    region_*             per region: storage, layout (index into `layouts`), offset (elements of the layout's dtype)
    order                explicit (producer, consumer) pairs of instructions: no_reorder, depends_on, barriers
    loops                innermost parallel loops (first instruction, instructions per iteration, iterations), in order;
                         None where loops are not recorded
    outputs              what the kernel returned, as NumPy arrays; None where only timing was captured
    """

    name: str
    target: str
    variants: list[Variant]
    variant: np.ndarray
    site: np.ndarray
    core: np.ndarray
    access: np.ndarray
    access_start: np.ndarray
    region_storage: np.ndarray
    region_layout: np.ndarray
    region_offset: np.ndarray
    layouts: list[Layout]
    storages: list[Storage]
    sites: list[Site]
    order: np.ndarray
    sources: dict[str, str] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    outputs: Any = None
    has_values: bool = True
    cores: int = 1
    info: dict[str, Any] = field(default_factory=dict)
    loops: np.ndarray | None = None

    def __repr__(self) -> str:
        timing = "" if self.has_values else ", timing only"
        return f"<Trace {self.name} for {self.target}: {len(self)} instructions of {len(self.variants)} kinds{timing}>"

    def __len__(self) -> int:
        return len(self.variant)

    def row_name(self, i: int) -> str:
        return self.variants[self.variant[i]].name

    def regions(self, i: int) -> np.ndarray:
        return self.access[self.access_start[i]:self.access_start[i + 1]]

    @cached_property
    def storage_kinds(self) -> tuple[list[Storage], np.ndarray]:
        """(a storage of each kind, the kind of each storage): equal in shape, dtype, memory, core and address."""
        known: dict[tuple, int] = {}
        first: list[Storage] = []
        kind = np.zeros(len(self.storages), np.int32)
        for i, s in enumerate(self.storages):
            key = (s.shape, s.dtype, s.buffer, s.core, s.address)
            k = known.get(key)
            if k is None:
                k = known[key] = len(first)
                first.append(s)
            kind[i] = k
        return first, kind

    @property
    def nbytes(self) -> int:
        """Memory of the columns."""
        columns = (self.variant, self.site, self.core, self.access, self.access_start, self.region_storage,
                   self.region_layout, self.region_offset)
        return sum(c.nbytes for c in columns)

    def operand_text(self, i: int) -> str:
        """The operands of instruction i in the style of the vendor's profiler: dtype@memory+offset[strides][sizes]."""
        v = self.variants[self.variant[i]]
        parts = []
        for operand, region in zip(v.operands, self.regions(i), strict=True):
            lay = operand.layout
            storage = self.storages[self.region_storage[region]]
            parts.append(f"{operand.name}={lay.dtype}@{storage.name}+{self.region_offset[region]}"
                         f"[{','.join(map(str, lay.strides))}][{','.join(map(str, lay.shape))}]")
        parts += [f"{k}={p}" for k, p in v.params.items() if p is not None and p is not False
                  and str(p) not in ("", "unknown", "()")]
        return " ".join(parts)


class Recorder:
    """Collects a Trace while a kernel runs.  One per launch.

    core    the core of the program running now
    site    the line that instructions belong to; None: the line of the kernel that calls
    access  the views touched since the last `release`
    """

    def __init__(self, target: str, *, values: bool, release: str = RELEASES[-1]):
        self.target = target
        self.nki_release = release
        self.values = values
        self.site: int | None = None
        self.variants: dict[Any, Variant] = {}
        self.variant_list: list[Variant] = []
        self.variant_col: list[int] = []
        self.site_col: list[int] = []
        self._core = 0
        self._cores = [(0, 0)]                    # (first instruction, core): who runs from there on
        self.access: list[Tensor] = []
        # storage, layout, offset of earlier ones: a kernel touches millions
        self._storage, self._layout, self._offset = array("i"), array("i"), array("q")
        self.storages: list[Storage] = []
        self.sites: list[Site] = []
        self.order: list[tuple[int, int]] = []
        self.loops: list[tuple[int, int, int]] = []     # innermost parallel loops (Trace.loops)
        self.labels: dict[int, str] = {}
        self.warnings: dict[str, None] = {}
        self.shared: dict[Any, Storage] = {}      # shared_hbm by order of allocation: one tensor for all programs
        self.accumulators: dict[Any, np.ndarray] = {}   # (core, engine) -> one float32 per partition
        self.programs: Any = None                 # the launch's programs (frontend.programs.Programs)
        self.names: dict[str, int] = {}
        self.constants: dict[Any, Any] = {}       # tensors of constants that several places share
        self.rank = 0
        self.world: Any = None                    # other ranks of a collective run (frontend.ranks.World)
        # (first, last) instruction of each barrier or exchange of the two cores
        self.meetings: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.variant_col)

    @property
    def core(self) -> int:
        return self._core

    @core.setter
    def core(self, core: int) -> None:
        if core != self._core:
            self._core = core
            self._cores.append((len(self), core))

    def of_core(self, core: int, first: int = 0) -> list[int]:
        """The instructions of a core, from number `first` on."""
        out: list[int] = []
        end = len(self)
        for start, who in reversed(self._cores):
            if who == core:
                out[:0] = range(max(start, first), end)
            if start <= first:
                break
            end = start
        return out

    def new_storage(self, name, shape, dtype, buffer: MemoryRegion, *, address=None, site=None, kind="tile") -> Storage:
        storage = Storage(len(self.storages), name, shape, dtype, buffer, address, site, kind, self._core,
                          len(self.variant_col))
        self.storages.append(storage.recorded() if self.values else storage)
        return storage

    def release(self) -> None:
        """Let go of the views touched so far, and with them of memory; their numbers stay."""
        views = self.access
        self._storage.fromlist([t.storage.id for t in views])
        self._layout.fromlist([t.layout.id for t in views])
        self._offset.fromlist([t.offset for t in views])
        views.clear()

    def trace(self, name: str, *, outputs, sources, cores, info) -> Trace:
        arity = np.fromiter((len(v.operands) for v in self.variant_list), np.int64, len(self.variant_list))
        variant = np.array(self.variant_col, np.int32)
        start = np.zeros(len(variant) + 1, np.int64)
        np.cumsum(arity[variant], out=start[1:])
        self.release()
        storage, view, offset = (np.array(c) for c in (self._storage, self._layout, self._offset))
        # layouts are interned for the process; a trace keeps the ones it uses, and small numbers sort faster
        used, view = _dense(view)
        access, first = first_seen(storage, view, offset // max(1, int(np.gcd.reduce(offset))))
        begins, core = np.array(self._cores).T
        return Trace(
            name=name, target=self.target, variants=self.variant_list, variant=variant,
            site=np.array(self.site_col, np.int32),
            core=np.repeat(core.astype(np.int8), np.diff(begins, append=len(variant))),
            access=access.astype(np.int32), access_start=start, region_storage=storage[first],
            region_layout=view[first].astype(np.int32), region_offset=offset[first],
            layouts=[LAYOUTS[i] for i in used],
            storages=self.storages,
            sites=self.sites, order=np.asarray(self.order, np.int64).reshape(-1, 2), sources=sources,
            labels=self.labels,
            outputs=outputs, has_values=self.values, cores=cores, info=info | {"warnings": list(self.warnings)},
            loops=np.asarray(self.loops, np.int64).reshape(-1, 3) if self.loops else None,
        )


def _dense(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the different numbers, ascending; the place of each one among them)."""
    found = np.zeros(int(number.max(initial=0)) + 1, bool)
    found[number] = True
    return np.flatnonzero(found), (np.cumsum(found) - 1)[number]

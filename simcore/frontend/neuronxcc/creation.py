"""New tensors: shapes with block dimensions, buffers with placement, fills and constants."""

from __future__ import annotations

import numpy as np

from simcore.dtypes import DType, to_dtype
from simcore.frontend import state
from simcore.frontend.neuronxcc import calls
from simcore.frontend.neuronxcc.forms import form, frozen
from simcore.frontend.neuronxcc.index import Index
from simcore.frontend.neuronxcc.loops import LoopIndex
from simcore.frontend.neuronxcc.placement import Placement
from simcore.frontend.neuronxcc.results import Result, at_site, flush
from simcore.frontend.neuronxcc.stored import fresh_form, fresh_strides, new_storage
from simcore.frontend.neuronxcc.tile import Tile
from simcore.layout import MemoryRegion, private_hbm, psum, sbuf, to_buffer


class ParDim(int):
    """`nl.par_dim(n)`: the dimension of a shape that lies on partitions."""


class ParDimMaker:
    """`nl.par_dim`: callable and subscriptable."""

    def __call__(self, n) -> ParDim:
        return ParDim(int(n))

    def __getitem__(self, n) -> ParDim:
        return ParDim(int(n))


def split(shape) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """(block dimensions, the tile's own dimensions, place of the partition in the whole shape)."""
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    classes = tuple([n.__class__ for n in shape])       # ParDim(4) equals 4
    found = _splits.get((shape, classes))
    if found is None:
        par = next((k for k, n in enumerate(shape) if isinstance(n, ParDim)), 0)
        sizes = tuple(int(n) for n in shape)
        found = _splits[shape, classes] = sizes[:par], sizes[par:], par
    return found


_splits: dict = {}


def ndarray(shape, dtype, buffer=None, name=None, fill=None) -> Tile:
    """An uninitialised tensor (or one filled with a number).  Block dimensions on chip make it a family of tiles."""
    placement = buffer if isinstance(buffer, Placement) else None
    where = placement.buffer if placement else to_buffer(buffer)
    dt = to_dtype(dtype)
    site = state.site(state.current("nl.ndarray"), 3)
    blocks, own, _ = split(shape)
    if not where.on_chip:
        whole = (*blocks, *own)
        t = Tile(new_storage(whole, dt, where, name=name),
                 form(whole, fresh_strides(whole, 0), (False,) * len(whole), dt, where))
        if fill is not None:
            with at_site(site):
                fill_hbm(t, fill)
        return t
    if not blocks:
        return one_tile(own, dt, where, site, name, placement.address((), own, dt) if placement else None, fill)
    return Blocks(blocks, own, dt, where, site, name, placement, fill)


def one_tile(own, dt: DType, where: MemoryRegion, site: int, name, address, fill) -> Tile:
    with at_site(site):
        storage = new_storage(own, dt, where, name=name, address=address)
        if storage.site != site:
            storage.note(site=site)
        t = Tile(storage, fresh_form(own, 0, dt, where))
        if fill is not None:
            # zeros that matmuls accumulate on are never written: see calls.PsumState
            if where is psum and fill == 0:
                storage.tag = calls.PsumState(True, site)
                if storage.data is not None:
                    storage.data[:] = 0
            else:
                calls.call("memset", t, {}, {"value": fill})
    return t


def _integers(key: tuple) -> bool:
    for k in key:
        if k.__class__ is not int and k.__class__ is not LoopIndex:
            return False
    return True


class Blocks(Tile):
    """A tensor with block dimensions: one tile per block, each placed and freed by itself, made when first used.

    An access to several blocks at once needs one storage for all of them; `whole` makes it while no block exists yet.
    """

    __slots__ = ("blocks", "own", "site", "label", "placement", "fill", "parts", "joined")

    def __init__(self, blocks, own, dt, where, site, label, placement, fill):
        shape = (*blocks, *own)
        par = len(blocks)
        super().__init__(None, fresh_form(shape, par, dt, where))
        self.blocks, self.own, self.site = blocks, own, site
        self.label, self.placement, self.fill = label, placement, fill
        self.parts: dict[tuple[int, ...], Tile] = {}
        self.joined: Tile | None = None

    def __getitem__(self, key) -> Tile:
        if key.__class__ is not tuple:
            key = (key,)
        n = len(self.blocks)
        at, rest = key[:n], key[n:]
        if self.joined is None:
            try:
                part = self.parts.get(at)
            except TypeError:           # an index expression
                part = None
            if part is not None:
                return part[rest] if rest else part
            if len(key) < n and _integers(key):
                return SomeBlocks(self, key)
        if self.joined is None and len(at) == n and _integers(at):
            pass
        elif self.joined is None:
            at, rest = self._block_of(key)
        else:
            return self.joined[key]
        if at is None:
            return self.whole()[key]
        part = self.parts.get(at)
        if part is None:
            part = self._make(at)
        return part[rest] if rest else part

    def _block_of(self, key):
        n = len(self.blocks)
        if any(k is Ellipsis or k is None for k in key[:n]) or len(key) < n:
            return None, ()
        at = []
        for k in key[:n]:
            if isinstance(k, Index) and k.size == 1:
                k = k.bounds()[0]
            elif isinstance(k, slice) or frozen((k,)) is None or not hasattr(k, "__index__"):
                return None, ()
            at.append(int(k))
        return tuple(at), key[n:]

    def _make(self, at) -> Tile:
        for i, n in zip(at, self.blocks, strict=True):
            if not -n <= i < n:
                return self._outside(at)
        at = tuple(i % n for i, n in zip(at, self.blocks, strict=True))
        part = self.parts.get(at)
        if part is None:
            address = self.placement.address(at, self.own, self.form.dtype) if self.placement else None
            part = self.parts[at] = one_tile(self.own, self.form.dtype, self.form.buffer, self.site,
                                             self.label and f"{self.label}{list(at)}", address, self.fill)
        return part

    def _outside(self, at) -> Tile:
        """A block that does not exist: legal only under a mask that leaves it out."""
        first = next(iter(self.parts.values()), None) or self._make((0,) * len(self.blocks))
        f = first.form
        k, n = next((k, n) for k, n in enumerate(self.blocks) if not -n <= at[k] < n)
        return Tile(first.storage,
                    form(f.shape, f.strides, f.par, f.dtype, f.buffer, ((n, at[k], (0,) * len(f.shape)),)))

    def whole(self) -> Tile:
        """One storage for all blocks.  Blocks used before move there, which the order of instructions does not show."""
        if self.joined is None:
            flush()
            f = self.form
            with at_site(self.site):
                storage = new_storage(f.shape, f.dtype, f.buffer, len(self.blocks), name=self.label)
                storage.note(site=self.site)
                self.joined = Tile(storage, f)
                if self.fill == 0 and f.buffer is psum and not self.parts:
                    storage.tag = calls.PsumState(True, self.site)
                    if storage.data is not None:
                        storage.data[:] = 0
                elif self.fill is not None:
                    calls.call("memset", self.joined, {}, {"value": self.fill})
            if self.parts:
                self._move_parts()
        return self.joined

    def _move_parts(self) -> None:
        state.recorder.warnings.setdefault(
            f"{state.user_site(2)}: several blocks of a tensor are used at once after its blocks were used one by one; "
            "the time an instruction waits for the earlier ones is not modelled here")
        for at, part in self.parts.items():
            place = self.joined[at]
            if part.storage.data is not None:
                place.tensor().write(part.tensor().read())
            part._storage, part.form, part.offset, part._tensor = place.storage, place.form, place.offset, None

    @property
    def storage(self):
        return self.whole().storage

    def tensor(self):
        return self.whole().tensor()

    def reshape(self, *sizes, shape=None, **ignored) -> Tile:
        return self.whole().reshape(*sizes, shape=shape)

    def view(self, dtype) -> Tile:
        return SomeBlocks(self, (), dtype)


class SomeBlocks(Tile):
    """The blocks of a tensor behind the first few block indices, perhaps seen as another dtype."""

    __slots__ = ("base", "prefix", "seen_as")

    def __init__(self, base: Blocks, prefix: tuple[int, ...], seen_as=None):
        f = base.form
        n = len(prefix)
        dt = f.dtype if seen_as is None else to_dtype(seen_as)
        shape = (*f.shape[n:-1], f.shape[-1] * f.dtype.itemsize // dt.itemsize)
        super().__init__(None, form(shape, fresh_strides(shape, len(base.blocks) - n), f.par[n:], dt, f.buffer))
        self.base, self.prefix, self.seen_as = base, prefix, seen_as

    def __getitem__(self, key) -> Tile:
        key = key if isinstance(key, tuple) else (key,)
        left = len(self.base.blocks) - len(self.prefix)
        if self.seen_as is None:
            return self.base[(*self.prefix, *key)]
        if len(key) < left or not _integers(key[:left]):
            return self.whole()[key]
        part = self.base[(*self.prefix, *key[:left])].view(self.seen_as)
        return part[key[left:]] if key[left:] else part

    def whole(self) -> Tile:
        part = self.base.whole()
        part = part[self.prefix] if self.prefix else part
        return part if self.seen_as is None else part.view(self.seen_as)

    @property
    def storage(self):
        whole = self.whole()
        self.form, self.offset = whole.form, whole.offset
        return whole.storage

    def tensor(self):
        return self.whole().tensor()

    def reshape(self, *sizes, shape=None, **ignored) -> Tile:
        return self.whole().reshape(*sizes, shape=shape)

    def view(self, dtype) -> Tile:
        return SomeBlocks(self.base, self.prefix, dtype)


def fill_hbm(t: Tile, value) -> None:
    """Fill an HBM tensor: a tile is filled and written as often as needed."""
    total = t.size
    columns = max((n for n in range(1, min(total, 2048) + 1) if total % n == 0), default=1)
    rows = total // columns
    flat = t.reshape(rows, columns)
    source = None
    for at in range(0, rows, 128):
        n = min(128, rows - at)
        if source is None:
            source = one_tile((n, columns), t.form.dtype, sbuf, t.storage.site or 0, None, None, value)
        calls.call("dma_copy", flat[at:at + n], {"src": source[0:n]}, {})


def constant_hbm(values: np.ndarray, dt: DType, name=None) -> Tile:
    """A constant in HBM, loaded with the program before the kernel starts."""
    from simcore.dtypes import cast

    rec = state.current("nl.shared_constant")
    values = np.ascontiguousarray(values)
    if values.dtype != dt.np:
        values = cast(values, dt)
    storage = rec.new_storage(name or f"constant{len(rec.storages)}", values.shape, dt, private_hbm,
                              site=state.site(rec, 2), kind="input")
    if rec.values:
        storage.data = np.ascontiguousarray(values).copy().reshape(-1).view(np.uint8)
    return Tile(storage, form(values.shape, fresh_strides(values.shape, 0), (False,) * values.ndim, dt, private_hbm))


def constant_tile(values: np.ndarray, dt: DType) -> Result:
    """A constant in SBUF."""
    from simcore.frontend.neuronxcc.memory import load

    return load(constant_hbm(values if values.ndim > 1 else values[None], dt))

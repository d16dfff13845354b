"""Recording an instruction of the table for tiles of the older dialect: masks, PSUM bookkeeping, value protection."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simcore.dtypes import DType, to_dtype, wider
from simcore.errors import KernelError
from simcore.frontend import state
from simcore.frontend.instructions import nisa
from simcore.frontend.neuronxcc import results
from simcore.frontend.neuronxcc.index import Predicate, broadcast, truth
from simcore.frontend.neuronxcc.results import Result, at_site, flush, wait
from simcore.frontend.neuronxcc.tile import Tile, as_tile
from simcore.isa.operators import to_operator
from simcore.layout import layout, psum, row_major, sbuf
from simcore.psum import psum_box
from simcore.tensor import Storage, Tensor
from simcore.trace import Recorder

ON_CHIP = (sbuf, psum)


class Mask:
    """The part of a grid of `shape` that a call computes: a box, and which of its points (None: all of them)."""

    __slots__ = ("shape", "box", "keep")

    def __init__(self, shape, box, keep):
        self.shape, self.box, self.keep = shape, box, keep

    def clip(self, t: Tile, dims=None) -> Tile:
        """The part of an operand inside the box; dims: the grid dimension of each of its own (None: not masked)."""
        if dims is None:
            dims = self.align(t)
        return t.clipped(tuple((0, n) if d is None or n != self.shape[d] else self.box[d]
                               for n, d in zip(t.shape, dims, strict=True)))

    def align(self, t: Tile):
        rank, have = len(self.shape), len(t.shape)
        if have == rank:
            return range(rank)
        axis = t.form.par_axis
        if have and t.size == t.shape[axis]:                      # one value per partition
            return [0 if k == axis else None for k in range(have)]
        return [k + rank - have if k + rank - have >= 0 else None for k in range(have)]


    def through(self, dims, shape) -> Mask:
        """The same part in the grid of a result whose dimensions are these grid dimensions."""
        if dims is None:
            return self
        dims = tuple(dims)
        box = tuple((0, n) if d is None else self.box[d] for d, n in zip(dims, shape, strict=True))
        kept = (self.keep if self.keep is not None
                and sorted(d for d in dims if d is not None) == list(range(len(self.shape))) else None)
        return Mask(tuple(shape), box, kept if kept is None else kept.transpose([d for d in dims if d is not None]))


_TRUTHS = (bool, int, np.integer, np.bool_)


def resolve(mask, shape) -> Mask | None | bool:
    """None: everything is computed.  False: nothing is.  Otherwise which part of a grid of `shape`."""
    if mask is None or mask is True:
        return None
    if mask.__class__ is Mask:
        return mask
    if isinstance(mask, _TRUTHS):
        return None if truth(mask) else False
    if not isinstance(mask, Predicate):
        raise KernelError(f"mask= takes a comparison of index expressions, not {type(mask).__name__}")
    grid = tuple(shape)
    if len(mask.shape) > len(grid):
        raise KernelError(f"a mask over a grid of shape {mask.shape} does not fit an access of shape {grid}")
    box = mask.box(grid)
    keep = None
    if box is None:
        full = broadcast(grid, mask.shape)
        dense = mask.dense(full)
        if full != grid:
            raise KernelError(f"a mask over a grid of shape {mask.shape} does not fit an access of shape {grid}")
        if not dense.any():
            return False
        where = np.nonzero(dense)
        box = tuple((int(w.min()), int(w.max()) + 1) for w in where)
        keep = dense[tuple(slice(low, high) for low, high in box)]
        if keep.all():
            keep = None
    if any(low >= high for low, high in box):
        return False
    if keep is None and all((low, high) == (0, n) for (low, high), n in zip(box, grid, strict=True)):
        return None
    return Mask(grid, box, keep)


# ---------------------------------------------------------------------------------------- PSUM


class PsumState:
    """What is remembered of a PSUM tile: zeros asked for but not written yet, and boxes other engines wrote."""

    __slots__ = ("zero", "site", "written")

    def __init__(self, zero: bool = False, site: int = -1):
        self.zero, self.site, self.written = zero, site, []


def before_read(t: Tile) -> None:
    kept = t.storage.tag
    if kept is not None and kept.zero:
        _write_zeros(t, kept)


def before_write(t: Tile) -> None:
    kept = t.storage.tag
    if kept is not None and kept.zero:
        if t.size == t.storage.size:
            kept.zero = False
        else:
            _write_zeros(t, kept)


def _write_zeros(t: Tile, kept: PsumState) -> None:
    kept.zero = False
    storage = t.storage
    whole = Tensor(storage, layout(storage.shape, row_major(storage.shape), storage.dtype, storage.buffer))
    with at_site(kept.site):
        nisa.memset(dst=whole, value=0)
    kept.written.append(psum_box(whole))


def after_write(t: Tile, name: str) -> None:
    if t.form.buffer is psum and t.form.size:
        storage = t.storage
        kept = storage.tag
        if name == "nc_matmul":
            if kept is not None and kept.written:
                box = psum_box(t.tensor())
                kept.written = [b for b in kept.written if not _overlap(b, box)]
        else:
            if kept is None:
                kept = storage.tag = PsumState()
            kept.written.append(psum_box(t.tensor()))


def accumulates(t: Tile) -> bool | None:
    """`psum += matmul`: True where another engine's values lie, None (the accumulation group decides) otherwise."""
    kept = t.storage.tag
    if kept is None:
        return None
    kept.zero = False
    if not kept.written:
        return None
    box = psum_box(t.tensor())
    return True if any(_overlap(b, box) for b in kept.written) else None


def _overlap(a, b) -> bool:
    """Do two boxes (first and past-last partition, first and past-last byte) share anything?"""
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


# ---------------------------------------------------------------------------------------- recording


def call(name: str, dst: Tile, operands: dict, params: dict, *, keep: np.ndarray | None = None,
         writes: tuple[str, ...] = (), reads_dst: bool = False) -> None:
    """Record one instruction now.  operands may hold tiles, numbers and None; `writes` names further destinations among
    them.

    Without elements to write or read there is no instruction.
    """
    if not dst.form.size:
        return
    args = params.copy()
    for k, v in operands.items():
        if isinstance(v, Tile):
            storage = v._storage if v.__class__ is Tile else v.storage
            if storage.tag is not None:
                before_write(v) if k in writes else before_read(v)
            v = v.tensor() if v._tensor is None else v._tensor
        args[k] = v
    storage = dst._storage if dst.__class__ is Tile else dst.storage
    if storage in results.aliases:
        results.before_change(storage)
    if storage.tag is not None and params.get("accumulate", False) is False:
        before_read(dst) if reads_dst or keep is not None else before_write(dst)
    target = dst.tensor() if dst._tensor is None else dst._tensor
    rec = state.recorder
    if keep is None or not rec.values:
        getattr(nisa, name)(dst=target, **args)
    else:
        order = dst.form.core[1]
        keep = (keep.transpose(order) if len(order) == keep.ndim else keep).reshape(target.shape)
        before = target.read().copy()
        getattr(nisa, name)(dst=target, **args)
        target.write(np.where(keep, target.read(), before))
    if dst.form.buffer is psum:
        after_write(dst, name)


def result(name: str, shape, dtype, operands: dict, params: dict, mask=None, *, buffer=sbuf, par: int = 0,
           targets=ON_CHIP, grid=None, dst_dims=None, writes: tuple[str, ...] = (), dims: dict | None = None) -> Result:
    """An instruction whose destination is chosen by what the kernel does with its result.

    shape     of the result; grid: shape the mask refers to (the same unless the instruction reduces or transposes)
    dst_dims  grid dimension of each dimension of the result; dims: the same for operands that are not aligned with the
              grid
    """
    rec = state.recorder
    site = state.site(rec, 3)
    if results.pending:
        flush()
    if mask is None:
        where = None
    else:
        where = resolve(mask, shape if grid is None else grid)

    def emit(dst: Tile) -> None:
        if where is None:
            return call(name, dst, operands, params, writes=writes)
        if where is False:
            return None
        keep = where.keep
        clipped = {k: where.clip(v, dims.get(k) if dims else None) if isinstance(v, Tile) else v
                   for k, v in operands.items()}
        if keep is not None:
            kept = {k: keep.transpose(dims[k]) if dims and k in dims else keep for k in operands}
            clipped = {k: v.guarded(kept[k]) if isinstance(v, Tile) else v for k, v in clipped.items()}
        if keep is not None and dst_dims is not None:
            return _with_neutral(name, kept["data"], where.clip(dst, dst_dims), clipped, params)
        return call(name, where.clip(dst, dst_dims), clipped, params, keep=keep, writes=writes)

    carried = where.through(dst_dims, shape) if where.__class__ is Mask else where
    return wait(Result(shape, dtype, buffer, emit, site=site, par=par, targets=targets, mask=carried))


def _with_neutral(name, kept: np.ndarray, dst: Tile, operands: dict, params: dict) -> None:
    """A reduction under a mask that is no rectangle: elements outside read as the operator's neutral value.

    kept  which elements count, in the shape of the operand "data"
    """
    rec = state.recorder
    if not rec.values:
        return call(name, dst, operands, params)
    op = to_operator(params["op"]).name
    neutral = {"add": 0, "subtract": 0, "multiply": 1, "maximum": -np.inf, "minimum": np.inf}.get(op)
    if neutral is None:
        raise KernelError(f"nisa.{name} with nl.{op} under a mask that is not a rectangle is not possible; clear "
                          "the elements outside first")
    data = operands["data"].tensor()
    order = operands["data"].form.core[1]
    kept = (kept.transpose(order) if len(order) == kept.ndim else kept).reshape(data.shape)
    counted = Storage(-1, None, data.shape, data.dtype, data.buffer)
    counted.data = np.where(kept, data.read().astype(np.float64), lowest(neutral, data.dtype)).astype(data.dtype.np)
    counted.data = counted.data.reshape(-1).view(np.uint8)
    if dst.storage.tag is not None:
        before_write(dst)
    rec.values = False
    try:
        call(name, dst, operands, params)
    finally:
        rec.values = True
    # the same instruction on the elements that count, outside of the record
    state.recorder = Recorder(rec.target, values=True)
    try:
        view = layout(data.shape, row_major(data.shape), data.dtype, data.buffer)
        getattr(nisa, name)(dst=dst.tensor(), data=Tensor(counted, view), **params)
    finally:
        state.recorder = rec
    return None


def lowest(value: float, dtype: DType):
    """A neutral value, held to what an integer dtype can hold."""
    if not dtype.is_int or np.isfinite(value):
        return value
    limits = np.iinfo(dtype.np)
    return limits.min if value < 0 else limits.max


def now(name: str, dst: Tile, operands: dict, params: dict, mask=None, *, grid=None, writes: tuple[str, ...] = (),
        reads_dst=False) -> None:
    """An instruction that names its destination itself: recorded at once."""
    flush()
    where = resolve(mask, dst.shape if grid is None else grid)
    if where is False:
        return
    if where is None:
        call(name, dst, operands, params, writes=writes, reads_dst=reads_dst)
        return
    clipped = {k: where.clip(v) if isinstance(v, Tile) else v for k, v in operands.items()}
    if where.keep is not None:
        clipped = {k: v.guarded(where.keep) if isinstance(v, Tile) else v for k, v in clipped.items()}
    call(name, where.clip(dst), clipped, params, keep=where.keep, writes=writes, reads_dst=reads_dst)


# ---------------------------------------------------------------------------------------- what calls share


def operand(value, what: str) -> Tile:
    """A tensor argument as a tile; NumPy arrays and numbers are refused with a sentence."""
    if value.__class__ is Tile or isinstance(value, Tile):
        return value
    if isinstance(value, Tensor):
        return as_tile(value)
    raise KernelError(f"{what} must be a tile, not {type(value).__name__}"
                      + (" (load it with nl.load first)" if isinstance(value, np.ndarray) else ""),
                      site=state.user_site(2))


def maybe(value):
    """A tile, or a Python number."""
    if isinstance(value, Tensor):
        return as_tile(value)
    if isinstance(value, np.generic):
        return value.item()
    return value


def result_dtype(dtype, *values) -> DType:
    """The dtype asked for, else the widest of the tiles."""
    if dtype is not None:
        return to_dtype(dtype)
    found = None
    for v in values:
        if isinstance(v, Tile):
            found = v.form.dtype if found is None else wider(found, v.form.dtype)
    return found or to_dtype("float32")


Emit = Callable[[Tile], None]

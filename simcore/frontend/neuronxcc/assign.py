"""`region[...] = value` and `region += value`."""

from __future__ import annotations

import weakref

import numpy as np

from simcore.errors import KernelError
from simcore.frontend import state
from simcore.frontend.neuronxcc import calls, functions, memory, nki, results
from simcore.frontend.neuronxcc.index import Index
from simcore.frontend.neuronxcc.results import Result, flush
from simcore.frontend.neuronxcc.tile import Tile, as_tile
from simcore.layout import psum
from simcore.tensor import Tensor


def assign(region: Tile, value) -> None:
    """Put a value into a region: a waiting result is written there directly, anything else is copied."""
    if isinstance(value, Tensor):
        value = as_tile(value)
    if isinstance(value, Tile) and not value.form.size:
        return                                  # a slice of nothing, as loops over a remainder of 0 give
    if isinstance(value, Result) and not value.ready:
        if _takes(region, value):
            value.write_into(region)
            results.aliases.setdefault(region.storage, []).append(weakref.ref(value))
            return
        flush()
    if isinstance(value, Tile):
        if (value.storage is region.storage and value.form is region.form and value.offset == region.offset
                and region.dynamic is value.dynamic):
            return                              # `region += x` assigns what it already holds
        copy_into(region, value, value.mask)
    elif isinstance(value, bool | int | float | np.number | np.bool_):
        fill(region, value)
    elif isinstance(value, Index):
        assign(region, nki.isa.iota(value, dtype=region.form.dtype))
    else:
        raise KernelError(f"a {type(value).__name__} cannot be stored into a tile; use a tile or a number",
                          site=state.user_site(2))


def _takes(region: Tile, value: Result) -> bool:
    if region.form.buffer not in value.targets or region.dynamic is not None:
        return False
    if region.form.shape == value.form.shape:
        return True
    if value.mask is not None or region.size != value.size:
        return False
    if not region.form.buffer.on_chip:
        return False
    return region.form.core[0].shape[0] == value.form.core[0].shape[0]


def fill(region: Tile, value) -> None:
    flush()
    value = value.item() if isinstance(value, np.generic) else value
    if region.form.buffer.on_chip:
        calls.call("memset", region, {}, {"value": value})
        return
    memory.store(region, value)


def copy_into(region: Tile, value: Tile, mask=None) -> None:
    """A copy between any two memories, cast to the region's dtype."""
    flush()
    if value.shape != region.shape and value.size != region.size:
        value = value.broadcast_to(region.shape)
        flush()
    if region.form.buffer.on_chip and value.form.buffer.on_chip:
        where = calls.resolve(mask, value.shape) if mask is not None else None
        if where is False:
            return
        if where is None:
            calls.call("tensor_copy", region, {"src": value}, {})
        else:
            calls.call("tensor_copy", where.clip(region), {"src": where.clip(value)}, {}, keep=where.keep)
        return
    memory.move(region, value, mask)


def accumulate(region: Tile, value) -> Tile:
    """`region += value`: a waiting matmul accumulates in PSUM, anything else is added."""
    if isinstance(value, Result) and not value.ready and value.kind == "matmul" and region.form.buffer is psum \
            and region.size == value.size and region.dynamic is None and region.form.dtype.is_float:
        value.write_into(region, accumulate=True)
        return region
    assign(region, functions.add(region, value, dtype=region.form.dtype))
    return region


def set_item(self: Tile, key, value) -> None:
    assign(self[key], value)


Tile.__setitem__, Tile.__iadd__ = set_item, accumulate      # type: ignore[method-assign]

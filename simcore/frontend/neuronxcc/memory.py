"""`nl` functions that move data: load, store, copies, transposes, and matmul with its operands brought in place."""

from __future__ import annotations

import numpy as np

from simcore.frontend.neuronxcc import calls, nki
from simcore.frontend.neuronxcc.calls import operand, result, result_dtype
from simcore.frontend.neuronxcc.index import Predicate
from simcore.frontend.neuronxcc.results import flush
from simcore.frontend.neuronxcc.tile import Tile
from simcore.layout import psum, sbuf


def load(src, *, mask=None, dtype=None, **kwargs):
    """HBM to a new SBUF tile; a 1-D source gives (n, 1)."""
    src = operand(src, "src")
    if src.ndim == 0:
        src = src[None, None]
    elif src.ndim == 1:
        src = src[:, None]
        if isinstance(mask, Predicate) and mask.ndim == 1:
            mask = _deeper(mask)
    params = _out_of_bounds(kwargs) if kwargs else {}
    if src.buffer.on_chip:
        return result("tensor_copy", src.shape, result_dtype(dtype, src), {"src": src}, {}, mask, par=src.form.par_axis)
    return result("dma_copy", src.shape, result_dtype(dtype, src), {"src": src}, params, mask, targets=(sbuf,))


def _deeper(mask: Predicate) -> Predicate:
    if mask.terms is not None:
        return Predicate((*mask.shape, 1), tuple(t.expand_dims(t.ndim) for t in mask.terms))
    return Predicate((*mask.shape, 1), None, lambda: mask.dense()[..., None])


def _out_of_bounds(kwargs: dict) -> dict:
    """The instruction's oob_mode from `mode=` or `oob_mode=`."""
    from simcore.isa.table import OobMode

    given = [v for k, v in kwargs.items() if k in ("mode", "oob_mode")]
    return {"oob_mode": OobMode[getattr(given[-1], "name", str(given[-1]))]} if given else {}


def store(dst, value, *, mask=None, **kwargs):
    """An SBUF tile (or a number) to an HBM region."""
    dst = operand(dst, "dst")
    params = _out_of_bounds(kwargs)
    if isinstance(value, bool | int | float | np.number):
        shape = dst.shape if dst.ndim > 1 else (1, dst.size)
        if dst.buffer.on_chip:
            dst[...] = value
            return
        if shape[0] > 128:
            from simcore.frontend.neuronxcc.creation import fill_hbm

            flush()
            fill_hbm(dst, value)
            return
        value = result("memset", shape, dst.form.dtype, {},
                       {"value": value.item() if isinstance(value, np.generic) else value})
    value = operand(value, "value")
    move(dst, value, mask if mask is not None else value.mask, **params)


def move(dst: Tile, src: Tile, mask=None, **params) -> None:
    """dst = src by DMA, element for element in the order of each side's shape."""
    flush()
    if src.buffer is psum:                        # DMA cannot reach PSUM
        src = result("tensor_copy", src.shape, src.form.dtype, {"src": src}, {}, mask if src.shape == dst.shape
                     else None)
        flush()
    if dst.buffer is psum:
        staged = result("dma_copy", src.shape, src.form.dtype, {"src": src}, params, mask, targets=(sbuf,))
        dst[...] = staged
        return
    if dst.size != src.size:
        src = _fitted(src, dst.shape)
    where = calls.resolve(mask, dst.shape)
    if where is False:
        return
    if where is not None:
        if src.shape != dst.shape:
            src = src.reshape(dst.shape) if src.dynamic is None else src
        dst, src = where.clip(dst), where.clip(src)
        if where.keep is not None:
            dst, src = dst.guarded(where.keep), src.guarded(where.keep)
    chip = dst if dst.buffer.on_chip else src
    other = src if chip is dst else dst
    if chip.buffer.on_chip:
        order = chip.form.core[1] if not chip.form.limits else tuple(range(chip.ndim))
        if order != tuple(range(chip.ndim)) and len(order) == other.ndim:
            if other.buffer.on_chip:
                pass
            elif chip is dst:
                src = src.permuted(order)
            else:
                dst = dst.permuted(order)
    calls.call("dma_copy", dst, {"src": src}, params, keep=where.keep if where is not None else None,
               reads_dst=params.get("dst_rmw_op") is not None)


def _fitted(src: Tile, shape) -> Tile:
    if src.ndim > len(shape) and src.shape[0] == 1:
        src = src[0] if not src.buffer.on_chip else src
    if src.ndim < len(shape):
        src = src[(None,) * (len(shape) - src.ndim)]
    return src.broadcast_to(shape)


def load_transpose2d(src, *, mask=None, dtype=None, **kwargs):
    """HBM (a, b) to a new SBUF tile (b, a), transposed by the DMA."""
    src = operand(src, "src")
    return result("dma_transpose", src.shape[::-1], result_dtype(dtype, src), {"src": src}, {}, mask, targets=(sbuf,),
                  grid=src.shape, dst_dims=tuple(range(src.ndim))[::-1])


def copy(src, *, mask=None, dtype=None, **kwargs):
    """A new SBUF tile with the values of src."""
    src = operand(src, "src")
    if not src.buffer.on_chip:
        return load(src, mask=mask, dtype=dtype)
    return result("tensor_copy", src.shape, result_dtype(dtype, src), {"src": src}, {}, mask, par=src.form.par_axis)


def cast(src, dtype, **kwargs):
    return copy(src, dtype=dtype)


def transpose(x, *, dtype=None, mask=None, **kwargs):
    """The 2-D transpose, through the Tensor engine."""
    return nki.isa.nc_transpose(x, mask=mask, dtype=dtype)


def matmul(x, y, *, transpose_x=False, mask=None, **kwargs):
    """x @ y (x.T @ y with transpose_x) in PSUM; x is transposed first where the Tensor engine needs that."""
    isa = nki.isa
    x, y = operand(x, "x"), operand(y, "y")
    if not transpose_x:
        x = isa.tensor_copy(isa.nc_transpose(x, engine=isa.tensor_engine))
    x, y = in_sbuf(x), in_sbuf(y)
    if (x.form.dtype.itemsize == 4) != (y.form.dtype.itemsize == 4):
        x, y = (isa.tensor_copy(t, dtype="float32") if t.form.dtype.itemsize != 4 else t for t in (x, y))
    return isa.nc_matmul(x, y, mask=mask)


def in_sbuf(t: Tile) -> Tile:
    return t if t.buffer is sbuf else load(t) if not t.buffer.on_chip else nki.isa.tensor_copy(t)

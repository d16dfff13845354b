"""The Tensor engine: products and transposes."""

from __future__ import annotations

import math
from functools import lru_cache

from simcore.dtypes import float32
from simcore.errors import KernelError
from simcore.frontend import state
from simcore.frontend.neuronxcc import calls
from simcore.frontend.neuronxcc.calls import operand, result, result_dtype
from simcore.frontend.neuronxcc.index import Predicate
from simcore.frontend.neuronxcc.nki.isa._elementwise import tensor_copy
from simcore.frontend.neuronxcc.nki.isa.constants import engine, matmul_perf_mode
from simcore.frontend.neuronxcc.results import Result, flush, wait
from simcore.isa.table import Engine
from simcore.layout import psum, sbuf


def nc_matmul(stationary, moving, *, is_stationary_onezero=False, is_moving_onezero=False, is_transpose=False,
              tile_position=(), tile_size=(), perf_mode=matmul_perf_mode.none, mask=None, **kwargs):
    """A PSUM tile: stationary.T @ moving.  `psum += nc_matmul(...)` accumulates there."""
    a, b = in_sbuf(operand(stationary, "stationary"), mask), in_sbuf(operand(moving, "moving"), mask)
    pair = perf_mode is not matmul_perf_mode.none and getattr(perf_mode, "name", str(perf_mode)).startswith(
        "double_row")
    shape = _product_shape(a.form.shape, b.form.shape, 2 if pair else 1)
    transposing = is_transpose is True
    dtype = b.form.dtype if transposing and b.form.dtype.itemsize == 2 else float32
    return _matmul(a, b, shape, dtype, mask,
                   dict(is_stationary_onezero=bool(is_stationary_onezero), is_moving_onezero=bool(is_moving_onezero),
                        is_transpose=bool(is_transpose), tile_position=tuple(tile_position), tile_size=tuple(tile_size),
                        perf_mode=perf_mode))


@lru_cache(maxsize=1024)
def _product_shape(a: tuple[int, ...], b: tuple[int, ...], pair: int) -> tuple[int, ...]:
    return (math.prod(a[1:]) // pair, *(b[1:] if pair == 1 else (math.prod(b[1:]) // pair,)))


def in_sbuf(t, mask):
    """The Tensor engine reads SBUF: an operand in PSUM is copied there first, as the compiler does."""
    return t if t.form.buffer is sbuf else tensor_copy(t, mask=mask if not isinstance(mask, Predicate) else None)


def _matmul(a, b, shape, dtype, mask, params):
    site = state.site(state.recorder, 3)
    flush()
    where = None if mask is None else _matmul_mask(mask, a, b)

    def emit(dst, accumulate=False):
        if where is False:
            return
        x, y, into = a, b, dst
        if where is not None:
            rows, columns, width = where
            x, y = x.clipped((rows, columns,
                              *((0, n) for n in x.shape[2:]))), y.clipped((rows, width, *((0, n) for n in y.shape[2:])))
            into = dst.clipped((columns, width, *((0, n) for n in dst.shape[2:])))
        params["accumulate"] = calls.accumulates(into) if accumulate else False
        calls.call("nc_matmul", into, {"stationary": x, "moving": y}, params)

    carried = where
    if where:
        rows, columns, width = where
        carried = calls.Mask(tuple(shape), (columns, width, *((0, n) for n in shape[2:])), None)
    return wait(Result(shape, dtype, psum, emit, site=site, kind="matmul", targets=(psum,), mask=carried))


def _matmul_mask(mask, a, b):
    """Ranges of the contraction, the stationary columns and the moving width.

    A mask speaks of a grid (partition, free): the partition is the contraction, the free dimension the moving operand's
    where its sizes agree, else the stationary's.
    """
    where = calls.resolve(mask, b.shape[:2] if not isinstance(mask, Predicate) or mask.shape[-1] in (1, b.shape[1])
                           else a.shape[:2])
    if where is None or where is False:
        return where
    if where.keep is not None:
        raise KernelError("nisa.nc_matmul: the mask must be a rectangle")
    of_moving = where.shape == b.shape[:2]
    return where.box[0], (0, a.shape[1]) if of_moving else where.box[1], where.box[1] if of_moving else (0, b.shape[1])


def nc_transpose(data, *, mask=None, dtype=None, engine=engine.unknown, **kwargs):
    """The transpose, in PSUM from the Tensor engine, in SBUF from the Vector engine up to 32x32.

    A larger tile goes to the Tensor engine whatever engine is asked for, copied to SBUF first if it is in PSUM: kernels
    that ask the Vector engine for one run on chips; that the compiler does it this way is inferred.
    """
    data = operand(data, "data")
    rows, columns = data.shape[0], math.prod(data.shape[1:])
    small = rows <= 32 and columns <= 32
    on_vector = small and engine in (Engine.vector, Engine.unknown)
    if not on_vector:
        data = in_sbuf(data, mask)
    buffer = sbuf if on_vector else psum
    dt = result_dtype(dtype, data)
    return result("nc_transpose", (columns, rows), dt, {"data": data},
                   {"engine": Engine.vector if on_vector else Engine.tensor}, mask,
                   buffer=buffer, targets=(sbuf, psum) if on_vector else (psum,), grid=data.shape,
                   dst_dims=(1, 0) if data.ndim == 2 else (None, 0))

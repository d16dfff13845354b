"""`nl` functions that choose, gather, draw random numbers or concern several programs."""

from __future__ import annotations

import math

import numpy as np

from simcore.dtypes import to_dtype
from simcore.errors import KernelError
from simcore.frontend import state
from simcore.frontend.neuronxcc import calls
from simcore.frontend.neuronxcc.calls import maybe, operand, result, result_dtype
from simcore.frontend.neuronxcc.creation import ndarray
from simcore.frontend.neuronxcc.functions import multiply
from simcore.frontend.neuronxcc.index import Predicate, broadcast
from simcore.frontend.neuronxcc.memory import copy, move
from simcore.frontend.neuronxcc.results import flush
from simcore.frontend.neuronxcc.spread import spread
from simcore.frontend.neuronxcc.tile import Tile
from simcore.isa.operators import OPERATORS


def where(condition, x, y, *, dtype=None, mask=None, **kwargs):
    """x where the condition is not zero, else y."""
    if isinstance(condition, Predicate):
        from simcore.frontend.neuronxcc.nki.isa import affine_select

        if isinstance(x, Tile) and not isinstance(y, Tile):
            return affine_select(condition, operand(x, "x"), y, mask=mask, dtype=dtype)
        shape = next((t.shape for t in (x, y) if isinstance(t, Tile)), condition.shape)
        condition = affine_select(condition, ndarray(shape, np.float32, fill=1.0), 0.0)
    condition = operand(condition, "condition")
    x, y = maybe(x), maybe(y)
    shape = condition.shape
    for t in (x, y):
        if isinstance(t, Tile):
            shape = broadcast(shape, t.shape)
    dt = result_dtype(dtype, *(t for t in (x, y) if isinstance(t, Tile)))
    if condition.form.dtype not in ("uint8", "uint16", "uint32"):
        condition = copy(condition, dtype="uint8")
    out = (result("tensor_copy", shape, dt, {"src": spread(y, shape)}, {}, mask) if isinstance(y, Tile)
           else result("memset", shape, dt, {}, {"value": y}, mask))
    flush()
    source = x
    if isinstance(x, Tile):
        source = spread(x, shape)
        if source.form.dtype is not dt or source.shape != shape or source.size == source.shape[0] != math.prod(shape):
            source = copy(x.broadcast_to(shape), dtype=dt)
    calls.now("tensor_copy_predicated", Tile(out.storage, out.form, out.offset),
              {"src": source, "predicate": _full(condition, shape)}, {}, mask, reads_dst=True)
    return out


def _full(t: Tile, shape) -> Tile:
    return t if t.shape == tuple(shape) else t.broadcast_to(shape)


def gather_flattened(data, indices, *, mask=None, dtype=None, **kwargs):
    """Within each partition: data.flat[indices]."""
    data, indices = operand(data, "data"), operand(indices, "indices")
    if indices.form.dtype != "uint32":
        indices = copy(indices, dtype="uint32")
    out = result("nc_n_gather", indices.shape, data.form.dtype, {"data": data, "indices": indices}, {}, mask)
    return out if dtype is None or to_dtype(dtype) is data.form.dtype else copy(out, dtype=dtype)


def dropout(x, rate, *, dtype=None, mask=None, **kwargs):
    x = operand(x, "x")
    return result("dropout", x.shape, result_dtype(dtype, x), {"data": x, "prob": maybe(rate)}, {}, mask)


def rand(shape, dtype=np.float32, **kwargs):
    """Uniform in [0, 1): random bits, scaled."""
    from simcore.frontend.neuronxcc.nki.isa import tensor_scalar

    bits = result("rng", shape, to_dtype("uint32"), {}, {})
    high = tensor_scalar(bits, OPERATORS["right_shift"], 8, dtype="uint32")
    return multiply(high, 2.0**-24, dtype=dtype)


def random_seed(seed, *, mask=None, **kwargs):
    """Seed the random numbers from a one-element tile."""
    from simcore.frontend.instructions import nisa

    seed = operand(seed, "seed")
    flush()
    if calls.resolve(mask, seed.shape) is False:
        return
    calls.before_read(seed)
    nisa.set_rng_seed(src_seeds=seed.tensor())


def atomic_rmw(dst, value, op, *, mask=None, **kwargs):
    """dst = dst op value in HBM."""
    move(operand(dst, "dst"), operand(value, "value"), mask, dst_rmw_op=getattr(op, "operator", op))


def all_reduce(x, op, program_axes, *, dtype=None, mask=None, parallel_reduce=True, asynchronous=False, **kwargs):
    """x reduced over the programs of a launch; with one program, x itself."""
    rec = state.current("nl.all_reduce")
    if len(rec.programs.programs) == 1:
        return copy(x, dtype=dtype, mask=mask)
    raise KernelError("nl.all_reduce over several programs is not possible: the programs of a grid "
                      "run one after the other")


def device_print(prefix, x, *, mask=None, **kwargs):
    """Printing on the device is left out: it costs nothing and computes nothing."""

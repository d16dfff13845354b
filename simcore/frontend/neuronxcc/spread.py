"""Broadcasting: free dimensions by a stride of 0, partitions by moving data."""

from __future__ import annotations

from simcore.errors import KernelError
from simcore.frontend import state
from simcore.frontend.neuronxcc.calls import operand
from simcore.frontend.neuronxcc.index import broadcast
from simcore.frontend.neuronxcc.results import flush
from simcore.frontend.neuronxcc.tile import Tile
from simcore.layout import sbuf


def broadcast_shape(a, b) -> tuple[int, ...]:
    """The shape of `a op b`: as NumPy says, and one value per partition fits any free dimensions."""
    for one, other in ((a, b), (b, a)):
        alone = one.size == one.shape[0] > 1 and one.form.par_axis == 0
        if alone and 2 <= one.ndim != other.ndim >= 2 and other.shape[0] == one.size and other.form.par_axis == 0:
            return other.shape
    try:
        return broadcast(a.shape, b.shape)
    except KernelError:
        raise KernelError(f"tiles of shapes {a.shape} and {b.shape} do not broadcast",
                          site=state.user_site(3)) from None


def spread(t: Tile, shape) -> Tile:
    """A tile repeated to `shape`: free dimensions by a stride of 0, partitions by data movement."""
    if t.shape == tuple(shape):
        return t
    if t.size == t.shape[t.form.par_axis] == shape[0] and t.form.par_axis == 0:
        return t                      # one value per partition: the instructions take it as it is
    return t.broadcast_to(shape)


def broadcast_partitions(t: Tile, shape) -> Tile:
    """One row repeated over partitions: the Tensor engine multiplies it with a column of ones."""
    from simcore.frontend.neuronxcc.creation import one_tile
    from simcore.frontend.neuronxcc.nki.isa import nc_matmul, tensor_copy

    extra = len(shape) - t.ndim
    row = t.reshape((1,) * extra + t.shape) if extra else t      # the first dimension is the partition
    partitions = shape[0]
    if row.shape[1:] != tuple(shape[1:]):
        row = row.broadcast_to((1, *shape[1:]))
    dt = t.form.dtype
    site = state.site(state.recorder, 2)
    if dt.is_int or t.buffer is not sbuf:
        row = tensor_copy(row, dtype="float32" if dt.is_int else dt)
    work = row.form.dtype
    flush()
    kept = state.recorder.__dict__.setdefault("ones", {})
    key = (state.recorder.core, partitions, work)
    ones = kept.get(key)
    if ones is None:
        ones = kept[key] = one_tile((1, partitions), work, sbuf, site, None, None, 1.0)
    out = one_tile((partitions, *shape[1:]), dt, sbuf, site, None, None, None)
    flat_in, flat_out = (row.reshape(1, -1) if _flat(row) else tensor_copy(row).reshape(1, -1),
                         out.reshape(partitions, -1))
    for at in range(0, flat_in.shape[1], 512):
        part = slice(at, min(at + 512, flat_in.shape[1]))
        flat_out[:, part] = tensor_copy(nc_matmul(ones, flat_in[:, part], is_stationary_onezero=True), dtype=dt)
    return out


def _flat(t: Tile) -> bool:
    step = 1
    for n, s in zip(reversed(t.shape[1:]), reversed(t.form.strides[1:]), strict=True):
        if n != 1 and s != step:
            return False
        step *= n
    return True


def broadcast_to(src, *, shape, **kwargs):
    """A tile repeated along dimensions of size 1."""
    return operand(src, "src").broadcast_to(shape)


def expand_dims(data, axis):
    return operand(data, "data").expand_dims(axis)

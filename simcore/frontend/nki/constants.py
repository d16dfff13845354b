"""Tensors known before the kernel runs: `nl.shared_constant`, `nl.shared_identity_matrix`."""

from __future__ import annotations

import os

import numpy as np

from simcore.dtypes import to_dtype
from simcore.errors import FileError, KernelError
from simcore.frontend import state
from simcore.frontend.instructions import nisa
from simcore.frontend.nki.functions import tile
from simcore.layout import layout, row_major, shared_hbm
from simcore.tensor import Tensor


def shared_constant(constant, dtype=None, name=None, **ignored) -> Tensor:
    """A tensor in shared HBM with constant data: a NumPy array, or the path of a .npy file."""
    rec = state.current("nl.shared_constant")
    if isinstance(constant, str | os.PathLike):
        try:
            constant = np.load(constant, allow_pickle=False)
        except (OSError, ValueError) as e:
            raise FileError(f"nl.shared_constant: {constant} cannot be read as a .npy file: {e}",
                            site=state.user_site()) from None
    if isinstance(constant, Tensor):
        return constant
    array = np.asarray(constant)
    if array.dtype == object:
        raise KernelError(f"nl.shared_constant needs an array, not {type(constant).__name__}", site=state.user_site())
    if dtype is None and array.dtype == np.float64 and not isinstance(constant, np.ndarray):
        dtype = "float32"
    dt = to_dtype(array.dtype if dtype is None else dtype)
    array = np.ascontiguousarray(array.astype(dt.np))
    site = state.site(rec, 1)
    storage = rec.new_storage(name, array.shape, dt, shared_hbm, site=site, kind="input")
    if rec.values:
        storage.data = array.reshape(-1).view(np.uint8).copy()
    return Tensor(storage, layout(array.shape, row_major(array.shape), dt, shared_hbm))


def shared_identity_matrix(n, dtype="uint8", dst=None, **ignored) -> Tensor:
    """An n x n identity in SBUF (or in dst), loaded from a constant in shared HBM that all uses of one dtype share."""
    rec = state.current("nl.shared_identity_matrix")
    dt = to_dtype(dst.dtype if dst is not None else dtype)
    key = ("identity", int(n), dt)
    source = rec.constants.get(key)
    if source is None:
        source = rec.constants[key] = shared_constant(np.eye(int(n)), dt)
    if dst is None:
        dst = tile((n, n), dt)
    nisa.dma_copy(dst=dst, src=source)
    return dst

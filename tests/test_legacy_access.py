"""The older dialect: accesses that masks or run-time values decide, as kernels of public repositories write them."""

from __future__ import annotations

import numpy as np
import pytest

import simcore
from simcore.errors import KernelError
from simcore.frontend import activate

with activate():
    import neuronxcc.nki as nki
    import neuronxcc.nki.isa as nisa
    import neuronxcc.nki.language as nl

RNG = np.random.default_rng(11)


def data(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("op", ["max", "sum"])
def test_windows_that_reach_over_the_edge_count_what_the_mask_leaves_in(op):
    """Pooling with padding: the mask is no rectangle, windows overlap, and their outside lies outside of the tile."""
    @nki.jit
    def pool(x):
        c, h, w = x.shape
        out = nl.ndarray((c, h // 2, w // 2), dtype=x.dtype, buffer=nl.shared_hbm)
        i0 = nl.arange(c)[:, None, None, None, None]
        i1 = nl.arange(h // 2)[None, :, None, None, None]
        i2 = nl.arange(w // 2)[None, None, :, None, None]
        i3 = nl.arange(4)[None, None, None, :, None]
        i4 = nl.arange(4)[None, None, None, None, :]
        tile = nl.load(x)
        row, column = 2 * i1 - 1 + i3, 2 * i2 - 1 + i4
        inside = (row >= 0) & (column >= 0) & (row < h) & (column < w)
        nl.store(out, value=getattr(nl, op)(tile[i0, row, column], axis=[3, 4], mask=inside))
        return out

    x = data(8, 10, 12)
    full = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf if op == "max" else 0)
    windows = np.lib.stride_tricks.sliding_window_view(full, (4, 4), (1, 2))[:, ::2, ::2]
    assert np.allclose(pool(x), getattr(windows, op)((3, 4)), rtol=1e-5)
    assert len(simcore.capture(pool, x, values=False)) == len(simcore.capture(pool, x))


def test_an_access_over_the_edge_that_the_mask_does_not_leave_out_is_refused():
    @nki.jit
    def kernel(x):
        out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
        i, j = nl.mgrid[0:8, 0:16]
        tile = nl.load(x)
        nl.store(out[i, j], value=nl.exp(tile[i, j + i], mask=j + 2 * i < 24))
        return out

    with pytest.raises(KernelError, match="reaches index 22 of a dimension with 16 elements"):
        kernel(data(8, 16))


def test_a_copy_under_a_triangular_mask_may_reach_over_the_edge():
    @nki.jit
    def shear(x):
        out = nl.zeros(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
        i, j = nl.mgrid[0:8, 0:16]
        tile = nl.zeros((8, 16), dtype=x.dtype, buffer=nl.sbuf)
        source = nl.load(x)
        tile[i, j] = nl.copy(source[i, j + i], mask=j + i < 16)
        nl.store(out, tile)
        return out

    x = data(8, 16)
    want = np.stack([np.r_[x[p, p:], np.zeros(p)] for p in range(8)])
    assert np.array_equal(shear(x), want.astype(np.float32))


def test_a_tile_of_indices_plus_an_index_expression():
    @nki.jit
    def rows(x, starts):
        out = nl.ndarray((64, 8), dtype=x.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.load(x[nl.load(starts) * 8 + nl.arange(8)[None, :]]))
        return out

    @nki.jit
    def windows(x, starts):
        out = nl.ndarray((64, 8), dtype=x.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.load(x[nl.arange(64)[:, None], nl.arange(8)[None, :] + nl.load(starts)]))
        return out

    starts = RNG.permutation(64).astype(np.int32)[:, None]
    x = data(512)
    assert np.array_equal(rows(x, starts), x.reshape(64, 8)[starts[:, 0]])
    x = data(64, 80)
    assert np.array_equal(windows(x, starts), np.stack([x[p, s:s + 8] for p, s in enumerate(starts[:, 0])]))


def test_a_single_run_time_value_plus_an_index_expression():
    @nki.jit
    def kernel(x, offsets):
        out = nl.ndarray((128, 16), dtype=x.dtype, buffer=nl.shared_hbm)
        source, at = nl.load(x), nl.load(offsets)
        copied = nl.ndarray((128, 16), dtype=x.dtype, buffer=nl.sbuf)
        ix, iy = nl.mgrid[0:128, 0:4]
        for k in nl.affine_range(4):
            copied[ix, iy + 4 * k] = nisa.tensor_copy_dynamic_src(source[ix, at[0, k] + iy])
        nl.store(out, copied)
        return out

    x, offsets = data(128, 64), np.array([[5, 60, 0, 17]], np.int32)
    assert np.array_equal(kernel(x, offsets), np.concatenate([x[:, o:o + 4] for o in offsets[0]], 1))
    assert len(simcore.capture(kernel, x, offsets, values=False)) == len(simcore.capture(kernel, x, offsets))


def test_operands_with_as_many_elements_per_partition_need_not_have_the_same_shape():
    @nki.jit
    def kernel(a, b):
        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        nl.store(out, nisa.tensor_tensor(nl.load(a), nl.load(b), op=nl.maximum))
        return out

    a, b = data(128, 6, 1), data(128, 6)
    assert np.array_equal(kernel(a, b), np.maximum(a, b[:, :, None]))


def test_a_view_with_run_time_indices_can_be_indexed_again():
    @nki.jit
    def kernel(x, index):
        out = nl.ndarray((64, 4), dtype=x.dtype, buffer=nl.shared_hbm)
        at = nl.load(index)                                     # (1, 4)
        for k in nl.static_range(4):
            column = x[:, at[0, k]]                             # one dimension: nl.load gives it a second
            nl.store(out[:, k:k + 1], nl.load(column))
        return out

    @nki.jit
    def rows(x, index):
        out = nl.ndarray((32, 8), dtype=x.dtype, buffer=nl.shared_hbm)
        gathered = x[nl.load(index), nl.arange(16)[None, :]]    # (64, 16)
        nl.store(out, nl.load(gathered[16:48, 4:12]))
        return out

    x, index = data(64, 16), RNG.integers(0, 16, (1, 4)).astype(np.int32)
    assert np.array_equal(kernel(x, index), x[:, index[0]])
    index = RNG.integers(0, 64, (64, 1)).astype(np.int32)
    assert np.array_equal(rows(x, index), x[index[:, 0]][16:48, 4:12])


def test_one_value_fills_a_tile_of_more_dimensions():
    @nki.jit
    def kernel(x):
        out = nl.ndarray((128, 2, 8), dtype=x.dtype, buffer=nl.shared_hbm)
        tile = nl.ndarray((nl.par_dim(128), 2, 8), dtype=x.dtype, buffer=nl.sbuf)
        tile[...] = nl.load(x[1, 2])
        nl.store(out, tile)
        return out

    x = data(4, 4)
    assert np.allclose(kernel(x), np.full((128, 2, 8), x[1, 2]), rtol=1e-6)


def test_nothing_cannot_be_reduced():
    @nki.jit
    def kernel(x):
        out = nl.ndarray((128, 1), dtype=x.dtype, buffer=nl.shared_hbm)
        nl.store(out, nisa.tensor_reduce(np.max, nl.load(x)[:, 0:0], axis=(1,)))
        return out

    with pytest.raises(KernelError, match="has no elements to reduce"):
        kernel(data(128, 8))


def test_annotations_of_both_dialects_can_be_subscripted():
    with activate():
        import neuronxcc.nki.typing as old
        import nki.typing as current
    for nt in (old, current):
        def kernel(x: nt.tensor[128, 512], n: nt.scalar = 1) -> nt.tensor: ...
    assert current.scalar(3) == 3 and not isinstance(3, current.tensor)

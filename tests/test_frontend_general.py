"""General features that kernels of public repositories rely on, each as a small kernel of our own."""

from __future__ import annotations

import signal
import threading
from functools import partial

import numpy as np
import pytest

import simcore
from simcore.errors import KernelError, UsageError
from simcore.frontend import TensorSpec, activate

with activate():
    import neuronxcc.nki as legacy
    import neuronxcc.nki.isa as lisa
    import neuronxcc.nki.language as lnl
    import nki
    import nki.isa as nisa
    import nki.language as nl

RNG = np.random.default_rng(3)


def array(*shape):
    return RNG.standard_normal(shape, np.float32)


def timed(kernel, *shapes, target="trn2"):
    """(trace, timeline) of a timing-only run on float32 tensors."""
    trace = simcore.capture(kernel, *[TensorSpec.parse(f"float32[{s}]") for s in shapes], target=target, values=False)
    return trace, simcore.simulate(trace, simcore.load_machine(target))


# ------------------------------------------------------------------------------------------------ older dialect


@legacy.jit
def add_per_partition(a, b):
    out = lnl.ndarray(a.shape, dtype=a.dtype, buffer=lnl.shared_hbm)
    x, y = lnl.load(a), lnl.load(b)
    lnl.store(out, lisa.tensor_tensor(x, y, op=lnl.add))
    return out


def test_one_value_per_partition_fits_any_free_dimensions():
    a, b = array(8, 3, 2, 5), array(8, 1)
    np.testing.assert_array_equal(simcore.capture(add_per_partition, a, b).outputs, a + b[:, :, None, None])


@legacy.jit
def transpose_on_vector(a):
    out = lnl.ndarray((a.shape[1], a.shape[0]), dtype=a.dtype, buffer=lnl.shared_hbm)
    lnl.store(out, lnl.copy(lisa.nc_transpose(lnl.load(a), engine=lisa.vector_engine)))
    return out


@pytest.mark.parametrize("shape", [(32, 32), (128, 64)])
def test_transposes_of_any_size_may_ask_for_the_vector_engine(shape):
    a = array(*shape)
    np.testing.assert_array_equal(simcore.capture(transpose_on_vector, a).outputs, a.T)


@legacy.jit
def remainder_of_nothing(a):
    out = lnl.ndarray(a.shape, dtype=a.dtype, buffer=lnl.shared_hbm)
    whole, tail = lnl.load(a), a.shape[1] % 16
    last = lnl.ndarray((lnl.par_dim(a.shape[0]), 1), dtype=a.dtype)
    last[...] = lnl.load(a[:, 0:1])
    rest = lnl.ndarray((lnl.par_dim(a.shape[0]), tail), dtype=a.dtype)
    rest[...] = whole[:, a.shape[1] - tail:a.shape[1]]
    last[:, 0:1] = rest[:, tail - 1:tail]
    lnl.store(out, lnl.add(whole, last))
    return out


def test_a_slice_of_nothing_does_nothing():
    a = array(16, 32)
    np.testing.assert_array_equal(simcore.capture(remainder_of_nothing, a).outputs, a + a[:, :1])


@legacy.jit
def counts(a, b):
    out = lnl.ndarray((16, 8), dtype=lnl.float32, buffer=lnl.shared_hbm)
    total = lnl.zeros((16, 8), lnl.int32, buffer=lnl.psum)
    total += lnl.matmul(lnl.load(a), lnl.load(b), transpose_x=True)
    lnl.store(out, lnl.copy(total, dtype=lnl.float32))
    return out


def test_a_matmul_is_added_to_an_integer_tile():
    a, b = RNG.integers(0, 4, (32, 16)).astype(np.float32), RNG.integers(0, 4, (32, 8)).astype(np.float32)
    np.testing.assert_array_equal(simcore.capture(counts, a, b).outputs, a.T @ b)


@legacy.jit
def scatter_add(ids, values):
    out = lnl.ndarray((8, 4), dtype=lnl.float32, buffer=lnl.shared_hbm)
    lnl.store(out, lnl.zeros((8, 4), lnl.float32, buffer=lnl.sbuf))
    p, f = lnl.arange(64)[:, None], lnl.arange(4)[None, :]
    lnl.atomic_rmw(out[lnl.load(ids[p, 0]), f], value=lnl.load(values), op=np.add)
    return out


def test_atomic_updates_of_one_row_add_up():
    ids, values = RNG.integers(0, 8, (64, 1)).astype(np.int32), RNG.integers(-9, 9, (64, 4)).astype(np.float32)
    expected = np.zeros((8, 4), np.float32)
    np.add.at(expected, ids[:, 0], values)
    np.testing.assert_array_equal(simcore.capture(scatter_add, ids, values).outputs, expected)


@legacy.jit
def indexed_by_conditions(a, bound):
    out = lnl.ndarray(a.shape, dtype=a.dtype, buffer=lnl.shared_hbm)
    tile = lnl.load(a)
    lnl.store(out, lnl.copy(tile[lnl.arange(8)[None, :] < bound][bound > 1]))
    return out


def test_conditions_that_hold_may_index_a_tile():
    a = array(4, 8)
    np.testing.assert_array_equal(simcore.capture(indexed_by_conditions, a, 8).outputs, a)
    with pytest.raises(KernelError, match="mask="):
        simcore.capture(indexed_by_conditions, a, 5)


# ------------------------------------------------------------------------------------------------ more than SBUF holds


@legacy.jit
def prefetch_everything(a):
    """Loads all of `a`, then stores all of it: more than SBUF holds, but each tile is needed for a moment only."""
    n, p, f = a.shape
    out = lnl.ndarray(a.shape, dtype=a.dtype, buffer=lnl.shared_hbm)
    tiles = lnl.ndarray((n, lnl.par_dim(p), f), dtype=a.dtype)
    for i in lnl.affine_range(n):
        tiles[i] = lnl.load(a[i])
    for i in lnl.affine_range(n):
        lnl.store(out[i], lnl.multiply(tiles[i], 2.0))
    return out


@legacy.jit
def all_with_all(a):
    """Every tile is used again after all of them were: with tiles of more than SBUF holds, some have to leave."""
    n, p, f = a.shape
    out = lnl.ndarray(a.shape, dtype=a.dtype, buffer=lnl.shared_hbm)
    tiles = lnl.ndarray((n, lnl.par_dim(p), f), dtype=a.dtype)
    sums = lnl.zeros((lnl.par_dim(p), f), a.dtype)
    for i in lnl.affine_range(n):
        tiles[i] = lnl.multiply(lnl.load(a[i]), 2.0)
    for i in lnl.sequential_range(n):
        sums[...] = lnl.add(sums, tiles[i])
    for i in lnl.affine_range(n):
        lnl.store(out[i], lnl.add(tiles[i], sums))
    return out


def test_where_on_a_comparison_of_indices_takes_tiles_on_both_sides():
    def kernel(a, b):
        out = lnl.ndarray((3, 16, 32), dtype=a.dtype, buffer=lnl.shared_hbm)
        i, j = lnl.arange(16)[:, None], lnl.arange(32)[None, :]
        x, y = lnl.load(a), lnl.load(b)
        lnl.store(out[0], lnl.where(i >= j, x, y))
        lnl.store(out[1], lnl.where((i >= j) & (j > 3), -1.0, y))
        lnl.store(out[2], lnl.where(i >= j, x, -1.0))
        return out

    a, b = array(16, 32), array(16, 32)
    lower = np.tril(np.ones((16, 32), bool))
    got = simcore.capture(legacy.jit(kernel), a, b, target="trn2").outputs
    right = np.arange(32) > 3
    np.testing.assert_array_equal(
        got, [np.where(lower, a, b), np.where(lower & right, -1, b), np.where(lower, a, -1)])


def transferred(timeline):
    rows = timeline.instructions
    return int(rows.hbm_write_bytes.sum()), int(rows.hbm_read_bytes.sum())


def test_loops_are_fused_where_the_tiles_do_not_fit():
    trace, timeline = timed(prefetch_everything, "40,128,2048")     # 320 KiB per partition
    assert len(trace) >= 120
    assert transferred(timeline) == (40 * 128 * 2048 * 4, 40 * 128 * 2048 * 4)      # nothing but the kernel's own


def test_tiles_are_spilled_where_nothing_else_helps():
    _, small = timed(all_with_all, "8,128,2048")
    assert transferred(small) == (8 * 128 * 2048 * 4,) * 2
    _, large = timed(all_with_all, "40,128,2048")
    written, read = transferred(large)
    own = 40 * 128 * 2048 * 4
    assert written > own and read > own
    assert written <= 2 * own and read <= 3 * own                   # a tile is saved once, and reloaded twice at most


def test_values_do_not_depend_on_what_fits():
    a = array(4, 128, 64)
    np.testing.assert_allclose(simcore.capture(all_with_all, a).outputs, 2 * a + 2 * a.sum(0), rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------------------------ current dialect


def test_memories_are_names_of_the_language():
    def kernel(a):
        tile = sbuf.view(dtype=a.dtype, shape=a.shape)  # noqa: F821
        nisa.dma_copy(dst=tile, src=a)
        out = hbm.view(dtype=a.dtype, shape=a.shape)  # noqa: F821
        nisa.dma_copy(dst=out, src=tile)
        return out

    a = array(16, 8)
    np.testing.assert_array_equal(nki.simulate(nki.jit(kernel))(a), a)
    with pytest.raises(NameError):
        eval("sbuf")


def test_a_benchmarked_kernel_has_a_predicted_latency():
    @nki.jit
    def kernel(a):
        tile = nl.ndarray((nl.par_dim(16), 8), a.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=a)
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        nisa.dma_copy(dst=out, src=tile)
        return out

    a = array(16, 8)
    benchmarked = nki.benchmark(warmup=2, iters=10)(kernel)
    np.testing.assert_array_equal(benchmarked(a), a)
    latency = benchmarked.benchmark_result.nc_latency
    trace = simcore.capture(kernel, a)
    end = simcore.simulate(trace, simcore.load_machine("trn2")).end_ps
    assert latency.simulated and latency.get_latency_percentile(99) == end / 1e6


@nki.jit
def grid_of_values(a, lnc, target="x", values=None, kernel=0):
    """A kernel whose arguments are called as options of capture are."""
    out = nl.ndarray((lnc, *a.shape), a.dtype, buffer=nl.shared_hbm)
    for i in nl.affine_range(lnc):
        tile = nl.ndarray(a.shape, a.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=values if values is not None else a)
        nisa.tensor_scalar(dst=tile, data=tile, op0=nl.add, operand0=float(kernel))
        nisa.dma_copy(dst=out[i], src=tile)
    return out


def test_what_a_partial_binds_is_the_kernels_also_where_capture_has_an_option_of_the_name():
    a, b = array(8, 4), array(8, 4)
    trace = simcore.capture(partial(grid_of_values, lnc=3, values=b), a, lnc=1, kernel=2, values=True)
    np.testing.assert_array_equal(trace.outputs, np.broadcast_to(b + 2, (3, 8, 4)))
    assert trace.cores == 1 and trace.name == "grid_of_values"
    two = simcore.capture(partial(partial(grid_of_values[2], a), lnc=1, target="y"), values=False)
    assert two.cores == 2 and two.outputs is None
    assert simcore.profile(partial(grid_of_values, a, 2)).name == "grid_of_values"


def test_an_option_that_takes_an_argument_the_kernel_needs_is_refused():
    with pytest.raises(UsageError, match=r"lnc= is an option of capture.*partial"):
        simcore.capture(grid_of_values, array(8, 4), lnc=2)
    with pytest.raises(TypeError, match="lnc"):
        simcore.capture(grid_of_values, array(8, 4))


def test_an_interrupted_launch_leaves_no_program_running():
    @nki.jit
    def long(a):
        tile = nl.ndarray(a.shape, a.dtype, buffer=nl.sbuf)
        if nl.program_id(0) == 1:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        else:
            nisa.core_barrier(a, (0, 1))
        for _ in range(1_000_000):
            nisa.memset(dst=tile, value=0.0)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)    # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            simcore.capture(long[2], array(8, 4), values=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("program")]

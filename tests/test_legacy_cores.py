"""The older dialect on two cores: exchange, barriers, and launches that keep their grid."""

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
    from neuronxcc.nki._private.private_api import sendrecv

X = np.random.default_rng(3).standard_normal((2, 64, 8)).astype(np.float32)


@nki.jit
def total(x):
    """Each program holds half of the rows; both sum their own with what the other sends."""
    me = nl.program_id(0)
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    mine = nl.load(x[me])
    theirs = nl.ndarray(mine.shape, dtype=mine.dtype, buffer=nl.sbuf)
    sendrecv(src=mine, dst=theirs, send_to_rank=1 - me, recv_from_rank=1 - me, pipe_id=0)
    nl.store(out[me], mine + 2 * theirs)
    return out


def test_sendrecv_gives_each_core_the_tile_of_the_other():
    assert np.allclose(total[nl.nc(2)](X), X + 2 * X[::-1])
    trace = simcore.capture(total[nl.nc(2)], X, values=False)
    assert [trace.row_name(i) for i in range(len(trace))].count("sendrecv") == 2


def test_a_measured_kernel_keeps_the_grid_it_was_given():
    timed = nki.benchmark(warmup=2, iters=3)(total[nl.nc(2)])
    assert np.allclose(timed(X), X + 2 * X[::-1])
    assert timed.benchmark_result.nc_latency.get_latency_percentile(99) > 0
    assert np.allclose(nki.jit(total[nl.nc(2)])(X), X + 2 * X[::-1])


def test_one_core_has_nobody_to_exchange_with():
    with pytest.raises(KernelError, match="needs the two cores of LNC=2"):
        total(X)


def test_a_barrier_holds_both_cores():
    @nki.jit
    def kernel(x):
        me = nl.program_id(0)
        half = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
        out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
        nl.store(half[me], nl.load(x[me]))
        nisa.core_barrier(half, (0, 1))
        nl.store(out[me], nl.load(half[1 - me]))
        return out

    assert np.allclose(kernel[nl.nc(2)](X), X[::-1])


def test_the_current_dialect_simulates_a_kernel_subscripted_afterwards():
    with activate():
        import nki as current
        import nki.isa as isa
        import nki.language as lang

    @current.jit
    def programs(x):
        out = lang.ndarray(x.shape, x.dtype, buffer=lang.shared_hbm)
        me = lang.program_id(0)
        assert lang.num_programs(0) == 2
        tile = lang.ndarray(x.shape[1:], x.dtype, buffer=lang.sbuf)
        isa.dma_copy(dst=tile, src=x[me])
        isa.dma_copy(dst=out[me], src=tile)
        return out

    with activate():
        assert np.array_equal(current.simulate(programs)[2](X), X)
    assert programs.func.__name__ == "programs" and total.func.__name__ == "total"

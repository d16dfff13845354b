"""Collectives across simulated ranks."""

import numpy as np
import pytest

from simcore.errors import KernelError, NkiValidationError
from simcore.frontend import activate
from simcore.frontend.ranks import capture_ranks

with activate():
    import nki
    import nki.collectives as nccl
    import nki.isa as nisa
    import nki.language as nl

RANKS = 4
X = np.random.default_rng(0).standard_normal((RANKS, 8, 4)).astype(np.float32)
ALL = nccl.ReplicaGroup([list(range(RANKS))])


def outputs(kernel, *more, **options):
    return np.stack([t.outputs for t in capture_ranks(kernel, [(X[r], *more) for r in range(RANKS)], **options)])


def through(collective, shape):
    """A kernel that hands its argument to a collective, HBM to HBM."""

    def kernel(a):
        out = nl.ndarray(shape, a.dtype, nl.shared_hbm)
        collective([a], [out])
        return out

    return kernel


CASES = {
    "all_reduce": (lambda s, d: nccl.all_reduce(s, d, ALL, nl.add), (8, 4), lambda r: X.sum(0)),
    "maximum": (lambda s, d: nccl.all_reduce(s, d, ALL, nl.maximum), (8, 4), lambda r: X.max(0)),
    "all_gather": (lambda s, d: nccl.all_gather(s, d, ALL, 0), (32, 4), lambda r: X.reshape(32, 4)),
    "reduce_scatter": (lambda s, d: nccl.reduce_scatter(s, d, ALL, 0, nl.add), (2, 4),
                       lambda r: X.sum(0)[2 * r:2 * r + 2]),
    "all_to_all": (lambda s, d: nccl.all_to_all(s, d, ALL, 0), (8, 4), lambda r: X[:, 2 * r:2 * r + 2].reshape(8, 4)),
    "permute": (lambda s, d: nccl.collective_permute(s, d, [(0, 2), (2, 0), (1, 3), (3, 1)]), (8, 4),
                lambda r: X[(r + 2) % 4]),
    "ring": (lambda s, d: nccl.collective_permute_implicit([s], [d], ALL), (8, 4), lambda r: X[r - 1]),
    "ring reduce": (lambda s, d: nccl.collective_permute_implicit_reduce([s], [s], [d], ALL, nl.add), (8, 4),
                    lambda r: 2 * X[r - 1]),
}


@pytest.mark.parametrize("name", CASES)
def test_collectives(name):
    collective, shape, want = CASES[name]
    got = outputs(through(collective, shape))
    for rank in range(RANKS):
        np.testing.assert_allclose(got[rank], want(rank), rtol=1e-6)


def test_groups_are_separate_and_memory_is_private():
    pairs = nccl.ReplicaGroup([[0, 1], [2, 3]])
    got = outputs(through(lambda s, d: nccl.all_reduce(s, d, pairs, nl.add), (8, 4)))
    for rank in range(RANKS):
        np.testing.assert_allclose(got[rank], X[rank // 2 * 2] + X[rank // 2 * 2 + 1], rtol=1e-6)


def test_tiles_in_sbuf_along_the_free_dimension_on_two_cores():
    @nki.jit
    def kernel(a):
        me = nl.program_id(0)
        rows = slice(4 * me, 4 * me + 4)
        mine, whole = nl.load(a[rows]), nl.ndarray((4, 16), a.dtype)
        nccl.all_gather([mine], [whole], ALL, 1)
        out = nl.ndarray((8, 16), a.dtype, nl.shared_hbm)
        nisa.dma_copy(dst=out[rows], src=whole)
        nisa.core_barrier(out, (0, 1))
        return out

    got = outputs(kernel[2])
    np.testing.assert_array_equal(got, np.broadcast_to(np.concatenate(list(X), 1), got.shape))


def test_ring_rank_and_own_rank():
    def kernel(a):
        out = nl.ndarray((1, 2), nl.int32, nl.shared_hbm)
        for i, register in enumerate((nccl.rank_id(),
                                      nccl.collective_permute_implicit_current_processing_rank_id(1, ALL))):
            t = nl.ndarray((1, 1), nl.int32)
            nisa.register_store(t, register)
            nisa.dma_copy(dst=out[:, i:i + 1], src=t)
        return out

    assert outputs(kernel)[:, 0].tolist() == [[r, (r - 1) % RANKS] for r in range(RANKS)]


def test_all_to_all_v_moves_what_the_metadata_says():
    counts = np.array([[1, 2, 0, 3], [2, 2, 2, 2], [0, 1, 1, 0], [3, 0, 2, 1]], np.uint32)

    def kernel(a, metadata):
        out = nl.full((RANKS * 4,), 0.0, a.dtype, nl.shared_hbm)
        nccl.all_to_all_v([a], [out], ALL, metadata)
        return out, metadata

    inputs = [(X[r].reshape(-1), np.stack([counts[r], np.arange(4) * 4, np.zeros(4)]).astype(np.uint32))
              for r in range(RANKS)]
    for rank, trace in enumerate(capture_ranks(kernel, inputs)):
        out, metadata = trace.outputs
        want = np.zeros((4, 4), np.float32)
        for sender in range(RANKS):
            n = counts[sender, rank]
            want[sender, :n] = X[sender].reshape(-1)[4 * rank:4 * rank + n]
        np.testing.assert_array_equal(out.reshape(4, 4), want)
        np.testing.assert_array_equal(metadata[2], counts[:, rank])


def test_one_rank_alone_can_be_timed_but_has_no_values():
    import simcore

    kernel = through(lambda s, d: nccl.all_reduce(s, d, ALL, nl.add), (8, 4))
    assert len(simcore.capture(kernel, X[0], values=False)) == 1
    with pytest.raises(KernelError, match="capture_ranks"):
        simcore.capture(kernel, X[0])


def test_ranks_that_never_meet_and_wrong_sizes_are_errors():
    def kernel(a):
        if int(nccl.rank_id()) == 0:
            nccl.all_reduce([a], [a], ALL, nl.add)
        return a

    with pytest.raises(KernelError, match="rank 0 at all_reduce"):
        outputs(kernel)
    with pytest.raises(NkiValidationError, match="group of 4"):
        outputs(through(lambda s, d: nccl.all_gather(s, d, ALL, 0), (16, 4)))
    with pytest.raises(NkiValidationError, match="overlap"):
        outputs(through(lambda s, d: nccl.all_reduce(s, d, nccl.ReplicaGroup([[0, 1], [1, 2, 3]]), nl.add), (8, 4)))

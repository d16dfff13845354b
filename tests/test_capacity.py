"""What is done for tiles that do not fit in turn: closer addresses, instructions by demand, spills."""

import numpy as np
import pytest

from simcore import capture, load_machine, simulate
from simcore.dtypes import to_dtype
from simcore.errors import CapacityError
from simcore.frontend import TensorSpec
from simcore.lowering.fit import fit, quarters

TRN2 = load_machine("trn2")


def timeline(kernel, *shapes, spill=False):
    args = [TensorSpec(s, to_dtype("float32")) for s in shapes]
    return simulate(capture(kernel, *args, target="trn2", values=False), TRN2, spill=spill)


@pytest.mark.parametrize("seed,cell", [(0, 1), (1, 1), (2, 64)])
def test_tiles_alive_at_once_never_overlap(seed, cell):
    rng = np.random.default_rng(seed)
    n = 120
    born = np.sort(rng.integers(0, 200, n))
    died = born + rng.integers(0, 40, n)
    need = rng.integers(1, 100, n)
    partitions = rng.choice([1, 32, 33, 64, 100, 128], n)
    asked = np.where(np.arange(n) == 7, 300, -1)
    at, where = fit(4096, cell, born, died, need, partitions, asked, np.zeros(n, np.int64))
    assert at[7] == 300 and (at >= 0).all() and (at + need <= 4096).all()
    for i in range(n):
        assert len(quarters(where[i])) == -(-partitions[i] // 32) or partitions[i] > 64
        if cell > 1 and need[i] <= cell and i != 7:
            assert at[i] // cell == (at[i] + need[i] - 1) // cell
        for j in range(i):
            if born[i] < died[j] and born[j] < died[i] and where[i] & where[j]:
                assert at[i] + need[i] <= at[j] or at[j] + need[j] <= at[i]


def test_two_halves_of_the_partitions_lie_beside_each_other():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x, y = (nl.ndarray((64, 30000), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
        nisa.dma_copy(dst=x, src=a)
        nisa.activation(dst=y, data=x, op=nl.exp)
        nisa.dma_copy(dst=a, src=y)
        nisa.dma_copy(dst=a, src=x)

    t = timeline(kernel, (64, 30000))
    assert int(t.instructions.hbm_write_bytes.sum()) == 2 * 64 * 30000 * 4


def test_small_tiles_share_a_psum_bank():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.sbuf)
        out = nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)
        banks = [nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.psum) for _ in range(32)]
        for p in banks:
            nisa.nc_matmul(dst=p, stationary=x, moving=x)
        for p in reversed(banks):
            nisa.tensor_tensor(dst=out, data1=p, data2=x, op=nl.add)

    assert timeline(kernel, (128, 128)).end_ps > 0


def test_psum_tiles_evicted_late_are_evicted_when_asked_for():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)
        banks = [nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum) for _ in range(24)]
        for p in banks:
            nisa.nc_matmul(dst=p, stationary=x[:, 0:128], moving=x)
        for p in banks:
            y = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_copy(dst=y, src=p)
            nisa.dma_copy(dst=a, src=y)

    with pytest.raises(CapacityError, match="full"):
        timeline(kernel, (128, 512))
    t = timeline(kernel, (128, 512), spill=True)
    names = [t.opcode(r) for r in range(len(t.instructions))]
    copies = [r for r, name in enumerate(names) if t.instructions.psum_read_bytes[r] and name != "MATMUL"]
    matmuls = [r for r, name in enumerate(names) if name == "MATMUL"]
    assert len(copies) == 24 and min(t.instructions.start_ps[copies]) < max(t.instructions.start_ps[matmuls])


def test_more_than_sbuf_holds_is_spilled_or_loaded_again():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        tiles = [nl.ndarray((128, 8192), dtype=nl.float32, buffer=nl.sbuf) for _ in range(10)]
        out = nl.ndarray((128, 8192), dtype=nl.float32, buffer=nl.shared_hbm)
        for k, x in enumerate(tiles):
            nisa.memset(dst=x, value=float(k))
        for x, y in zip(tiles, reversed(tiles), strict=True):
            nisa.tensor_tensor(dst=x, data1=x, data2=y, op=nl.add)
        for x in tiles:
            nisa.dma_copy(dst=out, src=x)
        return out

    with pytest.raises(CapacityError, match="full"):
        timeline(kernel, (1, 1))
    t = timeline(kernel, (1, 1), spill=True)
    size = 128 * 8192 * 4
    assert int(t.instructions.hbm_write_bytes.sum()) > 10 * size          # ten results, and what was spilled


def test_psum_tiles_read_twice_go_to_sbuf():
    """Every bank is read for a maximum over all of them, and again with that: no order of the instructions fits."""
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)
        most = nl.ndarray((128, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)
        nisa.memset(dst=most, value=0.0)
        banks = [nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum) for _ in range(24)]
        for p in banks:
            nisa.nc_matmul(dst=p, stationary=x[:, 0:128], moving=x)
            m = nl.ndarray((128, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_reduce(dst=m, data=p, op=nl.maximum, axis=1)
            nisa.tensor_tensor(dst=most, data1=most, data2=m, op=nl.maximum)
        for p in banks:
            y = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=y, data=p, op0=nl.subtract, operand0=most)
            nisa.dma_copy(dst=a, src=y)

    with pytest.raises(CapacityError, match="full"):
        timeline(kernel, (128, 512))
    t = timeline(kernel, (128, 512), spill=True)
    names = [t.opcode(r) for r in range(len(t.instructions))]
    reads = t.instructions.psum_read_bytes[[name != "MATMUL" for name in names]]
    copied = names.count("COPY")
    assert copied >= 16
    assert int((reads > 0).sum()) == copied + 2 * (24 - copied)         # the others are read where they are

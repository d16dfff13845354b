"""Copies, DMA, transposes, shuffles and matrix products against NumPy."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simcore
from simcore.errors import KernelError, NkiValidationError
from simcore.lowering.dependences import DATA, dependences
from tests.isa_run import In, Out, close, issue, nisa, nl, numpy_dtype, tile

FEW = settings(max_examples=8, deadline=None)
shapes = st.tuples(st.integers(1, 128), st.integers(1, 40))
floats = st.sampled_from(["float32", "bfloat16", "float16"])


def normal(shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(numpy_dtype(dtype))


def run(kernel, *arrays, **options):
    return simcore.capture(kernel, *arrays, **options).outputs


# ------------------------------------------------------------------------------------------------ copies


@FEW
@given(shapes, floats, st.sampled_from(["float32", "bfloat16", "float16", "float8_e4m3", "float8_e5m2"]),
       st.sampled_from(["vector", "scalar", "gpsimd"]))
def test_tensor_copy_casts(shape, source, dest, engine):
    x = normal(shape, dtype=source)
    got = issue("tensor_copy", dst=Out(shape, dest), src=x, engine=nisa.engine[engine])
    np.testing.assert_array_equal(got.astype(np.float32),
                                  x.astype(np.float32).astype(numpy_dtype(dest)).astype(np.float32))


def test_float_to_integer_rounds_to_nearest_and_saturates():
    x = np.array([[0.5, 1.5, -1.5, 2.6, 300.0, -300.0, np.nan]], np.float32)
    assert issue("tensor_copy", dst=Out(x.shape, "int8"), src=x).tolist() == [[0, 2, -2, 3, 127, -128, 0]]


def test_integer_copy_is_exact_beyond_float32():
    x = np.array([[2**31 - 1, -(2**31), 2**24 + 1]], np.int32)
    np.testing.assert_array_equal(issue("tensor_copy", dst=Out(x.shape, "int32"), src=x), x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "uint8"])
def test_memset(dtype):
    assert (issue("memset", dst=Out((3, 5), dtype), value=7).astype(int) == 7).all()


@FEW
@given(st.integers(1, 4), st.lists(st.one_of(st.integers(0, 31), st.just(255)), min_size=32, max_size=32))
def test_stream_shuffle(quadrants, mask):
    x, before = normal((32 * quadrants, 3)), normal((32 * quadrants, 3), 1)
    got = issue("nc_stream_shuffle", dst=Out(x.shape, before=before), src=x, shuffle_mask=mask)
    want = before.copy()
    for q in range(quadrants):
        for i, m in enumerate(mask):
            if m != 255:
                want[32 * q + i] = x[32 * q + m]
    np.testing.assert_array_equal(got, want)


# ------------------------------------------------------------------------------------------------ DMA


@FEW
@given(shapes, floats, floats)
def test_dma_copy_casts_through_float32(shape, source, dest):
    x = normal(shape, dtype=source)

    def kernel(a):
        out = nl.ndarray(a.shape, dest, nl.shared_hbm)
        nisa.dma_copy(dst=out, src=a)
        return out

    np.testing.assert_array_equal(run(kernel, x).astype(np.float32),
                                  x.astype(np.float32).astype(numpy_dtype(dest)).astype(np.float32))


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 6), (2, 3, 4, 5)])
def test_dma_transpose(shape):
    x = normal(shape, dtype="bfloat16")
    axes = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}[len(shape)]

    def kernel(a):
        d = nl.ndarray([shape[i] for i in axes], a.dtype, nl.sbuf)
        nisa.dma_transpose(dst=d, src=a, axes=axes)
        out = nl.ndarray(d.shape, a.dtype, nl.shared_hbm)
        nisa.dma_copy(dst=out, src=d)
        return out

    np.testing.assert_array_equal(run(kernel, x), x.transpose(axes))


def gather(rows, mode):
    def kernel(a, index):
        i = tile(index)
        t = nl.zeros((len(rows), a.shape[1]), a.dtype, nl.sbuf)
        nisa.dma_copy(dst=t, src=a.ap([[a.shape[1], len(rows)], [1, a.shape[1]]], vector_offset=i, indirect_dim=0),
                      oob_mode=mode)
        out = nl.ndarray(t.shape, a.dtype, nl.shared_hbm)
        nisa.dma_copy(dst=out, src=t)
        return out

    return kernel


def test_gather_and_rows_outside():
    x, rows = normal((9, 4)), [3, 0, 8, 3]
    np.testing.assert_array_equal(run(gather(rows, nisa.oob_mode.error), x, np.array(rows, np.int32)[:, None]), x[rows])
    outside = [3, -1, 99, 2]
    got = run(gather(outside, nisa.oob_mode.skip), x, np.array(outside, np.int32)[:, None])
    np.testing.assert_array_equal(got, np.where(np.array([[1], [0], [0], [1]]), x[[3, 0, 0, 2]], 0))
    with pytest.raises(IndexError, match="out of bounds for axis 0 with size 36"):
        run(gather(outside, nisa.oob_mode.error), x, np.array(outside, np.int32)[:, None])


def test_scatter_and_read_modify_write():
    x, rows = normal((3, 4)), np.array([[5], [0], [2]], np.int32)

    def kernel(a, index, target):
        t, i = tile(a), tile(index)
        where = target.ap([[4, 3], [1, 4]], vector_offset=i, indirect_dim=0)
        nisa.dma_copy(dst=where, src=t)
        nisa.dma_compute(dst=where, srcs=[where, t], reduce_op=nl.add)
        return target

    want = np.ones((6, 4), np.float32)
    want[rows[:, 0]] = 2 * x
    np.testing.assert_array_equal(run(kernel, x, rows, np.ones((6, 4), np.float32)), want)


def test_a_run_time_start_is_read_when_it_is_used():
    def kernel(a):
        at = nl.ndarray((1, 1), nl.int32, nl.sbuf)
        nisa.memset(dst=at, value=0)
        view, out = a.select(0, at), nl.ndarray((2, 1, a.shape[1]), a.dtype, nl.shared_hbm)
        for step in range(2):
            nisa.memset(dst=at, value=step + 1)
            nisa.dma_copy(dst=out[step], src=view)
        return out

    x = normal((4, 6))
    np.testing.assert_array_equal(run(kernel, x)[:, 0], x[1:3])


def test_register_offset_and_address_tile_are_known_to_the_trace():
    def kernel(a):
        at = nl.ndarray((1, 1), nl.int32, nl.sbuf)
        nisa.memset(dst=at, value=2)
        out = nl.ndarray((1, a.shape[1]), a.dtype, nl.shared_hbm)
        nisa.dma_copy(dst=out, src=a.ap([[a.shape[1], 1], [1, a.shape[1]]], scalar_offset=at, indirect_dim=0))
        return out

    x = normal((4, 6))
    trace = simcore.capture(kernel, x)
    np.testing.assert_array_equal(trace.outputs[0], x[2])
    last = trace.variants[trace.variant[-1]]
    assert [o.name for o in last.operands] == ["dst", "src", "src.index"]
    assert trace.storages[trace.region_storage[trace.regions(len(trace) - 1)[2]]].buffer == "sbuf"


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("by", ["tile", "register"])
def test_an_address_computed_at_run_time_is_waited_for(by, values):
    """Also where only timing is captured, and through the arithmetic of registers."""
    def kernel(a):
        at = nl.ndarray((1, 1), nl.int32, nl.sbuf)
        nisa.memset(dst=at, value=1)
        out = nl.ndarray((1, a.shape[1]), a.dtype, nl.shared_hbm)
        start = at
        if by == "register":
            register = nisa.register_alloc()
            nisa.register_load(register, at)
            start = register + 1
        nisa.dma_copy(dst=out, src=a.ap([[a.shape[1], 1], [1, a.shape[1]]], scalar_offset=start, indirect_dim=0))
        return out

    trace = simcore.capture(kernel, normal((4, 6)), values=values)
    rows = [v.name for v in trace.variants]
    producer, consumer, cause = dependences(trace)
    data = cause == DATA
    waits = {(rows[trace.variant[p]], rows[trace.variant[c]])
             for p, c in zip(producer[data], consumer[data], strict=True)}
    assert ("memset", "dma_copy") in waits


# ------------------------------------------------------------------------------------------------ Tensor engine


@FEW
@given(st.integers(1, 128), st.integers(1, 128), st.integers(1, 200), floats)
def test_matmul(k, m, n, dtype):
    a, b = normal((k, m), 1, dtype), normal((k, n), 2, dtype)
    got = issue("nc_matmul", dst=Out((m, n), buffer="psum"), stationary=a, moving=b)
    close(got, a.astype(np.float64).T @ b.astype(np.float64), tol=2e-4)


def test_accumulation_is_tracked_per_location():
    a, b = normal((16, 8), 1), normal((16, 12), 2)

    def kernel(x, y, flags):
        s, m = tile(x), tile(y)
        p = nl.ndarray((8, 12), nl.float32, nl.psum)
        for half in (slice(0, 6), slice(6, 12)):
            nisa.nc_matmul(dst=p[:, half], stationary=s, moving=m[:, half])
        nisa.nc_matmul(dst=p, stationary=s, moving=m)                # both halves are started: adds
        nisa.nc_matmul(dst=p[:, 0:6], stationary=s, moving=m[:, 0:6], accumulate=False)
        t = nl.ndarray((8, 12), nl.float32, nl.sbuf)
        nisa.tensor_copy(dst=t, src=p)
        out = nl.ndarray((8, 12), nl.float32, nl.shared_hbm)
        nisa.dma_copy(dst=out, src=t)
        return out

    product = a.T.astype(np.float64) @ b
    close(run(kernel, a, b, None), np.concatenate([product[:, :6], 2 * product[:, 6:]], 1), tol=1e-5)


def test_tiles_of_the_array_write_their_own_partitions():
    a, b = normal((128, 32), 1, "bfloat16"), normal((128, 64), 2, "bfloat16")

    def kernel(x, y):
        s, m = tile(x), tile(y)
        p = nl.ndarray((128, 64), nl.float32, nl.psum)
        for i in range(4):
            nisa.nc_matmul(dst=p[32 * i:32 * i + 32], stationary=s, moving=m, tile_position=(0, 32 * i),
                           tile_size=(128, 32))
        out, t = nl.ndarray((128, 64), nl.float32, nl.shared_hbm), nl.ndarray((128, 64), nl.float32, nl.sbuf)
        nisa.tensor_copy(dst=t, src=p)
        nisa.dma_copy(dst=out, src=t)
        return out

    close(run(kernel, a, b), np.tile(a.astype(np.float64).T @ b.astype(np.float64), (4, 1)), tol=1e-4)


def test_double_row_contracts_the_pair():
    a, b = (np.random.default_rng(i).standard_normal((64, 2, n)).astype(ml_dtypes.float8_e4m3)
            for i, n in ((1, 16), (2, 24)))
    got = issue("nc_matmul", dst=Out((16, 24), buffer="psum"), stationary=a, moving=b,
                perf_mode=nisa.matmul_perf_mode.double_row)
    close(got, np.einsum("kpm,kpn->mn", a.astype(np.float64), b.astype(np.float64)), tol=1e-4)


@FEW
@given(st.integers(1, 128), st.integers(1, 128), floats)
def test_transpose_moves_bits(rows, columns, dtype):
    x = normal((rows, columns), dtype=dtype)
    x[0, 0] = np.nan
    got = issue("nc_transpose", dst=Out((columns, rows), dtype, "psum"), data=x)
    np.testing.assert_array_equal(got.view(f"u{x.itemsize}"), np.ascontiguousarray(x.T).view(f"u{x.itemsize}"))


REFUSED = [
    ("nc_matmul", {"dst": Out((4, 8)), "stationary": normal((4, 4)), "moving": normal((4, 8))}, "must be in PSUM"),
    ("nc_matmul", {"dst": Out((4, 8), buffer="psum"), "stationary": In(normal((4, 4))), "moving": normal((4, 8))},
     "must be in SBUF"),
    ("nc_matmul", {"dst": Out((4, 8), buffer="psum"), "stationary": normal((4, 4)), "moving": normal((5, 8))},
     "contracted and must agree"),
    ("nc_matmul", {"dst": Out((128, 8), buffer="psum"), "stationary": normal((4, 129)), "moving": normal((4, 8))},
     "129 columns"),
    ("nc_matmul", {"dst": Out((4, 513), buffer="psum"), "stationary": normal((4, 4)), "moving": normal((4, 513))},
     "at most 512"),
    ("nc_matmul", {"dst": Out((4, 8), buffer="psum"), "stationary": normal((4, 4)),
                   "moving": normal((4, 8), dtype="bfloat16")}, "both must be"),
    ("nc_matmul", {"dst": Out((4, 8), "bfloat16", "psum"), "stationary": normal((4, 4)), "moving": normal((4, 8))},
     "must be float32"),
    ("nc_matmul", {"dst": Out((4, 8), buffer="psum"), "stationary": normal((4, 4)), "moving": normal((4, 8)),
                   "tile_position": (16, 0), "tile_size": (32, 128)},
     "multiple of 32"),
    ("nc_transpose", {"dst": Out((40, 40)), "data": normal((40, 40)), "engine": nisa.engine.vector}, "32x32"),
    ("nc_transpose", {"dst": Out((8, 4), "bfloat16", "psum"), "data": normal((4, 8))}, "keeps its dtype"),
    ("nc_stream_shuffle", {"dst": Out((32, 4)), "src": normal((32, 4)), "shuffle_mask": list(range(31))},
     "32 are needed"),
    ("tensor_copy", {"dst": Out((4, 8)), "src": In(normal((4, 8))), "engine": nisa.engine.gpsimd},
     "GpSimd cannot reach PSUM"),
    ("tensor_copy_predicated", {"dst": Out((4, 8)), "src": normal((4, 8)), "predicate": normal((4, 8))},
     "predicate must be"),
    ("dma_copy", {"dst": Out((4, 8)), "src": normal((4, 9))}, "36"),
    ("dma_copy", {"dst": Out((4, 8), buffer="psum"), "src": normal((4, 8))}, "DMA cannot reach"),
    ("dma_copy", {"dst": Out((4, 8)), "src": normal((4, 8)), "priority": 1}, "NeuronCore-v4"),
]


@pytest.mark.parametrize(("name", "operands", "words"), REFUSED,
                         ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(REFUSED)])
def test_refused(name, operands, words):
    with pytest.raises(NkiValidationError, match=words):
        issue(name, **operands)


def test_an_error_names_the_kernels_line():
    with pytest.raises(NkiValidationError) as e:
        issue("dma_copy", dst=Out((4, 8)), src=normal((4, 9)))
    assert "isa_run.py" in str(e.value)


def test_a_tile_has_at_most_128_partitions():
    with pytest.raises(KernelError, match="at most 128 partitions"):
        issue("memset", dst=Out((129, 8)), value=0)

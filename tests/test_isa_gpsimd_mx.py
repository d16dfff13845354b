"""Index patterns, gathers, random numbers and the MX formats against NumPy."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simcore
from simcore.dtypes import DTYPES
from simcore.errors import NkiValidationError, UsageError
from simcore.frontend import Session, use_session
from simcore.isa.mx import pack, unpack
from tests.isa_run import Out, close, issue, nisa, nl

FEW = settings(max_examples=8, deadline=None)


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


patterns = st.lists(st.tuples(st.integers(-5, 9), st.integers(1, 5)), min_size=1, max_size=4)


@FEW
@given(st.integers(1, 128), patterns, st.integers(-50, 50), st.integers(-3, 40), st.sampled_from(["int32", "float32"]))
def test_iota(partitions, pattern, offset, multiplier, dtype):
    count = int(np.prod([n for _, n in pattern]))
    got = issue("iota", dst=Out((partitions, count), dtype), pattern=[list(p) for p in pattern], offset=offset,
                channel_multiplier=multiplier)
    grid = np.indices([n for _, n in pattern]).reshape(len(pattern), -1)
    want = offset + np.arange(partitions)[:, None] * multiplier + (grid
                                                                   * np.array([s for s, _ in pattern])[:, None]).sum(0)
    np.testing.assert_array_equal(got, want)


@FEW
@given(st.integers(1, 128), st.integers(1, 40), st.sampled_from(["greater_equal", "equal", "less"]), st.booleans())
def test_affine_select(partitions, n, op, old_order):
    x = normal((partitions, n))
    affine = 3 + np.arange(partitions)[:, None] - 2 * np.arange(n)
    want = np.where(getattr(np, op)(affine, 0), x, -7.5)
    if old_order:           # up to release 0.2: offset third, and the comparison last
        got = _positional_affine_select(x, op)
    else:
        got = issue("affine_select", dst=Out(x.shape), pattern=[[-2, n]], channel_multiplier=1, on_true_tile=x,
                    on_false_value=-7.5, cmp_op=getattr(nl, op), offset=3)
    np.testing.assert_array_equal(got, want)


def _positional_affine_select(x, op):
    import simcore

    def kernel(array):
        t, d = (nl.ndarray(array.shape, array.dtype, nl.sbuf) for _ in range(2))
        nisa.dma_copy(t, array)
        nisa.affine_select(d, [[-2, array.shape[1]]], 3, 1, t, -7.5, getattr(nl, op))
        out = nl.ndarray(array.shape, array.dtype, nl.shared_hbm)
        nisa.dma_copy(out, d)
        return out

    return simcore.capture(kernel, x).outputs


@FEW
@given(st.integers(1, 128), st.integers(1, 30), st.integers(1, 20))
def test_nc_n_gather(partitions, n, k):
    x = normal((partitions, n))
    index = np.random.default_rng(1).integers(0, n, (partitions, k)).astype(np.uint32)
    np.testing.assert_array_equal(issue("nc_n_gather", dst=Out((partitions, k)), data=x, indices=index),
                                  np.take_along_axis(x, index.astype(int), 1))


def test_gather_outside_is_an_error():
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 0 with size 5"):
        issue("nc_n_gather", dst=Out((1, 2)), data=normal((1, 5)), indices=np.array([[1, 9]], np.uint32))


@pytest.mark.parametrize(("groups", "elements", "valid"), [(1, 1, None), (2, 4, 20), (8, 2, 64)])
def test_local_gather(groups, elements, valid):
    x = normal((16 * groups, 64))
    index = np.random.default_rng(1).integers(0, 60, (16 * groups, 4)).astype(np.uint16)
    count = 64 if valid is None else valid
    got = issue("local_gather", dst=Out((16 * groups, count * elements)), src_buffer=x, index=index,
                num_elem_per_idx=elements, num_valid_indices=valid)
    want = np.empty((16 * groups, count, elements), np.float32)
    for g in range(groups):
        flat = index[16 * g:16 * g + 16].flatten(order="F")[:count].astype(int)
        for e in range(elements):
            want[16 * g:16 * g + 16, :, e] = x[16 * g:16 * g + 16][:, flat + e]
    np.testing.assert_array_equal(got, want.reshape(16 * groups, -1))


def test_nonzero_with_count_is_the_vendors_example():
    x = np.tile(np.array([0, 1, 1, 0, 0, 1, 0, 0], np.float32), (17, 1))
    got = issue("nonzero_with_count", dst=Out((17, 9), "int32", before=np.full((17, 9), 5, np.int32)), src=x,
                index_offset=16)
    assert got[0].tolist() == got[16].tolist() == [17, 18, 21, -1, -1, -1, -1, -1, 3]
    assert (got[1:16] == 5).all()


def test_sequence_bounds_is_the_vendors_example():
    ids = np.array([[0, 1, 1, 2, 2, 2, 0, 3, 3]], np.int32)
    got = issue("sequence_bounds", dst=Out((1, 2, 9), "int32"), segment_ids=ids)
    assert got[0].tolist() == [[9, 1, 1, 3, 3, 3, 9, 7, 7], [-1, 3, 3, 6, 6, 6, -1, 9, 9]]


def test_topk_over_sixteen_partitions():
    n, k = 42, 8
    x = np.random.default_rng(0).permutation(32 * 3).reshape(32, 3).astype(ml_dtypes.bfloat16)
    values, index = issue("topk", val_dst=Out((32, k), "bfloat16"), idx_dst=Out((32, k), "uint32"), src=x, n=n)
    for group in range(2):
        snake = x[16 * group:16 * group + 16].astype(np.float32).T.reshape(-1)[:n]
        order = np.argsort(snake)[-k:]
        np.testing.assert_array_equal(values[16 * group].astype(np.float32), snake[order])
        np.testing.assert_array_equal(index[16 * group], order)


# ------------------------------------------------------------------------------------------------ random numbers


def test_rng_is_seeded_uniform_and_independent_per_partition():
    seed = np.array([[42]], np.int32)

    def draw(s):
        return issue("rng", before=[("set_rng_seed", {"src_seeds": s})], dst=Out((128, 256), "uint32"))

    a, b, c = draw(seed), draw(seed), draw(seed + 1)
    np.testing.assert_array_equal(a, b)
    assert (a != c).mean() > 0.99
    unit = a / 2**32
    assert abs(unit.mean() - 0.5) < 0.01
    assert abs(unit.var() - 1 / 12) < 0.01
    assert len(np.unique(a[:, 0])) == 128


def test_generator_state_can_be_read_and_set():
    words = np.random.default_rng(0).integers(0, 2**32, (4, 6), dtype=np.uint32)
    assert (issue("rand_get_state", before=[("rand_set_state", {"src_seeds": words})],
                  dst=Out((4, 6), "uint32")) == words).all()
    got = issue("rng", before=[("rand_set_state", {"src_seeds": words})], dst=Out((4, 2), "uint32"),
                engine=nisa.engine.gpsimd)
    for lane, state in enumerate(words.astype(object)):
        x, y, z, w, v, d = state
        for i in range(2):          # Marsaglia's XORWOW in plain integers
            t = x ^ (x >> 2)
            x, y, z, w = y, z, w, v
            v = (v ^ (v << 4) ^ t ^ (t << 1)) & 0xFFFFFFFF
            d = (d + 362437) & 0xFFFFFFFF
            assert got[lane, i] == (v + d) & 0xFFFFFFFF


@pytest.mark.parametrize("prob", [0.0, 0.3, 1.0])
def test_dropout(prob):
    x = normal((128, 200)) + 10
    got = issue("dropout", dst=Out(x.shape), data=x, prob=prob)
    assert set(np.unique(got == x) if prob in (0.0, 1.0) else [True]) <= {True, False}
    assert abs((got == 0).mean() - prob) < 0.02
    np.testing.assert_array_equal(got[got != 0], x[got != 0])


def test_rand2_of_the_fourth_generation():
    low = np.full((8, 1), -2.0, np.float32)
    got = issue("rand2", target="trn3", dst=Out((8, 500)), min=low, max=3.0)
    assert got.min() >= -2
    assert got.max() <= 3
    assert abs(got.mean() - 0.5) < 0.1


# ------------------------------------------------------------------------------------------------ MX


@pytest.mark.parametrize("name", ["float8_e4m3fn_x4", "float8_e5m2_x4", "float4_e2m1fn_x4"])
def test_packing_is_lossless_on_representable_values(name):
    dtype = DTYPES[name]
    bits = np.arange(256 if dtype.itemsize == 4 else 16, dtype=np.uint8)
    values = bits.view(dtype.packed.np).astype(np.float32)
    values = values[np.isfinite(values)]
    values = values[: len(values) // 4 * 4].reshape(-1, 4)
    np.testing.assert_array_equal(unpack(pack(values, dtype), dtype), values)


@pytest.mark.parametrize(("name", "emax"), [("float8_e4m3fn_x4", 8), ("float8_e5m2_x4", 15)])
def test_quantize_and_matmul_mx(name, emax):
    k, m, n = 64, 8, 12
    a, b = (np.random.default_rng(i).standard_normal((k, c * 4)).astype(ml_dtypes.bfloat16)
            for i, c in ((1, m), (2, n)))
    dtype = DTYPES[name]

    def reference(x):
        blocks = x.astype(np.float64).reshape(k // 8, 8, -1, 4)
        top = np.abs(blocks).max((1, 3), keepdims=True)
        scale = 2.0 ** (np.floor(np.log2(top)) - (emax - 1))
        return ((blocks / scale).astype(dtype.packed.np).astype(np.float64)
                * scale).reshape(k, -1, 4), np.log2(scale[:, 0, :, 0]) + 127

    def scale_of(got):
        return np.concatenate([got[q * 32:q * 32 + 4] for q in range(k // 32)])

    scales = Out((k, m), "uint8", before=np.zeros((k, m), np.uint8))
    packed, scale = issue("quantize_mx", target="trn3", dst=Out((k, m), name), src=a, dst_scale=scales)
    values, exponent = reference(a)
    np.testing.assert_array_equal(scale_of(scale), exponent)
    decoded = unpack(packed, dtype) * np.repeat(2.0 ** (exponent - 127), 8, 0)[..., None]
    np.testing.assert_array_equal(decoded, values)
    got = issue("nc_matmul_mx", target="trn3",
                before=[("quantize_mx", {"dst": Out((k, m), name), "src": a,
                                         "dst_scale": Out((k, m), "uint8", before=np.zeros((k, m), np.uint8))})],
                **_mx_operands(a, b, name, k, m, n))
    want = np.einsum("pmj,pnj->mn", reference(a)[0], reference(b)[0])
    close(got[-1], want, tol=1e-4)


@pytest.mark.parametrize(("name", "emax"), [("float8_e4m3fn_x4", 8), ("float8_e5m2_x4", 15)])
def test_quantize_mx_of_releases_before_0_5_saturates(name, emax):
    """The sample algorithm of the OCP specification: 2 ** (floor(log2(max)) - Emax), elements cut at their maximum."""
    x = np.tile(np.float32([[1.99, -1.99, 0.5, 0.25]]), (32, 2)).astype(ml_dtypes.bfloat16)
    operands = {"dst": Out((32, 2), name), "src": x,
                "dst_scale": Out((32, 2), "uint8", before=np.zeros((32, 2), np.uint8))}
    with use_session(Session(release="0.4")):
        packed, scale = issue("quantize_mx", target="trn3", **operands)
    assert (scale[:4] == 127 - emax).all()
    largest = float(ml_dtypes.finfo(DTYPES[name].packed.np).max)
    want = [min(largest, 1.99 * 2.0 ** emax), -min(largest, 1.99 * 2.0 ** emax), 2.0 ** (emax - 1), 2.0 ** (emax - 2)]
    np.testing.assert_array_equal(unpack(packed, DTYPES[name])[0, 0], want)
    packed, scale = issue("quantize_mx", target="trn3", **operands)
    assert (scale[:4] == 128 - emax).all()
    with pytest.raises(UsageError, match="no NKI release '0.9'"):
        simcore.capture(lambda: None, release="0.9")


def _mx_operands(a, b, name, k, m, n):
    """Quantised operands as arrays of packed integers with the packed type's name."""
    def quantised(x, c):
        packed, scale = issue("quantize_mx", target="trn3", dst=Out((k, c), name), src=x,
                              dst_scale=Out((k, c), "uint8", before=np.zeros((k, c), np.uint8)))
        return packed.view(np.dtype([(name, packed.dtype)])), scale

    (s, ss), (mv, ms) = quantised(a, m), quantised(b, n)
    return {"dst": Out((m, n), buffer="psum"), "stationary": s, "moving": mv, "stationary_scale": ss,
            "moving_scale": ms}


REFUSED = [
    ("iota", {"dst": Out((4, 8), "int32"), "pattern": [[1, 7]]}, "7 elements"),
    ("nc_n_gather", {"dst": Out((4, 2)), "data": normal((4, 8)), "indices": np.zeros((4, 2), np.int32)}, "uint32"),
    ("local_gather", {"dst": Out((8, 64)), "src_buffer": normal((8, 8)), "index": np.zeros((8, 4), np.uint16)},
     "multiple of 16"),
    ("quantize_mx", {"dst": Out((32, 2), "float8_e4m3fn_x4"), "src": normal((32, 8)),
                     "dst_scale": Out((32, 2), "uint8")}, "NeuronCore-v4"),
    ("rand2", {"dst": Out((4, 4)), "min": 0.0, "max": 1.0}, "NeuronCore-v4"),
    ("rng", {"dst": Out((4, 4), "float32")}, "integer"),
    ("dropout", {"dst": Out((4, 4)), "data": normal((4, 4)), "prob": 1.5}, "probability"),
]


@pytest.mark.parametrize(("name", "operands", "words"), REFUSED,
                         ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(REFUSED)])
def test_refused(name, operands, words):
    with pytest.raises(NkiValidationError, match=words):
        issue(name, **operands)

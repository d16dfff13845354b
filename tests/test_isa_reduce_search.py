"""Reductions, scans, statistics, selection and search against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore.errors import NkiValidationError
from tests.isa_run import In, Out, close, issue, nisa, nl

FEW = settings(max_examples=8, deadline=None)
shapes = st.tuples(st.integers(1, 128), st.integers(1, 40))
cmd = nisa.reduce_cmd


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@FEW
@given(st.tuples(st.integers(1, 64), st.integers(1, 6), st.integers(1, 9)),
       st.sampled_from(["add", "maximum", "minimum", "multiply"]), st.sampled_from([(2,), (1, 2)]), st.booleans())
def test_tensor_reduce(shape, op, axes, negate):
    x = normal(shape)
    want = getattr(np, op).reduce(x.astype(np.float64), axis=axes)
    got = issue("tensor_reduce", dst=Out((shape[0], want[0].size if want.ndim > 1 else 1)), op=getattr(nl, op), data=x,
                axis=axes, negate=negate)
    close(got.reshape(want.shape), -want if negate else want, tol=1e-5)


def test_tensor_reduce_of_bits():
    x = np.random.default_rng(1).integers(0, 255, (5, 12), dtype=np.uint8)
    np.testing.assert_array_equal(issue("tensor_reduce", dst=Out((5, 1), "uint8"), op=nl.bitwise_or, data=x,
                                        axis=1)[:, 0], np.bitwise_or.reduce(x, 1))


def test_tensor_reduce_keeps_the_partitions():
    with pytest.raises(NkiValidationError, match="partition dimension"):
        issue("tensor_reduce", dst=Out((4, 5)), op=nl.add, data=normal((4, 5)), axis=0)
    with pytest.raises(NkiValidationError, match="leaves 3"):
        issue("tensor_reduce", dst=Out((4, 5)), op=nl.add, data=normal((4, 3, 5)), axis=2)


@pytest.mark.parametrize("op", ["add", "average", "maximum"])
def test_tensor_partition_reduce(op):
    x = normal((33, 7))
    want = {"add": np.sum, "average": np.mean, "maximum": np.max}[op](x, axis=0, keepdims=True)
    close(issue("tensor_partition_reduce", dst=Out((1, 7)), op=getattr(nl, op), data=x), want, tol=1e-5)


@pytest.mark.parametrize(("reduce_op", "fn"),
                         [("add", np.sum), ("multiply", np.prod), ("max", np.max), ("min", np.min)])
def test_tensor_scalar_reduce(reduce_op, fn):
    x = normal((9, 11))
    got, total = issue("tensor_scalar_reduce", dst=Out(x.shape), data=x, op0=nl.multiply, operand0=1.5,
                       reduce_op=getattr(nl, reduce_op), reduce_res=Out((9, 1)))
    close(got, x * np.float32(1.5))
    close(total, fn(x.astype(np.float64) * 1.5, axis=1, keepdims=True), tol=1e-4)


def test_vector_register_is_loaded_kept_and_negated():
    x = normal((4, 6))
    common = {"data": x, "op0": nl.add, "operand0": 0.0, "reduce_op": nl.add}
    first = ("tensor_scalar_reduce",
             {"dst": Out(x.shape), "reduce_cmd": cmd.load_reduce, "reduce_init": 10.0, **common})
    out = issue("tensor_scalar_reduce", before=[first], dst=Out(x.shape), reduce_cmd=cmd.reduce, reduce_res=Out((4, 1)),
                reduce_res_negate=True, **common)
    close(out[-1], -(10 + 2 * x.sum(1, keepdims=True, dtype=np.float64)), tol=1e-5)


@FEW
@given(shapes, st.sampled_from(["add", "multiply", "maximum", "minimum", "subtract"]),
       st.sampled_from(["reset_reduce", "load_reduce"]))
def test_tensor_scalar_cumulative(shape, op1, how):
    x = normal(shape)
    got = issue("tensor_scalar_cumulative", dst=Out(shape), src=x, op0=nl.multiply, op1=getattr(nl, op1), imm0=0.5,
                imm1=0.25 if how == "load_reduce" else None, reduce_cmd=cmd[how])
    start = ({"add": 0, "subtract": 0, "multiply": 1, "maximum": -np.inf, "minimum": np.inf}[op1]
             if how == "reset_reduce" else 0.25)
    state, want = np.full(shape[0], start, np.float64), np.empty(shape)
    for i in range(shape[1]):
        state = getattr(np, op1)(x[:, i] * 0.5, state)
        want[:, i] = state
    close(got, want, tol=1e-5)


@FEW
@given(shapes, st.sampled_from(["multiply", "add", "maximum"]), st.sampled_from(["add", "subtract", "minimum"]),
       st.booleans(), st.booleans(), st.booleans())
def test_tensor_tensor_scan(shape, op0, op1, reverse0, reverse1, vector):
    a, b = normal(shape), normal(shape, 1)
    initial = normal((shape[0], 1), 2) if vector else 0.5
    got = issue("tensor_tensor_scan", dst=Out(shape), data0=a, data1=b, initial=initial, op0=getattr(nl, op0),
                op1=getattr(nl, op1), reverse0=reverse0, reverse1=reverse1)
    state, want = np.broadcast_to(np.float64(initial), (shape[0], 1))[:, 0], np.empty(shape)
    for i in range(shape[1]):
        state = getattr(np, op0)(*((state, a[:, i]) if reverse0 else (a[:, i], state)))
        state = getattr(np, op1)(*((b[:, i], state) if reverse1 else (state, b[:, i])))
        want[:, i] = state
    close(got, want, tol=1e-4)


@FEW
@given(st.integers(1, 128), st.integers(2, 512))
def test_bn_stats_and_aggr(partitions, n):
    x = normal((partitions, n)) + 3
    stats = issue("bn_stats", dst=Out((partitions, 6)), data=x)
    assert (stats[:, 0] == (n + 1) // 2).all()
    assert (stats[:, 3] == n // 2).all()
    got = issue("bn_aggr", dst=Out((partitions, 2)), data=stats)
    close(got, np.stack([x.mean(1, dtype=np.float64), x.var(1, dtype=np.float64)], 1), tol=1e-4)


def test_bn_stats_takes_512_elements():
    with pytest.raises(NkiValidationError, match="512"):
        issue("bn_stats", dst=Out((2, 6)), data=normal((2, 513)))


@FEW
@given(st.integers(1, 64), st.integers(8, 60))
def test_max8_find_index8_match_replace8(partitions, n):
    x = normal((partitions, n))
    top = issue("max8", dst=Out((partitions, 8)), src=x)
    np.testing.assert_array_equal(top, -np.sort(-x, axis=1)[:, :8])
    index = issue("nc_find_index8", dst=Out((partitions, 8), "uint32"), data=x, vals=top)
    np.testing.assert_array_equal(index, np.argsort(-x, axis=1, kind="stable")[:, :8])
    replaced, places = issue("nc_match_replace8", dst=Out(x.shape), data=x, vals=top, imm=-9.0,
                             dst_idx=Out((partitions, 8), "uint32"))
    want = x.copy()
    np.put_along_axis(want, index.astype(np.int64), -9.0, 1)
    np.testing.assert_array_equal(replaced, want)
    np.testing.assert_array_equal(places, index)


def test_equal_values_take_successive_places():
    data = np.array([[1, 2, 3, 4, 8, 8, 8, 8, 8, 8, 8]], np.float32)
    vals = np.array([[3, 8, 8, 8, 8, 8, 8, 8]], np.float32)
    places = issue("nc_match_replace8", dst=Out(data.shape), data=data, vals=vals, imm=0.0,
                   dst_idx=Out((1, 8), "uint32"))[1]
    assert places.tolist() == [[2, 10, 9, 8, 7, 6, 5, 4]]             # the vendor's example
    assert issue("nc_find_index8", dst=Out((1, 8), "uint32"), data=data,
                 vals=vals).tolist() == [[2, 4, 5, 6, 7, 8, 9, 10]]
    missing = np.array([[3, 99, 8, 8, 8, 8, 8, 8]], np.float32)
    assert issue("nc_find_index8", dst=Out((1, 8), "uint16"), data=data, vals=missing)[0, 1] == 0xFFFF


@FEW
@given(shapes, st.integers(0, 30))
def test_range_select(shape, start):
    x = normal(shape)
    low, high = np.full((shape[0], 1), start + 2.0, np.float32), np.arange(shape[0], dtype=np.float32)[:, None] + start
    got, top = issue("range_select", dst=Out(shape), on_true_tile=x, comp_op0=nl.greater_equal, comp_op1=nl.less,
                     bound0=low, bound1=high, reduce_res=Out((shape[0], 1)), range_start=start)
    at = np.arange(shape[1]) + start
    want = np.where((at >= low) & (at < high), x, np.finfo(np.float32).min)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(top, want.max(1, keepdims=True))


@FEW
@given(shapes, st.booleans(), st.booleans())
def test_select_reduce_and_predicated_copy(shape, reverse, vector):
    x, before = normal(shape), normal(shape, 1)
    pred = np.random.default_rng(2).integers(0, 2, shape, dtype=np.uint8)
    take = (pred != 0) ^ reverse
    other = normal((shape[0], 1), 3) if vector else -2.0
    got, top = issue("select_reduce", dst=Out(shape), predicate=pred, on_true=x, on_false=other,
                     reduce_res=Out((shape[0], 1)), reduce_cmd=cmd.reset_reduce, reverse_pred=reverse)
    want = np.where(take, x, np.float32(other))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(top, want.max(1, keepdims=True))
    got = issue("tensor_copy_predicated", dst=Out(shape, before=before), src=x, predicate=pred, reverse_pred=reverse)
    np.testing.assert_array_equal(got, np.where(take, x, before))


REFUSED = [
    ("range_select", {"dst": Out((4, 8)), "on_true_tile": normal((4, 8)), "comp_op0": nl.not_equal, "comp_op1": nl.less,
                      "bound0": normal((4, 1)), "bound1": normal((4, 1))}, "not_equal"),
    ("range_select", {"dst": Out((4, 8)), "on_true_tile": normal((4, 8)), "comp_op0": nl.less, "comp_op1": nl.less,
                      "bound0": normal((4, 1)).astype(np.float16), "bound1": normal((4, 1))}, "float32"),
    ("select_reduce", {"dst": Out((4, 8)), "predicate": normal((4, 8)), "on_true": normal((4, 8)), "on_false": 0.0},
     "integer"),
    ("max8", {"dst": Out((4, 8)), "src": normal((4, 7))}, "8 to 16384"),
    ("bn_aggr", {"dst": Out((4, 2)), "data": normal((4, 7))}, "multiple of 3"),
    ("tensor_scalar_reduce", {"dst": Out((4, 8)), "data": normal((4, 8)), "op0": nl.add, "operand0": 0.0,
                              "reduce_op": nl.add, "reduce_init": 1.0},
     "load_reduce"),
    ("tensor_tensor_scan", {"dst": Out((4, 8)), "data0": In(normal((4, 8))), "data1": In(normal((4, 8))),
                            "initial": 0.0, "op0": nl.add, "op1": nl.add},
     "both be in PSUM"),
]


@pytest.mark.parametrize(("name", "operands", "words"), REFUSED,
                         ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(REFUSED)])
def test_refused(name, operands, words):
    with pytest.raises(NkiValidationError, match=words):
        issue(name, **operands)


def test_range_select_needs_the_third_generation():
    with pytest.raises(NkiValidationError, match="NeuronCore-v3"):
        issue("range_select", target="trn1", dst=Out((4, 8)), on_true_tile=normal((4, 8)), comp_op0=nl.less,
              comp_op1=nl.less, bound0=normal((4, 1)), bound1=normal((4, 1)))

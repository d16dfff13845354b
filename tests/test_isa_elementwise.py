"""Elementwise instructions against NumPy: values on random shapes and dtypes, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore.errors import NkiValidationError
from tests.isa_run import In, Out, close, issue, nisa, nl, numpy_dtype

FEW = settings(max_examples=8, deadline=None)
shapes = st.tuples(st.integers(1, 128), st.integers(1, 70))
floats = st.sampled_from(["float32", "bfloat16", "float16"])


def normal(shape, dtype="float32", seed=0, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(numpy_dtype(dtype))


BINARY = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum,
          "divide": np.divide,
          "less": np.less, "greater_equal": np.greater_equal, "equal": np.equal, "logical_and": np.logical_and,
          "logical_xor": np.logical_xor}


@FEW
@given(shapes, floats, floats, st.sampled_from(sorted(BINARY)), st.booleans())
def test_tensor_tensor(shape, a, out, op, psum):
    x, y = normal(shape, a), normal(shape, "float32", 1)
    got = issue("tensor_tensor", dst=Out(shape, out), data1=In(x) if psum else x, data2=y, op=getattr(nl, op))
    want = BINARY[op](x.astype(np.float32), y).astype(np.float32).astype(numpy_dtype(out))
    np.testing.assert_array_equal(got.astype(np.float32), want.astype(np.float32))


@pytest.mark.parametrize("op", ["add", "multiply", "subtract"])
def test_tensor_tensor_of_integers_is_exact_in_sbuf(op):
    x, y = np.array([[2**24 + 1, -7, 2**30]], np.int32), np.array([[3, 5, 1]], np.int32)
    got = issue("tensor_tensor", dst=Out((1, 3), "int32"), data1=x, data2=y, op=getattr(nl, op))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(got, BINARY[op](x, y))


@FEW
@given(st.sampled_from(["bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"]),
       st.sampled_from(["int32", "uint32", "uint8", "int16"]))
def test_bit_operators_work_on_patterns(op, dtype):
    rng = np.random.default_rng(3)
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, (4, 9), dtype=dtype, endpoint=True)
    y = rng.integers(0, 7, (4, 9)).astype(dtype)
    got = issue("tensor_tensor", dst=Out((4, 9), dtype), data1=x, data2=y, op=getattr(nl, op))
    want = (np.right_shift(x.view(f"u{x.itemsize}"), y.view(f"u{x.itemsize}")).view(dtype) if op == "right_shift"
            else getattr(np, op)(x, y))
    np.testing.assert_array_equal(got, want)


@FEW
@given(shapes, st.sampled_from(["add", "subtract", "multiply", "maximum"]),
       st.sampled_from([None, "add", "multiply", "minimum"]), st.booleans(), st.booleans(), st.booleans())
def test_tensor_scalar(shape, op0, op1, reverse0, reverse1, vector):
    x = normal(shape)
    a = normal((shape[0], 1), seed=2) if vector else 1.25
    got = issue("tensor_scalar", dst=Out(shape), data=x, op0=getattr(nl, op0), operand0=a, reverse0=reverse0,
                op1=getattr(nl, op1) if op1 else None, operand1=-0.5 if op1 else None, reverse1=reverse1)
    a = np.float32(a)
    want = BINARY[op0](a, x) if reverse0 else BINARY[op0](x, a)
    if op1:
        b = np.float32(-0.5)
        want = BINARY[op1](b, want) if reverse1 else BINARY[op1](want, b)
    np.testing.assert_array_equal(got, np.broadcast_to(want, shape))


@pytest.mark.parametrize(("op", "fn"), [("abs", np.abs), ("square", np.square), ("relu", lambda x: np.maximum(x, 0))])
def test_tensor_scalar_unary(op, fn):
    x = normal((8, 5))
    close(issue("tensor_scalar", dst=Out((8, 5)), data=x, op0=getattr(nl, op), operand0=None), fn(x))


@FEW
@given(shapes, st.sampled_from(["add", "multiply", "subtract"]), st.sampled_from(["add", "subtract", "maximum"]),
       st.booleans(), st.booleans())
def test_scalar_tensor_tensor(shape, op0, op1, reverse0, reverse1):
    x, z = normal(shape), normal(shape, seed=4)
    got = issue("scalar_tensor_tensor", dst=Out(shape), data=x, op0=getattr(nl, op0), operand0=0.75,
                op1=getattr(nl, op1), operand1=z, reverse0=reverse0, reverse1=reverse1)
    first = BINARY[op0](np.float32(0.75), x) if reverse0 else BINARY[op0](x, np.float32(0.75))
    np.testing.assert_array_equal(got, BINARY[op1](z, first) if reverse1 else BINARY[op1](first, z))


def erf(x):
    return np.vectorize(math.erf)(x.astype(np.float64))


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


ACTIVATIONS = {
    "exp": lambda x: np.exp(x.astype(np.float64)), "tanh": np.tanh, "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x), "erf": erf,
    "gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))), "copy": lambda x: x, "square": np.square, "sign": np.sign,
    "abs": np.abs,
    "gelu_apprx_sigmoid": lambda x: x * sigmoid(1.702 * x),
    "gelu_apprx_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "softplus": lambda x: np.log1p(np.exp(x.astype(np.float64))),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x.astype(np.float64)))),
    "relu": lambda x: np.maximum(x, 0), "silu_dx": lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))), "sin": np.sin,
    "arctan": np.arctan, "erf_dx": lambda x: 2 / math.sqrt(math.pi) * np.exp(-x.astype(np.float64) ** 2),
    "gelu_dx": lambda x: 0.5 * (1 + erf(x / math.sqrt(2))) + x
    * np.exp(-0.5 * x.astype(np.float64) ** 2) / math.sqrt(2 * math.pi),
    "gelu_apprx_sigmoid_dx": lambda x: sigmoid(1.702 * x) * (1 + 1.702 * x * (1 - sigmoid(1.702 * x))),
}
POSITIVE = {"sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "log": np.log, "reciprocal": lambda x: 1 / x}


@pytest.mark.parametrize("op", [*ACTIVATIONS, *POSITIVE])
def test_activation_functions(op):
    x = normal((16, 33))
    if op in POSITIVE:
        x = np.abs(x) + 0.1
    if op == "sin":
        x = np.clip(x, -3.14, 3.14)
    got = issue("activation", dst=Out(x.shape), op=getattr(nl, op), data=x)
    close(got, (ACTIVATIONS | POSITIVE)[op](x), tol=3e-6)


@FEW
@given(shapes, st.booleans(), st.booleans())
def test_activation_scale_bias_and_running_sum(shape, vector, psum):
    x = normal(shape)
    scale = normal((shape[0], 1), seed=5) if vector else 0.5
    bias = normal((shape[0], 1), seed=6)
    got, total = issue("activation", dst=Out(shape), op=nl.tanh, data=In(x) if psum else x, scale=scale, bias=bias,
                       reduce_op=nl.add, reduce_res=Out((shape[0], 1)), reduce_cmd=nisa.reduce_cmd.reset_reduce)
    want = np.tanh(x * np.float32(scale) + bias)
    close(got, want, tol=4e-6)
    close(total, want.sum(1, keepdims=True, dtype=np.float64), tol=1e-4)


def test_scalar_register_keeps_its_sum_between_instructions():
    x = normal((4, 6))
    first = ("activation", {"dst": Out((4, 6)), "op": nl.copy, "data": x, "reduce_op": nl.add,
                            "reduce_cmd": nisa.reduce_cmd.reset_reduce})
    idle = ("activation", {"dst": Out((4, 6)), "op": nl.copy, "data": 7 * x})
    out = issue("activation", before=[first, idle], dst=Out((4, 6)), op=nl.square, data=x, reduce_op=nl.add,
                reduce_cmd=nisa.reduce_cmd.reduce, reduce_res=Out((4, 1)))
    close(out[-1], (x.astype(np.float64) + x.astype(np.float64) ** 2).sum(1, keepdims=True), tol=1e-5)


def test_sine_of_the_scalar_engine_leaves_its_range_as_the_vendor_says():
    close(issue("activation", dst=Out((1, 1)), op=nl.sin, data=np.array([[9.0]], np.float32)), [[27.65]], tol=1e-3)


def test_reciprocal():
    x = normal((7, 5)) + 3
    close(issue("reciprocal", dst=Out((7, 5), "bfloat16"), data=x), 1 / x, "bfloat16")


def test_exponential_and_activate2_of_the_fourth_generation():
    x = normal((8, 12))
    top = x.max(1, keepdims=True)
    got, total = issue("exponential", target="trn3", dst=Out(x.shape), src=x, max_value=top, reduce_res=Out((8, 1)),
                       reduce_cmd=nisa.reduce_cmd.reset_reduce)
    want = np.exp(x.astype(np.float64) - top)
    close(got, want)
    close(total, want.sum(1, keepdims=True), tol=1e-5)
    got = issue("activate2", target="trn3", dst=Out(x.shape), op=nl.prelu, data=x, imm0=2.0, imm1=0.5, op0=nl.multiply,
                op1=nl.subtract, relu_param=0.25)
    want = 2 * x - 0.5
    close(got, np.where(want < 0, want * 0.25, want))


@pytest.mark.parametrize(("a", "b", "largest", "smallest"),
                         [(-5.0, 3.0, -5.0, 3.0), (1.0, -1.0, -1.0, -1.0), (2.0, -4.0, -4.0, 2.0)])
def test_abs_max_keeps_the_sign(a, b, largest, smallest):
    x, y = np.full((2, 3), a, np.float32), np.full((2, 3), b, np.float32)
    assert (issue("tensor_tensor", target="trn3", dst=Out((2, 3)), data1=x, data2=y, op=nl.abs_max) == largest).all()
    assert (issue("tensor_tensor", target="trn3", dst=Out((2, 3)), data1=x, data2=y, op=nl.abs_min) == smallest).all()


REFUSED = [
    ("tensor_tensor", {"dst": Out((4, 8)), "data1": normal((4, 8)), "data2": normal((4, 7)), "op": nl.add},
     "elements per partition"),
    ("tensor_tensor", {"dst": Out((4, 8)), "data1": normal((4, 8)), "data2": normal((5, 8)), "op": nl.add},
     "differ in partitions"),
    ("tensor_tensor", {"dst": Out((4, 8)), "data1": In(normal((4, 8))), "data2": In(normal((4, 8))), "op": nl.add},
     "both be in PSUM"),
    ("tensor_tensor", {"dst": Out((4, 8)), "data1": normal((4, 8)), "data2": normal((4, 8)), "op": nl.exp},
     "not possible here"),
    ("tensor_tensor", {"dst": Out((4, 8)), "data1": normal((4, 8)), "data2": normal((4, 8)), "op": nl.add,
                       "engine": nisa.engine.scalar}, "not on the scalar"),
    ("tensor_tensor", {"dst": Out((4, 8)), "data1": normal((4, 8)), "data2": normal((4, 8)), "op": nl.abs_max},
     "NeuronCore-v4"),
    ("tensor_scalar", {"dst": Out((4, 8)), "data": normal((4, 8)), "op0": nl.add, "operand0": normal((4, 2))},
     "one value per partition"),
    ("tensor_scalar", {"dst": Out((4, 8)), "data": normal((4, 8)), "op0": nl.add, "operand0": 1.0,
                       "op1": nl.bitwise_and, "operand1": 1}, "cannot be mixed"),
    ("tensor_scalar", {"dst": Out((4, 8)), "data": normal((4, 8)), "op0": nl.bitwise_and, "operand0": 1}, "integer"),
    ("activation", {"dst": Out((4, 8)), "op": nl.cos, "data": normal((4, 8))}, "no function nl.cos"),
    ("activation", {"dst": Out((4, 8)), "op": nl.exp, "data": normal((4, 8)), "reduce_op": nl.maximum,
                    "reduce_res": Out((4, 1))}, "not possible"),
    ("activate2", {"dst": Out((4, 8)), "op": nl.exp, "data": normal((4, 8)), "imm0": 1.0, "imm1": 0.0,
                   "op0": nl.multiply, "op1": nl.add}, "NeuronCore-v4"),
]


@pytest.mark.parametrize(("name", "operands", "words"), REFUSED,
                         ids=[f"{n}-{w.split()[0]}-{i}" for i, (n, _, w) in enumerate(REFUSED)])
def test_refused(name, operands, words):
    with pytest.raises(NkiValidationError, match=words):
        issue(name, **operands)


def test_bias_number_needs_the_third_generation():
    operands = {"dst": Out((4, 8)), "op": nl.exp, "data": normal((4, 8)), "bias": 1.0}
    issue("activation", **operands)
    with pytest.raises(NkiValidationError, match="NeuronCore-v2"):
        issue("activation", target="trn1", **operands)

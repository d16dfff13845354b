"""The kernels of kernels/ compute what NumPy computes, for several shapes and dtypes."""

import importlib
import math
import runpy
import sys
from pathlib import Path

import ml_dtypes  # noqa: F401
import numpy as np
import pytest

import simcore
from simcore.errors import SimcoreError
from simcore.frontend import Session, TensorSpec, activate, use_session

TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}
DTYPES = list(TOLERANCE)


def kernel(module: str, name: str):
    with activate():
        return getattr(importlib.import_module(f"simcore.kernels.{module}"), name)


def run(function, *args, **options) -> np.ndarray:
    return simcore.capture(function, *args, **options).outputs


def normal(*shape, dtype="float32", seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32).astype(dtype)


def close(actual, exact, dtype, *, scale=1.0):
    np.testing.assert_allclose(
        np.asarray(actual).astype(np.float64), exact, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale
    )


def attention(q, k, v, causal: bool) -> np.ndarray:
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    sharing = q.shape[0] // k.shape[0]
    k, v = np.repeat(k, sharing, 0), np.repeat(v, sharing, 0)
    s = np.einsum("hdq,hdk->hqk", q, k) / math.sqrt(q.shape[1])
    if causal:
        s = np.where(np.tri(*s.shape[1:], dtype=bool), s, -np.inf)
    p = np.exp(s - s.max(2, keepdims=True))
    return np.einsum("hqk,hkd->hqd", p / p.sum(2, keepdims=True), v)


ATTENTION_SHAPES = [  # heads, kv heads, head dimension, queries, keys
    (1, 1, 128, 512, 512),
    (1, 1, 128, 128, 128),
    (4, 2, 64, 384, 384),
    (3, 1, 128, 1152, 1152),
    (2, 2, 32, 128, 2176),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", ATTENTION_SHAPES)
@pytest.mark.parametrize("module", ["flash_attn", "naive_attn"])
def test_attention(module, shape, causal, dtype):
    heads, kv_heads, depth, queries, keys = shape
    if causal and queries != keys:
        pytest.skip("causal attention is square")
    q = normal(heads, depth, queries, dtype=dtype, seed=1)
    k = normal(kv_heads, depth, keys, dtype=dtype, seed=2)
    v = normal(kv_heads, keys, depth, dtype=dtype, seed=3)
    close(run(kernel(module, module), q, k, v, causal=causal), attention(q, k, v, causal), dtype)


def test_flash_attention_with_large_scores_does_not_overflow():
    q, k, v = normal(1, 128, 256, seed=1) * 30, normal(1, 128, 256, seed=2) * 30, normal(1, 256, 128, seed=3)
    close(run(kernel("flash_attn", "flash_attn"), q, k, v, causal=True), attention(q, k, v, True), "float32", scale=100)


def test_flash_attention_takes_a_scale():
    q, k, v = normal(1, 64, 256, seed=1), normal(1, 64, 256, seed=2), normal(1, 256, 64, seed=3)
    out = run(kernel("flash_attn", "flash_attn"), q, k, v, scale=0.5)
    close(out, attention(q * np.float32(0.5 * 8), k, v, False), "float32", scale=10)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"q": (1, 160, 256)}, "head dimension 160"),
        ({"q": (1, 64, 200)}, "not a multiple of 128"),
        ({"k": (1, 32, 256)}, "k has 32"),
        ({"q": (3, 64, 256), "k": (2, 64, 256), "v": (2, 256, 64)}, "cannot share"),
        ({"q": (1, 64, 128)}, "as many keys as queries"),
    ],
)
def test_flash_attention_refuses(change, says):
    shapes = {"q": (1, 64, 256), "k": (1, 64, 256), "v": (1, 256, 64)} | change
    args = [TensorSpec.parse(f"float32[{','.join(map(str, s))}]") for s in shapes.values()]
    with pytest.raises((AssertionError, SimcoreError), match=says):
        run(kernel("flash_attn", "flash_attn"), *args, causal=True, values=False)


def test_flash_attention_of_a_long_sequence_allocates_nothing_when_only_timed():
    """16 heads of 16384 would need 17 GB of scores; the plan alone is recorded here for one head."""
    spec = TensorSpec.parse
    trace = simcore.capture(
        kernel("flash_attn", "flash_attn"),
        spec("bfloat16[1,128,4096]"),
        spec("bfloat16[1,128,4096]"),
        spec("bfloat16[1,4096,128]"),
        values=False,
    )
    assert trace.outputs is None


MATMULS = ["matmul_naive", "matmul_wide", "matmul_hoisted", "matmul_blocked", "matmul_fully_blocked"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(128, 128, 512), (256, 384, 1024), (640, 256, 512)])
@pytest.mark.parametrize("name", MATMULS)
def test_matmul(name, shape, dtype):
    m, k, n = shape
    lhs_t, rhs = normal(k, m, dtype=dtype, seed=1), normal(k, n, dtype=dtype, seed=2)
    exact = lhs_t.astype(np.float64).T @ rhs.astype(np.float64)
    close(run(kernel("matmul", name), lhs_t, rhs), exact, dtype, scale=math.sqrt(k))


@pytest.mark.parametrize(
    "blocks", [{"block_rows": 128, "block_columns": 512, "block_depth": 128}, {"block_depth": 256}]
)
def test_matmul_accumulates_over_blocks_of_the_contraction(blocks):
    lhs_t, rhs = normal(512, 256, seed=1), normal(512, 1024, seed=2)
    close(
        run(kernel("matmul", "matmul_fully_blocked"), lhs_t, rhs, **blocks),
        lhs_t.T.astype(np.float64) @ rhs,
        "float32",
        scale=math.sqrt(512),
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(128, 64), (384, 1000)])
def test_softmax(shape, dtype):
    x = normal(*shape, dtype=dtype) * np.asarray(8, dtype)
    e = np.exp(x.astype(np.float64) - x.astype(np.float64).max(1, keepdims=True))
    close(run(kernel("softmax", "softmax"), x), e / e.sum(1, keepdims=True), dtype, scale=1e-2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(128, 64), (384, 1000)])
def test_rmsnorm(shape, dtype):
    x, w = normal(*shape, dtype=dtype), normal(shape[1], dtype=dtype, seed=1)
    y = x.astype(np.float64)
    close(
        run(kernel("rmsnorm", "rmsnorm"), x, w),
        y / np.sqrt((y**2).mean(1, keepdims=True) + 1e-6) * w.astype(np.float64),
        dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_add(dtype):
    a, b = normal(256, 1024, dtype=dtype, seed=1), normal(256, 1024, dtype=dtype, seed=2)
    close(run(kernel("tensor_add", "tensor_add"), a, b, tile=256), a.astype(np.float64) + b.astype(np.float64), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "transposed"), [((2, 200, 256, 640), True), ((1, 1, 384, 96), False), ((2, 128, 64, 130), True)]
)
def test_batched_matmul(shape, transposed, dtype):
    batches, m, k, n = shape
    a, b = normal(batches, m, k, dtype=dtype, seed=1), normal(batches, k, n, dtype=dtype, seed=2)
    view = (k * n, 1, k) if transposed else (k * n, n, 1)
    stored = np.ascontiguousarray(np.swapaxes(b, 1, 2)) if transposed else b
    out = run(kernel("batched_matmul", "batched_matmul"), a, stored, shape, (m * k, k, 1), view)
    close(out, a.astype(np.float64) @ b.astype(np.float64), dtype, scale=math.sqrt(k))


@pytest.mark.parametrize("operator", ["max", "sum", "mean"])
@pytest.mark.parametrize("dims", [(200, 1, 300), (130, 4, 32), (64, 1, 12288)])
def test_row_reduce(operator, dims):
    rows, group, columns = dims
    x = normal(rows, group, columns)
    out = run(kernel("row_reduce", "row_reduce"), x, (group * columns, columns, 1), dims, operator, "float32")
    close(out, getattr(x.astype(np.float64), operator)(axis=2), "float32", scale=10)


def test_pointwise_chain_over_strided_and_repeated_operands():
    """softmax-like arithmetic with one value for each row and one for each column, results in two layouts."""
    x, row, column = normal(3, 200, 64), normal(3, 200, seed=1), normal(64, seed=2)
    reads = (((200 * 64, 64, 1), 0), ((200, 1, 0), 0), ((0, 0, 1), 0))
    chain = (
        ("subtract", (0, 1), "float32"),
        ("exp", (3,), "float32"),
        ("multiply", (4, 0.5), "float32"),
        ("add", (5, 2), "bfloat16"),
        ("max", (5,), "float32"),
    )
    writes = ((200 * 64, 64, 1), (64, 3 * 64, 1), (200, 1, 0))
    scaled, total, top = run(
        kernel("pointwise", "pointwise"),
        [x, row, column],
        reads,
        ((3,), (200,), (64,)),
        chain,
        (5, 6, 7),
        writes,
        (x.size, x.size, 600),
    )
    exact = 0.5 * np.exp(x - row[:, :, None])
    close(scaled.reshape(x.shape), exact, "float32")
    close(total.reshape(200, 3, 64).swapaxes(0, 1), exact + column, "bfloat16")
    close(top.reshape(3, 200), exact.max(2), "float32")


@pytest.mark.parametrize("shape", [(2, 300, 64), (1, 128, 200), (3, 2200, 32)])
def test_batched_transpose(shape):
    x = normal(*shape, dtype="bfloat16")
    b, m, n = shape
    out = run(kernel("batched_transpose", "batched_transpose"), x, shape, (m * n, n, 1))
    np.testing.assert_array_equal(out, x.swapaxes(1, 2))


def test_embedding():
    table, ids = normal(50, 96), np.random.default_rng(1).integers(0, 50, (200, 1), dtype=np.int32)
    np.testing.assert_array_equal(run(kernel("embedding", "embedding"), table, ids), table[ids[:, 0]])


SCRIPTS = [
    "tensor_add",
    "softmax",
    "rmsnorm",
    "matmul",
    "naive_attn",
    "flash_attn",
    "pointwise",
    "row_reduce",
    "batched_matmul",
    "batched_transpose",
    "concat",
    "append",
    "embedding",
]


@pytest.mark.parametrize("target", ["trn1", "trn2", "trn3"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_script_checks_itself(name, target, capsys, monkeypatch):
    """Every kernel is a script that makes inputs, launches and compares, whatever the chip."""
    file = Path(__file__).parent.parent / "kernels" / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(file)])
    traces = []
    with activate(), use_session(Session(target, True, None, traces.append)):
        runpy.run_path(str(file), run_name="__main__")
    assert "agrees with NumPy" in capsys.readouterr().out
    assert len(traces) == (5 if name == "matmul" else 1)

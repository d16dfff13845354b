"""The tutorial kernels of aws-neuron-sdk (v2.32.0, nki/examples) run as they are and compute what they should.

The checkout is found under SIMCORE_REFS; without it these tests are skipped.
"""

import importlib.util
import os
import runpy
import sys
from pathlib import Path

import ml_dtypes  # noqa: F401
import numpy as np
import pytest

import simcore
from simcore.frontend import activate


@pytest.fixture(scope="module")
def examples(refs) -> Path:
    found = sorted(refs.glob("aws-neuron+aws-neuron-sdk@*/nki/examples"))
    if not found:
        pytest.skip(f"no checkout of aws-neuron-sdk in {refs}")
    return found[0]


@pytest.fixture
def load(examples):
    """A module of the examples, imported under the NKI names."""

    def load_module(path: str):
        spec = importlib.util.spec_from_file_location(f"sdk_example_{Path(path).stem}", examples / path)
        module = importlib.util.module_from_spec(spec)
        with activate():
            spec.loader.exec_module(module)
        return module

    return load_module


def normal(*shape, dtype="float32", seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32).astype(dtype)


@pytest.fixture(autouse=True)
def own_environment():
    """The examples set the target when they are imported: other tests have their own."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_simulate(examples):
    with activate():
        runpy.run_path(str(examples / "simulate/nki_simulate_example.py"), run_name="__main__")


@pytest.mark.parametrize(("shape", "dtype"), [((128, 512), "float32"), ((256, 1024), "bfloat16")])
def test_tensor_addition(load, monkeypatch, shape, dtype):
    monkeypatch.delenv("NEURON_PLATFORM_TARGET_OVERRIDE", raising=False)
    kernel = load("tensor_addition/tensor_addition_nki_kernels.py").nki_tensor_add
    a, b = normal(*shape, dtype=dtype, seed=1), normal(*shape, dtype=dtype, seed=2)
    np.testing.assert_array_equal(simcore.capture(kernel, a, b).outputs, a + b)


@pytest.mark.parametrize("dtype", ["int8", "float32", "bfloat16"])
def test_transpose2d(load, dtype):
    kernel = load("transpose2d/transpose2d_nki_kernels.py").tensor_transpose2D_kernel_
    a = np.arange(5 * 3 * 4).reshape(5, 12).astype(dtype)
    expected = a.reshape(5, 3, 4).transpose(0, 2, 1).reshape(5, 12)
    np.testing.assert_array_equal(simcore.capture(kernel, a, (3, 4)).outputs, expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "m", "k", "n", "options"),
    [
        ("nki_matmul_basic_", 64, 128, 512, {}),
        ("nki_matmul_tiled_", 256, 256, 1024, {}),
        ("nki_matmul_hoist_load_", 256, 256, 1024, {}),
        ("nki_matmul_block_free_dimension_", 256, 256, 1024, {}),
        (
            "nki_matmul_fully_optimized_",
            512,
            512,
            1024,
            {"TILES_IN_BLOCK_M": 2, "TILES_IN_BLOCK_N": 2, "TILES_IN_BLOCK_K": 2},
        ),
    ],
)
def test_matrix_multiplication(load, name, m, k, n, options, dtype):
    kernel = getattr(load("matrix_multiplication/matrix_multiplication_nki_kernels.py"), name)
    lhs_t, rhs = normal(k, m, dtype=dtype, seed=1), normal(k, n, dtype=dtype, seed=2)
    exact = lhs_t.astype(np.float64).T @ rhs.astype(np.float64)
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    out = np.asarray(simcore.capture(kernel, lhs_t, rhs, **options).outputs).astype(np.float64)
    np.testing.assert_allclose(out, exact, rtol=tolerance, atol=tolerance * k**0.5)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_average_pool2d(load, dtype):
    module = load("average_pool2d/average_pool2d_nki_kernels.py")
    image = np.arange(2 * 6 * 6).reshape(2, 6, 6).astype(dtype)
    expected = image.reshape(2, 3, 2, 3, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(simcore.capture(module.tensor_avgpool_kernel, image, 2).outputs, expected, rtol=1e-3)


@pytest.mark.parametrize("name", ["mamba_v1", "mamba_v2", "mamba_v3"])
def test_fused_mamba(load, monkeypatch, name):
    monkeypatch.setattr(sys, "argv", ["mamba_nki_kernels.py"])
    kernel = getattr(load("fused_mamba/mamba_nki_kernels.py"), name)
    batch, channels, states, length = 1, 128, 4, 1024
    delta, u = np.abs(normal(batch, channels, length, seed=1)), normal(batch, channels, length, seed=2)
    a = -np.abs(normal(channels, states, seed=3))
    b, c = normal(batch, states, length, seed=4), normal(batch, states, length, seed=5)
    state = np.zeros((batch, channels, states))
    expected = np.zeros((batch, channels, length))
    for t in range(length):
        decay = np.exp(delta[:, :, None, t].astype(np.float64) * a)
        state = decay * state + delta[:, :, None, t] * u[:, :, None, t] * b[:, None, :, t]
        expected[:, :, t] = (c[:, None, :, t] * state).sum(2)
    out = simcore.capture(kernel, delta, u, a, b, c).outputs
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-3)

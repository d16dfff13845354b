"""Public suites and kernels of the older dialect, unmodified, from checkouts (SIMCORE_REFS)."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import simcore
from simcore.frontend import activate

TOOLS = Path(__file__).parent / "tools"


def checkout(refs: Path, name: str, must: str = "") -> Path:
    for path in sorted(refs.glob(name + "*")):
        if (path / must).exists():
            return path
    pytest.skip(f"needs a checkout of {name.replace('+', '/')}")


def load(path: Path):
    spec = importlib.util.spec_from_file_location(re.sub(r"\W", "_", str(path)), path)
    module = importlib.util.module_from_spec(spec)
    with activate():
        spec.loader.exec_module(module)
    return module


def unittest(folder: Path, **env) -> str:
    names = os.pathsep.join([str(TOOLS / "names")])
    done = subprocess.run([sys.executable, "-m", "unittest", "discover", "-s", str(folder), "-p", "test_*.py"],
                          capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": names, "PYTHONDONTWRITEBYTECODE": "1", **env})
    return done.stderr


def test_the_vendors_instruction_tests(refs):
    """85 tests; one wants bfloat16 results kept in 32 bits, which NKI_PRECISE_FP=0 asks for."""
    folder = checkout(refs, "aws-neuron+aws-neuron-sdk", "nki/test") / "nki" / "test"
    said = unittest(folder, NKI_PRECISE_FP="0")
    assert re.search(r"Ran 85 tests", said) and said.strip().endswith("OK"), said[-2000:]
    exact = unittest(folder, NKI_PRECISE_FP="1")
    assert re.findall(r"^(?:FAIL|ERROR): (\w+)", exact, re.M) == ["test_activation"]


@pytest.mark.parametrize("kind, name", [("baseline", "baseline_attention"), ("fused", "fused_attention")])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fused_and_unfused_attention(refs, kind, name, dtype):
    import ml_dtypes

    root = checkout(refs, "allenkchau+trainium-kernel-fusion")
    module = load(root / "kernels" / kind / "attention.py")
    rng = np.random.default_rng(1)
    q, k, v = (rng.uniform(-1, 1, (128, 512)).astype(dtype if dtype == "float32" else ml_dtypes.bfloat16)
               for _ in range(3))
    trace = simcore.capture(getattr(module, name), q, k, v)
    wanted = module.numpy_attention(*(x.astype(np.float32) for x in (q, k, v)))
    assert np.allclose(trace.outputs.astype(np.float32), wanted, atol=1e-4 if dtype == "float32" else 1e-2)
    timing = simcore.capture(getattr(module, name), q, k, v, values=False)
    assert np.array_equal(timing.variant, trace.variant) and np.array_equal(timing.access, trace.access)


def test_fused_and_unfused_mlp(refs):
    root = checkout(refs, "allenkchau+trainium-kernel-fusion")
    rng = np.random.default_rng(2)
    a, b = (rng.standard_normal(s).astype(np.float32) * 0.1 for s in ((256, 128), (256, 512)))
    bias = rng.standard_normal((1, 512)).astype(np.float32) * 0.3
    gemm = load(root / "kernels" / "baseline" / "mlp_gemm.py").gemm_kernel
    assert np.allclose(simcore.capture(gemm, a, b, bias).outputs, a.T @ b + bias, atol=1e-4)
    fused = load(root / "kernels" / "fused" / "mlp.py").fused_mlp_taylor
    x = (a.T @ b + bias).astype(np.float64)
    erf = np.vectorize(__import__("math").erf)
    assert np.allclose(simcore.capture(fused, a, b, bias).outputs, 0.5 * x * (1 + erf(x / np.sqrt(2))), atol=1e-2)


@pytest.mark.parametrize("case", ["add_rmsnorm_matmul", "rmsnorm_matmul", "silu", "rope_single_freq_apply", "mamba"])
def test_nkibench(refs, case):
    """Full-size problems of AccelOpt's benchmark, the quick ones (all fourteen: see the closing table of the issue)."""
    root = checkout(refs, "zhang677+AccelOpt", "NKIBench") / "NKIBench"
    source = next(p for p in sorted((root / "kernels").glob(case + "_[MB]*.py")))
    reference = load(sorted((root / "reference").glob(source.stem[:-2] + "_numpy_*.py"))[-1])
    np.random.seed(0)
    inputs = reference.get_inputs()
    wanted = reference.forward(*inputs)
    trace = simcore.capture(load(source).kernel, *reference.transform_to_nki_inputs(inputs))
    got = reference.transform_nki_outputs(trace.outputs, wanted)
    for g, w in zip(got, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        assert np.abs(g - w).max() <= 1e-5 * np.abs(w).max()


def test_the_course_assignments_own_harness(refs):
    """Part 2 of CS149's assignment with a published solution: correctness, through the course's test code."""
    root = checkout(refs, "rishic3+asst4-trainium2", "part2/test_harness.py")
    code = ("import sys; sys.argv = ['t']; import test_harness as t; import numpy as np; np.random.seed(1);"
            "print(all(t.test_correctness_conv2d_kernel(t.conv2d, use_bias=b, use_maxpool=m) for b in (False, True) "
            "for m in (False, True)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root / "part2",
                          env={**os.environ, "PYTHONPATH": str(TOOLS / "names"), "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.stdout.strip().endswith("True"), done.stderr[-2000:]

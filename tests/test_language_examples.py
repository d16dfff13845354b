"""Whole kernels printed in the vendor's ISA documentation, run as they stand (from a checkout of aws-neuron-sdk)."""

import math
import re
import textwrap
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import simcore
from simcore.frontend import activate
from tests.conftest import outside
from tests.isa_run import close

SOURCE = "nki/api/nki/isa/__init__.py"
rng = np.random.default_rng(0)
F32 = rng.standard_normal((64, 128)).astype(np.float32)
BF16 = rng.standard_normal((300, 128)).astype(ml_dtypes.bfloat16)
INDEX = rng.permutation(64)[:32].astype(np.uint32)[:, None]
WIDE = rng.integers(0, 300, (128, 2)).astype(np.uint32)
LHS, RHS = (rng.standard_normal((512, 128)).astype(np.float32) for _ in range(2))
DEEP = rng.standard_normal((300, 2, 1, 64)).astype(ml_dtypes.bfloat16)
FLAGS = (rng.random((128, 40)) < 0.3).astype(np.float32)
SNAKE = rng.permutation(48 * 3).reshape(48, 3).astype(ml_dtypes.bfloat16)


def scattered():
    out = np.zeros_like(F32)
    out[INDEX[:, 0]] = F32[:32]
    return out


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def nonzero():
    rows = []
    for row in FLAGS[::16]:
        found = np.flatnonzero(row)
        rows.append([*found, *[-1] * (len(row) - len(found)), len(found)])
    return np.array(rows)


CASES = {
    "indirect_gather_kernel": ((F32, INDEX), lambda: F32[INDEX[:, 0]], "trn2"),
    "indirect_scatter_kernel": ((F32[:32].copy(), INDEX, np.zeros_like(F32)), scattered, "trn2"),
    "nc_matmul_accumulate_kernel": ((LHS, RHS), lambda: LHS.astype(np.float64).T @ RHS, "trn2"),
    "gather_transpose_kernel": ((BF16, WIDE[:, :1].copy()), lambda: BF16[WIDE[:, 0]].T, "trn2"),
    "gather_transpose_2d_kernel": ((BF16, WIDE), lambda: BF16[WIDE.T.reshape(-1)].T, "trn2"),
    "gather_transpose_4d_kernel": ((DEEP, WIDE), lambda: DEEP[WIDE.T.reshape(-1)].transpose(3, 1, 2, 0), "trn2"),
    "activate2_scale_bias_kernel": ((F32,), lambda: gelu(2 * F32.astype(np.float64) + 0.5), "trn3"),
    "nonzero_with_count_kernel": ((FLAGS,), nonzero, "trn2"),
    "topk_kernel": ((SNAKE,), None, "trn3"),
}


def blocks(path: Path) -> list[str]:
    """The fenced Python of a documentation file."""
    found, lines = [], path.read_text(encoding="utf-8").splitlines()
    for i, line in enumerate(lines):
        if line.strip() == ".. code-block:: python":
            indent, body = len(line) - len(line.lstrip()), []
            for text in lines[i + 1:]:
                if text.strip() and len(text) - len(text.lstrip()) <= indent:
                    break
                body.append(text)
            found.append(textwrap.dedent("\n".join(body)).strip().removesuffix('"""'))
    return found


@pytest.fixture(scope="module")
def kernels() -> dict:
    refs = outside("SIMCORE_REFS")
    roots = sorted(refs.glob("aws-neuron+aws-neuron-sdk*")) if refs else []
    if not roots or not (roots[0] / SOURCE).exists():
        pytest.skip("needs a checkout of aws-neuron-sdk in the folder named by SIMCORE_REFS")
    with activate():
        import nki
        import nki.isa as nisa
        import nki.language as nl

        space = {"nki": nki, "nisa": nisa, "nl": nl, "np": np}
        for block in blocks(roots[0] / SOURCE):
            if re.search(r"^def \w*kernel\w*\(", block, re.M):
                block = re.sub(r"^\s*import pytest\n", "", block, flags=re.M)
                exec(compile(block, SOURCE, "exec"), space)
    return space


def test_every_whole_kernel_has_a_case(kernels):
    assert {k for k in kernels if k.endswith("_kernel")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_example(kernels, name):
    arrays, want, target = CASES[name]
    got = simcore.capture(kernels[name], *[a.copy() for a in arrays], target=target).outputs
    if name == "topk_kernel":
        values, index = got
        for group in range(3):
            flat = SNAKE[16 * group:16 * group + 16].astype(np.float32).T.reshape(-1)[:42]
            np.testing.assert_array_equal(values[16 * group].astype(np.float32), np.sort(flat)[-8:])
            np.testing.assert_array_equal(flat[index[16 * group]], np.sort(flat)[-8:])
        return
    close(got[::16] if name == "nonzero_with_count_kernel" else got.astype(np.float32), want().astype(np.float32),
          tol=1e-4)

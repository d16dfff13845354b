"""Unmodified public kernels: the corpus of current-dialect cases, and nki-library's own tests in their simulation mode.

Both need material outside the project (SIMCORE_CORPUS, SIMCORE_REFS) and are skipped without it.  By default the first
level of the corpus and two test files run; SIMCORE_CORPUS_ALL=1 runs every case of the current dialect.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, outside

TOOLS = ROOT / "tests" / "tools"
EVERYTHING = os.environ.get("SIMCORE_CORPUS_ALL") == "1"


def run_corpus(tmp_path, *options) -> list[dict]:
    corpus, refs = outside("SIMCORE_CORPUS"), outside("SIMCORE_REFS")
    if corpus is None or refs is None:
        pytest.skip("needs the folders named by SIMCORE_CORPUS and SIMCORE_REFS")
    out = tmp_path / "cases.json"
    subprocess.run([sys.executable, str(corpus / "run_corpus.py"), "--refs", str(refs), "--jobs", "2", "--json",
                    str(out),
                    "--adapter", f"{TOOLS / 'corpus_adapter.py'}:simulate", *options], capture_output=True, check=False,
                   cwd=ROOT)
    return json.loads(out.read_text(encoding="utf-8"))


def test_current_dialect(tmp_path):
    cases = run_corpus(tmp_path, "--dialect", "new", *([] if EVERYTHING else ["--max-level", "1"]))
    assert cases
    assert {c["id"]: c["msg"] for c in cases if c["status"] not in ("pass", "skip")} == {}


@pytest.mark.parametrize("file", ["core/cumsum/test_cumsum.py",
                                  "experimental/dynamic_shapes/test_dynamic_elementwise_add.py"])
def test_nki_library_in_its_simulation_mode(file, tmp_path):
    refs = outside("SIMCORE_REFS")
    roots = sorted(refs.glob("aws-neuron+nki-library@ddbca35*")) if refs else []
    if not roots:
        pytest.skip("needs a checkout of nki-library (tag 2.29) in the folder named by SIMCORE_REFS")
    root = roots[0]
    path = os.pathsep.join([str(TOOLS / "names"), str(root), str(root / "src")])
    env = dict(os.environ, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "simcore_nkilib", "-p", "no:cacheprovider", "-q",
         "--test-mode=simulation", "--simcore-sample=4",
         "-c", str(root / "test" / "pytest.ini"), "--rootdir", str(root), "-o",
         f"artifacts_dir={tmp_path / 'artifacts'}",
         "--output-directory", str(tmp_path / "out"), str(Path("test/integration/nkilib") / file)],
        cwd=root, env=env, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1]
    assert re.search(r"\b[1-9]\d* passed", last), done.stdout[-3000:]
    assert "failed" not in last and "error" not in last, done.stdout[-3000:]

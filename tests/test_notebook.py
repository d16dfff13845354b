"""Notebooks run as scripts, and name their cells."""

from __future__ import annotations

import json
import subprocess
import sys

KERNEL = """import numpy as np
import nki, nki.language as nl, nki.isa as nisa

@nki.jit
def double(x):
    tile = nl.ndarray(x.shape, x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x)
    nisa.tensor_scalar(dst=tile, data=tile, op0=nl.multiply, operand0=2.0)
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out, src=tile)
    return out
"""


def notebook(path, *cells: str):
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["# Lab"]}]
                                + [{"cell_type": "code", "source": c.splitlines(keepends=True)} for c in cells]}))
    return path


def run(*command: str):
    return subprocess.run([sys.executable, "-m", "simcore.apps", *command], capture_output=True, text=True)


def test_code_cells_run_in_order_without_what_only_ipython_understands(tmp_path):
    file = notebook(tmp_path / "lab.ipynb", "%matplotlib inline\n!pip install something", KERNEL,
                    "%%bash\nexit 1", "%%time\nx = np.ones((4, 8), np.float32)\ny = double(x)",
                    "assert (y == 2).all()\ndisplay('checked')")
    done = run("run", str(file))
    assert done.returncode == 0, done.stderr
    assert "checked" in done.stderr and "double" in done.stdout


def test_errors_name_the_cell_and_its_line(tmp_path):
    file = notebook(tmp_path / "lab.ipynb", KERNEL, "x = np.ones((200, 8), np.float32)\ndouble(x)")
    done = run("run", str(file))
    assert done.returncode == 1
    assert "lab.ipynb[1]:6: nl.ndarray: a tile in sbuf has at most 128 partitions" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_kernel_of_a_notebook(tmp_path):
    file = notebook(tmp_path / "lab.ipynb", KERNEL)
    assert "double" in run("run", str(file)).stderr              # it launches none; says which it defines
    done = run("run", str(file), "--kernel", "double", "--arg", "x=float32[128,64]")
    assert done.returncode == 0 and "double" in done.stdout


def test_what_is_no_notebook_says_so(tmp_path):
    (tmp_path / "lab.ipynb").write_text("{}")
    done = run("run", str(tmp_path / "lab.ipynb"))
    assert done.returncode == 2 and "is not a Jupyter notebook" in done.stderr

"""Notebooks run as scripts, and name their cells."""

from __future__ import annotations

import json

from scripts import DOUBLE as KERNEL


def notebook(path, *cells: str):
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["# Lab"]}]
                                + [{"cell_type": "code", "source": c.splitlines(keepends=True)} for c in cells]}))
    return path


def test_code_cells_run_in_order_without_what_only_ipython_understands(tmp_path, simcore_command):
    file = notebook(tmp_path / "lab.ipynb", "%matplotlib inline\n!pip install something", KERNEL,
                    "%%bash\nexit 1", "%%time\nx = np.ones((4, 8), np.float32)\ny = double(x)",
                    "assert (y == 2).all()\ndisplay('checked')")
    done = simcore_command("run", file)
    assert done.code == 0, done.err
    assert "checked" in done.err and "double" in done.out


def test_errors_name_the_cell_and_its_line(tmp_path, simcore_command):
    file = notebook(tmp_path / "lab.ipynb", KERNEL, "x = np.ones((200, 8), np.float32)\ndouble(x)")
    done = simcore_command("run", file)
    assert done.code == 1
    assert "lab.ipynb[1]:6: nl.ndarray: a tile in sbuf has at most 128 partitions" in done.err
    assert "Traceback" not in done.err


def test_one_kernel_of_a_notebook(tmp_path, simcore_command):
    file = notebook(tmp_path / "lab.ipynb", KERNEL)
    assert "double" in simcore_command("run", file).err              # it launches none; says which it defines
    done = simcore_command("run", file, "--kernel", "double", "--arg", "x=float32[128,64]")
    assert done.code == 0 and "double" in done.out


def test_what_is_no_notebook_says_so(tmp_path, simcore_command):
    (tmp_path / "lab.ipynb").write_text("{}")
    done = simcore_command("run", tmp_path / "lab.ipynb")
    assert done.code == 2 and "is not a Jupyter notebook" in done.err

"""Adapter of the corpus runner: `--adapter tests/tools/corpus_adapter.py:simulate`.

Loading it puts simcore's modules under the names `nki` and `neuronxcc` for this process, and for processes it starts.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from simcore.frontend import activation

NAMES = str(Path(__file__).parent / "names")
os.environ["PYTHONPATH"] = os.pathsep.join([NAMES, *filter(None, [os.environ.get("PYTHONPATH")])])
activation.install()


def simulate(kernel, *args, **kwargs):
    """Run a kernel with values, in the dialect of the case, and return its arrays."""
    if os.environ.get("CORPUS_DIALECT") == "legacy":
        return importlib.import_module("neuronxcc.nki").simulate_kernel(kernel, *args, **kwargs)
    return importlib.import_module("nki").simulate(kernel)(*args, **kwargs)

"""Adapter of the corpus runner: `--adapter tests/tools/corpus_adapter.py:simulate`.

Loading it puts simcore's modules under the names `nki` and `neuronxcc` for this process, and for processes it starts.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
from pathlib import Path

from simcore.frontend import activation

NAMES = str(Path(__file__).parent / "names")
os.environ["PYTHONPATH"] = os.pathsep.join([NAMES, *filter(None, [os.environ.get("PYTHONPATH")])])
activation.install()
builtins.builtin = lambda f: f      # nki-library marks host helpers with it
_world = {"ranks": 1, "inputs": None}


def _remember_ranks() -> None:
    """nki-library's collective tests say how many ranks there are and may give each its own inputs; the runner asks for
    rank 0 only, so both are noted here."""
    module = sys.modules.get("test.utils.common_dataclasses")
    generator, settings = (getattr(module, n, None) for n in ("PerRankLazyInputGenerator", "InferenceArgs"))
    if generator is None or settings is None or hasattr(generator, "_simcore"):
        return
    for_rank, init = generator.for_rank, settings.__init__

    def noted_for_rank(self, rank):
        _world["inputs"] = self
        return for_rank(self, rank)

    def noted_init(self, *args, **kwargs):
        init(self, *args, **kwargs)
        _world["ranks"] = self.collective_ranks or 1

    generator.for_rank, generator._simcore, settings.__init__ = noted_for_rank, for_rank, noted_init


def simulate(kernel, *args, **kwargs):
    """Run a kernel with values, in the dialect of the case, and return its arrays (rank 0 of several)."""
    if os.environ.get("CORPUS_DIALECT") == "legacy":
        return importlib.import_module("neuronxcc.nki").simulate_kernel(kernel, *args, **kwargs)
    if _world["ranks"] == 1:
        return importlib.import_module("nki").simulate(kernel)(*args, **kwargs)
    from simcore.frontend.ranks import capture_ranks

    own = _world["inputs"]
    traces = capture_ranks(kernel, lambda rank: type(own)._simcore(own, rank) if own is not None else kwargs,
                           _world["ranks"])
    return traces[0].outputs


class _Watch:
    """Patches nki-library's input generators once its module is imported."""

    def find_spec(self, name, path=None, target=None):
        _remember_ranks()
        return None


sys.meta_path.insert(0, _Watch())

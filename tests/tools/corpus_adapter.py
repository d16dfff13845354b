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
_per_rank: list = []                # the generator of the inputs of each rank, where a test has several


def _remember_ranks() -> None:
    """nki-library's collective tests give each rank its own inputs, of which the runner asks for rank 0 only."""
    module = sys.modules.get("test.utils.common_dataclasses")
    generator = getattr(module, "PerRankLazyInputGenerator", None)
    if generator is None or hasattr(generator, "_simcore"):
        return
    original = generator.for_rank

    def for_rank(self, rank):
        _per_rank[:] = [self]
        return original(self, rank)

    generator.for_rank, generator._simcore = for_rank, original


def simulate(kernel, *args, **kwargs):
    """Run a kernel with values, in the dialect of the case, and return its arrays."""
    if os.environ.get("CORPUS_DIALECT") == "legacy":
        return importlib.import_module("neuronxcc.nki").simulate_kernel(kernel, *args, **kwargs)
    if _per_rank:
        return _first_rank(kernel, _per_rank.pop())
    return importlib.import_module("nki").simulate(kernel)(*args, **kwargs)


def _first_rank(kernel, generator):
    from simcore.frontend.ranks import capture_ranks

    original = type(generator)._simcore
    groups = next(v.groups for v in original(generator, 0).values() if hasattr(v, "groups"))
    traces = capture_ranks(kernel, lambda rank: original(generator, rank), ranks=sum(len(g) for g in groups))
    return traces[0].outputs


class _Watch:
    """Patches nki-library's input generators once its module is imported."""

    def find_spec(self, name, path=None, target=None):
        _remember_ranks()
        return None


sys.meta_path.insert(0, _Watch())

"""Operators -> launches of the kernels of kernels/: what a compiler makes of the graph, under a stated rule of fusion.

    none       every operator of the graph is a kernel of its own, its operands and result in HBM; a softmax is the five
               operators the framework's compiler front end spells it out to (maximum, subtract, exponential, sum,
               divide)
    pointwise  neighbouring element-wise operators share a pass: what only they use stays on chip
    rows       reductions over rows join as well, where a row fits in SBUF: a softmax or a norm is one pass

Under every rule: views cost nothing, copies that change nothing are dropped, operators on small constants are
computed at compile time, weights are laid out as the matmul wants them, and a gather that takes everything in order
is a view.
"""

from __future__ import annotations

from simcore.apps.qwen3.emit import emit
from simcore.apps.qwen3.fuse import fuse
from simcore.apps.qwen3.graph import Graph
from simcore.apps.qwen3.ops import Launch
from simcore.apps.qwen3.translate import translate
from simcore.errors import UsageError

RULES = ("none", "pointwise", "rows")


def compile_graph(graph: Graph, rule: str = "none") -> list[Launch]:
    """The launches that compute `graph.result`, in order."""
    if rule not in RULES:
        raise UsageError(f"there is no rule of fusion {rule!r}; choose one of {', '.join(RULES)}")
    ops = translate(graph)
    if rule != "none":
        ops = fuse(ops, graph.result.base, rows=rule == "rows")
    return [emit(op, graph) for op in ops]

"""Operators of the graph in the terms of the kernels: chains of element-wise steps, matmuls, copies, gathers.

A copy that changes nothing disappears, a softmax becomes the five operators it is spelled out to, and a sine gets the
range reduction the Scalar engine needs.
"""

from __future__ import annotations

import math
from typing import Any

from simcore.apps.qwen3.graph import Graph, Node, View
from simcore.apps.qwen3.ops import Op, outside, row_major, same_layout
from simcore.errors import UsageError

BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "eq": "equal",
    "ne": "not_equal",
    "le": "less_equal",
    "bitwise_and": "logical_and",
    "logical_and": "logical_and",
    "maximum": "maximum",
}
UNARY = {"exp": "exp", "rsqrt": "rsqrt", "silu": "silu"}
REDUCTIONS = {"mean": "mean", "amax": "max", "sum": "sum"}


def translate(graph: Graph) -> list[Op]:
    ops: list[Op] = []
    same: dict[str, View] = {}

    def seen(a):
        while isinstance(a, View) and a.base in same:
            source = same[a.base]
            a = View(source.base, a.dtype, a.shape, a.strides, a.offset + source.offset)
        return a

    for node in graph.nodes:
        node = Node(
            node.name,
            node.op,
            tuple(tuple(seen(x) for x in a) if isinstance(a, tuple) else seen(a) for a in node.args),
            {k: seen(v) for k, v in node.options.items()},
            node.out,
            node.module,
        )
        if node.op == "cat":  # a cache begins as an empty tensor
            pieces = tuple(v for v in node.args[0] if isinstance(v, View) and 0 not in v.shape)
            if len(pieces) == 1 and same_layout(pieces[0], node.out):
                same[node.name] = pieces[0]
                continue
            node = Node(node.name, node.op, (pieces, *node.args[1:]), node.options, node.out, node.module)
        source = node.args[0] if node.args else None
        if (
            node.op in ("clone", "_to_copy", "contiguous")
            and isinstance(source, View)
            and source.dtype == node.out.dtype
            and same_layout(source, node.out)
        ):
            same[node.name] = source
            continue
        ops.extend(_operator(node))
    if graph.result.base in same:
        raise UsageError("the graph ends in a copy; nothing to compute")
    return ops


def _operator(node: Node) -> list[Op]:
    op, args, out = node.op, node.args, node.out
    if op in ("mm", "bmm"):
        return [_op(node, "matmul", op)]
    if op == "attention":
        return [_op(node, "attention", "flash attention", options={"scale": args[3], "causal": args[4]})]
    if op == "embedding":
        return [_op(node, "gather", "embedding")]
    if op == "cat":
        return [_op(node, "concat", "cat", inputs=args[0])]
    if op in ("clone", "contiguous", "_to_copy") and args[0].dtype == out.dtype:
        return [
            _op(node, "transpose" if _turns(args[0], out) else "copy", "transpose" if _turns(args[0], out) else "copy")
        ]
    if op == "_softmax":
        return _softmax(node)
    if op in REDUCTIONS and op != "amax":
        return [_reduction(node, REDUCTIONS[op], args[0], out)]
    steps = _steps(node)
    return [_op(node, "chain", _name(node), steps=steps, inputs=outside(steps))]


def _op(node: Node, kind: str, name: str, *, steps=(), inputs=None, options=None) -> Op:
    views = tuple(a for a in node.args if isinstance(a, View)) if inputs is None else tuple(inputs)
    return Op(kind, node.out, views, node.module, [node.name], [name], list(steps), options or {})


def _name(node: Node) -> str:
    return {
        "_to_copy": "cast",
        "mul": "multiply",
        "sub": "subtract",
        "div": "divide",
        "pow": "square",
        "neg": "negate",
    }.get(node.op, node.op)


def _turns(source: View, out: View) -> bool:
    """Does a copy move another dimension to the inside?  Then it is a transpose."""
    inner = [d for d in range(len(out.shape)) if out.strides[d] == 1 and out.shape[d] > 1]
    return (
        bool(inner)
        and source.strides[inner[0]] not in (0, 1)
        and any(s == 1 and n > 1 for s, n in zip(source.strides, source.shape))
    )


def _part(node: Node, suffix: str, dtype: str, shape=None) -> View:
    """An intermediate result inside a node: contiguous."""
    shape = node.out.shape if shape is None else shape
    return View(f"{node.name}.{suffix}", dtype, shape, row_major(shape))


def _steps(node: Node) -> list[tuple[str, tuple[Any, ...], View]]:
    """An element-wise ATen operator as steps of kernels/pointwise.py; intermediate results have the result's layout."""
    op, args, out = node.op, node.args, node.out

    def like(suffix: str, dtype: str = "float32") -> View:
        return View(f"{node.name}.{suffix}", dtype, out.shape, out.strides)

    if op in BINARY:
        a, b = args[0], args[1]
        alpha = node.options.get("alpha", 1)
        if alpha != 1:
            raise UsageError(f"{node.name}: add with alpha={alpha} is not translated")
        if isinstance(a, bool | int | float) and op in ("add", "mul", "bitwise_and", "eq", "ne"):
            a, b = b, a
        b = b if isinstance(b, View) else float(b)
        a = a if isinstance(a, View) else float(a)
        return [(BINARY[op], (a, b), out)]
    if op in UNARY:
        return [(UNARY[op], (args[0],), out)]
    if op == "neg":
        return [("multiply", (args[0], -1.0), out)]
    if op == "pow" and args[1] == 2:
        return [("square", (args[0],), out)]
    if op == "_to_copy":
        return [("not_equal", (args[0], 0.0), out)] if out.dtype == "uint8" else [("copy", (args[0],), out)]
    if op in ("sin", "cos"):
        # the Scalar engine's sine is valid from -pi to pi
        shift = math.pi if op == "sin" else 1.5 * math.pi
        a, b, c = like("shifted"), like("turned"), like("reduced")
        return [
            ("add", (args[0], shift), a),
            ("mod", (a, 2 * math.pi), b),
            ("add", (b, -math.pi), c),
            ("sin", (c,), out),
        ]
    if op == "where" and not isinstance(args[1], View) and not isinstance(args[2], View):
        a = like("chosen", out.dtype)
        return [("multiply", (args[0], float(args[1]) - float(args[2])), a), ("add", (a, float(args[2])), out)]
    raise UsageError(
        f"the operator {op!r} of {node.module or 'the model'} ({node.name}) has no kernel here; "
        "add it to apps/qwen3/compile.py"
    )


def _reduction(node: Node, operator: str, source: View, out: View, name: str | None = None) -> Op:
    return Op("chain", out, (source,), node.module, [node.name], [name or operator], [(operator, (source,), out)])


def _softmax(node: Node) -> list[Op]:
    x, out = node.args[0], node.out
    row = (*out.shape[:-1], 1)
    top, total = _part(node, "max", "float32", row), _part(node, "sum", "float32", row)
    moved, power = _part(node, "moved", "float32"), _part(node, "exp", "float32")

    def chain(name, operator, operands, result):
        steps = [(operator, operands, result)]
        return Op("chain", result, outside(steps), node.module, [node.name], [f"softmax {name}"], steps)

    return [
        _reduction(node, "max", x, top, "softmax max"),
        chain("subtract", "subtract", (x, top), moved),
        chain("exp", "exp", (moved,), power),
        _reduction(node, "sum", power, total, "softmax sum"),
        chain("divide", "divide", (power, total), out),
    ]

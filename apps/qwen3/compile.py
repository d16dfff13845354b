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

import math
from dataclasses import dataclass, field
from typing import Any

from simcore.apps.qwen3.graph import Graph, Node, View
from simcore.apps.qwen3.space import space
from simcore.errors import UsageError

RULES = ("none", "pointwise", "rows")
SIZE = {"float32": 4, "int32": 4, "bfloat16": 2, "float16": 2, "uint8": 1}
ROW_BUDGET = 64 * 1024
"""Bytes of float32 a row may have for a rule that keeps rows on chip: three such rows fit in 192 KiB of a partition."""
TILE_BUDGET = 144 * 1024
"""Bytes per partition the tiles of an element-wise chain may take, two rounds of it in flight."""

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


@dataclass(frozen=True)
class Slot:
    """The place of tensor number `index` in a launch's arguments."""

    index: int


@dataclass(frozen=True)
class Launch:
    """One kernel with its arguments.

    tensors    (storage, dtype, shape) of each tensor argument; `arguments` refers to them by Slot
    results    storages the kernel's outputs become, each as a flat row-major array
    operators  names of the graph's nodes it does; shapes: of what they read and write, as they see it
    """

    kernel: str
    function: str
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...]
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...]
    results: tuple[str, ...]
    label: str
    module: str
    operators: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def signature(self) -> tuple:
        """Two launches with the same signature take the same time."""
        return self.kernel, self.function, tuple((d, s) for _, d, s in self.tensors), self.arguments, self.options


@dataclass
class Op:
    """An operator in the terms of the kernels, before fusion.  Element-wise ones are chains of (operator, operands,
    result).
    """

    kind: str  # "chain", "matmul", "copy", "transpose", "concat", "gather", "attention"
    out: View
    inputs: tuple[View, ...]
    module: str
    nodes: list[str]
    names: list[str]
    steps: list[tuple[str, tuple[Any, ...], View]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def reduces(self) -> bool:
        return any(operator in REDUCTIONS.values() for operator, _, _ in self.steps)


def compile_graph(graph: Graph, rule: str = "none") -> list[Launch]:
    """The launches that compute `graph.result`, in order."""
    if rule not in RULES:
        raise UsageError(f"there is no rule of fusion {rule!r}; choose one of {', '.join(RULES)}")
    ops = _translate(graph)
    if rule != "none":
        ops = _fuse(ops, graph.result.base, rows=rule == "rows")
    return [_emit(op, graph) for op in ops]


# ---------------------------------------------------------------------------------------- operators of the graph


class _Renamed(dict):
    """Copies that change nothing: the copy's storage is the original's."""

    def view(self, v: View) -> View:
        return self[v.base](v) if v.base in self else v


def _translate(graph: Graph) -> list[Op]:
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
            if len(pieces) == 1 and _same_layout(pieces[0], node.out):
                same[node.name] = pieces[0]
                continue
            node = Node(node.name, node.op, (pieces, *node.args[1:]), node.options, node.out, node.module)
        source = node.args[0] if node.args else None
        if (
            node.op in ("clone", "_to_copy", "contiguous")
            and isinstance(source, View)
            and source.dtype == node.out.dtype
            and _same_layout(source, node.out)
        ):
            same[node.name] = source
            continue
        ops.extend(_operator(node))
    if graph.result.base in same:
        raise UsageError("the graph ends in a copy; nothing to compute")
    return ops


def _same_layout(a: View, b: View) -> bool:
    return a.shape == b.shape and all(x == y for x, y, n in zip(a.strides, b.strides, a.shape) if n > 1)


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
    return [_op(node, "chain", _name(node), steps=steps, inputs=_operands(steps))]


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


def _operands(steps) -> tuple[View, ...]:
    """What a chain reads from outside, in the order of use."""
    made = {v.base for _, _, v in steps}
    found: dict[View, None] = {}
    for _, operands, _ in steps:
        for a in operands:
            if isinstance(a, View) and a.base not in made:
                found[a] = None
    return tuple(found)


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
    return View(f"{node.name}.{suffix}", dtype, shape, _row_major(shape))


def _row_major(shape) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


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
        return Op("chain", result, _operands(steps), node.module, [node.name], [f"softmax {name}"], steps)

    return [
        _reduction(node, "max", x, top, "softmax max"),
        chain("subtract", "subtract", (x, top), moved),
        chain("exp", "exp", (moved,), power),
        _reduction(node, "sum", power, total, "softmax sum"),
        chain("divide", "divide", (power, total), out),
    ]


# ---------------------------------------------------------------------------------------- fusion


def _fuse(ops: list[Op], result: str, *, rows: bool) -> list[Op]:
    """Join an element-wise operator with the chain that feeds it, where nothing outside needs the chain to end
    earlier.
    """
    users: dict[str, list[int]] = {}
    for i, op in enumerate(ops):
        for v in op.inputs:
            users.setdefault(v.base, []).append(i)
    group_of: dict[int, int] = {}  # op -> number of the op that ends its group so far
    groups: dict[int, list[int]] = {}
    maker: dict[str, int] = {v.base: i for i, op in enumerate(ops) for _, _, v in op.steps or [(None, None, op.out)]}
    for i, op in enumerate(ops):
        groups[i], group_of[i] = [i], i
        if op.kind != "chain" or (op.reduces and not rows):
            continue
        for v in op.inputs:
            j = maker.get(v.base)
            if j is None or ops[j].kind != "chain" or group_of[j] == group_of[i]:
                continue
            members = groups[group_of[j]]
            joined = [ops[m] for m in members] + [ops[m] for m in groups[group_of[i]]]
            if (
                _may_join(joined, rows)
                and _closed(members, groups[group_of[i]], ops, users, i)
                and _laid_out_alike(v, ops[j])
            ):
                old = group_of[j]
                groups[i] = sorted(members + groups[i])
                del groups[old]
                for m in groups[i]:
                    group_of[m] = i
    fused = []
    for end in sorted(groups):
        members = [ops[m] for m in groups[end]]
        fused.append(members[0] if len(members) == 1 else _joined(members, groups[end], users, result))
    return fused


def _laid_out_alike(v: View, maker: Op) -> bool:
    """An operand read through another view than it was made in (a slice, a permutation) has to be in memory first."""
    made = next(r for _, _, r in maker.steps if r.base == v.base)
    return made.strides == v.strides and made.shape == v.shape and v.offset == 0


def _may_join(ops: list[Op], rows: bool) -> bool:
    shapes = {_full(op) for op in ops}
    if len(shapes) == 1 and not any(op.reduces for op in ops):
        return True
    widest = max(shapes, key=math.prod)
    return rows and shapes <= {widest, (*widest[:-1], 1)} and widest[-1] * 4 <= ROW_BUDGET


def _full(op: Op) -> tuple[int, ...]:
    """The shape a chain iterates over: the largest of its operands and results."""
    views = [*op.inputs, *(v for _, _, v in op.steps)]
    return max((v.shape for v in views), key=lambda shape: (math.prod(shape), len(shape)))


def _closed(members: list[int], more: list[int], ops: list[Op], users: dict[str, list[int]], at: int) -> bool:
    """Nothing outside the group and before `at` uses a result of the group."""
    inside = {*members, *more}
    return all(u in inside or u > at for m in members for _, _, v in ops[m].steps for u in users.get(v.base, ()))


def _joined(members: list[Op], numbers: list[int], users: dict[str, list[int]], result: str) -> Op:
    steps = [s for op in members for s in op.steps]
    inside = set(numbers)
    kept = [v for _, _, v in steps if v.base == result or any(u not in inside for u in users.get(v.base, ()))]
    op = Op(
        "chain",
        members[-1].out,
        _operands(steps),
        members[-1].module,
        [n for m in members for n in m.nodes],
        [n for m in members for n in m.names],
        steps,
    )
    op.options["kept"] = tuple(kept)
    return op


# ---------------------------------------------------------------------------------------- launches


def _emit(op: Op, graph: Graph) -> Launch:
    return {
        "chain": _emit_chain,
        "copy": _emit_copy,
        "matmul": _emit_matmul,
        "transpose": _emit_transpose,
        "concat": _emit_concat,
        "gather": _emit_gather,
        "attention": _emit_attention,
    }[op.kind](op, graph)


def _launch(op: Op, kernel: str, function: str, tensors, arguments, results, **options) -> Launch:
    return Launch(
        kernel,
        function,
        tuple(tensors),
        tuple(arguments),
        tuple(sorted(options.items())),
        tuple(results),
        " + ".join(dict.fromkeys(op.names)),
        op.module,
        tuple(dict.fromkeys(op.nodes)),
        tuple(v.shape for v in (*op.inputs, *(v for _, _, v in op.steps), op.out)),
    )


def _storage(v: View, size: int | None = None) -> tuple[str, str, tuple[int, ...]]:
    """A storage as a flat tensor argument, as large as the view reaches."""
    reach = v.offset + 1 + sum((n - 1) * s for n, s in zip(v.shape, v.strides))
    return v.base, v.dtype, (reach if size is None else size,)


def _emit_chain(op: Op, graph: Graph) -> Launch:
    if len(op.steps) == 1 and op.reduces:
        return _emit_reduction(op)
    shape = _full(op)
    inputs = op.inputs
    results = op.options.get("kept") or (op.out,)
    number = {v: i for i, v in enumerate(inputs)}
    made = {v.base: len(inputs) + i for i, (_, _, v) in enumerate(op.steps)}
    chain = []
    for operator, operands, out in op.steps:
        numbers = tuple(o if isinstance(o, float) else made[o.base] if o.base in made else number[o] for o in operands)
        chain.append((operator, numbers, out.dtype))
    per_element = sum(SIZE[v.dtype] for v in inputs) + sum(SIZE[v.dtype] for _, _, v in op.steps)
    limit = 4096
    while limit > 64 and 2 * limit * per_element > TILE_BUDGET:
        limit //= 2
    # results of full shape give the order in memory; one value for each row is written where the row is
    lead = next((v for v in results if v.shape == shape), None) or next(v for v in inputs if v.shape == shape)
    views = [lead, *inputs, *results]
    strides = [_broadcast(v, shape) for v in views]
    where = space(shape, strides, limit=limit, row=op.reduces)
    reads = tuple((s, v.offset) for s, v in zip(where.strides[1:], inputs))
    writes = tuple(s for s in where.strides[1 + len(inputs) :])
    slots = tuple(Slot(i) for i in range(len(inputs)))
    return _launch(
        op,
        "pointwise",
        "pointwise",
        [_storage(v) for v in inputs],
        (
            slots,
            reads,
            where.dims,
            tuple(chain),
            tuple(made[v.base] for v in results),
            writes,
            tuple(v.size for v in results),
        ),
        [v.base for v in results],
    )


def _broadcast(v: View, shape: tuple[int, ...]) -> tuple[int, ...]:
    missing = len(shape) - len(v.shape)
    strides = (0,) * missing + v.strides
    sizes = (1,) * missing + v.shape
    return tuple(0 if n == 1 and full != 1 else s for s, n, full in zip(strides, sizes, shape))


def _emit_copy(op: Op, graph: Graph) -> Launch:
    source = op.inputs[0]
    where = space(op.out.shape, [op.out.strides, source.strides], limit=4096)
    return _launch(
        op,
        "pointwise",
        "pointwise",
        [_storage(source)],
        ((Slot(0),), ((where.strides[1], source.offset),), where.dims, (), (0,), (where.strides[0],), (op.out.size,)),
        [op.out.base],
    )


def _emit_reduction(op: Op) -> Launch:
    operator, (source,), out = op.steps[0]
    *outer, columns = source.shape
    sizes, steps = [], []
    order = sorted((d for d in range(len(outer)) if outer[d] > 1), key=lambda d: -source.strides[d])
    for d in order:
        stride = source.strides[d]
        if sizes and steps[-1] == stride * outer[d]:
            sizes[-1], steps[-1] = sizes[-1] * outer[d], stride
        else:
            sizes.append(outer[d])
            steps.append(stride)
    if len(sizes) > 1:
        raise UsageError(f"{op.nodes[0]}: rows that are not evenly spaced cannot be reduced here")
    rows, step = (sizes[0], steps[0]) if sizes else (1, columns)
    group = 1
    while columns * group * 2 <= 1024 and rows % (group * 2) == 0:
        group *= 2
    return _launch(
        op,
        "row_reduce",
        "row_reduce",
        [_storage(source)],
        (Slot(0), (step * group, step, source.strides[-1]), (rows // group, group, columns), operator, out.dtype),
        [out.base],
        offset=source.offset,
    )


def _emit_matmul(op: Op, graph: Graph) -> Launch:
    a, b = op.inputs
    batches = a.shape[0] if len(a.shape) == 3 else 1
    rows, depth, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    a_view = (a.strides[0] if batches > 1 else 0, a.strides[-2], a.strides[-1])
    tensors = [_storage(a)]
    if b.base in graph.weights:
        b_view = (0, columns, 1)  # a weight is laid out as the kernel likes it
        tensors.append((f"{b.base}^T" if b.strides[-1] != 1 else b.base, b.dtype, (depth * columns,)))
    else:
        b_view = (b.strides[0] if batches > 1 else 0, b.strides[-2], b.strides[-1])
        tensors.append(_storage(b))
    return _launch(
        op,
        "batched_matmul",
        "batched_matmul",
        tensors,
        (Slot(0), Slot(1), (batches, rows, depth, columns), a_view, b_view),
        [op.out.base],
        dtype=op.out.dtype,
        a_offset=a.offset,
        b_offset=0 if b.base in graph.weights else b.offset,
    )


def _emit_transpose(op: Op, graph: Graph) -> Launch:
    source, out = op.inputs[0], op.out
    sizes = [(n, s, o) for n, s, o in zip(source.shape, source.strides, out.strides) if n > 1]
    rows = next(x for x in sizes if x[2] == 1)  # contiguous afterwards
    columns = next(x for x in sizes if x[1] == 1)  # contiguous before
    rest = [x for x in sizes if x not in (rows, columns)]
    if len(rest) > 1 or columns[2] != rows[0]:
        raise UsageError(
            f"{op.nodes[0]}: a transpose of {source.shape} with strides {source.strides} is not translated"
        )
    batches = rest[0] if rest else (1, 0, 0)
    return _launch(
        op,
        "batched_transpose",
        "batched_transpose",
        [_storage(source)],
        (Slot(0), (batches[0], rows[0], columns[0]), (batches[1], rows[1], columns[1])),
        [out.base],
        offset=source.offset,
    )


def _emit_concat(op: Op, graph: Graph) -> Launch:
    """Along the last dimension (the halves of a rotary embedding), or along another one (a cache and what is new)."""
    out = op.out
    widths = tuple(v.shape[-1] for v in op.inputs)
    slots = tuple(Slot(i) for i in range(len(op.inputs)))
    tensors = [_storage(v) for v in op.inputs]
    if sum(widths) != out.shape[-1]:
        return _emit_append(op, tensors, slots)
    outer = out.shape[:-1]
    strides = [(*v.strides[:-1], 1) for v in (out, *op.inputs)]
    where = space((*outer, 1), strides, limit=max(1, 2048 // out.shape[-1]))
    reads = tuple((s, v.offset) for s, v in zip(where.strides[1:], op.inputs))
    return _launch(op, "concat", "concat", tensors, (slots, reads, where.dims, widths, where.strides[0]), [out.base])


def _emit_append(op: Op, tensors, slots) -> Launch:
    axis = next(d for d in range(len(op.out.shape)) if any(v.shape[d] != op.out.shape[d] for v in op.inputs))
    count = math.prod(op.out.shape[:axis])
    widths = tuple(math.prod(v.shape[axis:]) for v in op.inputs)
    steps = []
    for v in op.inputs:
        inner = View(v.base, v.dtype, v.shape[axis:], v.strides[axis:])
        outer = [(s, n) for s, n in zip(v.strides[:axis], v.shape[:axis]) if n > 1]
        if not _same_layout(inner, View("", "", inner.shape, _row_major(inner.shape))) or len(outer) > 1:
            raise UsageError(f"{op.nodes[0]}: a concatenation of {v.shape} with strides {v.strides} is not translated")
        steps.append(outer[0][0] if outer else 0)
    offsets = tuple(v.offset for v in op.inputs)
    return _launch(op, "append", "append", tensors, (slots, tuple(steps), offsets, widths, count), [op.out.base])


def _emit_gather(op: Op, graph: Graph) -> Launch:
    table, ids = op.inputs[:2]
    return _launch(
        op,
        "embedding",
        "embedding",
        [(table.base, table.dtype, table.shape), (ids.base, ids.dtype, (ids.size, 1))],
        (Slot(0), Slot(1)),
        [op.out.base],
    )


def _emit_attention(op: Op, graph: Graph) -> Launch:
    q, k, v = op.inputs
    return _launch(
        op,
        "flash_attn",
        "flash_attn",
        [(x.base, x.dtype, x.shape) for x in (q, k, v)],
        (Slot(0), Slot(1), Slot(2)),
        [op.out.base],
        **op.options,
    )

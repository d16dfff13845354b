"""Operators -> launches: which kernel of kernels/, with which tensors, strides and sizes."""

from __future__ import annotations

import math

from simcore.apps.qwen3.graph import Graph, View
from simcore.apps.qwen3.ops import SIZE, Launch, Op, Slot, row_major, same_layout
from simcore.apps.qwen3.space import space
from simcore.errors import UsageError

TILE_BUDGET = 144 * 1024
"""Bytes per partition the tiles of an element-wise chain may take, two rounds of it in flight."""


def emit(op: Op, graph: Graph) -> Launch:
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
    shape = op.full
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
    sizes: list[int] = []
    steps: list[int] = []
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
        if not same_layout(inner, View("", "", inner.shape, row_major(inner.shape))) or len(outer) > 1:
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

"""Tensor engine costs: load-stationary and multiply-moving, one pair per pass.

A product streams its moving tile through the array, one column per cycle (two for fp32, in two passes).  The stationary
tile of the next product loads behind it.  `pe_cycles` is what streams and slows down under the clock limiter; the
schedule adds the pipeline latency and the overheads (schedule.py: the Tensor engine's stream).
"""

from __future__ import annotations

from simcore.isa.table import TENSOR, Op
from simcore.isa.tensor_engine import double_row, transpose_flag
from simcore.layout import Layout
from simcore.machine import Machine
from simcore.trace import Variant

_KEYS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "tfloat32": "tf32"}


def rate_key(lay: Layout) -> str:
    """Which of the machine's Tensor rates a dtype uses."""
    name = _KEYS.get(lay.dtype.name)
    if name is not None:
        return name
    return ("fp32" if lay.dtype.itemsize == 4 and lay.dtype.packed is None else "fp8" if lay.dtype.itemsize == 1
            else "bf16")


def operands(v: Variant) -> tuple[Layout, Layout, bool]:
    """(stationary, moving, is it a transpose) of a Tensor-engine row."""
    if v.name == "nc_transpose":
        return v["data"], v["data"], True
    return v["stationary"], v["moving"], transpose_flag(v.params.get("is_transpose"))


def tensor_cost(v: Variant, machine: Machine) -> tuple[Op, ...]:
    t = machine.tensor
    stationary, moving, transpose = operands(v)
    pair = 2 if double_row(v.params.get("perf_mode")) else 1
    key = rate_key(moving)
    rows = stationary.shape[0]
    if v.name == "nc_transpose":
        columns, width = stationary.free, stationary.shape[0]       # the identity moves
    else:
        columns, width = stationary.free // pair, moving.free // pair
    exact = bool(v.params.get("is_stationary_onezero")) or bool(v.params.get("is_moving_onezero"))
    # an operand of 0 and 1 only needs no second pass
    passes = 1 if transpose or exact else int(t.passes.get(key, 1))
    stream = t.cycles_per_column.get(key, 1.0) * width * stride_factor(moving, machine)
    loads = t.stationary_cycles_per_column
    load = loads.get("fp32 transpose" if (transpose or exact) and key == "fp32" else key, 1.0) * columns
    stream = max(stream, t.min_issue_cycles)
    elements = rows * columns * width * pair
    cells = cells_of(v, machine)
    ops = []
    for i in range(passes):
        ops.append(Op(engine=TENSOR, opcode="LDWEIGHTS", issue_ps=0,
                      latency_ps=t.ps(load + t.stationary_latency_cycles),
                      reads=("data",) if v.name == "nc_transpose" else ("stationary",), pe_cycles=round(load),
                      dtype=key, cells=cells, row_share=rows / t.rows))
        ops.append(Op(engine=TENSOR, opcode="MATMUL", issue_ps=t.ps(stream),
                      latency_ps=t.ps(stream + t.pipeline_latency_cycles),
                      reads=("moving", "dst"), writes=("dst",) if i == passes - 1 else (), elements=elements,
                      flops=2 * elements // passes if not transpose else 0, pe_cycles=round(stream), dtype=key,
                      cells=cells))
    return tuple(ops)


def stride_factor(lay: Layout, machine: Machine) -> float:
    """A moving operand with a long stride feeds the array at half rate."""
    stride = lay.inner_stride * lay.dtype.itemsize
    return machine.tensor.stride_factor if stride > machine.tensor.stride_full_rate_bytes and lay.free > 1 else 1.0


def cells_of(v: Variant, machine: Machine) -> tuple[int, ...]:
    """The parts of the array (of the smallest tile's size, numbered row by row) that a product in tiling mode uses; ()
    for the whole array."""
    t = machine.tensor
    position, size = (v.params.get(n) or () for n in ("tile_position", "tile_size"))
    if not position or not size or tuple(size) == (t.rows, t.columns):
        return ()
    least = t.smallest_tile
    (row, column), (rows, columns) = ([int(x) for x in pair] for pair in (position, size))
    return tuple(r // least * (t.columns // least) + c // least for r in range(row, row + rows, least)
                 for c in range(column, column + columns, least))

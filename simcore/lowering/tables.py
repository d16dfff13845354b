"""Activation tables: the Scalar engine holds the table of one function; another one has to be loaded first.

The compiler loads the first table while the kernel starts up, and puts a load in front of every instruction
whose function differs from the one before.  Which functions share a table is not public: copies, products,
squares and comparisons need none, every other function is taken to have its own.
"""

from __future__ import annotations

import numpy as np

from simcore.isa.table import SCALAR, Op
from simcore.lowering.costs import function_name
from simcore.machine import Machine
from simcore.trace import Trace

NO_TABLE = {"", "copy", "identity", "square", "abs", "relu", "multiply", "add", "subtract", "maximum", "minimum"}


def insert_table_loads(trace: Trace, machine: Machine, core: np.ndarray, kinds: list, kind: np.ndarray,
                       kind_ops: list[tuple[Op, ...]]) -> tuple[list, np.ndarray, list[tuple[Op, ...]]]:
    """Units (in program order) that need another table than the one before: kinds with an ACT_TABLE_LOAD in front."""
    load_ns = machine.scalar.get("table_load_ns")
    table = [_table(trace, k, ops) for k, ops in zip(kinds, kind_ops, strict=True)]
    distinct = [t for t in dict.fromkeys(table) if t]
    if load_ns is None or len(distinct) < 2:
        return kinds, kind, kind_ops
    number = np.array([distinct.index(t) if t else -1 for t in table], np.int64)[kind]
    kinds, kind, kind_ops = list(kinds), kind.copy(), list(kind_ops)
    load = Op(engine=SCALAR, opcode="ACT_TABLE_LOAD", issue_ps=round(load_ns * 1000), latency_ps=round(load_ns * 1000))
    loading: dict[int, int] = {}
    for c in np.unique(core).tolist():
        rows = np.flatnonzero((number >= 0) & (core == c))
        needed = number[rows]
        for u in rows[1:][needed[1:] != needed[:-1]].tolist():
            k = int(kind[u])
            if k not in loading:
                loading[k] = len(kinds)
                kinds.append(kinds[k])
                kind_ops.append((load, *kind_ops[k]))
            kind[u] = loading[k]
    return kinds, kind, kind_ops


def _table(trace: Trace, kind, ops: tuple[Op, ...]) -> str:
    v = trace.variants[kind.variant]
    if ops[0].engine is not SCALAR or not v.name.startswith("activat"):
        return ""
    name = function_name(v)
    return "" if name in NO_TABLE else name

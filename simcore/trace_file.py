"""A Trace as JSON and columns: what a saved run carries so that it can be asked "what if" later.

Values are not kept (outputs are not part of it), and nothing is evaluated when it is read: parameters are numbers,
strings, names of operators and members of a few known enumerations.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

from simcore.dtypes import DType, to_dtype
from simcore.errors import FileError, SimcoreError
from simcore.isa import table
from simcore.isa.operators import OPERATORS, Operator
from simcore.layout import Layout, MemoryRegion, layout
from simcore.tensor import Storage
from simcore.timeline import Site
from simcore.trace import Operand, Trace, Variant

MOST_INSTRUCTIONS = 200_000
"""A longer trace is not kept: the file would double, and no view simulates so much again."""

_ENUMS = {e.__name__: e for e in (table.Engine, table.OobMode, table.DgeMode, table.MatmulPerfMode, table.ReduceCmd,
                                  table.DmaEngine, table.NcVersion)}  # fmt: skip
_COLUMNS = ("variant", "site", "core", "access", "access_start", "region_storage", "region_layout", "region_offset")
_STORAGE = ("name", "shape", "dtype", "buffer", "kind", "core", "site", "born", "address")


class _Words:
    """Anything JSON can hold -> a number, in order of appearance."""

    def __init__(self):
        self.index: dict[str, int] = {}
        self.values: list[Any] = []

    def __call__(self, value: Any) -> int:
        key = repr(value)
        if key not in self.index:
            self.index[key] = len(self.values)
            self.values.append(value)
        return self.index[key]


def pack(trace: Trace) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """(header, arrays), or None for a trace that is too long or holds a parameter that cannot be written."""
    if len(trace) > MOST_INSTRUCTIONS:
        return None
    layouts = _Words()
    words = {field: _Words() for field in _STORAGE}
    try:
        variants = [_variant(v, layouts) for v in trace.variants]
    except TypeError:
        return None
    header = {
        "name": trace.name, "target": trace.target, "cores": trace.cores, "variants": variants,
        "trace_layouts": [layouts(_layout(lay)) for lay in trace.layouts], "layouts": layouts.values,
        "sites": [[s.file, s.line, s.function] for s in trace.sites],
    }  # fmt: skip
    arrays = {name: getattr(trace, name) for name in _COLUMNS} | {"order": trace.order.reshape(-1)}
    if trace.loops is not None:
        arrays["loops"] = trace.loops.reshape(-1)
    table_of = {field: np.zeros(len(trace.storages), np.int64) for field in _STORAGE}
    for i, s in enumerate(trace.storages):
        for field, value in (
            ("name", s.given_name), ("shape", list(s.shape)), ("dtype", str(s.dtype)), ("buffer", s.buffer.value),
            ("kind", s.kind), ("address", None if s.address is None else [int(a) for a in s.address]),
        ):  # fmt: skip
            table_of[field][i] = words[field](value)
        table_of["core"][i], table_of["born"][i] = s.core, s.born
        table_of["site"][i] = -1 if s.site is None else s.site
    header["storage_words"] = {field: words[field].values for field in _STORAGE}
    return header, arrays | {f"storage_{field}": column for field, column in table_of.items()}


def unpack(header: dict[str, Any], arrays: dict[str, np.ndarray], sources: dict[str, str], info: dict[str, Any]):
    """The Trace that pack took apart.  Raises FileError when the file is damaged."""
    try:
        return _unpack(header, arrays, sources, info)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, SimcoreError) as e:
        raise FileError(f"the trace in the file is damaged: {type(e).__name__} {e}") from None


def _unpack(header, arrays, sources, info) -> Trace:
    rows = table.rows()
    layouts = [_to_layout(entry) for entry in header["layouts"]]
    words = header["storage_words"]
    columns = {field: arrays[f"storage_{field}"].tolist() for field in _STORAGE}
    storages = []
    for i in range(len(columns["name"])):
        value = {f: words[f][columns[f][i]] for f in ("name", "shape", "dtype", "buffer", "kind", "address")}
        shape, dtype, buffer = tuple(map(int, value["shape"])), to_dtype(value["dtype"]), MemoryRegion(value["buffer"])
        address = None if value["address"] is None else tuple(map(int, value["address"]))
        storages.append(Storage(
            i, value["name"], shape, dtype, buffer, address=address, site=columns["site"][i], kind=str(value["kind"]),
            core=columns["core"][i], born=columns["born"][i],
        ))  # fmt: skip
    variants = []
    for i, entry in enumerate(header["variants"]):
        operands = tuple(Operand(str(n), str(access), layouts[k]) for n, access, k in entry["operands"])
        params = {str(k): _value(p) for k, p in entry["params"]}
        v = Variant(rows[entry["row"]], i, operands, params, tuple(int(n) for n in entry["present"]))
        v.engine, v.indexed = _value(entry["engine"]), int(entry["indexed"])
        v.resets_psum = tuple(int(n) for n in entry["resets_psum"])
        variants.append(v)
    given = {name: arrays[name] for name in _COLUMNS}
    if "loops" in arrays:
        given["loops"] = arrays["loops"].reshape(-1, 3)
    trace = Trace(
        name=str(header["name"]), target=str(header["target"]), cores=int(header["cores"]), variants=variants,
        layouts=[layouts[k] for k in header["trace_layouts"]], storages=storages,
        sites=[Site(str(f), int(n), str(fn)) for f, n, fn in header["sites"]], order=arrays["order"].reshape(-1, 2),
        sources=sources, info={k: v for k, v in info.items() if k != "tensors"}, has_values=False, **given,
    )  # fmt: skip
    _check(trace)
    return trace


def _check(t: Trace) -> None:
    """Refuse indices that point nowhere: what follows does not ask again."""
    n, regions = len(t), len(t.region_storage)
    arity = np.array([len(v.operands) for v in t.variants], np.int64)
    for what, column, high in (
        ("variant", t.variant, len(t.variants)), ("site", t.site, len(t.sites)), ("access", t.access, regions),
        ("region_storage", t.region_storage, len(t.storages)), ("region_layout", t.region_layout, len(t.layouts)),
        ("order", t.order.reshape(-1), n),
    ):  # fmt: skip
        if len(column) and (column.min() < 0 or column.max() >= high):
            raise ValueError(f"{what} refers to something that is not there")
    if len(t.access_start) != n + 1 or not np.array_equal(np.diff(t.access_start), arity[t.variant]):
        raise ValueError("access_start does not fit the instructions")
    if any(len(c) != n for c in (t.site, t.core)) or len(t.region_layout) != regions or len(t.region_offset) != regions:
        raise ValueError("columns of different lengths")
    if t.loops is not None and any(min(a, k, m) < 0 or a + k * m > n for a, k, m in t.loops.tolist()):
        raise ValueError("a loop reaches beyond the instructions")
    if len(t.core) and not 0 <= t.core.min() <= t.core.max() < max(t.cores, 1):
        raise ValueError("core is not there")


def _variant(v: Variant, layouts: _Words) -> dict[str, Any]:
    return {
        "row": v.name, "operands": [[o.name, o.access, layouts(_layout(o.layout))] for o in v.operands],
        "params": [[k, _word(p)] for k, p in v.params.items()], "present": list(v.present), "engine": _word(v.engine),
        "indexed": v.indexed, "resets_psum": list(v.resets_psum),
    }  # fmt: skip


def _layout(lay: Layout) -> list[Any]:
    return [list(map(int, lay.shape)), list(map(int, lay.strides)), str(lay.dtype), lay.buffer.value, lay.indirect]


def _to_layout(entry: list[Any]) -> Layout:
    shape, strides, dtype, buffer, indirect = entry
    if len(shape) != len(strides) or indirect not in (None, "scalar", "vector"):
        raise ValueError(f"{entry!r} is not a layout")
    return layout(tuple(map(int, shape)), tuple(map(int, strides)), to_dtype(dtype), MemoryRegion(buffer), indirect)


def _word(value: Any) -> Any:
    """A parameter as JSON.  Raises TypeError for what has no place in a file."""
    if isinstance(value, Enum):
        return {"enum": type(value).__name__, "name": value.name}
    if isinstance(value, Operator):
        return {"operator": value.name}
    if isinstance(value, DType):
        return {"dtype": str(value)}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, tuple | list):
        return [_word(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} cannot be written")


def _value(word: Any) -> Any:
    if isinstance(word, list):
        return tuple(_value(w) for w in word)
    if isinstance(word, dict):
        if "enum" in word:
            return _ENUMS[word["enum"]][word["name"]]
        return OPERATORS[word["operator"]] if "operator" in word else to_dtype(word["dtype"])
    return word


__all__ = ["MOST_INSTRUCTIONS", "pack", "unpack"]

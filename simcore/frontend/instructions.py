"""Functions of `nisa`, generated from the instruction table.

Recording an instruction is the hot path of a capture.  The generated function does three things: look up the variant by
the identity of its layouts and arguments, note the line that called, and note the regions touched.  Everything else
(checks, messages, conversions) happens once per variant, in `_new_variant`.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter

import numpy as np

from simcore.errors import KernelError, NkiValidationError, nearest
from simcore.frontend import state
from simcore.isa.table import ENGINE_INDEX, Engine, Row, rows
from simcore.layout import psum
from simcore.machine import generation
from simcore.psum import reset_accumulation
from simcore.tensor import Tensor
from simcore.trace import Operand, Recorder, Variant

_getframe = sys._getframe
_sites = state._sites


class NkiInstruction:
    """What an instruction returns: a handle for explicit ordering."""

    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number = number

    def depends_on(self, *producers) -> NkiInstruction:
        """This instruction starts only after `producers` are done."""
        rec = state.current("depends_on")
        for p in producers:
            for one in p if isinstance(p, list | tuple) else (p,):
                rec.order.append((one.number, self.number))
        return self


def emit(rec: Recorder, v: Variant, args: tuple, name) -> NkiInstruction:
    """Record one instruction of a known variant and, where values are wanted, compute it."""
    number = len(rec.variant_col)
    rec.variant_col.append(v.index)
    site = rec.site
    if site is None:
        frame = _getframe(2)
        site = _sites.get((id(frame.f_code) << 20) | frame.f_lasti, -1)
        if site < 0:
            site = state.site(rec, 3)
    rec.site_col.append(site)
    rec.access += v.pick(args)
    if not number & 0xFF:
        rec.release()
    if name is not None:
        rec.labels[number] = name
    if v.resets_psum:
        reset_accumulation(args[v.resets_psum[0]])
    if rec.values:
        rec.release()
        row = v.row
        row.values_fn(*[args[i] for i in row.values_args])
    return NkiInstruction(number)


def _picker(v: Variant) -> Callable[[tuple], Sequence[Tensor]]:
    """v.pick: in C where the operands are arguments themselves."""
    present = v.present
    if v.indexed or v.row.many is not None:
        return partial(_operands, v)
    if present == tuple(range(len(present))):
        return itemgetter(slice(len(present)))
    return itemgetter(*present) if len(present) > 1 else itemgetter(slice(present[0], present[0] + 1))


def _operands(v: Variant, args: tuple) -> list[Tensor]:
    """Tensors, members of lists, and the tiles of run-time addresses, as many as the variant has operands for."""
    tensors = _tensors(v, args)
    found = [tile for t in tensors for tile in _addresses(t)][:v.indexed]
    return tensors + found + [found[-1] if found else tensors[0]] * (v.indexed - len(found))


def _tensors(v: Variant, args: tuple) -> list[Tensor]:
    return [args[i] for i in v.present] + (list(args[v.row.many]) if v.row.many is not None else [])


def _addresses(t: Tensor) -> tuple[Tensor, ...]:
    return getattr(t.index, "reads", ())


def _new_variant(rec: Recorder, row: Row, args: tuple, key) -> Variant:
    """Check the arguments of a variant seen for the first time."""
    have = generation(rec.target)
    if have < row.since:
        raise NkiValidationError(f"nisa.{row.name} needs NeuronCore-v{row.since}; the target is {rec.target} "
                                 f"(NeuronCore-v{have})")
    operands, params, present, many = [], {}, [], []
    for i, (p, value) in enumerate(zip(row.params, args, strict=True)):
        if p.access is None:
            params[p.name] = value
        elif p.many:
            many = [Operand(f"{p.name}[{j}]", p.access, _operand(row, p, t).layout) for j, t in enumerate(value)]
        elif isinstance(value, Tensor):
            operands.append(Operand(p.name, p.access, value.layout))
            present.append(i)
        elif p.optional and (value is None or isinstance(value, int | float | np.number)):
            params[p.name] = value
        elif p.optional and not _is_array(value):
            params[p.name] = value
        else:
            raise NkiValidationError(f"nisa.{row.name}: {p.name} must be a tile, not {_describe(value)}")
    plain = (*operands, *many)
    tensors = [args[i] for i in present] + (list(args[row.many]) if row.many is not None else [])
    index = [Operand(f"{o.name}.index", "r", tile.layout) for o, t in zip(plain, tensors, strict=True)
             for tile in _addresses(t)]
    v = Variant(row, len(rec.variant_list), (*plain, *index), params, tuple(present))
    for t in tensors:
        if t.index is not None and t.index.fatal:
            raise KernelError(t.index.fatal)
    v.indexed = len(index)
    v.pick = _picker(v)
    v.engine = choose_engine(v)
    for check in row.check_fns:
        check(v)
    v.resets_psum = tuple(i for i, o in zip(present, operands, strict=True) if "w" in o.access
                          and o.layout.buffer is psum
                          and row.name not in ("nc_matmul", "nc_matmul_mx"))
    rec.variant_list.append(v)
    if key is not None:
        rec.variants[key] = v
    return v


def _operand(row: Row, p, value) -> Tensor:
    if not isinstance(value, Tensor):
        raise NkiValidationError(f"nisa.{row.name}: {p.name} must be a list of tiles, not of {_describe(value)}")
    return value


def _is_array(value) -> bool:
    return hasattr(value, "shape")


def _describe(value) -> str:
    if isinstance(value, np.ndarray):
        return "a NumPy array (load it with nl.load or nisa.dma_copy first)"
    return "None" if value is None else f"{type(value).__name__} {value!r}"


def choose_engine(v: Variant) -> Engine:
    """The engine asked for, or unknown where the lowering may choose.  Refuses an engine that lacks the instruction."""
    asked = v.params.get("engine", Engine.unknown)
    if asked is None:
        asked = Engine.unknown
    try:
        asked = Engine(getattr(asked, "value", asked))
    except ValueError:
        raise NkiValidationError(f"nisa.{v.name}: {asked!r} is not an engine") from None
    if asked is Engine.unknown:
        return v.row.engines[0] if len(v.row.engines) == 1 else Engine.unknown
    if asked not in v.row.engines and asked is not Engine.dma and Engine.dma not in v.row.engines:
        can = " or ".join(e.name for e in v.row.engines)
        raise NkiValidationError(f"nisa.{v.name} runs on {can}, not on the {asked.name} engine")
    return asked


def freeze(value):
    """A hashable stand-in for an argument: a tile's layout, tuples for lists, numbers with their type."""
    if isinstance(value, Tensor):
        return value.layout
    if isinstance(value, int | float):
        return (value.__class__, value)
    if isinstance(value, list | tuple):
        return tuple(freeze(x) for x in value)
    if isinstance(value, np.ndarray):
        return (value.shape, value.tobytes())
    if isinstance(value, dict):
        return tuple(sorted((k, freeze(x)) for k, x in value.items()))
    return value


def slow(rec: Recorder, row: Row, args: tuple, name) -> NkiInstruction:
    """The general path: unhashable arguments, wrong arguments, and the first instruction of each variant."""
    args = tuple(_as_operand(p, a) for p, a in zip(row.params, args, strict=True))
    _all_given(row, args)
    key = (row, *[freeze(a) for a in args])
    try:
        v = rec.variants.get(key)
    except TypeError:
        key = v = None
    if v is None:
        try:
            v = _new_variant(rec, row, args, key)
        except KernelError as e:
            if e.site is None:
                e.site = state.user_site(2)
            raise
    return emit(rec, v, args, name)


def _as_operand(p, value):
    """Objects of other front-end classes that stand for a tile."""
    if p.access is not None and not isinstance(value, Tensor):
        convert = getattr(value, "__nki_tensor__", None)
        if convert is not None:
            return convert()
    return value


class _Missing:
    """Stands for an argument that was not given.  As a default, so that a misspelt one is named before it is missed."""

    def __repr__(self) -> str:
        return "(required)"


MISSING = _Missing()


def _all_given(row: Row, args: tuple) -> None:
    missing = [p.name for p, a in zip(row.params, args, strict=True) if a is MISSING]
    if missing:
        raise NkiValidationError(f"nisa.{row.name} needs {' and '.join(missing)}; its arguments are "
                                 f"{', '.join(p.name for p in row.params)}", site=state.user_site(4))


def make(row: Row) -> Callable:
    """The function kernels call for a row, with the row's own signature."""
    names = [p.name for p in row.params]
    empty = row.signature.empty
    defaults = {f"_d{i}": MISSING if p.default is empty else p.default for i, p in enumerate(row.params)}
    signature = ", ".join(f"{n}=_d{i}" for i, n in enumerate(names))
    parts = []
    for n, p in zip(names, row.params, strict=True):
        if p.access is None:
            parts.append(n)
        elif p.many:
            parts.append(f"tuple([t.layout for t in {n}])")
        elif p.optional:
            parts.append(f"({n}.layout if {n}.__class__ is _Tensor else {n})")
        else:
            parts.append(f"{n}.layout")
    args = f"({', '.join(names)},)" if names else "()"
    resolve = f"""
    try:
        {', '.join(names)}, = _resolve(rec, {', '.join(names)})
    except (AttributeError, TypeError):
        _all_given(_row, {args})
        raise
""" if row.resolve_fn else ""
    comma = ", " if signature else ""
    source = f"""
def {row.name}({signature}{comma}name=None, **extra):
    rec = _state.recorder
    if rec is None:
        _state.current("nisa.{row.name}")
    if extra:
        _unknown(_row, extra)
{resolve}    try:
        v = rec.variants.get((_row, {', '.join(parts)}))
    except (AttributeError, TypeError):
        v = None
    if v is None:
        return _first(rec, _row, {args}, name)
    return _emit(rec, v, {args}, name)
"""
    space = {"_row": row, "_state": state, "_Tensor": Tensor, "_emit": emit, "_first": _first, "_all_given": _all_given,
             "_resolve": row.resolve_fn, "_unknown": _unknown_argument, **defaults}
    exec(compile(source, f"<simcore nisa.{row.name}>", "exec"), space)
    function = space[row.name]
    function.__doc__ = row.doc
    function.__module__ = "nki.isa"
    function.row = row
    function.__signature__ = _signature(row)
    return function


def _signature(row: Row) -> inspect.Signature:
    """What help() and editors show."""
    own = [p.replace(annotation=p.empty) for p in row.signature.parameters.values()]
    return inspect.Signature([*own, inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=None)])


def _first(rec: Recorder, row: Row, args: tuple, name) -> NkiInstruction:
    """First instruction of a variant: do it slowly, and remember it under the fast path's key if that hashes."""
    result = slow(rec, row, args, name)
    v = rec.variant_list[rec.variant_col[result.number]]
    try:
        rec.variants[(row, *[tuple([t.layout for t in a]) if p.many else a.layout if a.__class__ is Tensor else a
                             for p, a in zip(row.params, args, strict=True)])] = v
    except TypeError:
        pass
    return result


IGNORED = {"mask", "dtype", "unique_indices", "use_gpsimd_dma", "priority"}


def _unknown_argument(row: Row, extra: dict) -> None:
    for k, value in extra.items():
        if k in IGNORED and value in (None, True):
            continue
        if k in IGNORED and k in ("priority", "unique_indices", "dtype"):
            continue
        raise NkiValidationError(f"nisa.{row.name} has no argument {k!r}.{nearest(k, [p.name for p in row.params])}",
                                 site=state.user_site(3))


def build() -> types.SimpleNamespace:
    """Every row as a function, by name."""
    return types.SimpleNamespace(**{name: make(row) for name, row in rows().items()})


class _Lazy:
    """`nisa.tensor_copy(...)` for front-end code: the generated functions, made on first use."""

    def __getattr__(self, name):
        built = build()
        self.__dict__.update(vars(built))
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(name) from None


nisa = _Lazy()
__all__ = ["ENGINE_INDEX", "NkiInstruction", "build", "emit", "make", "nisa"]

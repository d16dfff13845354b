"""The instruction table: one row per NKI instruction.

A row is written as the instruction's own signature under a decorator, in the file of its engine; its checks, values and
cost rule hang on it:

    @instruction(engines=(VECTOR, GPSIMD))
    def tensor_tensor(dst: Write, data1: Read, data2: Read, op, engine=Engine.unknown):
        "dst = data1 op data2"

    @tensor_tensor.check
    def _(v): require(...)                       # once per variant; v is a trace.Variant

    @tensor_tensor.values
    def _(dst, data1, data2, op): ...            # NumPy; takes the parameters it names, tensors as
    simcore.tensor.Tensor

    @tensor_tensor.cost
    def _(v, machine): return (op(...),)         # once per variant; the chip instructions it becomes

`rows()` is the table; the front ends generate their functions from it, so a name without a row does not exist and is an
error with the nearest known name.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, TypeAlias

from simcore.errors import NkiValidationError
from simcore.timeline import ENGINES

# operand roles, written as annotations of a row's signature
Write: TypeAlias = Any
Read: TypeAlias = Any
Update: TypeAlias = Any
ReadOrScalar: TypeAlias = Any       # a tensor is an operand; a number or None is an immediate
WriteOrNone: TypeAlias = Any
UpdateOrNone: TypeAlias = Any
ReadMany: TypeAlias = Any           # a list of tensors, each an operand
_ROLES = {"Write": "w", "Read": "r", "Update": "rw", "ReadOrScalar": "r", "WriteOrNone": "w", "UpdateOrNone": "rw",
          "ReadMany": "r"}


class Engine(IntEnum):
    """`nisa.engine` (the vendor's numbers)."""

    unknown = 0
    tensor = 1
    scalar = 2
    gpsimd = 3
    dma = 4
    vector = 5
    sync = 6

    @property
    def display(self) -> str:
        """The profiler's name."""
        return {1: "Tensor", 2: "Scalar", 3: "GpSimd", 5: "Vector", 6: "Sync"}[int(self)]


TENSOR, VECTOR, SCALAR = Engine.tensor, Engine.vector, Engine.scalar
GPSIMD, SYNC, DMA = Engine.gpsimd, Engine.sync, Engine.dma
ENGINE_INDEX = {e: ENGINES.index(e.display) for e in (TENSOR, VECTOR, SCALAR, GPSIMD, SYNC)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One chip instruction of a variant, as the engine executes it.

    engine         which engine's queue
    opcode         the profiler's name
    issue_ps       the next instruction of the engine may start this long after this one
    latency_ps     its result may be used this long after it starts (at least issue_ps for most)
    reads, writes  operand names it touches (dependences between the chip instructions of different variants)
    elements       multiply-adds (MATMUL only)
    flops          arithmetic operations
    pe_cycles      Tensor engine: cycles that scale with the clock limiter (0 for other engines)
    dma            transfer description for DMA triggers, else None
    row_share      Tensor engine: how many of the array's rows the product feeds, of all
    cells          Tensor engine: the parts of the array a product in tiling mode uses, () for the whole array
    """

    engine: Engine
    opcode: str
    issue_ps: int
    latency_ps: int
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    elements: int = 0
    flops: int = 0
    pe_cycles: int = 0
    dma: Any = None
    dtype: str = ""
    cells: tuple[int, ...] = ()
    row_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Param:
    name: str
    access: str | None          # "r", "w", "rw" for tensors, None for everything else
    optional: bool              # a tensor parameter that may be None or a number
    default: Any
    many: bool = False          # a list of tensors


ROWS: dict[str, Row] = {}


class Row:
    """One instruction: signature, engines, checks, values, cost."""

    def __init__(self, function: Callable, engines: tuple[Engine, ...], since: int, opcode: str | None):
        self.name = function.__name__
        self.engines = engines
        self.since = since
        self.opcode = opcode or self.name.upper()
        self.doc = inspect.getdoc(function) or ""
        self.signature = inspect.signature(function)
        self.params = tuple(_param(p) for p in self.signature.parameters.values())
        self.index = {p.name: i for i, p in enumerate(self.params)}
        self.many = next((i for i, p in enumerate(self.params) if p.many), None)
        self.check_fns: list[Callable] = []
        self.values_fn: Callable | None = None
        self.values_args: tuple[int, ...] = ()
        self.cost_fn: Callable | None = None
        self.resolve_fn: Callable | None = None
        self.flops_fn: Callable | None = None

    def __repr__(self) -> str:
        return f"<nisa.{self.name}>"

    # decorators -----------------------------------------------------------------------------------------

    def check(self, fn):
        """fn(v): raise NkiValidationError (through `require`) for a broken constraint.  Once per variant."""
        self.check_fns.append(fn)
        return self

    def values(self, fn):
        """fn(named parameters...): compute and store the result with NumPy.  `rec` as a parameter gets the Recorder."""
        self.values_fn = fn
        names = [n for n in inspect.signature(fn).parameters]
        self.values_args = tuple(self.index[n] for n in names)
        return self

    def cost(self, fn):
        """fn(v, machine) -> tuple of Op, a variant's chip instructions.  Returns fn: a rule may serve several rows."""
        self.cost_fn = fn
        return fn

    def resolve(self, fn):
        """fn(rec, *args) -> args: settle arguments that depend on what happened before (PSUM accumulation)."""
        self.resolve_fn = fn
        return self

    def flops(self, fn):
        """fn(v) -> arithmetic operations of the variant, where it is not one per output element."""
        self.flops_fn = fn
        return self


def _param(p: inspect.Parameter) -> Param:
    note = p.annotation if isinstance(p.annotation, str) else ""
    access = _ROLES.get(note)
    return Param(p.name, access, note in ("ReadOrScalar", "WriteOrNone", "UpdateOrNone")
                 or (access is not None and p.default is None), p.default, note == "ReadMany")


def instruction(*, engines: tuple[Engine, ...], since: int = 2, opcode: str | None = None):
    """Register a row.  since is the first NeuronCore version that has the instruction (2 trn1, 3 trn2, 4 trn3)."""

    def register(function) -> Row:
        if function.__name__ in ROWS:
            raise TypeError(f"instruction {function.__name__} is in the table twice")
        row = ROWS[function.__name__] = Row(function, engines, since, opcode)
        return row

    return register


_FILES = ("data_movement", "tensor_engine", "elementwise", "activation", "reduction", "select", "search", "gpsimd",
          "rng", "control", "mx", "collective")


def rows() -> dict[str, Row]:
    """The whole table, by name."""
    for name in _FILES:
        importlib.import_module(f"simcore.isa.{name}")
    return ROWS


def require(condition: bool, message: str) -> None:
    """A constraint of an instruction: NkiValidationError with this sentence when it does not hold."""
    if not condition:
        raise NkiValidationError(message)


class Choice(Enum):
    """An argument of few values.  Each instruction looks it up, and Enum's own hash is a function in Python."""

    __hash__ = object.__hash__


class ReduceCmd(Choice):
    """`nisa.reduce_cmd`: what an accumulator register does."""

    idle = 0
    reset = 1
    reduce = 2
    reset_reduce = 3
    load_reduce = 4


class DgeMode(Choice):
    """`nisa.dge_mode`: who generates the descriptors of a DMA."""

    unknown = 0
    swdge = 1
    hwdge = 2
    none = 3


class OobMode(Choice):
    """`nisa.oob_mode`: what an indirect access outside the tensor does."""

    error = 0
    skip = 1


class MatmulPerfMode(Choice):
    """`nisa.matmul_perf_mode`."""

    none = "none"
    double_row = "double_row"
    double_row_gen3 = "double_row_gen3"
    double_pixel = "double_pixel"


class DmaEngine(Choice):
    """`nisa.dma_engine`: which DMA carries a sendrecv."""

    dma = 1
    gpsimd_dma = 2


class NcVersion(IntEnum):
    """`nisa.nc_version`: NeuronCore generations, ordered."""

    gen2 = 2
    gen3 = 3
    gen4 = 4

"""The sections of a machine: which numbers there are and what they mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from simcore.errors import MachineError, nearest

KINDS = ("specified", "measured", "inferred", "fitted", "assumed")


def _missing() -> Any:
    return None


def number() -> Any:
    """A number that may be missing."""
    return field(default_factory=_missing)


@dataclass(frozen=True, kw_only=True)
class Law:
    """Duration of an instruction form on Vector, Scalar or GpSimd, in cycles of its engine.

    duration = fixed_cycles + cycles_per_element * N (+ operand_cycles per scale/bias vector), N = elements per
    partition.
    The form is given by conditions; an empty one always holds.  Types are "8", "16" or "32" bit classes of an operand,
    memories "sbuf" or "psum"; `inputs`/`memories` list what every tensor input must be among, `out`/`dest` the output.
    """

    ops: tuple[str, ...] = ()           # NKI instruction names; empty = any
    functions: tuple[str, ...] = ()     # activation functions or ALU operators; empty = any
    inputs: tuple[str, ...] = ()        # bit classes of the tensor inputs
    out: tuple[str, ...] = ()           # bit classes of the output
    memories: tuple[str, ...] = ()      # memories of the tensor inputs
    dest: tuple[str, ...] = ()          # memory of the output
    contiguous: bool | None = None
    fixed_cycles: float = 0.0
    cycles_per_element: float = 1.0
    min_cycles: float = 0.0
    operand_cycles: float = 0.0         # per scale or bias vector, duration
    issue_cycles: float = 0.0           # issue interval beyond the stream; 0 = the engine's issue_overhead_cycles
    operand_issue_cycles: float = 0.0   # per scale or bias vector, issue interval
    extra_cycles: float = 0.0           # second instruction or tail (accumulator read)
    kind: str = "specified"
    source: str = ""

    @property
    def form(self) -> str:
        parts = ["|".join(self.ops) or "any"]
        for label, value in (("", self.functions), ("in ", self.inputs), ("out ", self.out), ("from ", self.memories),
                             ("to ", self.dest)):
            if value:
                parts.append(label + "|".join(value))
        if self.contiguous is not None:
            parts.append("contiguous" if self.contiguous else "strided")
        return " ".join(parts)

    def stream(self, elements: float) -> float:
        """Cycles in which elements pass through."""
        return max(self.min_cycles, self.cycles_per_element * elements)

    def cycles(self, elements: float, operands: int = 0) -> float:
        """Duration in cycles for `elements` per partition and `operands` scale or bias vectors."""
        return self.stream(elements) + self.fixed_cycles + self.extra_cycles + self.operand_cycles * operands

    @property
    def formula(self) -> str:
        text = f"{self.fixed_cycles:g} + {self.cycles_per_element:g} N cycles"
        if self.min_cycles:
            text = f"max({self.min_cycles:g}, {self.cycles_per_element:g} N) + {self.fixed_cycles:g} cycles"
        if self.operand_cycles:
            text += f" + {self.operand_cycles:g} per operand vector"
        if self.extra_cycles:
            text += f" + {self.extra_cycles:g}"
        return text

    def fits(self, op: str, function: str, inputs: tuple[int, ...], out: int, memories: tuple[str, ...], dest: str,
             contiguous: bool) -> bool:
        """Whether this law is about such an instruction; `inputs`/`out` are item sizes in bytes."""
        return (
            (not self.ops or op in self.ops)
            and (not self.functions or function in self.functions)
            and (not self.inputs or all(str(8 * b) in self.inputs for b in inputs))
            and (not self.out or str(8 * out) in self.out)
            and (not self.memories or all(m in self.memories for m in memories))
            and (not self.dest or dest in self.dest)
            and (self.contiguous is None or self.contiguous == contiguous)
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Section:
    """A group of numbers.  Reading a missing one raises MachineError; get() gives None."""

    def __post_init__(self):
        for f in dataclasses.fields(self):
            if self.__dict__[f.name] is None:
                object.__delattr__(self, f.name)

    def __getattr__(self, name: str):
        section = self.__class__.__name__.lower()
        if name in self.__class__.__dataclass_fields__:
            raise MachineError(
                f"this machine gives no number for {section}.{name}, which this kernel needs; "
                f"add `{name}` to [{section}] of its TOML, or of one that extends it"
            )
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"{section} has no number {name!r}.{nearest(name, self.__class__.__dataclass_fields__)}")

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def get(self, name: str, default: Any = None) -> Any:
        """The number, or `default` where the machine does not give it."""
        if name not in self.__class__.__dataclass_fields__:
            raise AttributeError(f"{self.__class__.__name__.lower()} has no number {name!r}")
        return self.__dict__.get(name, default)

    def items(self) -> Iterator[tuple[str, Any]]:
        """The numbers given, in the order of the declaration."""
        for f in dataclasses.fields(self):
            if f.name in self.__dict__:
                yield f.name, self.__dict__[f.name]

    @classmethod
    def parse(cls, section: str, given: Mapping[str, Any], provenance: dict[str, tuple[str, str]],
              machine: str) -> Section:
        """From {name: {value, kind, source}}; records each number's kind and source in `provenance`."""
        names = cls.__dataclass_fields__
        values: dict[str, Any] = {}
        for name, entry in given.items():
            where = f"{section}.{name} of machine {machine!r}"
            if name not in names:
                raise MachineError(f"{where}: there is no such number.{nearest(name, names)}")
            if name == "laws":
                values[name] = tuple(_law(where, row) for row in entry)
                continue
            if not isinstance(entry, Mapping) or set(entry) - {"value", "kind", "source"} or "value" not in entry:
                raise MachineError(f"{where} must be {{ value = ..., kind = ..., source = ... }}")
            kind, source = entry.get("kind"), entry.get("source")
            if kind not in KINDS:
                raise MachineError(f"{where}: kind is {kind!r}, must be one of {', '.join(KINDS)}")
            if not source:
                raise MachineError(f"{where} has no source")
            values[name] = _value(where, str(names[name].type), entry["value"])
            provenance[f"{section}.{name}"] = (str(kind), str(source))
        return cls(**values)


def _value(where: str, type_: str, value: Any) -> Any:
    if "dict" in type_:
        if not isinstance(value, Mapping) or not all(_is_number(v) for v in value.values()):
            raise MachineError(f"{where} must be a table of numbers, not {value!r}")
        return {str(k): v for k, v in value.items()}
    if "bool" in type_:
        if not isinstance(value, bool):
            raise MachineError(f"{where} must be true or false, not {value!r}")
        return value
    if not _is_number(value) or (type_.startswith("int") and value != int(value)):
        raise MachineError(f"{where} must be {'a whole' if type_.startswith('int') else 'a'} number, not {value!r}")
    if value < 0 or value != value or value == float("inf"):
        raise MachineError(f"{where} is {value!r}; it must be finite and not negative")
    return int(value) if type_.startswith("int") else float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _law(where: str, row: Any) -> Law:
    names = Law.__dataclass_fields__
    if not isinstance(row, Mapping):
        raise MachineError(f"{where}: a law must be a table")
    for key in row:
        if key not in names:
            raise MachineError(f"{where}: a law has no {key!r}.{nearest(key, names)}")
    if row.get("kind") not in KINDS or not row.get("source"):
        raise MachineError(f"{where}: the law {row!r} needs a kind and a source")
    values: dict[str, Any] = {}
    for key, value in row.items():
        type_ = str(names[key].type)
        if type_.startswith("tuple"):
            right = isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
        elif "bool" in type_:
            right = value is None or isinstance(value, bool)
        elif type_ == "float":
            right = _is_number(value) and 0 <= value < float("inf")
        else:
            right = isinstance(value, str)
        if not right:
            raise MachineError(f"{where}: {key} of a law cannot be {value!r}")
        values[key] = tuple(value) if type_.startswith("tuple") else value
    return Law(**values)


# ------------------------------------------------------------------------------------------------ sections


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Core(Section):
    """The core among others."""

    neuroncore_version: int = number()
    cores_per_device: int = number()
    default_lnc: int = number()
    partitions: int = number()
    base_clock_hz: float = number()             # the profiler's clock, of the limiter's windows


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Engine(Section):
    """What every engine with an instruction stream has."""

    clock_hz: float = number()
    # Vector and Scalar: the sum or maximum beside an instruction is read by one of its own
    accumulator_ready_cycles: float = number()              # last element in -> that one may start
    accumulator_read_issue_cycles: float = number()         # its interval
    accumulator_read_cycles: float = number()               # ... until the sum may be used

    def ps(self, cycles: float) -> int:
        """Cycles of this engine in picoseconds: the one place that converts and rounds."""
        return round(cycles * 1e12 / self.clock_hz)

    def law(self, op: str, *, function: str = "", inputs: tuple[int, ...] = (), out: int = 4,
            memories: tuple[str, ...] = (), dest: str = "sbuf", contiguous: bool = True) -> Law:
        """The duration law of an instruction: item sizes in bytes, memories of the tensor inputs and of the output."""
        for law in self.__dict__.get("laws", ()):
            if law.fits(op, function, inputs, out, memories, dest, contiguous):
                return law
        raise MachineError(f"this machine has no duration law for {op} on the {type(self).__name__} engine; "
                           f"add one to [[{type(self).__name__.lower()}.laws]] of its TOML")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Tensor(Engine):
    """Tensor engine (PE): a systolic array that multiplies a moving tile by a stationary one."""

    rows: int = number()
    columns: int = number()
    smallest_tile: int = number()                           # a part of the array that works by itself
    stationary_max_columns: int = number()
    moving_max_columns: int = number()
    # by dtype of the product; cycles_per_column is the moving stream of one pass, passes the MATMULs per product
    peak_flops_per_s: dict[str, float] = field(default_factory=_missing)
    cycles_per_column: dict[str, float] = field(default_factory=_missing)
    passes: dict[str, float] = field(default_factory=_missing)
    issue_overhead_cycles: float = number()                 # between two MATMULs, beyond streaming
    min_issue_cycles: float = number()
    pipeline_latency_cycles: float = number()               # last column in -> result in PSUM, at full clock
    # LDWEIGHTS stream, by dtype, and "fp32 transpose"
    stationary_cycles_per_column: dict[str, float] = field(default_factory=_missing)
    stationary_overhead_cycles: float = number()            # after a load that was not hidden
    stationary_latency_cycles: float = number()             # last column of a stationary tile in -> its LDWEIGHTS ends
    stride_full_rate_bytes: int = number()                  # operand strides beyond this halve its feed
    stride_factor: float = number()
    limiter_window_cycles: int = number()                   # of the base clock
    limiter_threshold_fraction: float = number()
    limiter_counts_rows: bool = number()                    # products count by the share of the rows they feed
    limiter_rate_fraction: float = number()                 # rate of a limited window
    limiter_phase_fraction: float = number()                # of a window, gone when the engine's first product starts
    limited_lead_cycles: float = number()                   # how much earlier a limited MATMUL is seen to start


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Vector(Engine):
    """Vector engine (DVE)."""

    peak_flops_per_s: float = number()
    issue_overhead_cycles: float = number()     # issue interval beyond N * rate, independent instructions
    min_issue_cycles: float = number()
    dynamic_address_min_cycles: float = number()
    laws: tuple[Law, ...] = field(default_factory=_missing)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Scalar(Engine):
    """Scalar engine (ACT)."""

    peak_flops_per_s: float = number()
    issue_overhead_cycles: float = number()
    table_load_ns: float = number()
    laws: tuple[Law, ...] = field(default_factory=_missing)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Gpsimd(Engine):
    """GpSimd engine (POOL)."""

    peak_flops_per_s: float = number()
    issue_overhead_cycles: float = number()
    laws: tuple[Law, ...] = field(default_factory=_missing)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Sync(Engine):
    """Sync engine (SP): control, semaphores and DMA triggers; no data path."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Sbuf(Section):
    bytes_per_partition: int = number()
    usable_bytes_per_partition: int = number()
    align_bytes: int = number()                 # of a tile's address in a partition
    sector_bytes: int = number()                # strided access costs by distinct sectors
    sector_full_rate_bytes: int = number()      # used bytes per sector that suffice for the full rate
    stride_max_factor: float = number()         # no stride slows an operand down by more


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Psum(Section):
    banks: int = number()
    bank_bytes_per_partition: int = number()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Hbm(Section):
    capacity_bytes: int = number()                       # of the device
    device_bytes_per_s: float = number()
    bytes_per_s: float = number()               # of the stack a core uses
    cores_per_stack: int = number()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dma(Section):
    """DMA: a trigger instruction, descriptors on 16 engines, a completion notice.

    Three ways to generate descriptors: hw (a block behind Sync or Scalar), sw (GpSimd writes them), static (the host
    did).
    """

    engines: int = number()
    engine_bytes_per_s: float = number()
    packet_bytes: int = number()                    # longest single packet
    packet_ns: float = number()                     # fixed part of a packet on its engine
    min_descriptor_ns: float = number()             # a descriptor costs an engine at least this
    scattered_write_ns: float = number()            # a descriptor that writes less than scattered_bytes, at least
    scattered_bytes: int = number()
    split_bytes: int = number()                     # HBM to HBM, and transposes: no run is cut shorter than this
    hw_dge_instances: int = number()
    trigger_hw_ns: float = number()                 # the queue's engine is busy with a trigger
    trigger_hw_descriptors: int = number()          # descriptors that trigger_hw_ns holds
    trigger_sw_ns: float = number()
    trigger_static_ns: float = number()
    issue_hw_ns: float = number()                   # between two triggers of one queue
    issue_sw_ns: float = number()
    start_sw_ns: float = number()                   # software queues are ready this long after the others
    issue_static_ns: float = number()
    issue_hw_ns_per_descriptor: float = number()
    issue_sw_ns_per_descriptor: float = number()
    issue_dynamic_ns: float = number()              # the same where an address comes from a register
    ready_hw_ns: float = number()                   # data ready -> its trigger starts
    ready_sw_ns: float = number()
    ready_static_ns: float = number()
    load_hw_ns: float = number()                    # trigger starts -> first packet, into SBUF
    load_sw_ns: float = number()
    load_static_ns: float = number()
    store_hw_ns: float = number()                   # trigger starts -> first packet, out of SBUF
    store_sw_ns: float = number()
    store_static_ns: float = number()
    engine_skew_ns: float = number()                # between the starts of neighbouring engines
    completion_ns: float = number()                 # last byte -> a waiting engine starts
    completion_write_ns: float = number()           # 4-byte semaphore write on each engine
    queue_bytes: int = number()                     # on one engine, under way in a queue that takes no other trigger
    # a load on engines that were not reading waits for HBM: latency, and the bytes each engine has asked for ahead
    read_latency_ns: float = number()
    read_ahead_bytes: int = number()
    indirect_ns_per_index: float = number()
    transpose_fraction: float = number()            # of copy throughput, from HBM
    transpose_sbuf_fraction: float = number()       # of copy throughput, from SBUF
    transpose_tile_partitions: int = number()       # what the engines write together when they transpose from HBM
    transpose_tile_elements: int = number()
    transpose_other_factor: float = number()        # how much slower items are that have neither 2 nor 4 bytes
    compute_fraction: float = number()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Semaphore(Section):
    """Hand-off: a producer is done -> the waiting engine starts."""

    handoff_ns: float = number()
    tensor_handoff_ns: float = number()             # when the Tensor engine waits
    same_engine_ns: float = number()                # dependent instructions of one engine
    instruction_ns: float = number()                # an explicit semaphore instruction


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Compiler(Section):
    """What the compiler does to the order and number of instructions."""

    reorder_window: int = number()                  # an instruction may overtake so many older ones of its stream
    legacy_reorder_window: int = number()           # the same, older dialect
    legacy_dma_window: int = number()               # so many triggers of a queue may pass another, older dialect
    loads_by_need: int = number()                   # 1: loads are triggered in the order in which they are needed
    software_arguments: int = number()              # 1: software descriptors move arguments and results
    forward_banks: int = number()                   # PSUM banks read in place of their copies in SBUF, older dialect
    merge_iterations: int = number()                # iterations whose small instructions become one, with PSUM held
    merge_iterations_without_psum: int = number()   # the same where no PSUM is held between them
    # a merged copy out of PSUM has at most so many elements per partition
    merge_elements: int = number()
    vectorize_elements: int = number()              # a parallel loop becomes one instruction per line up to so many
    merge_small_elements: int = number()            # instructions of at most so many elements per partition merge
    merge_bytes: int = number()                     # transfers merge up to this
    merge_transfers: int = number()                 # transfers of loops of at most so many iterations
    duplicate_bytes: int = number()                 # of a partition, for data that is loaded once instead of again


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Kernel(Section):
    """Fixed times of a launch."""

    start_ns: float = number()                      # set-up before the first instruction, in a profiled total
    end_ns: float = number()                        # after the last, in a profiled total
    device_fixed_ns: float = number()               # device time beyond the kernel's span
    benchmark_fixed_ns: float = number()            # benchmark latency beyond the kernel's span
    pair_fixed_ns: float = number()                 # more of all of these when two cores work together


SECTIONS: dict[str, type[Section]] = {
    "core": Core, "tensor": Tensor, "vector": Vector, "scalar": Scalar, "gpsimd": Gpsimd, "sync": Sync, "sbuf": Sbuf,
    "psum": Psum, "hbm": Hbm, "dma": Dma, "semaphore": Semaphore, "compiler": Compiler, "kernel": Kernel,
}

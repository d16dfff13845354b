"""The vendor's words: opcodes of the runtime, operand text, names of queues.

Formats described from public samples and documentation (profiler 2.28 on trn2 and the
Neuron Explorer schema 7.4.0); see docs/profile-agreement.md for what was checked.
"""

from __future__ import annotations

import re

from simcore.analysis import SETUP_OPCODES  # noqa: F401  the runtime's opcodes, said once
from simcore.machine import Machine, chip_of, load_machine
from simcore.timeline import Timeline

WAITING_OPCODES = frozenset(("EVENT_SEMAPHORE",))
"""Rows that are nothing but waiting: the vendor leaves them out of every active time."""

DEPENDENCE = {"FLOW_DEPENDENCE": "data", "ANTI_DEPENDENCE": "reuse", "OUTPUT_DEPENDENCE": "reuse", "ORDERED": "order"}
"""The vendor's dependence types as causes of Timeline.  A producer that is a DMA trigger makes "dma" of "data"."""

PARTITIONS = 128

_DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "fp32r": "tf32"} | dict.fromkeys(
    ("fp8e3", "fp8e4", "fp8e5", "float8e3", "float8e4", "float8e5", "float8_e4m3", "float8_e5m2"), "fp8")
_DTYPE = re.compile(r"\b(?:src|stationary|moving|data|data1|in_dtype)=(\w+?)[@\[]")
# of a simulated run: dst=float32[128,512]@psum, or with addresses dst=float32@psum3+0[512,1][128,512]
_SHAPE = re.compile(r"\b(\w+)=\w+(?:@[\w.]+\+-?\d+\[[-\d,]*\])?\[(\d+)[\d,]*\]")
_CHANNELS = re.compile(r"\bchannels=(\d+)")
_ARRAY = re.compile(r"(?<![\w\]\[,])(\d+)\*(\d+)\s*$")
_WAITS = re.compile(r"S\[(\d+)\] \(([\w?]+)\)>=(\d+)")
_UPDATES = re.compile(r"S\[(\d+)\] \(([\w?]+)\)(\+\+|--|[+-]?=\d+|\+=\d+)@")
_TRIGGER = re.compile(r"\bsemaphore=(\d+)")


def is_dma(opcode: str) -> bool:
    """Whether an instruction triggers a DMA."""
    return opcode.startswith("DMA_") or opcode.startswith("PSEUDO_DMA") or opcode == "DMA"


def dtype_of(operands: str) -> str:
    """Dtype of the first source as machines name it: `src=bfloat16@0x...` is `bf16`; empty if the text is silent."""
    found = _DTYPE.search(operands)
    return _DTYPES.get(found[1], found[1]) if found else ""


def partitions(opcode: str, operands: str) -> tuple[int, int]:
    """Partitions (read, written): the vendor counts SBUF and PSUM bytes of compute rows per partition.

    MATMUL on K rows by M columns reads K partitions and writes M; LDWEIGHTS reads K; the others say `channels=`.
    A simulated run writes each operand's shape, whose first extent is its partitions.  DMA rows already count all
    partitions, so (1, 1).
    """
    if is_dma(opcode):
        return 1, 1
    found = _CHANNELS.search(operands)
    if found:
        n = min(int(found[1]), PARTITIONS)
        return n, n
    found = _ARRAY.search(operands)
    if found:
        return min(int(found[1]), PARTITIONS), min(int(found[2]), PARTITIONS)
    shapes = [(name == "dst", min(max(int(n), 1), PARTITIONS)) for name, n in _SHAPE.findall(operands)]
    read = max((n for written, n in shapes if not written), default=PARTITIONS)
    return read, max((n for written, n in shapes if written), default=PARTITIONS)


def target_of(summary: dict) -> str:
    """The machine a summary names ("trn2.3xlarge" is trn2); trn2 where it names none simcore knows."""
    return known_target(str(summary.get("instance_type") or ""))


_CHIPS = ("trn1", "trn2", "trn3", "inf2")


def known_target(name: str) -> str:
    family = name.split(".")[0].removesuffix("n").removesuffix("u")
    return family if family in _CHIPS else "trn2"


def machine_of(timeline: Timeline) -> Machine:
    """The machine a run was simulated on; for a measured one the description of its chip, or of trn2."""
    return Machine.from_dict(timeline.machine) if timeline.machine else load_machine(known_target(timeline.target))


def instance_type(timeline: Timeline) -> str:
    """The chip's name as the vendor writes it; a machine file of one's own has that of the chip it is derived from."""
    return chip_of(machine_of(timeline)) if timeline.machine else timeline.target


def memory_bytes(machine: Machine) -> dict[str, int]:
    """Capacity behind the vendor's usage fractions, by the name of the counter."""
    partitions = machine.core.partitions
    return {"SBUF bytes": machine.sbuf.bytes_per_partition * partitions,
            "PSUM bytes": machine.psum.banks * machine.psum.bank_bytes_per_partition * partitions}


def waits(operands: str) -> list[tuple[int, str, int]]:
    """Semaphores waited for: (number, owner, value).  The owner is an engine or a DMA queue."""
    return [(int(n), owner, int(value)) for n, owner, value in _WAITS.findall(operands)]


def updates(operands: str) -> list[tuple[int, str]]:
    """Semaphores set at completion: (number, owner)."""
    return [(int(n), owner) for n, owner, _ in _UPDATES.findall(operands)]


def trigger_semaphore(operands: str) -> int | None:
    """The semaphore a DMA trigger's completion raises."""
    found = _TRIGGER.search(operands)
    return int(found[1]) if found else None


def queue_of(engine: str, queue_type: str) -> str:
    """The profiler's name of the queue an engine's dynamic DMAs use."""
    return f"q{engine}Dynamic" + ("HW" if queue_type == "hardware_dynamic" else "")

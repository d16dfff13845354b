"""The mechanisms of the model, each of which can be switched off to see what it is worth.

Nothing in the model asks whether a mechanism is on: switching off means a machine whose numbers leave it no effect, so
`without` works for every command that takes a machine, and for what-if machines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simcore.errors import UsageError, nearest
from simcore.machine.machine import Machine

_ENDLESS = 1 << 40


@dataclass(frozen=True)
class Mechanism:
    """Something the model knows: what it is, and how a machine without it differs."""

    what: str
    off: Mapping[str, Any] | Callable[[Machine], Machine]


def _one_element_per_cycle(machine: Machine) -> Machine:
    data = machine.to_dict()
    for law in data["vector"]["laws"]:
        law["cycles_per_element"] = max(1.0, law.get("cycles_per_element", 1.0))
    return Machine.from_dict(data)


def _for_each_dtype(machine: Machine, name: str, value: float) -> dict[str, Any]:
    return {f"tensor.{name}": dict.fromkeys(getattr(machine.tensor, name), value)}


def _loaded_at_once(machine: Machine) -> Machine:
    return machine.replace(**{"tensor.stationary_overhead_cycles": 0.0},
                           **_for_each_dtype(machine, "stationary_cycles_per_column", 0.0))


def _one_pass(machine: Machine) -> Machine:
    return machine.replace(**_for_each_dtype(machine, "passes", 1))


MECHANISMS: dict[str, Mechanism] = {
    "limiter": Mechanism("clock limiter of the Tensor engine", {"tensor.limiter_rate_fraction": 1.0}),
    "stationary": Mechanism("loading of stationary tiles", _loaded_at_once),
    "tiling": Mechanism("products in different parts of the array at the same time", {"tensor.smallest_tile": 128}),
    "passes": Mechanism("float32 products in several passes", _one_pass),
    "rows": Mechanism("the limiter counts a product by the rows it feeds", {"tensor.limiter_counts_rows": False}),
    "strides": Mechanism("slower strided operands", {"tensor.stride_factor": 1.0, "sbuf.stride_max_factor": 1.0}),
    "throughput-modes": Mechanism("Vector modes faster than an element per cycle", _one_element_per_cycle),
    "tables": Mechanism("loads of activation tables", {"scalar.table_load_ns": 0.0}),
    "accumulator-read": Mechanism("the instruction that reads the sum or maximum beside another", {
        f"{engine}.accumulator_{what}_cycles": 0.0
        for engine in ("vector", "scalar") for what in ("ready", "read_issue", "read")}),
    "hand-off": Mechanism("semaphores between engines", {
        "semaphore.handoff_ns": 0.0, "semaphore.tensor_handoff_ns": 0.0, "semaphore.same_engine_ns": 0.0}),
    "descriptors": Mechanism("fixed cost of a DMA packet and a small descriptor", {
        "dma.packet_ns": 0.0, "dma.min_descriptor_ns": 0.0, "dma.scattered_write_ns": 0.0}),
    "transposes": Mechanism("DMA transposes slower than copies", {
        "dma.transpose_fraction": 1.0, "dma.transpose_sbuf_fraction": 1.0, "dma.transpose_other_factor": 1.0,
        "dma.transpose_tile_partitions": 1, "dma.transpose_tile_elements": 1}),
    "triggers": Mechanism("time between two DMA triggers of a queue", {
        "dma.issue_hw_ns": 0.0, "dma.issue_sw_ns": 0.0, "dma.issue_static_ns": 0.0, "dma.issue_dynamic_ns": 0.0,
        "dma.issue_hw_ns_per_descriptor": 0.0, "dma.issue_sw_ns_per_descriptor": 0.0}),
    "trigger-time": Mechanism("a trigger holds up its engine", {
        "dma.trigger_hw_ns": 0.0, "dma.trigger_sw_ns": 0.0, "dma.trigger_static_ns": 0.0}),
    "read-ahead": Mechanism("a load on engines that were not reading waits for HBM", {
        "dma.read_latency_ns": 0.0, "dma.read_ahead_bytes": 0}),
    "queue-depth": Mechanism("a DMA queue holds few transfers", {"dma.queue_bytes": _ENDLESS}),
    "completion": Mechanism("notice of a DMA's completion", {"dma.completion_ns": 0.0}),
    "shared-hbm": Mechanism("two cores share a stack of HBM", {"hbm.cores_per_stack": 1}),
    "reuse": Mechanism("tiles that wait for the place of others", {
        "sbuf.bytes_per_partition": _ENDLESS, "sbuf.usable_bytes_per_partition": _ENDLESS, "psum.banks": 1 << 20}),
    "reordering": Mechanism("the compiler's order of instructions", {
        "compiler.reorder_window": 1, "compiler.legacy_reorder_window": 1}),
    "dma-order": Mechanism("older dialect: a trigger that waits lets few others of its queue pass", {
        "compiler.legacy_dma_window": _ENDLESS}),
    "loads-by-need": Mechanism("loads in the order of need", {"compiler.loads_by_need": 0}),
    "software-arguments": Mechanism("software descriptors for arguments and results", {
        "compiler.software_arguments": 0}),
    "forwarding": Mechanism("older compiler: readers of PSUM in place of copies", {"compiler.forward_banks": 0}),
    "merging": Mechanism("older compiler: several small instructions and transfers as one", {
        "compiler.merge_iterations": 1, "compiler.merge_iterations_without_psum": 1, "compiler.merge_elements": 1,
        "compiler.merge_small_elements": 0, "compiler.merge_bytes": 1, "compiler.merge_transfers": 0}),
    "vectorizing": Mechanism("older compiler: short parallel loops as one instruction per line", {
        "compiler.vectorize_elements": 0}),
    "duplicates": Mechanism("older compiler: data loaded or computed once instead of again", {
        "compiler.duplicate_bytes": 0}),
    "launch": Mechanism("fixed times of a launch", {
        "kernel.start_ns": 0.0, "kernel.end_ns": 0.0, "kernel.device_fixed_ns": 0.0, "kernel.benchmark_fixed_ns": 0.0,
        "kernel.pair_fixed_ns": 0.0}),
}


def without(machine: Machine, *names: str) -> Machine:
    """A machine on which these mechanisms have no effect.  Raises UsageError for one that does not exist."""
    for name in names:
        if name not in MECHANISMS:
            raise UsageError(f"there is no mechanism {name!r}.{nearest(name, MECHANISMS)} "
                             f"They are {', '.join(MECHANISMS)}")
        off = MECHANISMS[name].off
        machine = off(machine) if callable(off) else machine.replace(**off)
    return machine

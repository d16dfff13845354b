"""The vendor's summary metrics, computed from the rows of any timeline.

For a measured profile they are checked against its own summary (docs/profile-agreement.md); for a simulated run they
are what the same tools would say.  Every `*_percent` is a fraction 0..1, times are seconds, bytes are bytes, as in the
vendor's files; SBUF and PSUM bytes of compute rows are per partition there, and so they are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore.profile import vendor
from simcore.timeline import ENGINES, Timeline, union_ps

_S = 1e-12
_BASE_CLOCK_HZ = {"trn1": 1.4e9, "inf2": 1.4e9}      # of neuroncore_cycle_count; 1.2e9 since
BF16_FACTOR = {"fp32": 4.0, "fp8": 0.5, "uint8": 0.5}


@dataclass(frozen=True)
class Chip:
    """What percentages are relative to."""

    rows: int
    columns: int
    pe_clock_hz: float
    hbm_bytes_per_s: float
    cores: int
    base_clock_hz: float

    @property
    def peak_flops_per_s(self) -> float:
        """Of one core: two per multiply-add."""
        return 2 * self.rows * self.columns * self.pe_clock_hz


def chip_of(timeline: Timeline) -> Chip:
    """From the profile's metadata; from the machine where there is none."""
    machine = vendor.machine_of(timeline)
    meta = timeline.info.get("metadata")
    meta = meta if isinstance(meta, dict) else {}

    def number(key, otherwise):
        value = meta.get(key)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else otherwise

    return Chip(
        rows=number("pe_num_rows", machine.tensor.rows), columns=number("pe_num_cols", machine.tensor.columns),
        pe_clock_hz=number("pe_clock_freq", machine.tensor.clock_hz / 1e9) * 1e9,
        hbm_bytes_per_s=number("hbm_ddr_bandwidth", machine.hbm.bytes_per_s),
        cores=number("num_physical_cores", max(len(timeline.cores), 1)),
        base_clock_hz=_BASE_CLOCK_HZ.get(vendor.instance_type(timeline), 1.2e9),
    )


def summary_metrics(timeline: Timeline) -> dict[str, Any]:
    """The metrics of the vendor's summary that the rows say, by name.  Definitions: schema reference 7.4.0 and samples.

    Times of a measured profile are whole nanoseconds, so a sum over n rows differs from the vendor's (picoseconds)
    by up to n/2 ns.
    """
    t, d, chip = timeline.instructions, timeline.dma, chip_of(timeline)
    total_ps = timeline.totals.get("profiled_ps") or timeline.end_ps
    seconds = total_ps * _S
    m: dict[str, Any] = {"total_time": seconds, "neuroncore_cycle_count": int(seconds * chip.base_clock_hz)}
    setup, waiting = (
        np.array([op in kind for op in timeline.opcodes] or [False], bool)[t.opcode]
        for kind in (vendor.SETUP_OPCODES, vendor.WAITING_OPCODES)
    )
    m |= _times(timeline, seconds, setup, waiting)
    m |= _work(timeline, seconds, chip)
    m |= _memory(timeline)
    if len(d):
        m |= _dma(timeline, seconds, chip)
    m |= _tensors(tensor_nodes(timeline))
    moved = m["hbm_read_bytes"] + m["hbm_write_bytes"]
    if seconds:
        m["mbu_estimated_percent"] = moved / seconds / chip.hbm_bytes_per_s
        if "inputs_and_weights_size_bytes" in m:
            m["mbu_min_read_util_percent"] = m["inputs_and_weights_size_bytes"] / seconds / chip.hbm_bytes_per_s
    m["peak_flops_bandwidth_ratio"] = chip.peak_flops_per_s / chip.hbm_bytes_per_s
    if moved:
        m["mm_arithmetic_intensity"] = (m["hardware_flops"] - m["transpose_flops"]) / moved
        reachable = min(1.0, m["mm_arithmetic_intensity"] / (m["peak_flops_bandwidth_ratio"] * chip.cores))
        m["mfu_max_achievable_estimated_percent"] = m["mfu_inst_max_achievable_estimated_percent"] = reachable
    m |= _limiter(timeline, seconds)
    return m


def _times(timeline: Timeline, seconds: float, setup: np.ndarray, waiting: np.ndarray) -> dict[str, Any]:
    t, d = timeline.instructions, timeline.dma
    out: dict[str, Any] = {}
    if (~setup).any():
        start, end = t.start_ps[~setup].min(), t.end_ps[~setup].max()
        out["total_exec_time"] = float(end - start) * _S
    start = np.concatenate([t.start_ps[~waiting], d.start_ps])
    end = np.concatenate([t.end_ps[~waiting], d.end_ps])
    out["total_active_time"] = union_ps(start, end) * _S
    for e, engine in enumerate(ENGINES):
        mine = t.engine == e
        works = mine & ~waiting
        name = f"{engine.lower()}_engine"
        out[f"{name}_active_time"] = union_ps(t.start_ps[works], t.end_ps[works]) * _S
        out[f"{name}_instruction_time"] = float((t.end_ps - t.start_ps)[works].sum()) * _S
        out[f"{name}_instruction_count"] = int(mine.sum())
    if seconds:
        for name in [n for n in out if n.endswith("_active_time")]:
            out[f"{name}_percent"] = out[name] / seconds
    return out


def _work(timeline: Timeline, seconds: float, chip: Chip) -> dict[str, Any]:
    t = timeline.instructions
    op = np.array(timeline.opcodes or ("",), dtype=object)[t.opcode]
    matmul, activate = op == "MATMUL", np.isin(op, ("ACTIVATE", "ACTIVATE_QUANTIZE"))
    elements = t.elements
    hardware = 2 * int(elements.sum())
    transpose = 2 * int(elements[(t.flops == 0) & (elements > 0)].sum())
    factor = np.array([BF16_FACTOR.get(name, 1.0) for name in timeline.dtypes] + [1.0])[t.dtype]    # -1: the last
    out = {
        "matmul_instruction_count": int(matmul.sum()), "activate_instruction_count": int(activate.sum()),
        "activate_instruction_time": float((t.end_ps - t.start_ps)[activate].sum()) * _S,
        "hardware_flops": hardware, "transpose_flops": transpose,
        "adjusted_hardware_flops": float((2 * elements * factor).sum()), "model_flops": 0,
    }
    if seconds:
        room = chip.peak_flops_per_s * seconds * chip.cores
        out["hfu_estimated_percent"] = hardware / room
        out["mfu_estimated_percent"] = out["mfu_inst_estimated_percent"] = (hardware - transpose) / room
    return out


def vendor_bytes(timeline: Timeline) -> dict[str, np.ndarray]:
    """Bytes per row as the vendor counts them: SBUF and PSUM of compute rows for one partition."""
    t = timeline.instructions
    scale: dict[tuple[int, int], tuple[int, int]] = {}
    read, written = np.ones(len(t), np.int64), np.ones(len(t), np.int64)
    for i, key in enumerate(zip(t.opcode.tolist(), t.operands.tolist())):
        if key not in scale:
            scale[key] = vendor.partitions(timeline.opcodes[key[0]], timeline.strings[key[1]] if key[1] >= 0 else "")
        read[i], written[i] = scale[key]
    return {
        "hbm_read_bytes": t.hbm_read_bytes, "hbm_write_bytes": t.hbm_write_bytes,
        "sbuf_read_bytes": t.sbuf_read_bytes // read, "sbuf_write_bytes": t.sbuf_write_bytes // written,
        "psum_read_bytes": t.psum_read_bytes // read, "psum_write_bytes": t.psum_write_bytes // written,
    }


def _memory(timeline: Timeline) -> dict[str, Any]:
    columns = vendor_bytes(timeline)
    out: dict[str, Any] = {name: int(column.sum()) for name, column in columns.items()}
    trigger = np.array([vendor.is_dma(op) for op in timeline.opcodes] or [False], bool)[timeline.instructions.opcode]
    evicts = ~trigger & (columns["psum_read_bytes"] > 0) & (columns["sbuf_write_bytes"] > 0)
    out["psum_read_sbuf_write_count"] = int(evicts.sum())
    out["psum_read_sbuf_write_bytes"] = int(columns["sbuf_write_bytes"][evicts].sum())
    return out


def queue_types(timeline: Timeline) -> list[str]:
    """The vendor's queue_type of each queue: as recorded, else from its name."""
    known = timeline.info.get("queue_types")
    known = known if isinstance(known, dict) else {}
    by_name = {"DynamicHW": "hardware_dynamic", "Dynamic": "software_dynamic", "Table": "instruction"}
    return [known.get(q) or next((kind for end, kind in by_name.items() if q.endswith(end)), "data")
            for q in timeline.queues]


def _dma(timeline: Timeline, seconds: float, chip: Chip) -> dict[str, Any]:
    d = timeline.dma
    size = np.maximum(d.read_bytes, d.write_bytes)
    active = union_ps(d.start_ps, d.end_ps) * _S
    out: dict[str, Any] = {
        "dma_active_time": active, "dma_active_cycles": int(active * chip.base_clock_hz),
        "dma_packet_time": float((d.end_ps - d.start_ps).sum()) * _S,
    }
    if seconds:
        out["dma_active_time_percent"] = active / seconds
    kind = np.array(queue_types(timeline) or [""], dtype=object)[d.queue]
    for name, mine in (
        ("static", ~np.isin(kind, ("hardware_dynamic", "software_dynamic"))),
        ("software_dynamic", kind == "software_dynamic"), ("hardware_dynamic", kind == "hardware_dynamic"),
        ("dynamic", np.isin(kind, ("hardware_dynamic", "software_dynamic"))),
    ):
        figures = {"packet": int(mine.sum()), "size": int(size[mine].sum()),
                   "active_time": union_ps(d.start_ps[mine], d.end_ps[mine]) * _S}
        if name == "dynamic":     # the vendor adds the two kinds' active times, common time twice
            figures["active_time"] = out["software_dynamic_dma_active_time"] + out["hardware_dynamic_dma_active_time"]
        else:
            out |= {f"{name}_dma_packet_count": figures["packet"], f"{name}_dma_size": figures["size"],
                    f"{name}_dma_active_time": figures["active_time"]}
        for what, whole in (("packet", len(d)), ("size", int(size.sum())), ("active_time", active)):
            if whole:
                out[f"{name}_dma_{what}_percent"] = figures[what] / whole
    return out


def tensor_nodes(t: Timeline) -> list[dict[str, Any]]:
    """Tensors in HBM under the names of the vendor's `neff_node`; type IN, OUT, WEIGHT, or empty for others."""
    given = t.info.get("neff_node")
    if isinstance(given, list):
        return [n for n in given if isinstance(n, dict) and n.get("variable_name")]
    kinds = {"input": "IN", "output": "OUT"}
    tensors = t.info.get("tensors")
    return [{"variable_name": n.get("name"), "type": kinds.get(str(n.get("kind")), ""), "size": str(n.get("bytes")),
             "shape": "[" + " ".join(map(str, n.get("shape", ()))) + "]"}
            for n in (tensors if isinstance(tensors, list) else ()) if isinstance(n, dict)]


def _tensors(nodes: list[dict[str, Any]]) -> dict[str, int]:
    """Sizes of the program's tensors, where the profile lists them."""
    size = {"IN": 0, "OUT": 0, "WEIGHT": 0}
    for node in nodes:
        if node.get("type") in size and str(node.get("size", "")).isdigit():
            size[node["type"]] += int(node["size"])
    if not any(size.values()):
        return {}
    return {"weight_size_bytes": size["WEIGHT"], "inputs_and_weights_size_bytes": size["IN"] + size["WEIGHT"],
            "inputs_outputs_weights_size_bytes": sum(size.values())}


def _limiter(timeline: Timeline, seconds: float) -> dict[str, Any]:
    """Share of the time spent in each state of the Tensor engine's clock limiter, by core, full rate first."""
    c = timeline.clock
    out: dict[str, Any] = {}
    for core in np.unique(c.core).tolist():
        mine = c.core == core
        length, limit = (c.end_ps - c.start_ps)[mine], c.k[mine] / np.maximum(c.n[mine], 1)
        out[f"throttle_active_nc{core}_time_ns"] = int(length[limit < 1].sum()) // 1000
        if seconds:
            out[f"throttle_avg_util_limit_nc{core}_percent"] = float((length * limit).sum()) * _S / seconds
            for i, state in enumerate(sorted(set(limit.tolist()), reverse=True)):
                share = float(length[limit == state].sum()) * _S / seconds
                out[f"throttle_activity_{i}_active_time_nc{core}_percent"] = share
                out[f"throttle_activity_{i}_avg_util_limit_nc{core}_percent"] = state
    return out

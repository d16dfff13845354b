"""Roofline figures: a machine's ceilings and slopes, a timeline's points.  simcore.viz.roofline draws them.

Intensity is arithmetic operations per byte of HBM traffic (the vendor's definition).  Every timeline gives two points
at the rate it achieved: *algorithmic* intensity counts each input and output byte once, *achieved* intensity counts the
bytes really moved.  The way from one to the other is what reloads and intermediates in HBM cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore import analysis
from simcore.machine import Machine, load_machine
from simcore.timeline import ENGINES, Timeline

DTYPE_KEYS = {
    "float32": "fp32",
    "float32r": "fp32",
    "fp32": "fp32",
    "bfloat16": "bf16",
    "bf16": "bf16",
    "float16": "fp16",
    "fp16": "fp16",
    "tfloat32": "tf32",
    "tf32": "tf32",
}
"""Names of dtypes -> keys of the machine's peak_flops_per_s; every 8-bit float is "fp8", packed micro-scaling "mx"."""


@dataclass(frozen=True)
class Ceiling:
    """A rate no kernel exceeds, whatever it loads."""

    name: str
    flops_per_s: float
    engine: str


@dataclass(frozen=True)
class Slope:
    """A bandwidth: attainable rate = intensity x bytes_per_s."""

    name: str
    bytes_per_s: float
    memory: str  # "HBM", "DMA", "SBUF" or "PSUM"
    limits_hbm: bool = False  # the roof is under this slope, whatever the kernel does


@dataclass(frozen=True)
class Point:
    """One timeline.  An intensity is None where it cannot be known (no traffic there, or tensor sizes not recorded)."""

    name: str
    kind: str  # "simulated" or "measured"
    origin: str  # kind and target, and whether the chip is extrapolated (Timeline.origin)
    target: str
    work: str  # what does most of its arithmetic: "Tensor bf16", "Vector", ...
    flops: int
    span_ps: int
    flops_per_s: float
    hbm_bytes: int
    algorithmic_bytes: int | None
    achieved: float | None  # FLOP per HBM byte moved
    algorithmic: float | None  # FLOP per byte of the inputs and outputs, each once
    levels: dict[str, float]  # FLOP per byte of SBUF and of PSUM traffic
    peak_flops_per_s: float | None  # the ceiling over its mix of engines and dtypes
    roof_flops_per_s: float | None  # the roof over its achieved intensity: that ceiling or the memory slope

    @property
    def of_roof(self) -> float | None:
        return self.flops_per_s / self.roof_flops_per_s if self.roof_flops_per_s else None


@dataclass(frozen=True)
class Roofline:
    """One machine's roof and the kernels under it."""

    target: str
    ceilings: tuple[Ceiling, ...]  # highest first
    slopes: tuple[Slope, ...]  # fastest first
    points: tuple[Point, ...]

    @property
    def memory(self) -> Slope:
        """The slope that limits the traffic with HBM: HBM itself or the core's DMA engines, the slower."""
        return min((s for s in self.slopes if s.limits_hbm), key=lambda s: s.bytes_per_s)

    @property
    def ridges(self) -> tuple[tuple[Ceiling, float], ...]:
        """The intensity at which each ceiling meets the memory slope: kernels left of it are bound by memory."""
        return tuple((c, c.flops_per_s / self.memory.bytes_per_s) for c in self.ceilings)


def machine_of(timeline: Timeline) -> Machine:
    """The machine a run was simulated on; for a measured profile the shipped description of its target."""
    return Machine.from_dict(timeline.machine) if timeline.machine else load_machine(timeline.target)


def rooflines(timelines: list[Timeline]) -> list[Roofline]:
    """One roof per target, in order of appearance, each with the kernels that ran there."""
    targets: dict[str, list[Timeline]] = {}
    for timeline in timelines:
        targets.setdefault(timeline.target, []).append(timeline)
    return [_roofline(target, group) for target, group in targets.items()]


def _roofline(target: str, timelines: list[Timeline]) -> Roofline:
    machine = machine_of(timelines[0])
    points = tuple(point(t, machine) for t in timelines)
    return Roofline(target, ceilings(machine, {p.work for p in points}), slopes(machine, timelines), points)


def ceilings(machine: Machine, work: set[str]) -> tuple[Ceiling, ...]:
    """The Tensor engine's peak for each dtype (bf16 and fp32 always: the range to teach), and Vector's and Scalar's."""
    found: dict[float, list[str]] = {}
    for dtype, rate in machine.tensor.peak_flops_per_s.items():
        if f"Tensor {dtype}" in work or dtype in ("bf16", "fp32"):
            found.setdefault(rate, []).append(dtype)
    out = [Ceiling(f"Tensor {'/'.join(names)}", rate, "Tensor") for rate, names in found.items()]
    for engine in ("Scalar", "Vector"):
        rate = machine.engines[engine].get("peak_flops_per_s")
        if rate is not None:
            out.append(Ceiling(engine, rate, engine))
    return tuple(sorted(out, key=lambda c: (-c.flops_per_s, c.name)))


def slopes(machine: Machine, timelines: list[Timeline]) -> tuple[Slope, ...]:
    """HBM, the DMA engines at best and with the kernels' own descriptors, and the Tensor engine's ports.

    A descriptor of b bytes occupies its DMA engine for packet_ns + b / engine_bytes_per_s: small ones lower the slope.
    The Tensor engine reads a stationary and a moving column from SBUF and writes a column of fp32 to PSUM per cycle.
    """
    dma, tensor = machine.dma, machine.tensor
    out = [
        Slope("HBM", machine.hbm.bytes_per_s, "HBM", True),
        Slope("DMA engines", dma.engines * dma.engine_bytes_per_s, "DMA", True),
        Slope("SBUF to Tensor (bf16)", tensor.rows * 2 * 2 * tensor.clock_hz, "SBUF"),
        Slope("Tensor to PSUM", tensor.columns * 4 * tensor.clock_hz, "PSUM"),
    ]
    sizes = [size for t in timelines if (size := descriptor_bytes(t)) is not None]
    if sizes and dma.get("packet_ns") is not None:
        seconds = dma.packet_ns * 1e-9 + min(sizes) / dma.engine_bytes_per_s
        out.append(Slope(f"DMA, {min(sizes):.0f} B descriptors", dma.engines * min(sizes) / seconds, "DMA"))
    return tuple(sorted(out, key=lambda s: (-s.bytes_per_s, s.name)))


def descriptor_bytes(timeline: Timeline) -> float | None:
    """Mean bytes per DMA descriptor."""
    d = timeline.dma.take(analysis.kernel_transfers(timeline))
    descriptors = int(d.descriptors.sum())
    return max(int(d.read_bytes.sum()), int(d.write_bytes.sum())) / descriptors if descriptors else None


def point(timeline: Timeline, machine: Machine) -> Point:
    begin, end = analysis.span_ps(timeline)
    t, flops, moved, needed = timeline.instructions, timeline.flops, timeline.hbm_bytes, algorithmic_bytes(timeline)
    rate = flops / ((end - begin) * 1e-12) if end > begin else 0.0
    seconds = seconds_at_peak(timeline, machine)
    work = max(seconds, key=lambda k: seconds[k], default="")
    tensor = sum(s for name, s in seconds.items() if name.startswith("Tensor"))
    others = [s for name, s in seconds.items() if not name.startswith("Tensor")]
    longest = max([tensor, *others], default=0.0)
    peak = flops / longest if longest else None
    achieved = flops / moved if moved else None
    memory = min(machine.hbm.bytes_per_s, machine.dma.engines * machine.dma.engine_bytes_per_s)
    tensor_rows = t.engine == ENGINES.index("Tensor")
    levels = {"SBUF": int(t.sbuf_read_bytes[tensor_rows].sum()), "PSUM": int(t.psum_write_bytes[tensor_rows].sum())}
    matmul_flops = int(t.flops[tensor_rows].sum())
    return Point(
        name=timeline.name,
        kind=timeline.kind,
        origin=timeline.origin,
        target=timeline.target,
        work=work,
        flops=flops,
        span_ps=end - begin,
        flops_per_s=rate,
        hbm_bytes=moved,
        algorithmic_bytes=needed,
        achieved=achieved,
        algorithmic=flops / needed if needed else None,
        levels={name: matmul_flops / size for name, size in levels.items() if size and matmul_flops},
        peak_flops_per_s=peak,
        roof_flops_per_s=None if peak is None else peak if achieved is None else min(peak, achieved * memory),
    )


def seconds_at_peak(timeline: Timeline, machine: Machine) -> dict[str, float]:
    """How long the arithmetic takes at the machine's peaks: by dtype on the Tensor engine, and by other engine."""
    t = timeline.instructions
    out: dict[str, float] = {}
    tensor = t.engine == ENGINES.index("Tensor")
    for i in np.unique(t.dtype[tensor & (t.flops > 0)]):
        key = dtype_key(timeline.dtypes[i]) if i >= 0 else "bf16"
        peak = machine.tensor.peak_flops_per_s.get(key)
        if peak:
            name = f"Tensor {key}"
            out[name] = out.get(name, 0.0) + int(t.flops[tensor & (t.dtype == i)].sum()) / peak
    for engine in ("Vector", "Scalar", "GpSimd"):
        flops, peak = (
            int(t.flops[t.engine == ENGINES.index(engine)].sum()),
            machine.engines[engine].get("peak_flops_per_s"),
        )
        if flops and peak:
            out[engine] = flops / peak
    return out


def dtype_key(name: str) -> str:
    if name in DTYPE_KEYS:
        return DTYPE_KEYS[name]
    return "mx" if name.endswith("_x4") else "fp8" if "float8" in name or "fp8" in name else name


def algorithmic_bytes(timeline: Timeline) -> int | None:
    """Bytes of the kernel's inputs and outputs, each once; None where the timeline does not record its tensors."""
    tensors: list[dict[str, Any]] = timeline.info.get("tensors") or timeline.info.get("neff_node") or []
    total = 0
    for tensor in tensors:
        kind = str(tensor.get("kind", tensor.get("type", ""))).upper()
        if kind in ("IN", "OUT", "INPUT", "OUTPUT"):
            total += int(tensor.get("bytes", tensor.get("size", 0)) or 0)
    return total or None

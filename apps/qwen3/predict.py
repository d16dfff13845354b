"""Launches -> times on a machine model, added up.

A launch is captured for timing only and simulated at full size.  Launches with the same kernel, shapes and arguments
take the same time, so each kind is simulated once: the layers of a model repeat each other exactly.  All
launches of a model are one program on the chip: it starts once (the machine file's fixed device time), and one kernel
begins when the one before it has ended, because it reads its results from HBM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from simcore.apps.qwen3.attention import causal_option
from simcore.apps.qwen3.compile import compile_graph
from simcore.apps.qwen3.execute import arguments, kernel, shapes
from simcore.apps.qwen3.graph import export
from simcore.apps.qwen3.ops import SIZE, Launch
from simcore.apps.qwen3.sizes import Size


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One kind of launch: times in picoseconds, bytes to and from HBM, flops; `busy_ps` by engine."""

    time_ps: int
    bound_ps: int
    bound: str
    hbm_read_bytes: int
    hbm_write_bytes: int
    flops: int
    busy_ps: dict[str, int]
    instructions: int
    peak: str = ""

    @property
    def hbm_bytes(self) -> int:
        return self.hbm_read_bytes + self.hbm_write_bytes

    @property
    def intensity(self) -> float | None:
        return self.flops / self.hbm_bytes if self.hbm_bytes else None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One operator (or fused chain) of the model: its place, how often it runs, and its time each."""

    part: str
    label: str
    kernel: str
    count: int
    timed: Timed

    @property
    def total_ps(self) -> int:
        return self.count * self.timed.time_ps


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A model on a chip.  `device_ps` is the time on the device for one batch; nothing of the host is in it.

    ideal_ps  by part: the least time its work allows, matmuls at the Tensor engine's peak and what goes into and
              comes out of the part moved once at the DMA engines' rate, whichever is longer
    """

    size: str
    layers: int
    length: int
    batch: int
    attention: str
    dtype: str
    target: str
    rule: str
    decode: bool
    rows: tuple[Row, ...]
    start_ps: int
    ideal_ps: dict[str, int] = field(default_factory=dict)

    @property
    def device_ps(self) -> int:
        return self.start_ps + sum(r.total_ps for r in self.rows)

    @property
    def prompts_per_second(self) -> float:
        return self.batch * 1e12 / self.device_ps

    def by_part(self) -> dict[str, int]:
        """Picoseconds by part of the model, in the order of the model."""
        parts: dict[str, int] = {}
        for r in self.rows:
            parts[r.part] = parts.get(r.part, 0) + r.total_ps
        return parts

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"device_ps": self.device_ps, "prompts_per_second": self.prompts_per_second}


PARTS = {
    "q_proj": "projections",
    "k_proj": "projections",
    "v_proj": "projections",
    "o_proj": "projections",
    "q_norm": "norms",
    "k_norm": "norms",
    "input_layernorm": "norms",
    "post_attention_layernorm": "norms",
    "norm": "norms",
    "gate_proj": "MLP",
    "up_proj": "MLP",
    "down_proj": "MLP",
    "act_fn": "MLP",
    "mlp": "MLP",
    "rotary_emb": "rotary",
    "embed_tokens": "embedding",
}


def part_of(launch: Launch, length: int) -> str:
    """The part of the model a launch belongs to: by its module, and within attention by what it touches."""
    last = launch.module.split(".")[-1]
    if last in PARTS:
        return PARTS[last]
    if launch.kernel == "flash_attn":
        return "attention"
    if last == "self_attn":
        scores = any(len(s) > 2 and s[-1] == length and s[-2] in (1, length) for s in launch.shapes)
        if launch.label == "bmm" or scores:
            return "attention"
        if launch.kernel == "append":
            return "cache"
        return "attention layout" if launch.kernel == "batched_transpose" or launch.label == "copy" else "rotary"
    return "residual" if last.isdigit() else "mask and inputs"


def _volume(shape: tuple[int, ...]) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


def predict(
    of: Size,
    *,
    layers: int,
    length: int,
    attention: str = "eager",
    dtype: str = "bfloat16",
    batch: int = 1,
    target: str = "trn2",
    rule: str = "none",
    decode: bool = False,
    attention_kernel: Callable | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Prediction:
    """Time the model's own operator graph on a chip, operator by operator.

    attention_kernel  in place of kernels/flash_attn.py, for example attention.attention_cte(checkout)
    progress  called with (done, of how many, what is next) before each kind of launch
    """
    launches, counts, traffic = kinds(
        of, layers=layers, length=length, attention=attention, dtype=dtype, batch=batch, rule=rule, decode=decode
    )
    from simcore.machine import chip_of, load_machine

    machine, rules = load_machine(target), chip_of(target)
    rows = []
    for i, (launch, count) in enumerate(zip(launches, counts)):
        if progress is not None:
            progress(i, len(launches), f"{launch.module} {launch.label}")
        swapped = attention_kernel if launch.kernel == "flash_attn" else None
        function = swapped if swapped is not None else kernel(launch)
        rows.append(
            Row(
                part=part_of(launch, length),
                label=launch.label,
                kernel=function.__name__,
                count=count,
                timed=time_launch(launch, function, machine, rules),
            )
        )
    flops: dict[str, int] = {}
    for launch, count in zip(launches, counts):
        part = part_of(launch, length)
        flops[part] = flops.get(part, 0) + count * matmul_flops(launch)
    ideal = ideal_times(traffic, flops, dtype, machine)
    start_ps = round((machine.kernel.get("device_fixed_ns") or 0) * 1000)
    return Prediction(
        size=of.name,
        layers=layers,
        length=length,
        batch=batch,
        attention=attention,
        dtype=dtype,
        target=target,
        rule=rule,
        decode=decode,
        rows=tuple(rows),
        start_ps=start_ps,
        ideal_ps=ideal,
    )


def kinds(of: Size, *, layers: int, rule: str, **graph: Any) -> tuple[list[Launch], list[int], dict[str, int]]:
    """The different launches of a model of `layers` layers, how often each occurs, and the bytes each part has to move.

    Layers are alike: the graph of two is exported, and what the second adds to the first is counted for every further
    one.
    """
    few = min(layers, 2)
    length = graph["length"]
    launches = compile_graph(export(of, layers=few, **graph), rule)
    counted = dict(_count(launches))
    traffic = part_traffic(launches, length)
    if layers > few:
        one = compile_graph(export(of, layers=1, **graph), rule)
        first, moved = dict(_count(one)), part_traffic(one, length)
        for key in counted:
            counted[key] += (layers - few) * (counted[key] - first.get(key, 0))
        for part in traffic:
            traffic[part] += (layers - few) * (traffic[part] - moved.get(part, 0))
    example = {(_where(x), x.signature): x for x in reversed(launches)}
    return [example[k] for k in counted], [counted[k] for k in counted], traffic


def part_traffic(launches: list[Launch], length: int) -> dict[str, int]:
    """Bytes that enter or leave each part of the model, every tensor once: what is left if all inside stays on chip.

    A part is taken module by module, so that the MLP of one layer cannot keep its weights for the next.
    """
    place = [(part_of(x, length), _layer(x.module)) for x in launches]
    made = {name: where for x, where in zip(launches, place) for name in x.results}
    size = {name: SIZE[dtype] * _volume(shape) for x in launches for name, dtype, shape in x.tensors}
    into: dict[tuple, set[str]] = {}
    outof: dict[tuple, set[str]] = {}
    for x, where in zip(launches, place):
        for name, _, _ in x.tensors:
            if made.get(name) != where:
                into.setdefault(where, set()).add(name)
                if name in made:
                    outof.setdefault(made[name], set()).add(name)
    parts: dict[str, int] = {}
    for where in dict.fromkeys(place):
        moved = sum(size[n] for n in into.get(where, ())) + sum(size[n] for n in outof.get(where, ()))
        parts[where[0]] = parts.get(where[0], 0) + moved
    return parts


def matmul_flops(launch: Launch) -> int:
    """Floating-point operations of the matmuls a launch is for; its transposes are not work."""
    if launch.kernel == "batched_matmul":
        batches, rows, depth, columns = launch.arguments[2]
        return 2 * batches * rows * depth * columns
    if launch.kernel == "flash_attn":
        (_, _, (heads, depth, queries)), (_, _, (_, _, keys)), _ = launch.tensors
        full = 4 * heads * queries * keys * depth
        return full // 2 if dict(launch.options)["causal"] else full
    return 0


def _layer(module: str) -> str:
    return next((p for p in module.split(".") if p.isdigit()), "")


def ideal_times(traffic: dict[str, int], flops: dict[str, int], dtype: str, machine: Any) -> dict[str, int]:
    """Least time of each part: see Prediction.ideal_ps."""
    peak = machine.tensor.peak_flops_per_s[{"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}[dtype]]
    rate = machine.dma.engines * machine.dma.engine_bytes_per_s
    return {part: round(1e12 * max(flops.get(part, 0) / peak, nbytes / rate)) for part, nbytes in traffic.items()}


def _where(launch: Launch) -> tuple[str, str]:
    return ".".join(p for p in launch.module.split(".") if not p.isdigit()), launch.label


def _count(launches: list[Launch]) -> Iterator[tuple[Any, int]]:
    counts: dict[Any, int] = {}
    for launch in launches:
        key = (_where(launch), launch.signature)
        counts[key] = counts.get(key, 0) + 1
    return iter(counts.items())


_TIMED: dict[tuple, Timed] = {}
"""Launches already timed in this process: (machine, signature) -> Timed."""


def time_launch(launch: Launch, function: Callable, machine: Any, chip: str) -> Timed:
    """Capture and simulate; `chip` is the one whose rules the kernels are checked against."""
    key = (machine.name, function.__name__, launch.signature)
    if key not in _TIMED:
        _TIMED[key] = _time(launch, function, machine, chip)
    return _TIMED[key]


def _time(launch: Launch, function: Callable, machine: Any, chip: str) -> Timed:
    import simcore

    args, options = arguments(launch, shapes(launch))
    if launch.kernel == "flash_attn":
        options |= causal_option(function, options.pop("causal"))
    trace = simcore.capture(function, *args, values=False, target=chip, **options)
    timeline = simcore.simulate(trace, machine)
    columns = timeline.instructions
    resources = timeline.bounds["resources"]
    bottleneck = timeline.bounds["bottleneck"]
    return Timed(
        time_ps=int(timeline.end_ps),
        bound_ps=int(resources[bottleneck]),
        bound=bottleneck,
        hbm_read_bytes=int(columns.hbm_read_bytes.sum()),
        hbm_write_bytes=int(columns.hbm_write_bytes.sum()),
        flops=int(columns.flops.sum()),
        busy_ps={e: int(timeline.busy_ps(e)) for e in ("Tensor", "Vector", "Scalar", "GpSimd")}
        | {"DMA": int(timeline.dma_busy_ps())},
        instructions=len(columns.start_ps),
    )

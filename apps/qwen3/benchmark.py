"""The measurement on a Trainium host: Qwen3 traced for one NeuronCore, timed, checked, saved as a bundle.

    python -m simcore.apps.qwen3.benchmark                  # eager attention
    python -m simcore.apps.qwen3.benchmark --nki            # attention replaced by kernels/flash_attn.py
    python -m simcore.apps.qwen3.benchmark --nki --profile  # and a system and device profile

It follows the vendor's documented calls: torch_neuronx.trace with the model and example inputs, torch.jit.save and
load of the traced model, CPU tensors in and out, NEURON_RT_INSPECT_* for profiles, `neuron-explorer view` for their
figures. Needs torch-neuronx and neuronx-cc (the extra `neuron`); everything that does not touch the chip is tested
without them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcore.apps.qwen3 import attention, bundle, sizes
from simcore.errors import SimcoreError, UsageError


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for."""

    size: str
    layers: int
    seq: int
    batch: int
    dtype: str
    nki: bool
    profile: bool
    runs: int
    warmup: int
    folder: Path
    output: Path | None
    target: str
    model: str | None

    @property
    def attention(self) -> str:
        return "flash" if self.nki else "eager"

    @property
    def name(self) -> str:
        """Names the traced model, so that a second run with the same options loads the first one's."""
        return f"qwen3-{self.size}-{self.layers}l-{self.batch}x{self.seq}-{self.dtype}-{self.attention}-{self.target}"

    @property
    def configuration(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "layers": self.layers,
            "seq": self.seq,
            "batch": self.batch,
            "dtype": self.dtype,
            "attention": self.attention,
            "target": self.target,
        }


def parse(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m simcore.apps.qwen3.benchmark", description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="0.6B", choices=list(sizes.SIZES))
    parser.add_argument("--model", help="load these weights (a path or a name on the hub) instead of random ones")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--seq", type=int, default=16_384)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--nki", action="store_true", help="replace attention by the NKI kernel")
    parser.add_argument("--profile", action="store_true", help="take a system and device profile of one more run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--target", default="trn2", choices=["trn1", "trn2", "trn3"])
    parser.add_argument(
        "--folder", type=Path, default=Path("qwen3-benchmark"), help="where models and profiles are kept"
    )
    parser.add_argument("--output", type=Path, help="the bundle (default: FOLDER/NAME.json)")
    given = parser.parse_args(arguments)
    for option in ("layers", "seq", "batch", "runs"):
        if getattr(given, option) < 1:
            parser.error(f"--{option} must be at least 1")
    if given.warmup < 0:
        parser.error("--warmup must not be negative")
    if given.nki and given.seq % attention.TILE:
        parser.error(f"--nki needs a --seq that is a multiple of {attention.TILE}, not {given.seq}")
    return Options(**vars(given))


# ---------------------------------------------------------------------------------------- the model


def load_model(o: Options):
    """On the CPU: the size's configuration with seeded random weights, or the weights of `--model` cut to
    `--layers`.
    """
    import torch

    dtype = getattr(torch, o.dtype)
    if o.model is None:
        return sizes.build(sizes.size(o.size), o.layers, dtype=o.dtype)
    from transformers import AutoConfig, AutoModel

    settings = AutoConfig.from_pretrained(o.model)
    settings.num_hidden_layers = o.layers
    if getattr(settings, "layer_types", None):
        settings.layer_types = settings.layer_types[: o.layers]
    return AutoModel.from_pretrained(o.model, config=settings, dtype=dtype, attn_implementation="eager").eval()


def example_inputs(o: Options, vocabulary: int) -> tuple:
    """Seeded token ids and an attention mask of ones, both [batch, seq]."""
    import torch

    ids = torch.randint(0, vocabulary, (o.batch, o.seq), generator=torch.Generator().manual_seed(0))
    return ids, torch.ones_like(ids)


def encoder(model):
    """Positional tensors in, one tensor out, as tracing wants it."""
    import torch

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids, mask):
            return self.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state

    return Encoder().eval()


def on_device() -> Callable:
    """`run` for the attention adapter on the chip: the kernel as it is, on the tensors being traced."""
    from simcore.kernels.flash_attn import flash_attn  # imports the vendor's nki

    def run(q, k, v, scale, causal):
        return flash_attn(q, k, v, scale=scale, causal=causal)

    return run


# ---------------------------------------------------------------------------------------- the chip


def compiler_arguments(o: Options) -> list[str]:
    """One physical core: without --lnc=1 a trn2 or trn3 model is spread over two."""
    arguments = ["--model-type=transformer", "--auto-cast=none"]
    return arguments if o.target == "trn1" else [*arguments, "--lnc=1"]


def prepare_environment(o: Options, environment: dict[str, str]) -> None:
    """What the runtime reads when it is loaded."""
    environment.setdefault("NEURON_RT_VISIBLE_CORES", "0")
    if o.target != "trn1":
        environment["NEURON_LOGICAL_NC_CONFIG"] = "1"
    environment["NEURON_PLATFORM_TARGET_OVERRIDE"] = o.target


def traced(o: Options, model, inputs: tuple):
    """The compiled model: loaded if an earlier run saved it, else traced and saved."""
    import torch
    import torch_neuronx

    path = o.folder / f"{o.name}.pt"
    if path.exists():
        print(f"loading {path}", file=sys.stderr)
        return torch.jit.load(str(path))
    print(f"compiling {o.name} (minutes to hours)", file=sys.stderr)
    compiled = torch_neuronx.trace(
        encoder(model), inputs, compiler_workdir=str(o.folder / f"{o.name}.work"), compiler_args=compiler_arguments(o)
    )
    part = path.with_suffix(".part")
    torch.jit.save(compiled, str(part))
    part.replace(path)
    return compiled


def timed(
    call: Callable[[], Any], *, warmup: int, runs: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Seconds of each of `runs` calls after `warmup` that are not counted.  A call returns CPU tensors, so it is over
    when it returns.
    """
    for _ in range(warmup):
        call()
    seconds = []
    for _ in range(runs):
        begin = clock()
        call()
        seconds.append(clock() - begin)
    return seconds


# ---------------------------------------------------------------------------------------- profiles


def profile_environment(folder: Path) -> dict[str, str]:
    """The documented switches of a system and a device profile."""
    return {
        "NEURON_RT_INSPECT_ENABLE": "1",
        "NEURON_RT_INSPECT_SYSTEM_PROFILE": "1",
        "NEURON_RT_INSPECT_DEVICE_PROFILE": "1",
        "NEURON_RT_INSPECT_OUTPUT_DIR": str(folder),
    }


def take_profile(o: Options, arguments: Sequence[str], run: Callable = subprocess.run) -> tuple[list[float], list[str]]:
    """Run once more in a new process under the profiler; returns device seconds and what to keep.

    The switches are read when the runtime starts, and profiling slows a run down, so the timed runs are not the
    profiled one.
    """
    folder = o.folder / f"{o.name}.profile"
    again = [a for a in arguments if a != "--profile"]
    command = [sys.executable, "-m", "simcore.apps.qwen3.benchmark", *again, "--runs", "1", "--warmup", "1"]
    command += ["--output", str(o.folder / f"{o.name}.profiled.json")]
    run(command, check=True, env={**os.environ, **profile_environment(folder)})
    view = ["neuron-explorer", "view", "-d", str(folder), "--output-format", "summary-json"]
    shown = run(view, check=True, capture_output=True, text=True)
    return device_seconds(shown.stdout), [str(folder)]


def device_seconds(summary: str) -> list[float]:
    """`total_time` (seconds) of every model in the profiler's summary-json."""
    try:
        data = json.loads(summary[summary.index("{") :])
    except ValueError:
        raise SimcoreError(
            "neuron-explorer printed no summary; look at the profile with `neuron-explorer view -d FOLDER`"
        ) from None
    found = [v["total_time"] for v in data.values() if isinstance(v, dict) and "total_time" in v]
    if not found and "total_time" in data:
        found = [data["total_time"]]
    return [float(x) for x in found]


# ---------------------------------------------------------------------------------------- all of it


def measure(o: Options, arguments: Sequence[str]) -> bundle.Bundle:
    """Reference on the CPU, compile or load, warm up, time, compare, profile."""
    import torch

    o.folder.mkdir(parents=True, exist_ok=True)
    model = load_model(o)
    inputs = example_inputs(o, model.config.vocab_size)
    with torch.no_grad():
        expected = cached_reference(o, lambda: encoder(model)(*inputs))
        if o.nki:
            model.set_attn_implementation(attention.register(on_device(), "nki"))
        compiled = traced(o, model, inputs)
        output = compiled(*inputs)
        seconds = timed(lambda: compiled(*inputs), warmup=o.warmup, runs=o.runs)
    cosine, mse = attention.agreement(output, expected)
    device, profiles = take_profile(o, arguments) if o.profile else ([], [])
    return bundle.Bundle(
        configuration=o.configuration,
        latency_s=seconds,
        device_s=device,
        accuracy={"cosine_similarity": cosine, "mean_squared_error": mse},
        environment=versions(),
        profiles=profiles,
    )


def cached_reference(o: Options, compute: Callable[[], Any]):
    """The CPU's output with eager attention: minutes at 16,384 tokens, so it is kept.  It does not depend on --nki."""
    import torch

    path = o.folder / f"{o.name.replace(o.attention, 'reference')}.tensor"
    if path.exists():
        return torch.load(path, weights_only=True)
    value = compute()
    torch.save(value, path)
    return value


def versions() -> dict[str, str]:
    """Of everything that decides the result."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "host": platform.platform()}
    for package in ("torch", "transformers", "torch-neuronx", "torch-xla", "neuronx-cc", "nki", "simcore"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def needs_chip() -> None:
    from importlib.util import find_spec

    if find_spec("torch_neuronx") is None:
        raise SimcoreError(
            "this measures on a Trainium host and needs torch-neuronx (pip install 'simcore[neuron]' from the vendor's "
            "repository); on other computers use `simcore qwen3 predict`"
        )


def report(b: bundle.Bundle) -> str:
    s = b.statistics
    lines = [
        f"latency {1e3 * s['mean_s']:.1f} ms (median {1e3 * s['median_s']:.1f}, {len(b.latency_s)} runs from "
        f"{1e3 * s['min_s']:.1f} to {1e3 * s['max_s']:.1f}), {s['prompts_per_s']:.2f} prompts/s"
    ]
    if b.device_s:
        lines.append(f"on the device {1e3 * min(b.device_s):.1f} ms")
    lines += [f"{k.replace('_', ' ')} {v:.6g}" for k, v in b.accuracy.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    o = parse(given)
    try:
        needs_chip()
        prepare_environment(o, os.environ)  # type: ignore[arg-type]
        result = measure(o, given)
        path = o.output or o.folder / f"{o.name}.json"
        bundle.write(result, path)
    except (SimcoreError, UsageError) as e:
        sys.exit(f"benchmark: {e}")
    except subprocess.CalledProcessError as e:
        sys.exit(f"benchmark: {e.cmd[0]} failed with exit code {e.returncode}")
    print(report(result))
    print(f"saved {path}; compare it with `simcore qwen3 compare {path}`")


if __name__ == "__main__":
    main()

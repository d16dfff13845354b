"""`simcore qwen3 ...`: the road from eager attention to an NKI kernel."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from simcore.errors import SimcoreError, UsageError

app = typer.Typer(
    help="Qwen3: eager attention or an NKI kernel, predicted and compared with a measurement.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Size = Annotated[str, typer.Option("--size", help="Model of the family: 0.6B, 1.7B, 4B or 8B.")]
Layers = Annotated[int, typer.Option("--layers", min=1, help="Cut the model to so many layers.")]
Seq = Annotated[int, typer.Option("--seq", min=2, help="Tokens.")]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Prompts at once.")]
Dtype = Annotated[str, typer.Option("--dtype", help="bfloat16 or float32.")]
Target = Annotated[
    str, typer.Option("--target", "-t", metavar="CHIP", help="trn1, trn2, trn3 or a machine .toml file.")
]
Rule = Annotated[str, typer.Option("--fusion", help="none, pointwise or rows: what shares a pass over HBM.")]
Decode = Annotated[bool, typer.Option("--decode", help="One token with a cache of --seq, instead of a prompt.")]
Attention = Annotated[str, typer.Option("--attention", help="eager, flash or both.")]
Checkout = Annotated[
    Path | None,
    typer.Option(
        "--nki-library", metavar="CHECKOUT", help="Use attention_cte of this nki-library.", show_default=False
    ),
]
Picture = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Write this picture (PNG, SVG or PDF).", show_default=False)
]


@app.command()
def swap(
    size: Size = "0.6B",
    layers: Layers = 2,
    seq: Seq = 256,
    dtype: Dtype = "float32",
    target: Target = "trn2",
    nki_library: Checkout = None,
) -> None:
    """Run the Transformers model here, with eager attention and with a kernel in the simulator, and compare."""
    _needs_transformers()
    import torch

    from simcore.apps.qwen3 import attention, sizes

    of = sizes.size(size)
    kernel = _kernel_of(nki_library) or attention.flash_attn()
    _known_dtype(dtype)
    model = sizes.build(of, layers, dtype=dtype, vocabulary=1024)
    ids = torch.randint(0, 1024, (1, seq), generator=torch.Generator().manual_seed(0))
    launches: list = []
    with torch.no_grad(), _kernels_print_to_stderr():
        reference = model(input_ids=ids, use_cache=False).last_hidden_state
        name = attention.register(attention.simulated(kernel, target=target, on_trace=launches.append))
        model.set_attn_implementation(name)
        output = model(input_ids=ids, use_cache=False).last_hidden_state
    cosine, mse = attention.agreement(output, reference)
    print(
        f"Qwen3-{size}, {layers} layers, {seq} tokens, {dtype}: "
        f"attention by {kernel.__name__}, {len(launches)} launches"
    )
    print(f"cosine similarity {cosine:.6f}, mean squared error {mse:.3g} against eager attention")


@app.command()
def predict(
    size: Size = "0.6B",
    layers: Layers = 4,
    seq: Seq = 16_384,
    attention: Attention = "both",
    batch: Batch = 1,
    dtype: Dtype = "bfloat16",
    target: Target = "trn2",
    fusion: Rule = "none",
    decode: Decode = False,
    most: Annotated[int, typer.Option("--rows", min=1, help="Operators to print.")] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    nki_library: Checkout = None,
    chart: Picture = None,
    roofline: Picture = None,
) -> None:
    """Time the model's operator graph on a chip, operator by operator, with eager attention and with the kernel."""
    _check_pictures(chart, roofline)
    predictions = _predictions(
        _attentions(attention, decode),
        size=size,
        layers=layers,
        length=seq,
        batch=batch,
        dtype=dtype,
        target=target,
        rule=fusion,
        decode=decode,
        attention_kernel=_kernel_of(nki_library),
    )
    from simcore.apps.qwen3 import report

    if as_json:
        print(json.dumps([p.to_dict() for p in predictions], indent=1))
    else:
        for p in predictions:
            print(report.operators(p, most), end="\n\n")
        print(report.parts(predictions), end="\n\n")
        for p in predictions:
            print(report.onion(p), end="\n\n")
        for line in report.verdict(predictions):
            print(line)
    if chart is not None or roofline is not None:
        from simcore.apps.qwen3 import charts

        if chart is not None:
            charts.time_by_part(predictions, chart)
        if roofline is not None:
            charts.operators_under_the_roof(predictions, roofline)


@app.command()
def scale(
    size: Size = "0.6B",
    layers: Annotated[str, typer.Option(help="Numbers of layers, with commas.")] = "4",
    seq: Annotated[str, typer.Option(help="Lengths, with commas.")] = "1024,2048,4096,8192,16384,32768",
    attention: Attention = "both",
    dtype: Dtype = "bfloat16",
    target: Target = "trn2",
    fusion: Rule = "none",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="Write the curves as a picture.")
    ] = None,
) -> None:
    """How time grows with the sequence and with the layers."""
    from simcore.apps.qwen3 import report

    _check_pictures(output)
    predictions = []
    for length in _integers(seq, "--seq"):
        for n in _integers(layers, "--layers"):
            predictions += _predictions(
                _attentions(attention, False),
                size=size,
                layers=n,
                length=length,
                batch=1,
                dtype=dtype,
                target=target,
                rule=fusion,
                decode=False,
            )
    predictions.sort(key=lambda p: (p.attention, p.layers, p.length))
    print(report.scaling(predictions))
    if output is not None:
        from simcore.apps.qwen3 import charts

        charts.growth(predictions, output)


@app.command()
def compare(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What apps/qwen3/benchmark.py saved on a chip.")],
    fusion: Rule = "none",
) -> None:
    """A measurement of the benchmark beside the prediction of the same model."""
    from simcore.apps.qwen3 import bundle as bundles

    measured = bundles.read(bundle)
    c = measured.configuration
    predicted = _predictions(
        (c["attention"],),
        size=c["size"],
        layers=c["layers"],
        length=c["seq"],
        batch=c["batch"],
        dtype=c["dtype"],
        target=c["target"],
        rule=fusion,
        decode=False,
    )[0]
    print(bundles.comparison(measured, predicted))


def _kernel_of(checkout: Path | None) -> Callable | None:
    from simcore.apps.qwen3.attention import attention_cte

    return None if checkout is None else attention_cte(checkout)


def _predictions(attentions: tuple[str, ...], *, size: str, **what) -> list:
    _needs_transformers()
    from simcore.apps.qwen3 import sizes
    from simcore.apps.qwen3.compile import RULES
    from simcore.apps.qwen3.predict import predict as run
    from simcore.errors import nearest

    _known_dtype(what["dtype"])
    if what["rule"] not in RULES:
        raise UsageError(f"--fusion is one of {', '.join(RULES)}, not {what['rule']!r}.{nearest(what['rule'], RULES)}")
    of = sizes.size(size)
    out = []
    for attention in attentions:
        if attention == "flash" and what["length"] % 128:
            raise UsageError(f"the flash kernel needs a multiple of 128 tokens, not {what['length']}")
        with _progress(f"{attention} attention, {what['length']:,} tokens") as tell, _kernels_print_to_stderr():
            out.append(run(of, attention=attention, progress=tell, **what))
    return out


def _attentions(given: str, decode: bool) -> tuple[str, ...]:
    if given not in ("eager", "flash", "both"):
        raise UsageError(f"--attention is eager, flash or both, not {given!r}")
    if decode:
        if given == "flash":
            raise UsageError(
                "a decode step has one query, and the flash kernel needs a multiple of 128: use --attention eager"
            )
        return ("eager",)
    return ("eager", "flash") if given == "both" else (given,)


def _check_pictures(*paths: Path | None) -> None:
    """Before the work, not after it."""
    from simcore.files import check_writable
    from simcore.viz.style import SUFFIXES

    for path in paths:
        if path is not None:
            check_writable(path)
            if path.suffix.lower() not in SUFFIXES:
                raise UsageError(f"cannot write {path}: a picture ends in {', '.join(SUFFIXES)}")


def _known_dtype(name: str) -> None:
    if name not in ("bfloat16", "float32", "float16"):
        raise UsageError(f"--dtype is bfloat16, float16 or float32, not {name!r}")


def _integers(text: str, option: str) -> list[int]:
    try:
        values = [int(x) for x in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} takes numbers with commas between them, not {text!r}") from None
    if any(v < 1 for v in values):
        raise UsageError(f"{option} takes numbers of at least 1, not {text!r}")
    return values


def _needs_transformers() -> None:
    from importlib.util import find_spec

    missing = [m for m in ("torch", "transformers") if find_spec(m) is None]
    if missing:
        raise SimcoreError(f"this needs {' and '.join(missing)}: pip install 'simcore[model]'")


def _kernels_print_to_stderr():
    """Standard output is data; what somebody's kernel prints while it is traced is narration."""
    return contextlib.redirect_stdout(sys.stderr)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """A bar on standard error while it is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, description=name)

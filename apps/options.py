"""The options every command that takes a FILE shares, declared once.

A command writes `sources: Sources` and `@takes_sources()` puts FILE..., --kernel, --arg and the others in its place.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from simcore.errors import UsageError

PANEL = "What to run"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What was asked for on the command line: the files and how to run those that are scripts."""

    files: tuple[Path, ...]
    target: str | None = None  # a chip or a machine file; None: trn2
    kernel: str | None = None  # run this kernel of the file instead of the file as a script
    args: tuple[str, ...] = ()  # NAME=DTYPE[SHAPE] or NAME=VALUE, for the kernel
    script_args: tuple[str, ...] = ()  # what follows "--", for the script
    values: bool = True  # False: timing only
    lnc: int | None = None  # physical cores the kernel is launched on
    release: str | None = None  # the NKI release it was written for; None: the newest
    launch: int | None = None  # only this launch of a script, counted from 1
    spill: bool = False  # tiles that do not fit: reorder and spill, instead of an error


_ARGUMENT = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="A kernel script, a saved .simcore run, or a hardware profile.", show_default=False
    ),
]
_SCRIPT = Annotated[Path, typer.Argument(metavar="FILE", help="A kernel script.", show_default=False)]
_ARGUMENTS = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE", help="Kernel scripts, saved .simcore runs, hardware profiles.", show_default=False
    ),
]
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "target": (
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="CHIP",
            help="trn1, trn2, trn3 or a machine .toml file (default: trn2).",
            rich_help_panel=PANEL,
        ),
    ),
    "kernel": (
        str | None,
        typer.Option(
            "--kernel",
            "-k",
            metavar="NAME",
            help="Run this kernel instead of the file as a script.",
            rich_help_panel=PANEL,
        ),
    ),
    "args": (
        list[str],
        typer.Option(
            "--arg",
            "-a",
            metavar="NAME=VALUE",
            rich_help_panel=PANEL,
            help="Argument of the kernel: q=bfloat16[128,4096], scale=0.5, causal=true. Repeat it.",
        ),
    ),
    "values": (
        bool,
        typer.Option("--values/--no-values", help="Compute values, or timing only.", rich_help_panel=PANEL),
    ),
    "lnc": (
        int | None,
        typer.Option(
            "--lnc", metavar="N", min=1, max=2, help="Launch the kernel on N physical cores.", rich_help_panel=PANEL
        ),
    ),
    "release": (
        str | None,
        typer.Option(
            "--nki-release",
            metavar="N",
            help="The NKI release the kernel was written for, where that changes values: 0.1 to 0.6 (default: newest).",
            rich_help_panel=PANEL,
        ),
    ),
    "launch": (
        int | None,
        typer.Option(
            "--launch", metavar="N", min=1, help="Only the script's N-th kernel launch.", rich_help_panel=PANEL
        ),
    ),
    "spill": (
        bool,
        typer.Option(
            "--spill",
            help="Where tiles do not fit as written: reorder and spill, as the compiler does.",
            rich_help_panel=PANEL,
        ),
    ),
}
_DEFAULTS: dict[str, Any] = {"args": (), "values": True, "spill": False}

Theme = Annotated[Literal["light", "dark"], typer.Option("--theme", help="Colours for a light or a dark page.")]
Window = Annotated[
    str | None,
    typer.Option("--window", "-w", metavar="FROM:TO", help="Only this part of the run: 10us:20us.", show_default=False),
]
Line = Annotated[
    str | None,
    typer.Option(
        "--line", "-l", metavar="LINE", help="Only where this kernel line runs: 42 or kernel.py:42.", show_default=False
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="PATH", help="Write to this file.", show_default=False)
]


def window_ps(text: str | None) -> tuple[int, int] | None:
    """ "10us:20us" -> picoseconds of both ends.  Raises UsageError."""
    from simcore.budget import picoseconds

    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not colon:
        raise UsageError(f"{text!r} is not a part of the run; write FROM:TO, for example 10us:20us")
    return picoseconds(first), picoseconds(last)


def takes_sources(*, several: bool = False, scripts: bool = False) -> Callable[[Callable], Callable]:
    """Expand a command's parameter `sources: Sources` into the arguments and options above.

    several: more than one file; scripts: kernel scripts only.  What follows "--" on the command line reaches
    `Sources.script_args` through the context.
    """

    def decorate(command: Callable) -> Callable:
        @functools.wraps(command)
        def wrapper(*, ctx: typer.Context, file, **given):
            options = {f.name: given.pop(f.name) for f in fields(Sources) if f.name in given}
            options["args"] = tuple(options["args"] or ())
            files = tuple(file) if several else (file,)
            if (options["args"] or options["kernel"]) and ctx.obj:
                raise UsageError("give either --kernel and --arg, or arguments of the script after --, not both")
            sources = Sources(files=files, script_args=tuple(ctx.obj or ()), **options)
            return command(sources=sources, **given)

        argument = _ARGUMENTS if several else _SCRIPT if scripts else _ARGUMENT
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "sources"]
        shared = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=Annotated[kind, option]
            )
            for name, (kind, option) in _OPTIONS.items()
        ]
        signature = [
            inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
            inspect.Parameter("file", inspect.Parameter.KEYWORD_ONLY, annotation=argument),
            *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own),
            *shared,
        ]
        wrapper.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in signature}
        return wrapper

    return decorate

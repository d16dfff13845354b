"""simcore tui: walk through a run in the terminal."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simcore.apps.options import Output, Sources, takes_sources
from simcore.errors import UsageError

if TYPE_CHECKING:
    from simcore.timeline import Timeline


@takes_sources(several=True)
def tui(
    sources: Sources,
    output: Output = None,
    size: Annotated[str, typer.Option(metavar="COLUMNSxROWS", help="Of the frame that --output writes.")] = "120x40",
    keys: Annotated[str, typer.Option(metavar="KEY,KEY", help="Pressed before --output writes the frame.")] = "",
) -> None:
    """Walk through a timeline in the terminal: lanes, instructions, why each started when it did.

    With -o it writes one frame as SVG instead, and needs no terminal.
    """
    from simcore.apps.load import load

    if output is None:
        check_terminal()
        show(load(sources))
    else:
        _write_frame(sources, output, _columns_rows(size), [key for key in keys.split(",") if key])


def check_terminal() -> None:
    """Before the work: raises UsageError without a terminal.  (textual draws on standard error.)"""
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("the TUI needs a terminal; without one use `simcore run` for the summary")


def show(timelines: list[Timeline]) -> None:
    from simcore.viz import VIEWS

    check_terminal()
    VIEWS["tui"].load()(timelines)


def _write_frame(sources: Sources, output: Path, size: tuple[int, int], keys: list[str]) -> None:
    from simcore.apps.load import load
    from simcore.apps.output import narrate, working
    from simcore.files import check_writable, replacing
    from simcore.viz.tui.export import frame

    if output.suffix != ".svg":
        raise UsageError(f"{output}: a frame of the TUI is an .svg file")
    check_writable(output)
    timelines = load(sources)
    with replacing(output) as part, working(f"writing {output}"):
        part.write_text(frame(timelines, size, keys), encoding="utf-8")
    narrate(f"wrote {output}")


def _columns_rows(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{2,3})x(\d{2,3})", text)
    if match is None:
        raise UsageError(f"--size {text!r} is not a size; write COLUMNSxROWS, for example 120x40")
    return int(match[1]), int(match[2])

"""Standard output is data, standard error is narration."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from simcore import format

PIPE_COLUMNS = 160


def data(what: Any) -> None:
    """Prints to standard output; in a pipe, where no width is known, wide enough that tables keep their text."""
    if isinstance(what, str):
        print(what)
        return
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS
    Console(width=wide).print(what)


def narrate(message: str) -> None:
    """A line for the person at the terminal; never mixed into the data."""
    print(message, file=sys.stderr)


class _Count:
    """Text that reads "1.23 M instructions, 190 000/s" whenever it is drawn, which is a few times a second."""

    def __init__(self, count: Callable[[], int]):
        self.count, self.start = count, time.monotonic()

    def __str__(self) -> str:
        done = self.count()
        if not done:
            return ""
        rate = round(done / max(time.monotonic() - self.start, 0.1))
        return f"{format.number(done)} instructions, {format.number(rate)}/s"


@contextlib.contextmanager
def working(message: str, count: Callable[[], int] = int) -> Iterator[None]:
    """Shows that work goes on, and for how long, while standard error is a terminal; silent in a pipe.

    `count` says how many instructions are done; it is called from another thread.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        progress.add_task(message, total=None, note=_Count(count))
        yield


def numbered(path: Path, count: int) -> list[Path]:
    """`count` paths: the path itself, or name.1.suffix, name.2.suffix ... when there are several."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}.{i}{path.suffix}") for i in range(1, count + 1)]

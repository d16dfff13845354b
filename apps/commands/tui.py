"""simcore tui: walk through a run in the terminal."""

from __future__ import annotations

import sys

from simcore.apps.options import Sources, takes_sources


@takes_sources(several=True)
def tui(sources: Sources) -> None:
    """Walk through a timeline in the terminal: lanes, instructions, why each started when it did."""
    check_terminal()
    from simcore.apps.load import load

    show(load(sources))


def check_terminal() -> None:
    """Before the work: raises UsageError without a terminal.  (textual draws on standard error.)"""
    from simcore.errors import UsageError

    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("the TUI needs a terminal; without one use `simcore run` for the summary")


def show(timelines) -> None:
    from simcore.viz import VIEWS

    check_terminal()
    VIEWS["tui"].load()(timelines)

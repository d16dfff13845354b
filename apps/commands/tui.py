"""simcore tui: walk through a run in the terminal."""

from __future__ import annotations

import sys

from simcore.apps.options import Sources, takes_sources


@takes_sources(several=True)
def tui(sources: Sources) -> None:
    """Walk through a timeline in the terminal: lanes, instructions, why each started when it did."""
    from simcore.apps.load import load
    from simcore.errors import UsageError
    from simcore.viz import VIEWS

    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):     # it draws on standard error
        raise UsageError("the TUI needs a terminal; without one use `simcore run` for the summary")
    VIEWS["tui"].load()(load(sources))

"""The timeline in the terminal: lanes, why, and a debugger for time.  The only package that imports textual."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from simcore.errors import UsageError
from simcore.timeline import Timeline

if TYPE_CHECKING:
    from simcore.viz.tui.app import TimelineApp

__all__ = ["TimelineApp", "run"]

MOST_RUNS = 8


def run(timelines: list[Timeline], **options) -> None:
    """Take over the terminal and show one timeline, or a few on one axis.

    Raises UsageError when there is no terminal, nothing to show, or more than MOST_RUNS.
    """
    if not timelines or len(timelines) > MOST_RUNS:
        raise UsageError(
            f"the terminal view shows 1 to {MOST_RUNS} runs on one axis; it was given {len(timelines)} "
            "(--launch N chooses one launch of a script)"
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "the terminal view needs a terminal; use `simcore run` for a summary, or `simcore report` for a page"
        )
    from simcore.viz.tui.app import TimelineApp

    TimelineApp(list(timelines), **options).run()


def __getattr__(name: str):
    if name == "TimelineApp":
        from simcore.viz.tui.app import TimelineApp

        return TimelineApp
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

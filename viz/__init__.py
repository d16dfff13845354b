"""Timeline in, something to look at out.  In a notebook: `simcore.viz.show(timeline, "gantt")`.

VIEWS is the one list of views; the command line, the report and the documentation read it.  A view's module is
imported only when the view is used, so asking for the list costs nothing and only plots load matplotlib.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class View:
    """One way to look at timelines.

    kind "text":   function(timeline, **options) -> something rich can print (str() of it is plain text)
    kind "file":   function(timelines, output, **options) writes the file; its suffix chooses among `suffixes`
    kind "screen": function(timelines, **options) takes over the terminal
    """

    name: str
    kind: Literal["text", "file", "screen"]
    function: str  # "module:function"
    help: str
    suffixes: tuple[str, ...] = ()  # of the files it writes, the default first
    several: bool = False  # draws more than one timeline at once

    def load(self) -> Callable[..., Any]:
        """The view's function; imports its module."""
        module, name = self.function.split(":")
        return getattr(importlib.import_module(module), name)


def __getattr__(name: str) -> Any:
    if name == "show":
        from simcore.viz.notebook import show

        return show
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        View(
            name="summary",
            kind="text",
            function="simcore.viz.text:summary",
            help="busy time, stalls and bounds per engine",
        ),
        View(
            name="explain",
            kind="text",
            function="simcore.viz.explain:explain",
            help="why the kernel is not faster, and what to change",
        ),
        View(
            name="tui",
            kind="screen",
            function="simcore.viz.tui:run",
            several=True,
            help="walk through the timeline in the terminal",
        ),
        View(
            name="roofline",
            kind="file",
            function="simcore.viz.roofline:write",
            suffixes=(".png", ".svg", ".pdf"),
            several=True,
            help="arithmetic intensity against the chip's ceilings",
        ),
        View(
            name="gantt",
            kind="file",
            function="simcore.viz.gantt:write",
            suffixes=(".svg", ".png", ".pdf"),
            help="what each engine does when, for print",
        ),
        View(
            name="occupancy",
            kind="file",
            function="simcore.viz.occupancy:write",
            suffixes=(".svg", ".png", ".pdf"),
            help="SBUF, PSUM and bandwidth over time",
        ),
        View(
            name="perfetto",
            kind="file",
            function="simcore.viz.perfetto:write",
            suffixes=(".pftrace",),
            several=True,
            help="a trace for the Perfetto UI",
        ),
        View(
            name="report",
            kind="file",
            function="simcore.viz.report:write",
            suffixes=(".html",),
            help="one self-contained HTML page",
        ),
    )
}

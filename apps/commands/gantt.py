"""simcore gantt: draw what each engine does when, for print."""

from __future__ import annotations

from simcore.apps.options import Line, Output, Sources, Theme, Window, takes_sources, window_ps


@takes_sources()
def gantt(
    sources: Sources, output: Output = None, window: Window = None, line: Line = None, theme: Theme = "light"
) -> None:
    """Draw what each engine does when, for print."""
    from simcore.apps.views import write

    write("gantt", sources, output, window=window_ps(window), line=line, theme=theme)

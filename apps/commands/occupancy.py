"""simcore occupancy: draw SBUF, PSUM and bandwidth over time, for print."""

from __future__ import annotations

from simcore.apps.options import Line, Output, Sources, Theme, Window, takes_sources, window_ps


@takes_sources()
def occupancy(
    sources: Sources, output: Output = None, window: Window = None, line: Line = None, theme: Theme = "light"
) -> None:
    """Draw SBUF, PSUM and bandwidth over time, for print."""
    from simcore.apps.views import write

    write("occupancy", sources, output, window=window_ps(window), line=line, theme=theme)

"""simcore report: everything about a run on one page."""

from __future__ import annotations

from simcore.apps.options import Output, Sources, takes_sources


@takes_sources()
def report(sources: Sources, output: Output = None) -> None:
    """Write one self-contained HTML page: summary, roofline, zoomable timeline, source."""
    from simcore.apps.views import write

    write("report", sources, output)

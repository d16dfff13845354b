"""simcore gantt: Draw what each engine does when, for print."""

from __future__ import annotations

from simcore.apps.options import Output, Sources, takes_sources
from simcore.apps.views import write


@takes_sources(several=False)
def gantt(sources: Sources, output: Output = None) -> None:
    """Draw what each engine does when, for print."""
    write("gantt", sources, output)

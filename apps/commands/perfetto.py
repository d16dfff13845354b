"""simcore perfetto: Write a trace for the Perfetto UI (https://ui.perfetto.dev)."""

from __future__ import annotations

from simcore.apps.options import Output, Sources, takes_sources
from simcore.apps.views import write


@takes_sources(several=False)
def perfetto(sources: Sources, output: Output = None) -> None:
    """Write a trace for the Perfetto UI (https://ui.perfetto.dev)."""
    write("perfetto", sources, output)

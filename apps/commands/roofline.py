"""simcore roofline: arithmetic intensity against the chip's ceilings."""

from __future__ import annotations

from simcore.apps.options import Output, Sources, Theme, takes_sources


@takes_sources(several=True)
def roofline(sources: Sources, output: Output = None, theme: Theme = "light") -> None:
    """Draw arithmetic intensity against the chip's ceilings; several files on one picture."""
    from simcore.apps.views import write

    write("roofline", sources, output, theme=theme)

"""simcore perfetto: a trace for the Perfetto UI, and the UI itself without internet."""

from __future__ import annotations

from typing import Annotated

import typer

from simcore.apps.options import Output, Sources, takes_sources


@takes_sources(several=True)
def perfetto(
    sources: Sources,
    output: Output = None,
    flows: Annotated[bool, typer.Option("--flows/--no-flows", help="Draw an arrow for each dependence.")] = True,
    show: Annotated[
        bool, typer.Option("--open", help="Serve the offline UI with this trace, on this machine only.")
    ] = False,
    port: Annotated[int, typer.Option(metavar="N", help="Port of --open; 0 takes a free one.")] = 0,
) -> None:
    """Write a trace for the Perfetto UI; --open shows it without internet."""
    from simcore.apps.views import write

    path, *_ = write("perfetto", sources, output, flows=flows)
    if show:
        from simcore.apps.output import narrate
        from simcore.viz.perfetto_ui import serve

        def opened(url: str) -> None:
            narrate(f"showing {path} at {url} (Ctrl-C ends)")
            typer.launch(url)

        serve(path, port, opened)

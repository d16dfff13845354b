"""simcore compare: two runs side by side, and why they differ."""

from __future__ import annotations

from typing import Annotated

import typer

from simcore.apps.options import Sources, takes_sources


@takes_sources(several=True)
def compare(
    sources: Sources,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    tui: Annotated[bool, typer.Option("--tui", help="Walk through both on one time axis.")] = False,
) -> None:
    """Compare two runs, simulated or measured: totals, engines, opcodes, bytes, and what the difference comes from."""
    import simcore
    from simcore.apps.load import load
    from simcore.apps.output import data, working
    from simcore.errors import UsageError

    timelines = load(sources)
    if len(timelines) != 2:
        raise UsageError(f"compare takes two runs; {' and '.join(map(str, sources.files))} gave {len(timelines)} "
                         "(--launch chooses one launch of each script)")
    if tui:
        from simcore.apps.commands.tui import show

        show(timelines)
        return
    with working("comparing"):
        comparison = simcore.compare(*timelines)
    from simcore.viz.compare import render, to_json

    data(to_json(comparison) if as_json else render(comparison))

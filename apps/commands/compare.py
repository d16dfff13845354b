"""simcore compare: two runs side by side, and why they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simcore.apps.options import Sources, takes_sources


@takes_sources(several=True)
def compare(
    sources: Sources,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    predict: Annotated[
        bool,
        typer.Option(
            "--predict",
            help="FILE is a bundle of capture-hw (and the script, where it has moved): predict its run and compare.",
        ),
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="PATH", help="Write one page: the same, and both on one time axis.",
                     show_default=False),
    ] = None,
    tui: Annotated[bool, typer.Option("--tui", help="Walk through both on one time axis.")] = False,
) -> None:
    """Compare two runs, simulated or measured: totals, engines, opcodes, bytes, and what the difference comes from."""
    import simcore
    from simcore.apps.load import load
    from simcore.apps.output import data, working
    from simcore.errors import UsageError
    from simcore.files import check_writable

    if page is not None:
        if page.suffix != ".html":
            raise UsageError(f"{page}: --html writes an .html file")
        check_writable(page)
    timelines = _prediction_and_measurement(sources) if predict else load(sources, totals=True)
    if len(timelines) != 2:
        raise UsageError(
            f"compare takes two runs; {' and '.join(map(str, sources.files))} gave {len(timelines)} "
            "(--launch chooses one launch of each script)"
        )
    if tui:
        for timeline in timelines:
            if timeline.totals_only:
                raise UsageError(f"{timeline.name} is a profile's summary: it holds no instructions to walk through")
        from simcore.apps.commands.tui import show

        show(timelines)
        return
    with working("comparing"):
        comparison = simcore.compare(*timelines)
    if page is not None:
        from simcore.apps.output import narrate
        from simcore.viz.report import write_comparison

        with working(f"writing {page}"):
            write_comparison(comparison, page)
        narrate(f"wrote {page}")
        return
    from simcore.viz.compare import render, to_json

    data(to_json(comparison) if as_json else render(comparison))


def _prediction_and_measurement(sources: Sources):
    """The simulated run of a bundle's script beside the bundle's profile."""
    from simcore.apps.hardware.record import prediction_sources
    from simcore.apps.load import load
    from simcore.errors import UsageError

    file, *script = sources.files
    predicted = load(prediction_sources(file, script[0] if script else None, sources))
    measured = load(Sources(files=(file,)))
    if sources.launch is not None:
        measured = measured[sources.launch - 1 : sources.launch]
    if len(predicted) != 1 or len(measured) != 1:
        raise UsageError(
            f"the script launches {len(predicted)} kernels and the bundle holds {len(measured)} profiles; "
            "--launch N compares the N-th of each"
        )
    return [*predicted, *measured]

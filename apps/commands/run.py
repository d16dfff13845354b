"""simcore run: simulate and print the summary."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from simcore.apps.options import Output, Sources, takes_sources


@takes_sources()
def run(
    sources: Sources,
    output: Output = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run a kernel script and print each launch's summary; -o saves the run."""
    from simcore.apps.load import load
    from simcore.apps.output import data, narrate, numbered
    from simcore.errors import UsageError
    from simcore.files import check_writable
    from simcore.viz import VIEWS

    if output is not None:
        if output.suffix != ".simcore":
            raise UsageError(f"{output}: run saves a .simcore file; `simcore COMMAND` of each view writes the others")
        check_writable(output)
    timelines = load(sources, totals=True)
    if as_json:
        print(json.dumps([timeline.summary().to_dict() for timeline in timelines], indent=1))
    else:
        for i, timeline in enumerate(timelines):
            if i:
                data("")
            data(VIEWS["summary"].load()(timeline))
    if output is not None:
        for timeline, path in zip(timelines, numbered(output, len(timelines)), strict=True):
            timeline.save(path)
            narrate(f"saved {path}")

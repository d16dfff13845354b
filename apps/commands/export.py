"""simcore export: a run in the vendor's own formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simcore.apps.options import Sources, takes_sources


@takes_sources()
def export(
    sources: Sources,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A folder for Parquet tables, or a .json file for summary-json.",
            show_default=False,
        ),
    ],
) -> None:
    """Write a run as the vendor's profiler would, so that scripts and SQL made for profiles work on it."""
    from simcore.apps.load import load
    from simcore.apps.output import narrate, numbered, working
    from simcore.files import replacing
    from simcore.profile.parquet_write import write_parquet
    from simcore.profile.summary_files import write_summary_json

    timelines = load(sources, totals=True)
    for timeline, path in zip(timelines, numbered(output, len(timelines)), strict=True):
        with working(f"writing {path}"):
            if path.suffix == ".json":
                with replacing(path) as part:
                    write_summary_json(timeline, part)
            else:
                write_parquet(timeline, path)
        narrate(f"wrote {path}")

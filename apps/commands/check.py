"""simcore check: does the kernel keep its budget?  For CI."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from simcore.apps.options import Sources, takes_sources


@takes_sources(several=True)
def check(
    sources: Sources,
    budget: Annotated[
        str | None, typer.Option("--budget", "-b", metavar="TIME", help="It takes at most this long: 120us.")
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine",
            "-e",
            metavar="LIMIT",
            help="An engine's share of busy time: tensor>=60%. Repeat it.",
            show_default=False,
        ),
    ] = None,
    hbm_bytes: Annotated[
        str | None, typer.Option("--hbm-bytes", metavar="SIZE", help="At most so many bytes cross HBM: 5MB.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Check every launch against a budget; the exit code is 1 when a limit is broken."""
    from simcore.apps.load import load
    from simcore.apps.output import narrate
    from simcore.budget import engine_limit, hbm_limit, judge, time_limit
    from simcore.errors import UsageError

    limits = [time_limit(budget)] if budget else []
    limits += [engine_limit(text) for text in engine or ()]
    limits += [hbm_limit(hbm_bytes)] if hbm_bytes else []
    if not limits:
        raise UsageError("nothing to check: give --budget, --engine or --hbm-bytes")
    verdicts = [verdict for timeline in load(sources, totals=True) for verdict in judge(timeline, limits)]
    print(json.dumps([v.to_dict() for v in verdicts], indent=1) if as_json else "\n".join(map(str, verdicts)))
    for caveat in dict.fromkeys(f"{v.run}: {v.caveat}" for v in verdicts if v.caveat):
        narrate(caveat)
    if not all(v.ok for v in verdicts):
        raise typer.Exit(1)

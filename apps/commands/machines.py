"""simcore machines: the chips, their numbers, and where each number comes from."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def machines(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHIP",
            help="Chips or machine files to show in full; without any, all chips in brief.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every number with kind and source as JSON.")] = False,
) -> None:
    """List the chips, their numbers, and where each number comes from."""
    from simcore.machine import available, load_machine

    chosen = [load_machine(name) for name in names or available()]
    if as_json:
        print(json.dumps([machine.to_dict() for machine in chosen], indent=1))
        return
    from simcore.apps.machine_tables import brief, full
    from simcore.apps.output import data, narrate

    for table in map(full, chosen) if names else (brief(chosen),):
        data(table)
    if not names:
        narrate("`simcore machines trn2` shows every number with its source.")

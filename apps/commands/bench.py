"""simcore bench: how fast simcore itself is."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer


def bench(
    lengths: Annotated[
        list[int] | None,
        typer.Option("--length", "-n", metavar="N", help="Sequence length; repeat it.", show_default=False),
    ] = None,
    values_up_to: Annotated[int, typer.Option(metavar="N", help="Compute values up to this length.")] = 4096,
    repeat: Annotated[int, typer.Option(metavar="N", min=1, help="Take the best of so many runs.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure capture and simulate on flash attention at several lengths."""
    from simcore.apps import bench as benchmark
    from simcore.apps.output import data, working

    rows: list[benchmark.Row] = []
    with working("measuring"):
        rows.extend(benchmark.measure(tuple(lengths or benchmark.LENGTHS), values_up_to=values_up_to, repeat=repeat))
    if as_json:
        print(json.dumps({"facts": benchmark.facts(), "rows": [dataclasses.asdict(row) for row in rows]}, indent=1))
        return
    from simcore.apps.bench_table import table

    data(table(rows, benchmark.facts()))

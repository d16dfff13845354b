"""The Neuron Explorer's Parquet tables: names and types of their fields (neuron_explorer.csv)."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

VERSION = "7.4.0"
"""Of the schema in neuron_explorer.csv.  Source: profile-schema-reference.rst of aws-neuron-sdk, SDK 2.31 and 2.32."""


@cache
def tables() -> dict[str, dict[str, tuple[str, str, bool]]]:
    """Table -> field -> (type, unit, required).  Types: int64, int32, float64, string, boolean."""
    out: dict[str, dict[str, tuple[str, str, bool]]] = {}
    with (files("simcore.profile") / "neuron_explorer.csv").open() as f:
        for row in csv.DictReader(f):
            out.setdefault(row["table"], {})[row["field"]] = (row["type"], row["unit"], row["required"] == "yes")
    return out

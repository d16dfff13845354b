"""Any timeline as the Parquet folder of the Neuron Explorer, so that SQL made for real profiles runs on it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np

from simcore.errors import FileError
from simcore.profile import schema
from simcore.profile.parquet_tables import Tables
from simcore.timeline import Timeline


def write_parquet(timeline: Timeline, folder: str | Path) -> Path:
    """Write `<Table>.parquet` files into `folder` (made if absent).  Raises FileError where it holds other things.

    All tables have all fields of the schema, whatever is null.
    """
    import polars as pl

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder} is a file; Parquet tables need a folder")
    known = schema.tables()
    if folder.exists():
        others = [f.name for f in folder.iterdir() if re.sub(r"(_\d+)?\.parquet$", "", f.name) not in known]
        if others:
            raise FileError(f"{folder} holds other files ({sorted(others)[0]!r}); choose a new or empty folder")
    types = {"int64": pl.Int64, "int32": pl.Int32, "float64": pl.Float64, "string": pl.String, "boolean": pl.Boolean}
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        tables = Tables(timeline)
        for name, fields in known.items():
            columns = getattr(tables, re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())()
            rows = max((len(c) for c in columns.values() if not isinstance(c, str)), default=0)
            unknown = set(columns) - set(fields)
            assert not unknown, f"{name} has no field {unknown}"
            data = []
            for field, (kind, _, _) in fields.items():
                values = columns.get(field)
                if values is None:
                    values = pl.Series(field, [None] * rows, dtype=types[kind])
                elif isinstance(values, np.ndarray):
                    values = pl.Series(field, values).cast(types[kind])
                else:
                    values = pl.Series(field, values, dtype=types[kind], strict=False)
                data.append(values)
            pl.DataFrame(data).write_parquet(part / f"{name}.parquet", compression="zstd", statistics=True)
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            if not (part / file.name).exists():
                file.unlink()           # a piece of a split table of before
        for file in sorted(part.iterdir()):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder

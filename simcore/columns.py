"""Tables as structs of NumPy columns, with one way to save and load them.

A million rows are normal here, so nothing is a list of objects.  A table is a
dataclass whose fields are columns; the field's annotation names the dtype.
"""

from __future__ import annotations

import dataclasses
import io
import json
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np

from simcore.errors import FileError
from simcore.files import replacing

_DTYPES = {
    "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "f64": np.float64, "bool": np.bool_,
}
# annotations: a one-dimensional column of that dtype
i8: TypeAlias = np.ndarray
i16: TypeAlias = np.ndarray
i32: TypeAlias = np.ndarray
i64: TypeAlias = np.ndarray
f64: TypeAlias = np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """Base of tables.  Every field is a 1-D array of the dtype its annotation names; all have one length."""

    def __post_init__(self):
        length = None
        for field in dataclasses.fields(self):
            dtype = _DTYPES[str(field.type)]
            column = np.ascontiguousarray(getattr(self, field.name), dtype=dtype)
            if column.ndim != 1:
                raise ValueError(f"{type(self).__name__}.{field.name} must have one dimension, has {column.ndim}")
            if length is None:
                length = len(column)
            elif len(column) != length:
                raise ValueError(f"{type(self).__name__}.{field.name} has {len(column)} rows, other columns {length}")
            column.setflags(write=False)
            object.__setattr__(self, field.name, column)

    def __len__(self) -> int:
        return len(getattr(self, dataclasses.fields(self)[0].name))

    def take(self, rows) -> Self:
        """The table of these rows (an index array, a slice or a boolean mask)."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)})

    @classmethod
    def empty(cls) -> Self:
        return cls(**{f.name: np.zeros(0, _DTYPES[str(f.type)]) for f in dataclasses.fields(cls)})

    @classmethod
    def filled(cls, rows: int, **given) -> Self:
        """A table of `rows` rows; columns not given hold 0 (or -1 where the name says it is an index)."""
        columns: dict[str, np.ndarray] = {}
        for field in dataclasses.fields(cls):
            value = given.pop(field.name, None)
            if value is None:
                value = -1 if field.metadata.get("index") else 0
            columns[field.name] = np.broadcast_to(np.asarray(value, _DTYPES[str(field.type)]), (rows,)).copy()
        if given:
            raise TypeError(f"{cls.__name__} has no column {', '.join(sorted(given))}")
        return cls(**columns)

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        return {f"{prefix}.{f.name}": getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], prefix: str) -> Self:
        try:
            return cls(**{f.name: arrays[f"{prefix}.{f.name}"] for f in dataclasses.fields(cls)})
        except KeyError as e:
            raise FileError(f"the file has no column {e.args[0]}; it was written by another version") from None
        except ValueError as e:
            raise FileError(f"the file is damaged: {e}") from None


INDEX = {"index": True}
"""`field(metadata=INDEX)`: a column that holds row numbers of some table, -1 for none."""


# ------------------------------------------------------------------------------------------------ files

MAX_BYTES = 1 << 34
MAX_RATIO = 300
"""A file that unpacks to more than this many times its size (and 64 MiB) is refused; saved runs reach about 20."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_bundle(path: str | Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a header and arrays as one zip of JSON and .npy members.

    The same content gives the same bytes: members are sorted and carry no time.
    The file appears whole or not at all.  Raises FileError where it cannot be written.
    """
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        _member(z, "header.json", json.dumps(header, sort_keys=True, ensure_ascii=False).encode())
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            _member(z, name + ".npy", buffer.getvalue())


def _member(z: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    z.writestr(info, data)


def read_bundle(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what write_bundle wrote.  Raises FileError, in a sentence, for anything else."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as z:
            total = sum(info.file_size for info in z.infolist())
            if total > min(MAX_BYTES, max(64 << 20, MAX_RATIO * path.stat().st_size)):
                raise FileError(f"{path} unpacks to {total:,} bytes; refusing to read it")
            header = json.loads(z.read("header.json"))
            if not isinstance(header, dict) or header.get("format") != kind:
                raise FileError(f"{path} is not a {kind} file")
            arrays = {
                info.filename[:-4]: _column(z.read(info))
                for info in z.infolist() if info.filename.endswith(".npy")
            }
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError, RecursionError, NotImplementedError,
            zlib.error, SyntaxError, tokenize.TokenError) as e:
        raise FileError(f"{path} is damaged or not a {kind} file ({e})") from None
    return header, arrays


def _column(data: bytes) -> np.ndarray:
    """An array of .npy bytes that are as long as their header says: memory is taken for no more than the file holds.

    Raises what NumPy raises on a damaged header, ValueError for another length.
    """
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"a column is of .npy version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if len(shape) != 1 or dtype.hasobject or shape[0] * dtype.itemsize != len(data) - stream.tell():
        raise ValueError("a column is longer or shorter than its header says")
    return np.frombuffer(data, dtype, offset=stream.tell())

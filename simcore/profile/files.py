"""Opening files a stranger gave us: compressed or not, whole or damaged, friendly or not.

Every failure is a FileError of one sentence.  Memory is bounded: text is decoded one JSON
element at a time, and a file that unpacks to absurd sizes is refused while it unpacks.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simcore.errors import FileError

MAX_TEXT_BYTES = 4 << 30
"""More text than this is refused (about four million instructions of the vendor's JSON)."""

MAX_RATIO = 300
"""A gzip file that unpacks to more than this many times its size is refused; profiles reach about 20."""

MAX_ELEMENT = 32 << 20
"""Longest single JSON element (a row), in characters."""

MAX_ROWS = 20_000_000


class Metered(io.RawIOBase):
    """Bytes of a plain or gzip file, counted, so that a bomb is noticed before it goes off."""

    def __init__(self, path: Path):
        self._file = open(path, "rb")
        magic = self._file.read(2)
        self._file.seek(0)
        self._packed = magic == b"\x1f\x8b"
        self._source = gzip.GzipFile(fileobj=self._file) if self._packed else self._file
        self._limit = MAX_TEXT_BYTES
        if self._packed:
            self._limit = min(self._limit, max(64 << 20, MAX_RATIO * path.stat().st_size))
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self._source.read(len(buffer))
        self._seen += len(data)
        if self._seen > self._limit:
            raise _TooLarge(self._seen)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
            self._file.close()
        super().close()


class _TooLarge(Exception):
    pass


def open_text(path: Path) -> io.TextIOWrapper:
    """Text of a plain or gzip file.  Reading may raise what `sentences` turns into FileError."""
    return io.TextIOWrapper(io.BufferedReader(Metered(path), 1 << 20), encoding="utf-8", errors="replace")


def head(path: Path, size: int = 4096) -> bytes:
    """The first bytes, unpacked; empty for an empty file.  Raises FileError."""
    with sentences(path):
        with Metered(path) as f:
            data = bytearray()
            while len(data) < size:
                chunk = f.read(size - len(data))
                if not chunk:
                    break
                data += chunk
            return bytes(data)


class sentences:
    """Context manager: whatever goes wrong while reading `path` becomes a FileError of one sentence."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None or issubclass(kind, FileError):
            return False
        if issubclass(kind, FileNotFoundError):
            what = "does not exist"
        elif issubclass(kind, IsADirectoryError):
            what = "is a folder, not a file"
        elif issubclass(kind, PermissionError):
            what = "may not be read (permission denied)"
        elif issubclass(kind, _TooLarge):
            what = f"unpacks to more than {error.args[0]:,} bytes; refusing to read it"
        elif issubclass(kind, (EOFError, zlib.error, gzip.BadGzipFile)):
            what = f"is truncated or damaged ({error}); copy it again"
        elif issubclass(kind, json.JSONDecodeError):
            what = f"is not valid JSON ({error.msg})"
        elif issubclass(kind, RecursionError):
            what = "is nested too deeply to be a profile"
        elif issubclass(kind, (OSError, ValueError, TypeError, KeyError, OverflowError, IndexError, AttributeError)):
            what = f"is damaged or not a profile ({kind.__name__}: {str(error)[:200]})"
        else:
            return False
        raise FileError(f"{self.path} {what}") from None


# ------------------------------------------------------------------------------------------------ JSON, bit by bit

_SPACE = re.compile(r"[ \t\r\n]*")


class _Scanner:
    """JSON text read through a window: the part already used is dropped."""

    def __init__(self, stream: io.TextIOBase):
        self.stream, self.buffer, self.at, self.ended = stream, "", 0, False
        self.decode = json.JSONDecoder().raw_decode

    def more(self) -> bool:
        """Double the window.  False at the end of the text."""
        if self.ended:
            return False
        rest = self.buffer[self.at:]
        chunk = self.stream.read(max(1 << 20, len(rest)))
        self.ended = not chunk
        self.buffer, self.at = rest + chunk, 0
        return not self.ended

    def peek(self) -> str:
        while True:
            space = _SPACE.match(self.buffer, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self.more():
                raise json.JSONDecodeError("the text ends too early", "", 0)

    def take(self, wanted: str) -> str:
        found = self.peek()
        if found not in wanted:
            raise json.JSONDecodeError(f"expected one of {wanted!r}, found {found!r}", "", 0)
        self.at += 1
        return found

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self.decode(self.buffer, self.at)
                length = end - self.at
                if end < len(self.buffer) or not self.more():   # a number may go on in the next chunk
                    self.at += length
                    return value
            except json.JSONDecodeError:
                if len(self.buffer) - self.at > MAX_ELEMENT or not self.more():
                    raise


def json_elements(stream: io.TextIOBase) -> Iterator[tuple[str, Any, bool]]:
    """(key, element, True) for each element of each list of a JSON object; (key, value, False) for other values."""
    scan = _Scanner(stream)
    scan.take("{")
    if scan.peek() == "}":
        return
    while True:
        key = scan.value()
        if not isinstance(key, str):
            raise json.JSONDecodeError("a key is not text", "", 0)
        scan.take(":")
        if scan.peek() != "[":
            yield key, scan.value(), False
        else:
            scan.take("[")
            if scan.peek() == "]":
                scan.take("]")
            else:
                while True:
                    yield key, scan.value(), True
                    if scan.take(",]") == "]":
                        break
        if scan.take(",}") == "}":
            return


# ------------------------------------------------------------------------------------------------ values

def clean(value: Any, depth: int = 4) -> Any:
    """JSON made safe to keep: no NaN or infinity (None instead), no deep nesting, no endless strings."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value[:10_000]
    if isinstance(value, (bool, int)) or value is None:
        return value
    if depth == 0:
        return "..."
    if isinstance(value, dict):
        return {str(k)[:200]: clean(v, depth - 1) for k, v in list(value.items())[:2000]}
    if isinstance(value, (list, tuple)):
        return [clean(v, depth - 1) for v in value[:1000]]
    return str(value)[:200]


def whole(value: Any, what: str, default: int = 0) -> int:
    """An int64 from what a file holds where a number belongs.  Raises FileError naming `what`."""
    if value is None or value == "":
        return default
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise TypeError
        if isinstance(value, str):
            value = float(value) if any(c in value for c in ".eEnN") else int(value)
        value = round(value)
    except (TypeError, ValueError, OverflowError):
        raise FileError(f"{what} is {str(value)[:40]!r}, not a finite number") from None
    if not -(1 << 63) <= value < 1 << 63:
        raise FileError(f"{what} is {str(value)[:40]}, larger than any real profile has")
    return value

"""Files that appear whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simcore.errors import FileError


def check_writable(path: Path) -> None:
    """Before the work, not after it: can a file appear here?  Raises FileError."""
    if not path.parent.is_dir():
        raise FileError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise FileError(f"cannot write {path}: it is a folder")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to, beside `path` and of its name; moves it into place when all went well.

    Whatever goes wrong in between, also Ctrl-C, leaves what was there before.  Raises FileError where `path` cannot be
    written; errors about other files pass through.
    """
    path = Path(path)
    check_writable(path)
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent)
    except OSError as e:
        raise FileError(f"cannot write {path}: {e.strerror}") from None
    with folder:
        part = Path(folder.name) / path.name
        try:
            yield part
            part.replace(path)
        except OSError as e:
            if e.filename is not None and str(e.filename) != str(part):
                raise
            raise FileError(f"cannot write {path}: {e.strerror or e}") from None

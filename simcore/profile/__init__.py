"""Reading and writing the vendor's profile formats, and comparing two runs.

`read_profile(path)` turns a hardware profile of any supported kind into a Timeline.
"""

from __future__ import annotations

from pathlib import Path

from simcore.errors import FileError
from simcore.profile.files import head
from simcore.timeline import Timeline

__all__ = ["profile_kind", "read_profile"]


def profile_kind(path: str | Path) -> str | None:
    """The kind of profile a path holds (a key of FORMATS), decided by content; None where it is none of them."""
    path = Path(path)
    for kind, (matches, _) in FORMATS.items():
        if matches(path):
            return kind
    return None


def read_profile(path: str | Path) -> Timeline:
    """A Timeline (kind "measured") from a hardware profile.

    Accepts the vendor's full JSON (plain or gzip), summary-json, summary-text, a Parquet folder of Neuron Explorer,
    or a vendor Perfetto trace.  A summary gives a partial Timeline whose `info["lacks"]` says what it has not.
    Raises FileError in a sentence for anything else; a NEFF or NTFF gets the command that exports it.
    """
    path = Path(path)
    if not path.exists():
        raise FileError(f"{path} does not exist")
    kind = profile_kind(path)
    if kind is None:
        raise FileError(
            f"{path} is not a profile simcore knows. It reads {', '.join(FORMATS)}: export one with "
            "neuron-explorer view -n FILE.neff -s FILE.ntff --output-format json --output-file profile.json"
        )
    return FORMATS[kind][1](path)


def _is_full_json(path: Path) -> bool:
    return path.is_file() and head(path).lstrip()[:1] == b"{"


def _full_json(path: Path) -> Timeline:
    from simcore.profile.full_json import read_full_json

    return read_full_json(path)


FORMATS = {
    "full JSON": (_is_full_json, _full_json),
}
"""Kind -> (does the path hold it?, reader).  Tried in this order."""

"""Reading and writing the vendor's profile formats, and comparing two runs.

`read_profile(path)` turns a hardware profile of any supported kind into a Timeline.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from simcore.errors import FileError
from simcore.profile.files import head
from simcore.timeline import Timeline

__all__ = ["Comparison", "compare", "profile_kind", "read_profile"]


def __getattr__(name: str):
    if name in ("Comparison", "compare"):
        import importlib

        # the module has the function's name: fetch it by path, then keep the function
        module = importlib.import_module("simcore.profile.compare")
        globals().update(compare=module.compare, Comparison=module.Comparison)
        return globals()[name]
    raise AttributeError(f"module 'simcore.profile' has no attribute {name!r}")



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


# ------------------------------------------------------------------------------------------------ kinds of files

_VIEW = "neuron-explorer view -n {neff} -s {ntff} --output-format parquet --output-file tables/"


def _starts(path: Path) -> str:
    """The beginning of a file, unpacked, as text; empty for a folder."""
    return head(path).decode("latin-1").lstrip() if path.is_file() else ""


def _is_capture(path: Path) -> bool:
    if path.is_dir():
        return not _is_parquet(path) and any(True for f in path.glob("*.ntff"))
    return path.suffix in (".neff", ".ntff")


def _capture(path: Path) -> Timeline:
    """A NEFF and NTFF have no public format; the vendor's tool turns them into tables, without a device."""
    folder = path if path.is_dir() else path.parent
    neff = path if path.suffix == ".neff" else next(iter(sorted(folder.glob("*.neff"))), Path("FILE.neff"))
    ntff = path if path.suffix == ".ntff" else next(iter(sorted(folder.glob("*.ntff"))), Path("FILE.ntff"))
    raise FileError(f"{path} is a raw capture, which only the vendor's tool can read. Run (no Neuron device needed): "
                    + _VIEW.format(neff=shlex.quote(str(neff)), ntff=shlex.quote(str(ntff)))
                    + " and give simcore tables/")


def _is_parquet(path: Path) -> bool:
    from simcore.profile.parquet_read import find_folder

    return path.is_dir() and find_folder(path) is not None


def _parquet(path: Path) -> Timeline:
    from simcore.profile.parquet_read import read_parquet

    return read_parquet(path)


def _one_table(path: Path) -> Timeline:
    raise FileError(f"{path} is one table; give simcore the folder it is in ({path.parent}), which has the others")


def _is_summary_json(path: Path) -> bool:
    text = _starts(path)
    return bool(re.match(r'\{\s*"n_[0-9a-f]{8,}"', text)) or bool(
        text.startswith("{") and re.match(r'\{\s*"\w+"\s*:\s*[-0-9"tfn]', text) and '"traceEvents"' not in text)


def _summary_json(path: Path) -> Timeline:
    from simcore.profile.summary_files import read_summary_json

    return read_summary_json(path)


def _full_json(path: Path) -> Timeline:
    from simcore.profile.full_json import read_full_json

    return read_full_json(path)


def _summary_text(path: Path) -> Timeline:
    from simcore.profile.summary_files import read_summary_text

    return read_summary_text(path)


def _perfetto(path: Path) -> Timeline:
    from simcore.profile.pftrace import read_pftrace

    return read_pftrace(path)


FORMATS = {
    "NEFF and NTFF": (_is_capture, _capture),
    "Parquet folder": (_is_parquet, _parquet),
    "Parquet table": (lambda p: p.is_file() and head(p, 4) == b"PAR1", _one_table),
    "Perfetto trace": (lambda p: p.is_file() and head(p, 1) == b"\n" and ".pftrace" in p.name, _perfetto),
    "summary-json": (_is_summary_json, _summary_json),
    "full JSON": (lambda p: _starts(p).startswith("{"), _full_json),
    "summary-text": (lambda p: bool(re.search(r"(?m)^\s*n_[0-9a-f]{8,}:?\s*$", _starts(p))), _summary_text),
}
"""Kind -> (does the path hold it?, reader).  Tried in this order; content decides, names only where it is silent."""

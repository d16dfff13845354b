"""A hardware bundle: one zip with the profiles of a run on a chip and what is needed to repeat it in the simulator."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import simcore
from simcore.errors import FileError
from simcore.timeline import Timeline

FORMAT = "simcore-hardware-bundle"
VERSION = 1
SUFFIX = ".hwbundle"
MAX_MEMBER_BYTES = 1 << 32
_MEMBER = re.compile(r"profile_\d+/(profile\.json|summary\.json)")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """How the run was made.

    script        the kernel file's name and SHA-256; its text is in the bundle for reading, and is never run from there
    kernel, args  as given to --kernel and --arg; script_args what followed "--"
    target        the chip
    shapes        inputs of each kernel launch, where the simulator could say
    versions      the vendor's packages and tools; environment: the variables set for the run
    commands      the vendor's commands, in order
    """

    script: str
    sha256: str
    path: str
    kernel: str | None = None
    args: list[str] = field(default_factory=list)
    script_args: list[str] = field(default_factory=list)
    target: str = "trn2"
    shapes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def pack(bundle: Path, manifest: Manifest, script: Path, profiles: list[Path]) -> None:
    """Write a bundle; each of `profiles` is a folder with profile.json and perhaps summary.json."""
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("manifest.json", json.dumps({"format": FORMAT, "version": VERSION} | asdict(manifest), indent=1))
        z.write(script, f"source/{script.name}")
        for i, folder in enumerate(profiles, 1):
            for name in ("profile.json", "summary.json"):
                if (folder / name).exists():
                    z.write(folder / name, f"profile_{i}/{name}")


def is_bundle(file: Path) -> bool:
    """A zip whose first words say so."""
    try:
        with zipfile.ZipFile(file) as z:
            return "manifest.json" in z.namelist() and FORMAT in z.read("manifest.json")[:4096].decode(errors="replace")
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, zlib.error):
        return False


def read_manifest(bundle: Path) -> Manifest:
    """Raises FileError when it is damaged or of another version."""
    try:
        with zipfile.ZipFile(bundle) as z:
            if z.getinfo("manifest.json").file_size > 1 << 24:
                raise FileError(f"{bundle}: its manifest is too large to be one")
            data = json.loads(z.read("manifest.json"))
        if data.get("format") != FORMAT or data.get("version") != VERSION:
            raise FileError(f"{bundle} is not a {FORMAT} of version {VERSION}")
        return Manifest(
            **{
                f.name: _typed(data[f.name], f.default_factory if callable(f.default_factory) else None)
                for f in fields(Manifest)
                if f.name in data
            }
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError, zipfile.BadZipFile) as e:
        raise FileError(f"{bundle} is damaged or not a hardware bundle ({e})") from None


def _typed(value: Any, factory: Any) -> Any:
    """Lists stay lists and tables tables: what reads the manifest need not ask again."""
    if factory is not None and not isinstance(value, factory):
        raise ValueError(f"{value!r} is not a {factory.__name__}")
    return value


def read_timelines(bundle: Path) -> list[Timeline]:
    """The measured profiles of a bundle.  Raises FileError."""
    timelines = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(bundle) as z:
                for info in sorted(z.infolist(), key=lambda info: info.filename):
                    if _MEMBER.fullmatch(info.filename) is None:  # nothing else is unpacked, so no name leads elsewhere
                        continue
                    if info.file_size > MAX_MEMBER_BYTES:
                        raise FileError(f"{bundle}: {info.filename} claims {info.file_size} bytes; refusing to read it")
                    part = Path(folder) / info.filename
                    part.parent.mkdir(exist_ok=True)
                    with z.open(info) as source, part.open("wb") as target:
                        shutil.copyfileobj(source, target)
        except (OSError, zipfile.BadZipFile, zlib.error) as e:
            raise FileError(f"{bundle} is damaged ({e})") from None
        for profile in sorted(Path(folder).glob("profile_*")):
            whole = profile / "profile.json"
            timelines.append(simcore.read_profile(whole if whole.exists() else profile / "summary.json"))
    if not timelines:
        raise FileError(f"{bundle} holds no profile")
    return timelines

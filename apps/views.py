"""Writing a view of what was asked for to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simcore.apps.load import load
from simcore.apps.options import Sources
from simcore.apps.output import narrate, numbered, working
from simcore.errors import UsageError
from simcore.files import check_writable, replacing
from simcore.viz import VIEWS


def write(name: str, sources: Sources, output: Path | None, **options: Any) -> list[Path]:
    """Load the sources, write the view, return the paths written.

    A view that draws several timelines gets all of them; another is written once per timeline, as name.1.svg,
    name.2.svg ... when there are several.
    """
    view = VIEWS[name]
    if output is None:
        output = Path(f"{sources.files[0].name.split('.')[0]}-{name}{view.suffixes[0]}")
    if output.suffix not in view.suffixes:
        given = output.suffix or "files without suffix"
        raise UsageError(f"{output}: {name} writes {' or '.join(view.suffixes)} files, not {given}")
    check_writable(output)
    timelines = load(sources)
    shown: list[Any] = [timelines] if view.several else list(timelines)
    function = view.load()
    written = numbered(output, len(shown))
    for what, path in zip(shown, written, strict=True):
        with replacing(path) as part, working(f"writing {path}"):
            function(what, part, **options)
        narrate(f"wrote {path}")
    return written

"""Views inside a notebook: `show(timeline, "gantt")` as the value of a cell."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simcore.errors import UsageError, nearest
from simcore.timeline import Timeline
from simcore.viz import VIEWS

FORMS = {".svg": "image/svg+xml", ".png": "image/png", ".html": "text/html"}


class Shown:
    """What a notebook puts below the cell."""

    def __init__(self, data: dict[str, Any]):
        self.data = data

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.data

    def __repr__(self) -> str:
        return str(self.data["text/plain"])


def show(timelines: Timeline | Iterable[Timeline], view: str = "gantt", *, height: int = 900, **options: Any) -> Shown:
    """A view that is a picture or a page, with its own options: show([naive, flash], "roofline", theme="dark").

    height  of the frame a page (view "report") gets, in pixels.  Raises UsageError for a view a notebook cannot show;
    a timeline, a summary, an explanation and a comparison show themselves.
    """
    can = {name: suffix for name, v in VIEWS.items() for suffix in v.suffixes[:1] if suffix in FORMS}
    if view not in can:
        raise UsageError(f"a notebook can show {', '.join(can)}, not {view!r}.{nearest(view, can)}")
    suffix = can[view]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{view}{suffix}")
        VIEWS[view].load()(timelines, path, **options)
        data = path.read_bytes() if suffix == ".png" else path.read_text(encoding="utf-8")
    if isinstance(data, str) and suffix == ".html":
        data = f'<iframe srcdoc="{html.escape(data)}" style="width: 100%; height: {height}px; border: 0"></iframe>'
    return Shown({FORMS[suffix]: data, "text/plain": f"{view} ({suffix[1:]})"})

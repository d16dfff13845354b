"""The frame on the screen as an SVG that stands alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from simcore.timeline import Timeline

FONTS = '"Fira Code", "JetBrains Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace'


def standalone(svg: str) -> str:
    """Rich's SVG asks a font server on the internet for its font; ours takes a monospaced font of the reader's system.

    Each piece of text has its length in the file, so columns stay in line with any font.
    """
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    svg = re.sub(r"font-family: Fira Code, monospace", f"font-family: {FONTS}", svg)
    return svg.replace("<text ", '<text xml:space="preserve" ')  # some readers drop spaces at the ends otherwise


def free_path(folder: Path, name: str) -> Path:
    """folder/name.svg, or name-2.svg and so on: an export never replaces another."""
    stem = re.sub(r"[^\w-]+", "-", name).strip("-") or "timeline"
    path, number = folder / f"{stem}.svg", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.svg"
    return path


def frame(timelines: list[Timeline], size: tuple[int, int] = (120, 40), keys: Sequence[str] = ()) -> str:
    """One frame of the terminal view as SVG text, drawn without a terminal; `keys` are pressed before.

    size is (columns, rows); a key is named as textual does ("s", "enter", "question_mark").
    """
    from simcore.viz.tui.app import TimelineApp

    async def draw() -> str:
        app = TimelineApp(timelines)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await pilot.press(*keys)
            await app.workers.wait_for_complete()
            await pilot.pause()
            return standalone(app.export_screenshot(title=timelines[0].name, simplify=True))

    return asyncio.run(draw())

"""One palette for every view: plots, terminal, report, Perfetto.

A colour never stands alone: each engine and each cause also has a letter or symbol (one terminal cell wide) and a
hatch (matplotlib), so nothing is lost in greyscale or to a colour-blind reader.  Hues follow Okabe and Ito's
colour-blind safe set; the dark theme has the same hues, lighter.  A test checks contrast and distinctness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")


@dataclass(frozen=True)
class Ink:
    """How one thing is drawn everywhere."""

    light: str  # colour on the light theme's background, "#rrggbb"
    dark: str  # colour on the dark theme's background
    symbol: str  # one terminal cell
    hatch: str  # matplotlib hatch; "" is solid
    meaning: str  # a few words for legends

    def on(self, theme: Theme) -> str:
        return self.dark if theme == "dark" else self.light


ENGINES: dict[str, Ink] = {
    "Tensor": Ink("#0068a8", "#4aa8e8", "T", "", "Tensor engine (PE): matmul"),
    "Vector": Ink("#c05a00", "#f08a2c", "V", "//", "Vector engine (DVE): elementwise, reductions"),
    "Scalar": Ink("#00805c", "#2fc795", "S", "\\\\", "Scalar engine (ACT): activation functions"),
    "GpSimd": Ink("#a8407c", "#ea8fc4", "G", "xx", "GpSimd engine (Pool): general purpose"),
    "Sync": Ink("#5e5e5e", "#b0b0b0", "Y", "..", "Sync engine (SP): DMA triggers, semaphores"),
    "DMA": Ink("#8a7300", "#e6d24a", "D", "--", "the 16 DMA engines"),
}
"""By the vendor's display name (simcore.timeline.ENGINES), then the DMA engines."""

CAUSES: dict[str, Ink] = {
    "start": Ink("#6b6b6b", "#a8a8a8", "·", "", "nothing before it"),
    "engine": Ink("#4f4f8f", "#a3a3e0", "e", "..", "its own engine was busy"),
    "data": Ink("#0068a8", "#4aa8e8", "d", "//", "a result of another instruction"),
    "dma": Ink("#8a7300", "#e6d24a", "m", "--", "a DMA to complete"),
    "reuse": Ink("#b02a2a", "#ff7b72", "r", "xx", "a buffer still in use by others"),
    "bank": Ink("#a8407c", "#ea8fc4", "b", "\\\\", "a PSUM bank in use"),
    "queue": Ink("#c05a00", "#f08a2c", "q", "||", "room in a DMA queue"),
    "barrier": Ink("#3d6b1f", "#8fce5e", "B", "++", "the other core"),
    "order": Ink("#00807c", "#3fc9c2", "o", "oo", "an order the kernel asked for"),
    "unknown": Ink("#767676", "#8f8f8f", "?", "", "the profile does not say"),
}
"""What an instruction waited for, by name in simcore.timeline.CAUSES."""

MEMORIES: dict[str, Ink] = {
    "HBM": Ink("#b02a2a", "#ff7b72", "H", "", "device memory"),
    "SBUF": Ink("#3d6b1f", "#8fce5e", "B", "//", "state buffer, 128 partitions"),
    "PSUM": Ink("#4f4f8f", "#a3a3e0", "P", "\\\\", "partial sums, 8 banks"),
}

SERIES: tuple[Ink, ...] = (
    Ink("#0068a8", "#4aa8e8", "●", "", "1st kernel"),
    Ink("#c05a00", "#f08a2c", "■", "//", "2nd kernel"),
    Ink("#00805c", "#2fc795", "▲", "\\\\", "3rd kernel"),
    Ink("#a8407c", "#ea8fc4", "◆", "xx", "4th kernel"),
    Ink("#8a7300", "#e6d24a", "▼", "--", "5th kernel"),
    Ink("#5e5e5e", "#b0b0b0", "✚", "..", "6th kernel"),
    Ink("#4f4f8f", "#a3a3e0", "★", "oo", "7th kernel"),
    Ink("#b02a2a", "#ff7b72", "⬟", "++", "8th kernel"),
)
"""Kernels beside each other on one picture; a ninth starts again with the first."""

MARKERS = ("o", "s", "^", "D", "v", "P", "*", "p")
"""The matplotlib marker of each of SERIES."""

CRITICAL = Ink("#d00000", "#ff5c5c", "!", "", "on the critical path")


@dataclass(frozen=True)
class Surface:
    """Background, text and lines of a theme."""

    background: str
    panel: str
    text: str
    muted: str
    line: str
    grid: str
    idle: str


SURFACES: dict[Theme, Surface] = {
    "light": Surface("#ffffff", "#f5f5f2", "#1c1c1c", "#5c5c5c", "#9a9a9a", "#e2e2de", "#ecece8"),
    "dark": Surface("#14161a", "#1d2026", "#e8e8e6", "#a2a6ad", "#5c626c", "#2c3038", "#23272e"),
}


def engine(name: str, theme: Theme = "light") -> str:
    """The colour of an engine ("DMA" too)."""
    return ENGINES[name].on(theme)


def cause(name: str, theme: Theme = "light") -> str:
    """The colour of a wait's cause."""
    return CAUSES[name].on(theme)


def series(i: int) -> Ink:
    return SERIES[i % len(SERIES)]

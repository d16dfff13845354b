"""Colours of the terminal view, all from the palette the plots use, and the textual themes made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rich.style import Style
from textual.color import Color
from textual.theme import Theme

from simcore.viz import palette


@dataclass(frozen=True)
class Inks:
    """What the widgets draw with.  `background` is the theme's own, so any textual theme fits."""

    dark: bool
    background: str
    text: str
    muted: str
    idle: str
    accent: str

    def engine(self, name: str) -> str:
        if name == "Critical":
            return palette.CRITICAL.on(self._theme)
        return palette.ENGINES[name].on(self._theme)

    def cause(self, name: str) -> str:
        return palette.CAUSES[name].on(self._theme)

    def graph(self, name: str) -> str:
        ink = palette.MEMORIES.get(name)
        return ink.on(self._theme) if ink else self.engine("DMA")

    def shade(self, name: str, rank: int) -> str:
        """The colour of an engine's opcode: the engine's own for the busiest, then lighter and darker ones."""
        toward, amount = ((self.text, 0.0), (self.text, 0.4), (self.background, 0.35), (self.text, 0.65))[rank % 4]
        return blend(self.engine(name), toward, amount)

    def role(self, role: str) -> Style:
        """The style of a piece of a panel (facts.Line)."""
        kind, _, name = role.partition(":")
        if kind == "engine":
            return style(self.engine(name) if name in (*palette.ENGINES, "Critical") else self.text, None)
        if kind == "cause":
            return style(self.cause(name), None)
        return {
            "label": style(self.muted, None),
            "dim": style(self.muted, None),
            "strong": style(self.text, None, bold=True),
            "warn": style(self.cause("reuse"), None, bold=True),
        }.get(kind, style(self.text, None))

    @property
    def _theme(self) -> palette.Theme:
        return "dark" if self.dark else "light"


@lru_cache(4096)
def blend(colour: str, toward: str, amount: float) -> str:
    return Color.parse(colour).blend(Color.parse(toward), amount).hex6.lower()


@lru_cache(4096)
def readable(background: str) -> str:
    """Black or white, whichever reads better on a colour."""
    return "#000000" if Color.parse(background).brightness > 0.45 else "#ffffff"


@lru_cache(16384)
def style(colour: str | None, background: str | None, *, bold: bool = False, reverse: bool = False) -> Style:
    return Style(color=colour, bgcolor=background, bold=bold, reverse=reverse)


def _theme(name: str, which: palette.Theme, **changes) -> Theme:
    surface = palette.SURFACES[which]
    return Theme(
        name=name,
        dark=which == "dark",
        primary=palette.engine("Tensor", which),
        secondary=palette.engine("Vector", which),
        accent=palette.engine("DMA", which),
        success=palette.engine("Scalar", which),
        warning=palette.engine("Vector", which),
        error=palette.CRITICAL.on(which),
        foreground=changes.get("foreground", surface.text),
        background=changes.get("background", surface.background),
        surface=changes.get("surface", surface.panel),
        panel=changes.get("panel", surface.panel),
        variables={"footer-key-foreground": palette.engine("DMA", which)},
    )


THEMES = (
    _theme("simcore-dark", "dark"),
    _theme("simcore-light", "light"),
    _theme("simcore-contrast", "dark", foreground="#ffffff", background="#000000", surface="#000000", panel="#101010"),
)
"""Our own themes; all of textual's can be chosen too."""


def inks_of(theme: Theme) -> Inks:
    """The colours that go with a textual theme."""
    surface = palette.SURFACES["dark" if theme.dark else "light"]
    background, text = theme.background or surface.background, theme.foreground or surface.text
    if any(Color.parse(colour).ansi is not None for colour in (background, text)):
        background, text = surface.background, surface.text  # textual's ANSI themes leave them to the terminal
    return Inks(
        theme.dark,
        background,
        text,
        blend(text, background, 0.35),
        blend(text, background, 0.9),
        palette.engine("DMA", "dark" if theme.dark else "light"),
    )

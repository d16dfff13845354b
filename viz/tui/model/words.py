"""Text that comes from a file, made safe to put on a terminal."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(65536)
def printable(text: str, *, narrow: bool = False) -> str:
    """Control characters (escape sequences!) become "�"; with `narrow` what is not one cell wide becomes "?"."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_safe(letter, narrow) for letter in text)


def _safe(letter: str, narrow: bool) -> str:
    if letter == "\t":
        return " "
    if not letter.isprintable():
        return "�"
    wide = unicodedata.east_asian_width(letter) in "WF" or unicodedata.combining(letter)
    return "?" if narrow and wide else letter

"""Colours can be told apart, also without colour; figures read as people write them."""

from __future__ import annotations

import itertools

import pytest

from simcore.timeline import CAUSES, ENGINES
from simcore.viz import VIEWS, format, palette


def _linear(colour: str) -> list[float]:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def _luminance(colour: str) -> float:
    r, g, b = _linear(colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def _contrast(a: str, b: str) -> float:
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", palette.THEMES)
def test_every_ink_stands_out_from_its_background(theme):
    """WCAG 2.1: graphical objects need a contrast of 3 to 1, text 4.5 to 1."""
    surface = palette.SURFACES[theme]
    for group in (palette.ENGINES, palette.CAUSES, palette.MEMORIES):
        for name, ink in group.items():
            assert _contrast(ink.on(theme), surface.background) >= 3, name
    assert _contrast(surface.text, surface.background) >= 7
    assert _contrast(surface.muted, surface.background) >= 4.5


@pytest.mark.parametrize("group", ["ENGINES", "CAUSES", "MEMORIES"])
def test_nothing_is_colour_only(group):
    inks = list(getattr(palette, group).values())
    assert len({ink.symbol for ink in inks}) == len(inks)
    assert all(len(ink.symbol) == 1 and ink.meaning for ink in inks)


def test_engines_differ_by_colour_and_by_hatch():
    inks = list(palette.ENGINES.values())
    assert len({ink.hatch for ink in inks}) == len(inks)
    for theme in palette.THEMES:
        for a, b in itertools.combinations(inks, 2):
            distance = sum((x - y) ** 2 for x, y in zip(_linear(a.on(theme)), _linear(b.on(theme)))) ** 0.5
            assert distance > 0.08, (a, b)


def test_every_engine_and_cause_has_an_ink():
    assert set(palette.ENGINES) == {*ENGINES, "DMA"}
    assert set(palette.CAUSES) == set(CAUSES)
    assert len(palette.MARKERS) == len(palette.SERIES)


@pytest.mark.parametrize(
    "ps, text",
    [
        (0, "0 ns"),
        (1, "1.00 ps"),
        (999_600, "1.00 µs"),
        (12_345, "12.3 ns"),
        (123_456_789, "123 µs"),
        (2.5e12, "2.50 s"),
        (9e15, "9000 s"),
        (-12_345, "-12.3 ns"),
        (None, "–"),
    ],
)
def test_times(ps, text):
    assert format.time(ps) == text


def test_times_in_one_unit():
    assert [format.time(ps, "µs") for ps in (0, 1000, 12_345_678)] == ["0 µs", "0.00100 µs", "12.3 µs"]
    assert format.time_exact(12_345_678) == "12 345.678 ns" and format.time_exact(2000) == "2 ns"
    assert format.time_unit(2.5e7) == (10**6, "µs") and format.time_unit(0) == (1, "ps")


@pytest.mark.parametrize(
    "value, text", [(0, "0 B"), (1023, "1023 B"), (1536, "1.50 KiB"), (24 << 20, "24.0 MiB"), (None, "–")]
)
def test_sizes_are_binary(value, text):
    assert format.size(value) == text


def test_rates_are_decimal():
    assert format.rate(435e9) == "435 GB/s" and format.rate(999.6e9) == "1.00 TB/s"
    assert format.flop_rate(78.64e12) == "78.6 TFLOP/s" and format.frequency(2.4e9) == "2.40 GHz"


@pytest.mark.parametrize(
    "value, text", [(0, "0 %"), (0.0001, "<0.1 %"), (0.005, "0.5 %"), (0.0996, "10 %"), (1, "100 %"), (None, "–")]
)
def test_percent(value, text):
    assert format.percent(value) == text


def test_numbers():
    assert format.number(12_400) == "12 400" and format.number(1_230_000) == "1.23 M" and format.ratio(2) == "2.00x"


@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
def test_every_view_loads(view):
    assert callable(view.load()) and view.help

"""Times, bytes and rates for people.  The one module that turns figures into text.

Three significant digits, a unit with a space before it, and no surprises: sizes are binary (KiB, because tiles are
powers of two), rates are decimal (GB/s, as the vendor states them), times are ps, ns, µs, ms or s.
What is missing prints as a dash, never as 0.
"""

from __future__ import annotations

import math

__all__ = [
    "MISSING",
    "digits",
    "flop_rate",
    "flops",
    "frequency",
    "intensity",
    "number",
    "percent",
    "rate",
    "ratio",
    "size",
    "time",
    "time_exact",
    "time_unit",
]

MISSING = "–"

_TIMES = ((1, "ps"), (10**3, "ns"), (10**6, "µs"), (10**9, "ms"), (10**12, "s"))
_BINARY = ((1, "B"), (1 << 10, "KiB"), (1 << 20, "MiB"), (1 << 30, "GiB"), (1 << 40, "TiB"))
_DECIMAL = ((1, ""), (10**3, "k"), (10**6, "M"), (10**9, "G"), (10**12, "T"), (10**15, "P"))


def digits(value: float, significant: int = 3) -> str:
    """A number with so many significant digits, without exponent: 0.0123, 1.23, 12.3, 123, 12346."""
    if value == 0:
        return "0"
    whole = significant - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, max(whole, 0)):.{max(whole, 0)}f}"
    if len(text.replace("-", "").replace(".", "").lstrip("0")) > significant and whole > 0:  # 9.996 became 10.00
        text = text[:-1]
    return text


def time(ps: float | None, unit: str | None = None, significant: int = 3) -> str:
    """Picoseconds as text: "12.3 µs".  With `unit`, in that unit (so a column of times can share one)."""
    if ps is None:
        return MISSING
    if ps == 0:
        return f"0 {unit or 's'}" if unit else "0 ns"
    if unit is not None:
        factor = dict((u, f) for f, u in _TIMES)[unit]
        return f"{digits(ps / factor, significant)} {unit}"
    for i, (factor, name) in enumerate(_TIMES):
        if i + 1 == len(_TIMES) or abs(ps) / factor < 999.5:
            return f"{digits(ps / factor, significant)} {name}"
    raise AssertionError


def time_exact(ps: int) -> str:
    """Picoseconds with every digit, in nanoseconds: "12 345.678 ns"."""
    whole, part = divmod(abs(int(ps)), 1000)
    sign = "-" if ps < 0 else ""
    return f"{sign}{whole:,}".replace(",", " ") + (f".{part:03d}" if part else "") + " ns"


def time_unit(ps: float) -> tuple[int, str]:
    """(picoseconds per unit, unit) that suits an axis or a column whose largest value is `ps`."""
    return next(((f, u) for f, u in reversed(_TIMES) if abs(ps) >= f), _TIMES[0])


def size(nbytes: float | None, significant: int = 3) -> str:
    """Bytes as text, binary units: "24.0 MiB"."""
    if nbytes is None:
        return MISSING
    for i, (factor, unit) in enumerate(_BINARY):
        if i + 1 == len(_BINARY) or abs(nbytes) / factor < 1023.5:
            number = str(int(nbytes)) if factor == 1 and nbytes == int(nbytes) else digits(nbytes / factor, significant)
            return f"{number} {unit}"
    raise AssertionError


def _decimal(value: float | None, unit: str, significant: int = 3) -> str:
    if value is None:
        return MISSING
    for i, (factor, prefix) in enumerate(_DECIMAL):
        if i + 1 == len(_DECIMAL) or abs(value) / factor < 999.5:
            number = str(int(value)) if factor == 1 and value == int(value) else digits(value / factor, significant)
            return f"{number} {prefix}{unit}".rstrip()
    raise AssertionError


def rate(bytes_per_s: float | None) -> str:
    """Bytes per second, decimal: "435 GB/s"."""
    return _decimal(bytes_per_s, "B/s")


def flops(count: float | None) -> str:
    """Arithmetic operations: "4.29 GFLOP"."""
    return _decimal(count, "FLOP")


def flop_rate(per_s: float | None) -> str:
    """Arithmetic operations per second: "78.6 TFLOP/s"."""
    return _decimal(per_s, "FLOP/s")


def frequency(hz: float | None) -> str:
    """Clock: "2.40 GHz"."""
    return _decimal(hz, "Hz")


def number(value: float | None) -> str:
    """A count for people: "812", "12 400" below a million, then "1.23 M"."""
    if value is None:
        return MISSING
    if abs(value) < 1e6:
        return f"{int(value):,}".replace(",", " ") if value == int(value) else digits(value)
    return _decimal(value, "")


def percent(fraction: float | None) -> str:
    """A fraction as percent: "87 %", "8.7 %", "0.9 %"; a fraction below 0.05 % that is not 0 prints as "<0.1 %"."""
    if fraction is None or math.isnan(fraction):
        return MISSING
    value = 100 * fraction
    if 0 < abs(value) < 0.05:
        return "<0.1 %"
    return f"{value:.0f} %" if abs(value) >= 9.95 or value == 0 else f"{value:.1f} %"


def intensity(flops_per_byte: float | None) -> str:
    """Arithmetic intensity: "181 FLOP/B"."""
    return MISSING if flops_per_byte is None else f"{digits(flops_per_byte)} FLOP/B"


def ratio(value: float | None) -> str:
    """How many times: "1.23x"."""
    return MISSING if value is None else f"{digits(value)}x"

"""Device loops and ordering scopes."""

from __future__ import annotations

import contextlib

from simcore.frontend import state
from simcore.registers import Register


def dynamic_range(start, stop=None, step=1):
    """Iterate as the device would; the variable is a register with its value (known where bounds are known)."""
    if stop is None:
        start, stop = 0, start
    i, end, by = int(start), int(stop), int(step)
    while i < end:
        yield Register(i, "loop variable")
        i += by


@contextlib.contextmanager
def no_reorder():
    """Within the scope each instruction is ordered after the one before it."""
    rec = state.current("nl.no_reorder")
    first = len(rec)
    try:
        yield
    finally:
        rec.order.extend((i, i + 1) for i in range(first, len(rec) - 1))

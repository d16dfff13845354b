"""Python's cycle collector, put aside for work that makes millions of small objects and no cycles.

The collector would look at them again and again: a tenth of the time of a capture and of a simulation.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """No collection inside; the collector is afterwards as it was."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():
                # all objects are old now, without a look at them: the next collection would look at all that are young
                gc.freeze()
                gc.unfreeze()
            gc.enable()

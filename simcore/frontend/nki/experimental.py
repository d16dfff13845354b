"""`nki.experimental`."""

from simcore.frontend.control import fori_loop, while_loop

__all__ = ["fori_loop", "while_loop"]

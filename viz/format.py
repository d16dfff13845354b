"""Times, bytes and rates for people: simcore.format, under the name views use (the core prints figures too)."""

from simcore.format import *  # noqa: F403
from simcore.format import __all__ as __all__

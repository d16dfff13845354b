"""What can go wrong, as sentences.

An error says what went wrong, where in the kernel (file and line), and what to do.
The library raises; only the command line prints, and turns `exit_code` into the process's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SimcoreError(Exception):
    """Base of every error a user can cause.  `site` is where in the kernel, when known."""

    exit_code = 1

    def __init__(self, message: str, *, site=None):
        super().__init__(message)
        self.message = message
        self.site = site

    def __str__(self) -> str:
        return f"{self.site}: {self.message}" if self.site is not None else self.message


class KernelError(SimcoreError):
    """The kernel asks for something the hardware or the language does not allow."""


class NkiValidationError(KernelError):
    """An instruction's operands break one of its documented constraints.  (The vendor's name.)"""


class CapacityError(KernelError):
    """SBUF or PSUM cannot hold the tiles that are alive at once.  `memory` says which one, where it is known."""

    def __init__(self, message: str, *, site=None, memory: str = ""):
        super().__init__(message, site=site)
        self.memory = memory


class ValueNeeded(KernelError):
    """Timing only: control flow of the kernel depends on a value that was not computed."""


class UsageError(SimcoreError):
    """The caller's request does not fit (a wrong argument, several kernels and none named)."""

    exit_code = 2


class FileError(SimcoreError):
    """A file is missing, damaged, or not of the kind asked for."""

    exit_code = 3


class MachineError(SimcoreError):
    """A machine description lacks a number or contradicts itself."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """" Did you mean 'x'?" when something similar is known, else an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {match[0]!r}?" if match else ""

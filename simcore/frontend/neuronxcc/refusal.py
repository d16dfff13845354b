"""Modules whose names can be imported, and say why they cannot be used when they are called."""

from __future__ import annotations

from collections.abc import Callable

from simcore.errors import KernelError


def refusing(sentence: str) -> Callable[[str], Callable]:
    """The `__getattr__` of such a module; `{}` in the sentence stands for the name."""

    def __getattr__(name: str) -> Callable:
        if name.startswith("__"):
            raise AttributeError(name)

        def refused(*args, **kwargs):
            raise KernelError(sentence.format(name))

        refused.__name__ = name
        return refused

    return __getattr__

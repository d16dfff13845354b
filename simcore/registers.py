"""Registers: 32-bit scalars of an engine's sequencer, used as loop variables and dynamic offsets.

In a run with values a register holds an integer.  Where only timing is wanted it may hold None ("not known"): it can
still offset an access, but control flow that needs it raises ValueNeeded.
"""

from __future__ import annotations

import operator


class Register:
    """A register with its integer, or with None where the value is not computed.  A frozen one is a loop variable.

    sources: the tensors its value was loaded from; an access at an address that is computed from it waits for them.
    """

    __slots__ = ("known", "name", "origin", "frozen", "sources")
    __hash__ = None  # type: ignore[assignment]   a register changes, so nothing may be remembered under it

    def __init__(self, known: int | None = None, name: str = "register", origin=None, sources: tuple = ()):
        self.frozen = False
        self.sources = sources
        self.known = known
        self.name = name
        self.origin = origin      # (root, distance): lets `stop - start` of a dynamic slice be a constant

    def _value(self) -> int:
        if self.known is None:
            from simcore.frontend import state

            state.value_needed("the value of a register" if self.name == "register" else f"the value of {self.name}")
        return self.known

    def copy(self) -> Register:
        """A register that keeps today's value."""
        return Register(self.known, self.name, self.origin, self.sources)

    def distance(self, other: Register) -> int:
        root, here = self.origin or (self, 0)
        root2, there = other.origin or (other, 0)
        if root is not root2:
            return self._value() - other._value()
        return here - there

    def _shifted(self, by: int) -> Register:
        root, here = self.origin or (self, 0)
        return Register(None if self.known is None else self.known + by, self.name, (root, here + by),
                        self.sources)

    def __int__(self) -> int:
        return int(self._value())

    __index__ = __int__

    def __bool__(self) -> bool:
        return bool(self._value())

    def __float__(self) -> float:
        return float(self._value())

    def __repr__(self) -> str:
        return f"<{self.name}={'?' if self.known is None else self.known}>"


def _union(a: tuple, b: tuple) -> tuple:
    return a + tuple(x for x in b if all(x is not y for y in a))


def _arithmetic(name, fn):
    def forward(self, other):
        if name in ("add", "sub") and isinstance(other, int):
            return self._shifted(other if name == "add" else -other)
        register = isinstance(other, Register)
        a, b = self.known, other.known if register else other
        return Register(None if a is None or b is None else fn(a, b), f"{self.name}",
                        sources=_union(self.sources, other.sources) if register else self.sources)

    def backward(self, other):
        if name == "add" and isinstance(other, int):
            return self._shifted(other)
        return Register(None if self.known is None else fn(other, self.known), self.name, sources=self.sources)

    return forward, backward


for _name, _fn in {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv,
                   "mod": operator.mod,
                   "lshift": operator.lshift, "rshift": operator.rshift, "and": operator.and_, "or": operator.or_,
                   "xor": operator.xor}.items():
    _forward, _backward = _arithmetic(_name, _fn)
    setattr(Register, f"__{_name}__", _forward)
    setattr(Register, f"__r{_name}__", _backward)


def _comparison(fn):
    def compare(self, other):
        return fn(self._value(), int(other))

    return compare


for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Register, f"__{_name}__", _comparison(getattr(operator, _name)))

"""Launch grids of the older dialect.

`kernel[2, 3]`, `kernel[nl.nc(2)]`, `kernel[2 * nl.nc(2), 4]`, `kernel[nl.spmd_dim(nl.nc(2), 2)]`.
"""

from __future__ import annotations

import math


class GridDim:
    """One dimension of a grid: `size` programs in order of `factors`, of which `cores` counts physical cores.

    factors are (size, is it cores?) from outermost to innermost.
    """

    def __init__(self, factors: tuple[tuple[int, bool], ...]):
        self.factors = factors

    @property
    def size(self) -> int:
        return math.prod(n for n, _ in self.factors)

    @property
    def cores(self) -> int:
        return math.prod(n for n, physical in self.factors if physical)

    def core(self, index: int) -> int:
        """The physical core of a program with this index."""
        found, scale = 0, 1
        for n, physical in reversed(self.factors):
            if physical:
                found += index % n * scale
                scale *= n
            index //= n
        return found

    def __mul__(self, other) -> GridDim:
        return spmd_dim(self, other)

    def __rmul__(self, other) -> GridDim:
        return spmd_dim(other, self)

    def __index__(self) -> int:
        return self.size

    __int__ = __index__

    def __repr__(self) -> str:
        return " * ".join(f"nc({n})" if p else str(n) for n, p in self.factors)


def nc(count: int) -> GridDim:
    """`count` physical NeuronCores."""
    return GridDim(((int(count), True),))


def spmd_dim(*dims) -> GridDim:
    """The product of dimensions, outermost first."""
    factors: tuple = ()
    for d in dims:
        factors += d.factors if isinstance(d, GridDim) else ((int(d), False),)
    return GridDim(factors)

"""Where index expressions come from: `nl.arange` and `nl.mgrid`."""

from __future__ import annotations

from simcore.frontend.neuronxcc.index import Index

_lines: dict[tuple, Index] = {}


def arange(*args) -> Index:
    """`nl.arange`: start, start + step, ... along one dimension."""
    found = _lines.get(args)
    if found is None:
        found = _line(*args)
        if len(_lines) < 4096:
            _lines[args] = found
    return found


def _line(*args) -> Index:
    start, stop, step = {1: lambda b: (0, b, 1), 2: lambda a, b: (a, b, 1),
                         3: lambda a, b, c: (a, b, c)}[len(args)](*args)
    start, stop, step = int(start), int(stop), int(step)
    return Index((max(0, -(-(stop - start) // step)),), start, (step,))


class Grid(tuple):
    """What `nl.mgrid[...]` gives: one dense index expression per dimension, also as .p .x .y .z .w."""

    p = property(lambda g: g[0])
    x = property(lambda g: g[1])
    y = property(lambda g: g[2])
    z = property(lambda g: g[3])
    w = property(lambda g: g[4])


class MGrid:
    """`nl.mgrid`."""

    def __getitem__(self, key) -> Grid:
        key = key if isinstance(key, tuple) else (key,)
        ends = tuple([(k.start, k.stop, k.step) for k in key])
        found = _grids.get(ends)
        if found is None:
            found = _made(key)
            if len(_grids) < 4096:
                _grids[ends] = found
        return found


_grids: dict[tuple, Grid] = {}


def _made(key: tuple[slice, ...]) -> Grid:
    lines = [arange(k.start or 0, k.stop, k.step or 1) for k in key]
    shape = tuple(line.shape[0] for line in lines)
    return Grid(Index(shape, line.const, tuple(line.coefs[0] if j == k else 0 for j in range(len(shape))))
                for k, line in enumerate(lines))

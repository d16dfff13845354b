"""Iteration spaces: how an operator over strided tensors becomes tiles of 128 partitions.

An operator visits every element of its result.  The result's dimensions are put in the order in which they lie in
memory, neighbours that all operands walk through alike are merged, and what remains is cut into three: the free part
of a tile (innermost, contiguous for the result), the partitions, and the loops around.
"""

from __future__ import annotations

from dataclasses import dataclass

PARTITIONS = 128
ENOUGH = 512
"""Elements in a partition from which on an instruction's fixed cost is small beside its work."""


@dataclass(frozen=True)
class Space:
    """`loops`, `partitions` (one size) and `free`, outermost first, and each operand's element strides over all of
    them.
    """

    loops: tuple[int, ...]
    partitions: tuple[int, ...]
    free: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @property
    def dims(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        return self.loops, self.partitions, self.free


def merged(
    shape: tuple[int, ...], strides: list[tuple[int, ...]], row: bool = False
) -> tuple[list[int], list[list[int]]]:
    """Sizes (outermost first in the memory of operand 0) and strides per dimension, sizes of 1 dropped, neighbours
    joined.

    row  leave the last dimension of `shape` alone and innermost: something is reduced along it
    """
    dims = [d for d in range(len(shape)) if shape[d] > 1]
    dims.sort(key=lambda d: (row and d == len(shape) - 1, -strides[0][d], d))
    sizes: list[int] = []
    steps: list[list[int]] = []
    for d in dims:
        step = [s[d] for s in strides]
        alone = row and d == len(shape) - 1
        if sizes and not alone and all(outer == inner * shape[d] for outer, inner in zip(steps[-1], step)):
            sizes[-1] *= shape[d]
            steps[-1] = step
        else:
            sizes.append(shape[d])
            steps.append(step)
    return (sizes, steps) if sizes else ([1], [[1] * len(strides)])


def space(shape: tuple[int, ...], strides: list[tuple[int, ...]], *, limit: int, row: bool = False) -> Space:
    """The space of an operator: `strides` of the result first, then of the operands (0 where one is repeated).

    limit  elements a tile may have in a partition; row: a tile holds whole rows (the last dimension)
    """
    sizes, steps = merged(shape, strides, row)
    total = 1
    for n in sizes:
        total *= n
    want = max(1, min(limit, -(-total // PARTITIONS)), shape[-1] if row else 1)
    free: list[int] = []
    free_steps: list[list[int]] = []
    taken = 1
    while sizes and taken < want:
        n = sizes[-1]
        part = n if taken * n <= want else _divisor(n, max(1, want // taken))
        if part == 1:
            break
        if part < n and free and taken >= want // 2:
            break
        if taken >= ENOUGH and any(all(f[i] == 0 for f in free_steps) and steps[-1][i] for i in range(len(strides))):
            break  # an operand with one value for each row: let it be a scalar for each partition
        free.insert(0, part)
        free_steps.insert(0, steps[-1])
        taken *= part
        if part == n:
            sizes.pop()
            steps.pop()
        else:
            sizes[-1] = n // part
            steps[-1] = [s * part for s in steps[-1]]
            break
    if not free:
        free, free_steps = [1], [[1] * len(strides)]
    if not sizes:
        sizes, steps = [1], [[0] * len(strides)]
    # the dimension next to the free ones unless it is short and another would fill more partitions
    best = max(range(len(sizes)), key=lambda d: (min(sizes[d], PARTITIONS), d))
    partitions, partition_steps = sizes.pop(best), steps.pop(best)
    order = [*steps, partition_steps, *free_steps]
    return Space(
        tuple(sizes), (partitions,), tuple(free), tuple(tuple(s[i] for s in order) for i in range(len(strides)))
    )


def _divisor(n: int, most: int) -> int:
    """The largest divisor of n that does not exceed `most`."""
    for d in range(min(n, most), 0, -1):
        if n % d == 0:
            return d
    return 1

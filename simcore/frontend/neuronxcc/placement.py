"""Explicit placement: `ncc.sbuf.mod_alloc(...)`, `ncc.psum.alloc(...)`, `auto_alloc()`.

A placement says where the tile of each block lies.  With fewer physical tiles than blocks, later blocks take the place
of earlier ones, which the lowering sees from equal addresses.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from simcore.dtypes import DType
from simcore.layout import MemoryRegion, psum, sbuf

_BANK_BYTES = 2048


class Placement:
    """A buffer and a function (block index, partitions, bytes per partition) -> (partition, byte), None: automatic."""

    def __init__(self, buffer: MemoryRegion, place: Callable | None):
        self.buffer, self.place = buffer, place

    def address(self, block: tuple[int, ...], own: tuple[int, ...], dt: DType):
        if self.place is None:
            return None
        found = self.place(idx=block or (0,), pdim_size=own[0], fdim_size=math.prod(own[1:]) * dt.itemsize)
        if self.buffer is psum and len(found) == 3:
            bank, partition, byte = found
            return int(partition), int(bank) * _BANK_BYTES + int(byte)
        return tuple(int(a) for a in found)


def _modulo(base: int, tiles: tuple[int, ...], scale: int, index: tuple[int, ...]) -> int:
    """Base plus the number of the physical tile (row-major in the index modulo the tile counts) times its size."""
    tiles = tuple(tiles) if tiles else (1,) * len(index)
    number = 0
    for i, n in zip(index, tiles, strict=False):
        number = number * n + i % n
    return base + number * scale


class Memory:
    """`ncc.sbuf` and `ncc.psum`: makers of placements; usable as the buffer itself."""

    def __init__(self, buffer: MemoryRegion):
        self.value = buffer.value
        self.buffer = buffer

    def alloc(self, func: Callable) -> Placement:
        """func(idx, pdim_size, fdim_size) gives (partition, byte) in SBUF or (bank, partition, byte) in PSUM."""
        return Placement(self.buffer, func)

    def auto_alloc(self) -> Placement:
        return Placement(self.buffer, None)

    def mod_alloc(self, base_addr: int = 0, *, base_bank: int = 0, base_partition: int = 0, num_bank_tiles=(),
                  num_par_tiles=(), num_free_tiles=()) -> Placement:
        if self.buffer is sbuf:
            return Placement(sbuf, lambda idx, pdim_size, fdim_size: (
                _modulo(base_partition, num_par_tiles, pdim_size, idx),
                _modulo(base_addr, num_free_tiles, fdim_size, idx)))
        return Placement(psum, lambda idx, pdim_size, fdim_size: (
            _modulo(base_bank, num_bank_tiles, 1, idx), _modulo(base_partition, num_par_tiles, pdim_size, idx),
            _modulo(base_addr, num_free_tiles, fdim_size, idx)))

"""Transfers the compiler adds to a program: identity matrices, tiles saved and brought back."""

from __future__ import annotations

from simcore.isa.table import DMA, rows
from simcore.layout import Layout
from simcore.trace import Operand, Variant


def transfer(index: int, dst: Layout, src: Layout) -> Variant:
    """A `dma_copy` of `src` to `dst` with every other argument left at its default, as variant number `index`."""
    row = rows()["dma_copy"]
    params = {p.name: p.default for p in row.params if p.access is None}
    v = Variant(row, index, (Operand("dst", "w", dst), Operand("src", "r", src)), params,
                (row.index["dst"], row.index["src"]))
    v.engine = DMA
    return v

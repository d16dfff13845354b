"""Instructions the compiler adds to a program: identity matrices, tiles saved and brought back or evicted."""

from __future__ import annotations

from simcore.isa.table import DMA, Engine, rows
from simcore.layout import Layout
from simcore.trace import Operand, Variant


def transfer(index: int, dst: Layout, src: Layout) -> Variant:
    """A `dma_copy` of `src` to `dst` with every other argument left at its default, as variant number `index`."""
    return move("dma_copy", index, DMA, dst, src)


def move(name: str, index: int, engine: Engine, dst: Layout, src: Layout) -> Variant:
    """As `transfer`, of the instruction `name` on an engine."""
    row = rows()[name]
    params = {p.name: p.default for p in row.params if p.access is None}
    v = Variant(row, index, (Operand("dst", "w", dst), Operand("src", "r", src)), params,
                (row.index["dst"], row.index["src"]))
    v.engine = engine
    return v

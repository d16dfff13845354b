"""Planted fault: one tile for all loads, each asked for when the computation before it is done.

Repaired: every iteration has its own tile, and its load is started one iteration ahead.
"""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[2048,2048]",)
LINE = "nisa.dma_copy(dst=tile, src=x[nl.ds(i * 128, 128), :])  # fault"


@nki.jit
def faulty(x):
    out = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.shared_hbm)
    total = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
    nisa.memset(dst=total, value=0.0)
    tile = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
    for i in range(x.shape[0] // 128):
        nisa.dma_copy(dst=tile, src=x[nl.ds(i * 128, 128), :])  # fault
        nisa.tensor_tensor(dst=total, data1=total, data2=tile, op=nl.add)
    nisa.dma_copy(dst=out, src=total)
    return out


@nki.jit
def repaired(x):
    out = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.shared_hbm)
    total = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
    nisa.memset(dst=total, value=0.0)
    tiles = {}
    count = x.shape[0] // 128
    for i in range(count):
        for ahead in range(i, min(i + 2, count)):
            if ahead not in tiles:
                tiles[ahead] = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
                nisa.dma_copy(dst=tiles[ahead], src=x[nl.ds(ahead * 128, 128), :])
        nisa.tensor_tensor(dst=total, data1=total, data2=tiles.pop(i), op=nl.add)
    nisa.dma_copy(dst=out, src=total)
    return out

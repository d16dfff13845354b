"""Planted fault: a tile is filled one partition at a time.  Repaired: with one transfer."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[128,2048]",)
LINE = "nisa.dma_copy(dst=tile[p, :], src=x[p, :])  # fault"


@nki.jit
def faulty(x):
    return exponentials(x, 1)


@nki.jit
def repaired(x):
    return exponentials(x, 128)


def exponentials(x, rows):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    for i in range(128 // rows):
        p = nl.ds(i * rows, rows)
        nisa.dma_copy(dst=tile[p, :], src=x[p, :])  # fault
    y = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.activation(dst=y, op=nl.exp, data=tile)
    nisa.dma_copy(dst=out, src=y)
    return out

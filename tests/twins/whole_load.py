"""Planted fault: one load of the whole input, which computation waits for to the last byte.  Repaired: four slices."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[128,16384]",)
LINE = "nisa.dma_copy(dst=tile, src=x[:, f])  # fault"


@nki.jit
def faulty(x):
    return exponentials(x, 1)


@nki.jit
def repaired(x):
    return exponentials(x, 4)


def exponentials(x, slices):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    width = x.shape[1] // slices
    for j in range(slices):
        f = nl.ds(j * width, width)
        tile = nl.ndarray((128, width), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[:, f])  # fault
        y = nl.ndarray((128, width), dtype=x.dtype, buffer=nl.sbuf)
        nisa.activation(dst=y, op=nl.exp, data=tile)
        nisa.dma_copy(dst=out[:, f], src=y)
    return out

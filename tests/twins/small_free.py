"""Planted fault: a tile of 2048 elements is processed 32 at a time.  Repaired: 512 at a time."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[128,2048]",)
LINE = "nisa.activation(dst=y[:, f], op=nl.exp, data=tile[:, f])  # fault"


@nki.jit
def faulty(x):
    return process(x, 32)


@nki.jit
def repaired(x):
    return process(x, 512)


def process(x, width):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x)
    y = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    for j in range(x.shape[1] // width):
        f = nl.ds(j * width, width)
        nisa.activation(dst=y[:, f], op=nl.exp, data=tile[:, f])  # fault
    nisa.dma_copy(dst=out, src=y)
    return out

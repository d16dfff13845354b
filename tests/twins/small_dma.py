"""Planted fault: tiles of 128 columns, so each transfer moves 512 bytes per partition.  Repaired: 1024 columns."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[256,4096]",)
LINE = "nisa.dma_copy(dst=tile, src=x[p, f])  # fault"


@nki.jit
def faulty(x):
    return double(x, 128)


@nki.jit
def repaired(x):
    return double(x, 1024)


def double(x, width):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for i in range(x.shape[0] // 128):
        p = nl.ds(i * 128, 128)
        for j in range(x.shape[1] // width):
            f = nl.ds(j * width, width)
            tile = nl.ndarray((128, width), dtype=x.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=tile, src=x[p, f])  # fault
            y = nl.ndarray((128, width), dtype=x.dtype, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=y, data=tile, op0=nl.multiply, operand0=2.0)
            nisa.dma_copy(dst=out[p, f], src=y)
    return out

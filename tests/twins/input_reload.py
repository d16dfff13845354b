"""Planted fault: the right-hand tile is loaded again for every row of tiles.  Repaired: it is loaded once."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[2048,1024]", "float32[128,1024]")
LINE = "nisa.dma_copy(dst=w, src=weights)  # fault"


@nki.jit
def faulty(x, weights):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for i in range(x.shape[0] // 128):
        rows = nl.ds(i * 128, 128)
        w = nl.ndarray((128, 1024), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=w, src=weights)  # fault
        tile = nl.ndarray((128, 1024), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[rows, :])
        y = nl.ndarray((128, 1024), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=y, data1=tile, data2=w, op=nl.multiply)
        nisa.dma_copy(dst=out[rows, :], src=y)
    return out


@nki.jit
def repaired(x, weights):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    w = nl.ndarray((128, 1024), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=w, src=weights)
    for i in range(x.shape[0] // 128):
        rows = nl.ds(i * 128, 128)
        tile = nl.ndarray((128, 1024), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[rows, :])
        y = nl.ndarray((128, 1024), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=y, data1=tile, data2=w, op=nl.multiply)
        nisa.dma_copy(dst=out[rows, :], src=y)
    return out

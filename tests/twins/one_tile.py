"""Planted fault: every iteration writes the same PSUM tile, so the Tensor engine waits for its reader.

Repaired: the tile is allocated inside the loop.
"""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("bfloat16[128,128]", "bfloat16[128,8192]")
LINE = "nisa.nc_matmul(dst=acc, stationary=w, moving=x_tile[:, f], accumulate=False)  # fault"


@nki.jit
def faulty(weights, x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    w = nl.ndarray((128, 128), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=w, src=weights)
    x_tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=x_tile, src=x)
    y = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    acc = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
    for j in range(x.shape[1] // 512):
        f = nl.ds(j * 512, 512)
        nisa.nc_matmul(dst=acc, stationary=w, moving=x_tile[:, f], accumulate=False)  # fault
        nisa.activation(dst=y[:, f], op=nl.exp, data=acc)
    nisa.dma_copy(dst=out, src=y)
    return out


@nki.jit
def repaired(weights, x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    w = nl.ndarray((128, 128), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=w, src=weights)
    x_tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=x_tile, src=x)
    y = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    for j in range(x.shape[1] // 512):
        f = nl.ds(j * 512, 512)
        acc = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=acc, stationary=w, moving=x_tile[:, f], accumulate=False)
        nisa.activation(dst=y[:, f], op=nl.exp, data=acc)
    nisa.dma_copy(dst=out, src=y)
    return out

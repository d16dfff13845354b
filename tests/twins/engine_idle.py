"""Planted fault: Scalar and Vector take turns on whole tiles of 8192 elements.  Repaired: on four slices."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[128,8192]",)
LINE = "nisa.tensor_tensor(dst=y, data1=e, data2=x_tile, op=nl.multiply)  # fault"


@nki.jit
def faulty(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    x_tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=x_tile, src=x)
    e = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.activation(dst=e, op=nl.exp, data=x_tile)
    y = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=y, data1=e, data2=x_tile, op=nl.multiply)  # fault
    nisa.dma_copy(dst=out, src=y)
    return out


@nki.jit
def repaired(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    x_tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=x_tile, src=x)
    e = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    y = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    width = x.shape[1] // 4
    for j in range(4):
        f = nl.ds(j * width, width)
        nisa.activation(dst=e[:, f], op=nl.exp, data=x_tile[:, f])
        nisa.tensor_tensor(dst=y[:, f], data1=e[:, f], data2=x_tile[:, f], op=nl.multiply)
    nisa.dma_copy(dst=out, src=y)
    return out

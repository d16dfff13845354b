"""Planted fault: the intermediate of two passes goes through HBM.  Repaired: both passes at once."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[1024,2048]",)
LINE = "nisa.dma_copy(dst=back, src=middle[rows, :])  # fault"


@nki.jit
def faulty(x):
    middle = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.private_hbm)
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for i in range(x.shape[0] // 128):
        rows = nl.ds(i * 128, 128)
        tile = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[rows, :])
        e = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.activation(dst=e, op=nl.exp, data=tile)
        nisa.dma_copy(dst=middle[rows, :], src=e)
    for i in range(x.shape[0] // 128):
        rows = nl.ds(i * 128, 128)
        back = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=back, src=middle[rows, :])  # fault
        y = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=y, data1=back, data2=back, op=nl.multiply)
        nisa.dma_copy(dst=out[rows, :], src=y)
    return out


@nki.jit
def repaired(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for i in range(x.shape[0] // 128):
        rows = nl.ds(i * 128, 128)
        tile = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[rows, :])
        e = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.activation(dst=e, op=nl.exp, data=tile)
        y = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=y, data1=e, data2=e, op=nl.multiply)
        nisa.dma_copy(dst=out[rows, :], src=y)
    return out

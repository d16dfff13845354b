"""Planted fault: the DMA engines transpose.  Repaired: contiguous loads and transposes on the idle Tensor engine."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[2048,128]",)
LINE = "nisa.dma_copy(dst=turned, src=x.permute((1, 0)))  # fault"


@nki.jit
def faulty(x):
    out = nl.ndarray((128, x.shape[0]), dtype=x.dtype, buffer=nl.shared_hbm)
    turned = nl.ndarray((128, x.shape[0]), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=turned, src=x.permute((1, 0)))  # fault
    finish(out, turned)
    return out


@nki.jit
def repaired(x):
    out = nl.ndarray((128, x.shape[0]), dtype=x.dtype, buffer=nl.shared_hbm)
    turned = nl.ndarray((128, x.shape[0]), dtype=x.dtype, buffer=nl.sbuf)
    for i in range(x.shape[0] // 128):
        p = nl.ds(i * 128, 128)
        rows = nl.ndarray((128, 128), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=rows, src=x[p, :])
        bank = nl.ndarray((128, 128), dtype=x.dtype, buffer=nl.psum)
        nisa.nc_transpose(dst=bank, data=rows)
        nisa.tensor_copy(dst=turned[:, p], src=bank)
    finish(out, turned)
    return out


def finish(out, turned):
    y = nl.ndarray(turned.shape, dtype=turned.dtype, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=y, data=turned, op0=nl.multiply, operand0=2.0)
    nisa.dma_copy(dst=out, src=y)

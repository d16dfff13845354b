"""Planted fault: multiply, add and exp as three instructions.  Repaired: one activation with scale and bias."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[128,4096]", "float32[128,1]", "float32[128,1]")
LINE = "nisa.tensor_scalar(dst=scaled, data=tile[:, f], op0=nl.multiply, operand0=s)  # fault"


@nki.jit
def faulty(x, scale, bias):
    out, tile, y, s, b = operands(x, scale, bias)
    for j in range(x.shape[1] // 512):
        f = nl.ds(j * 512, 512)
        scaled = nl.ndarray((128, 512), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=scaled, data=tile[:, f], op0=nl.multiply, operand0=s)  # fault
        shifted = nl.ndarray((128, 512), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=shifted, data=scaled, op0=nl.add, operand0=b)
        nisa.activation(dst=y[:, f], op=nl.exp, data=shifted)
    nisa.dma_copy(dst=out, src=y)
    return out


@nki.jit
def repaired(x, scale, bias):
    out, tile, y, s, b = operands(x, scale, bias)
    for j in range(x.shape[1] // 512):
        f = nl.ds(j * 512, 512)
        nisa.activation(dst=y[:, f], op=nl.exp, data=tile[:, f], scale=s, bias=b)
    nisa.dma_copy(dst=out, src=y)
    return out


def operands(x, scale, bias):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x)
    s = nl.ndarray((128, 1), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=s, src=scale)
    b = nl.ndarray((128, 1), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=b, src=bias)
    y = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    return out, tile, y, s, b

"""Planted fault: a tile is scaled, then read again to be added up.  Repaired: tensor_scalar_reduce does both."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("bfloat16[128,8192]",)
LINE = "nisa.tensor_reduce(dst=sums[:, j : j + 1], op=nl.add, data=y, axis=1)  # fault"


@nki.jit
def faulty(x):
    out, tile, sums = begin(x)
    for j in range(16):
        y = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=y, data=tile[:, j * 512 : (j + 1) * 512], op0=nl.multiply, operand0=2.0)
        nisa.tensor_reduce(dst=sums[:, j : j + 1], op=nl.add, data=y, axis=1)  # fault
    nisa.dma_copy(dst=out, src=sums)
    return out


@nki.jit
def repaired(x):
    out, tile, sums = begin(x)
    for j in range(16):
        y = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)
        part = tile[:, j * 512 : (j + 1) * 512]
        nisa.tensor_scalar_reduce(dst=y, data=part, op0=nl.multiply, operand0=2.0, reduce_op=nl.add,
                                  reduce_res=sums[:, j : j + 1])
    nisa.dma_copy(dst=out, src=sums)
    return out


def begin(x):
    out = nl.ndarray((128, 16), dtype=nl.float32, buffer=nl.shared_hbm)
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x)
    sums = nl.ndarray((128, 16), dtype=nl.float32, buffer=nl.sbuf)
    return out, tile, sums

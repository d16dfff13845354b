"""Planted fault: tiles of 32 partitions, processed one after the other.  Repaired: four of them on 128 partitions."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[512,1024]",)
LINE = "nisa.tensor_scalar(dst=y, data=tile, op0=nl.multiply, operand0=2.0)  # fault"


@nki.jit
def faulty(x):
    return process(x, 32)


@nki.jit
def repaired(x):
    return process(x, 128)


def process(x, partitions):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for i in range(x.shape[0] // partitions):
        rows = nl.ds(i * partitions, partitions)
        tile = nl.ndarray((partitions, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[rows, :])
        y = nl.ndarray((partitions, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=y, data=tile, op0=nl.multiply, operand0=2.0)  # fault
        z = nl.ndarray((partitions, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.reciprocal(dst=z, data=y)
        nisa.dma_copy(dst=out[rows, :], src=z)
    return out

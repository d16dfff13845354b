"""Planted fault: Scalar and Vector take turns on whole tiles of 8192 elements.  Repaired: on eight slices."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("float32[128,8192]",)
LINE = "nisa.tensor_tensor(dst=y, data1=e, data2=tile, op=nl.multiply)  # fault"


@nki.jit
def faulty(x):
    out, tile, e, y = begin(x)
    nisa.activation(dst=e, op=nl.exp, data=tile)
    nisa.tensor_tensor(dst=y, data1=e, data2=tile, op=nl.multiply)  # fault
    nisa.dma_copy(dst=out, src=y)
    return out


@nki.jit
def repaired(x):
    out, tile, e, y = begin(x)
    for f in slices(x):
        nisa.activation(dst=e[:, f], op=nl.exp, data=tile[:, f])
        nisa.tensor_tensor(dst=y[:, f], data1=e[:, f], data2=tile[:, f], op=nl.multiply)
    nisa.dma_copy(dst=out, src=y)
    return out


def begin(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile, e, y = (nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf) for _ in range(3))
    for f in slices(x):
        nisa.dma_copy(dst=tile[:, f], src=x[:, f])
    return out, tile, e, y


def slices(x):
    width = x.shape[1] // 8
    return [nl.ds(j * width, width) for j in range(8)]

"""Planted fault: the left matrix arrives row by row and is transposed on chip.  Repaired: it arrives transposed."""

import nki
import nki.isa as nisa
import nki.language as nl

FAULTY_ARGS = ("bfloat16[2048,128]", "bfloat16[128,512]")
REPAIRED_ARGS = ("bfloat16[16,128,128]", "bfloat16[128,512]")
LINE = "nisa.nc_transpose(dst=turned, data=rows)  # fault"


@nki.jit
def faulty(a, b):
    out = nl.ndarray((a.shape[0], b.shape[1]), dtype=a.dtype, buffer=nl.shared_hbm)
    right = nl.ndarray(b.shape, dtype=b.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=right, src=b)
    for i in range(a.shape[0] // 128):
        p = nl.ds(i * 128, 128)
        rows = nl.ndarray((128, 128), dtype=a.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=rows, src=a[p, :])
        turned = nl.ndarray((128, 128), dtype=a.dtype, buffer=nl.psum)
        nisa.nc_transpose(dst=turned, data=rows)  # fault
        left = nl.ndarray((128, 128), dtype=a.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=left, src=turned)
        product(out, p, left, right, a.dtype)
    return out


@nki.jit
def repaired(a, b):
    out = nl.ndarray((a.shape[0] * 128, b.shape[1]), dtype=a.dtype, buffer=nl.shared_hbm)
    right = nl.ndarray(b.shape, dtype=b.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=right, src=b)
    for i in range(a.shape[0]):
        left = nl.ndarray((128, 128), dtype=a.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=left, src=a[i])
        product(out, nl.ds(i * 128, 128), left, right, a.dtype)
    return out


def product(out, p, left, right, dtype):
    for _ in range(4):
        acc = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=acc, stationary=left, moving=right)
    y = nl.ndarray((128, 512), dtype=dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=y, src=acc)
    nisa.dma_copy(dst=out[p, :], src=y)

"""Planted fault: in a matrix-vector product the vector is stationary.  Repaired: the matrix is, the vector moves."""

import nki
import nki.isa as nisa
import nki.language as nl

ARGS = ("bfloat16[2048,1]", "bfloat16[2048,2048]")
LINE = "nisa.nc_matmul(dst=acc, stationary=v[:, k : k + 1], moving=rows[k][:, f])  # fault"


@nki.jit
def faulty(vector, matrix):
    v, rows, count = load(vector, matrix)
    out = nl.ndarray((1, matrix.shape[1]), dtype=nl.float32, buffer=nl.shared_hbm)
    for j in range(matrix.shape[1] // 512):
        f = nl.ds(j * 512, 512)
        acc = nl.ndarray((1, 512), dtype=nl.float32, buffer=nl.psum)
        for k in range(count):
            nisa.nc_matmul(dst=acc, stationary=v[:, k : k + 1], moving=rows[k][:, f])  # fault
        y = nl.ndarray((1, 512), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=y, src=acc)
        nisa.dma_copy(dst=out[:, f], src=y)
    return out


@nki.jit
def repaired(vector, matrix):
    v, rows, count = load(vector, matrix)
    out = nl.ndarray((matrix.shape[1] // 512, 128, 4), dtype=nl.float32, buffer=nl.shared_hbm)
    for j in range(matrix.shape[1] // 512):
        acc = nl.ndarray((128, 4), dtype=nl.float32, buffer=nl.psum)
        for k in range(count):
            for part in range(4):
                f = nl.ds(j * 512 + part * 128, 128)
                nisa.nc_matmul(dst=acc[:, part : part + 1], stationary=rows[k][:, f], moving=v[:, k : k + 1])
        y = nl.ndarray((128, 4), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=y, src=acc)
        nisa.dma_copy(dst=out[j], src=y)
    return out


def load(vector, matrix):
    count, width = matrix.shape[0] // 128, matrix.shape[1]
    v = nl.ndarray((128, count), dtype=vector.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=v, src=vector.reshape((128, count)))
    tile = nl.ndarray((128, count, width), dtype=matrix.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=matrix.reshape((128, count, width)))
    return v, [tile[:, k, :] for k in range(count)], count

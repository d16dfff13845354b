"""Transpose every matrix of a batch: [B, M, N] -> [B, N, M].

What to look for in its timeline: the Tensor engine is used to move data. Each 128 x 128 block goes through it once,
lands in PSUM, is copied to SBUF by Vector or Scalar, and leaves in long rows. Four blocks share one PSUM bank and one
copy. A DMA could gather the elements by itself, but two bytes at a time.
"""

import argparse

import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

P = 128
BANK = 512  # float32 columns of a PSUM bank
STRIP = 2048  # rows of the source handled between two loads


@nki.jit
def batched_transpose(x, shape, strides, offset=0):
    """shape (B, M, N), with the element strides of x in HBM from `offset` on -> [B, N, M], contiguous."""
    batches, rows, columns = shape
    out = nl.ndarray((batches, columns, rows), dtype=x.dtype, buffer=nl.shared_hbm)
    for batch in range(batches):
        for column in range(0, columns, P):
            height = min(P, columns - column)
            for row in range(0, rows, STRIP):
                strip = min(STRIP, rows - row)
                turned = nl.ndarray((height, strip), dtype=x.dtype, buffer=nl.sbuf)
                start = offset + batch * strides[0] + row * strides[1] + column * strides[2]
                for first in range(0, strip, BANK):
                    count = min(BANK, strip - first)
                    transpose_bank(turned[:, first : first + count], x, strides, start + first * strides[1])
                nisa.dma_copy(dst=out[batch, column : column + height, row : row + strip], src=turned)
    return out


def transpose_bank(dst, x, strides, start):
    """Up to four blocks of 128 rows, each transposed, side by side in dst [columns, rows]."""
    height, count = dst.shape
    bank = nl.ndarray((height, count), dtype=x.dtype, buffer=nl.psum)
    for row in range(0, count, P):
        rows = min(P, count - row)
        tile = nl.ndarray((rows, height), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x.ap([[strides[1], rows], [strides[2], height]], offset=start + row * strides[1]))
        nisa.nc_transpose(dst=bank[:, row : row + rows], data=tile, engine=nisa.engine.tensor)
    nisa.tensor_copy(dst=dst, src=bank, engine=nisa.engine.vector)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=128)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    shape = (args.batch, args.rows, args.columns)
    x = rng.standard_normal(shape, dtype=np.float32).astype(args.dtype)
    out = batched_transpose(x, shape, (args.rows * args.columns, args.columns, 1))
    if not args.no_check:
        np.testing.assert_array_equal(np.asarray(out), np.swapaxes(x, 1, 2))
        print(f"batched_transpose {shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

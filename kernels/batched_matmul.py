"""Batched matrix multiplication of tensors as a framework keeps them: rows contiguous, nothing transposed beforehand.

What to look for in its timeline: the contraction has to lie on the partitions, but a row-major [M, K] operand has M
there, so the Tensor engine spends part of its time transposing (128 x 128 at a time, through PSUM and back by Vector
or Scalar) before it may multiply. For a projection this is a few per cent; for the probabilities of attention, where
the result is only 128 wide, the transposes take as long as the multiplication. A right operand that is a weight can be
laid out beforehand and needs none (`--weights`).
"""

import argparse

import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

P = 128  # partitions: rows of a tile, and the contraction of one matmul
BANK = 512  # float32 columns of a PSUM bank
RESIDENT = 65536  # bytes per partition for the right operand
PIECE = 4096  # columns of the left operand loaded at once


@nki.jit
def batched_matmul(a, b, shape, a_view, b_view, dtype=None, a_offset=0, b_offset=0):
    """a b for every batch: [B, M, K] x [B, K, N] -> [B, M, N] in `dtype` (a's by default).

    shape   (B, M, K, N); K a multiple of 128 or smaller than it
    a_view  element strides (batch, m, k) of a in HBM from a_offset on; b_view (batch, k, n) of b from b_offset on
    An operand whose contraction is its contiguous dimension is transposed on the Tensor engine on its way. The right
    operand stays in SBUF while the rows of the left one pass by, in column blocks where it is too large.
    """
    batches, rows, depth, columns = shape
    assert depth % P == 0 or depth < P, f"the contraction of {depth} is not a multiple of {P}"
    dtype = dtype or a.dtype
    out = nl.ndarray((batches, rows, columns), dtype=dtype, buffer=nl.shared_hbm)
    height = min(P, depth)  # partitions the contraction uses
    tiles = depth // height
    width = column_block(columns, tiles * nl_size(b.dtype))
    for batch in range(batches):
        for first in range(0, columns, width):
            right = load_right(b, b_view, b_offset + batch * b_view[0], height, tiles, first, width)
            for row in range(0, rows, P):
                count = min(P, rows - row)
                left = load_left(a, a_view, a_offset + batch * a_view[0], row, count, height, tiles)
                result = nl.ndarray((count, width), dtype=dtype, buffer=nl.sbuf)
                for number, start in enumerate(range(0, width, BANK)):
                    stop = min(start + BANK, width)
                    product = nl.ndarray((count, stop - start), dtype=nl.float32, buffer=nl.psum)
                    for tile in range(tiles):
                        nisa.nc_matmul(dst=product, stationary=left[:, tile, :], moving=right[:, tile, start:stop])
                    evict(result[:, start:stop], product, number)
                nisa.dma_copy(dst=out[batch, row : row + count, first : first + width], src=result)
    return out


def nl_size(dtype):
    return 4 if dtype == nl.float32 else 2


def evict(dst, src, number):
    """Empty PSUM, Vector and Scalar in turns (the Scalar engine of trn1 copies only as an activation)."""
    if number % 2 == 0:
        nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.vector)
    elif nisa.get_nc_version() > nisa.nc_version.gen2:
        nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.scalar)
    else:
        nisa.activation(dst=dst, op=nl.copy, data=src)


def column_block(columns, bytes_per_column):
    """The most columns, a divisor of all of them and if possible of whole PSUM banks, that fit in SBUF."""
    blocks = 1
    while columns * bytes_per_column > RESIDENT * blocks or columns % blocks:
        blocks += 1
    return columns // blocks


def load_right(b, view, start, height, tiles, first, width):
    """Columns first..first+width-1 of a batch with the contraction on the partitions: [height, tiles, width]."""
    _, along_k, along_n = view
    right = nl.ndarray((height, tiles, width), dtype=b.dtype, buffer=nl.sbuf)
    start += first * along_n
    if along_n == 1:
        pattern = [[along_k, height], [along_k * height, tiles], [1, width]]
        nisa.dma_copy(dst=right, src=b.ap(pattern, offset=start))
        return right
    # b is stored as [N, K]: columns to partitions, then transpose.
    for number, column in enumerate(range(0, width, P)):
        count = min(P, width - column)
        tile = nl.ndarray((count, tiles * height), dtype=b.dtype, buffer=nl.sbuf)
        pattern = [[along_n, count], [along_k, tiles * height]]
        nisa.dma_copy(dst=tile, src=b.ap(pattern, offset=start + column * along_n))
        for t in range(tiles):
            turn(right[:, t, column : column + count], tile[:, t * height : (t + 1) * height], number + t)
    return right


def load_left(a, view, start, row, count, height, tiles):
    """Rows row..row+count-1 of a batch with the contraction on the partitions: [height, tiles, count]."""
    _, along_m, along_k = view
    left = nl.ndarray((height, tiles, count), dtype=a.dtype, buffer=nl.sbuf)
    start += row * along_m
    if along_k != 1 and along_m == 1:
        nisa.dma_copy(dst=left, src=a.ap([[along_k, height], [along_k * height, tiles], [1, count]], offset=start))
        return left
    together = max(1, min(PIECE // height, tiles))
    for first in range(0, tiles, together):
        some = min(together, tiles - first)
        tile = nl.ndarray((count, some * height), dtype=a.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=a.ap([[along_m, count], [along_k, some * height]],
                                         offset=start + first * height * along_k))
        # Four transposes share a PSUM bank and one copy out of it.
        for number, t in enumerate(range(0, some, BANK // P)):
            many = min(BANK // P, some - t)
            turned = nl.ndarray((height, many, count), dtype=a.dtype, buffer=nl.psum)
            for i in range(many):
                nisa.nc_transpose(dst=turned[:, i, :], data=tile[:, (t + i) * height : (t + i + 1) * height],
                                  engine=nisa.engine.tensor)
            evict(left[:, first + t : first + t + many, :], turned, number)
    return left


def turn(dst, source, number):
    """Transpose one tile through PSUM."""
    turned = nl.ndarray((source.shape[1], source.shape[0]), dtype=source.dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=turned, data=source, engine=nisa.engine.tensor)
    evict(dst, turned, number)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--m", type=int, default=512)
    parser.add_argument("--k", type=int, default=512)
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--weights", action="store_true", help="the right operand is [K, N] rather than [N, K]")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    a = rng.standard_normal((args.batch, args.m, args.k), dtype=np.float32).astype(args.dtype)
    b = rng.standard_normal((args.batch, args.k, args.n), dtype=np.float32).astype(args.dtype)
    exact = a.astype(np.float32) @ b.astype(np.float32)
    view = (args.k * args.n, args.n, 1)
    if not args.weights:
        b = np.ascontiguousarray(np.swapaxes(b, 1, 2))
        view = (args.k * args.n, 1, args.k)
    out = batched_matmul(a, b, (args.batch, args.m, args.k, args.n), (args.m * args.k, args.k, 1), view)
    if not args.no_check:
        tolerance = 1e-5 if args.dtype == "float32" else 1e-2
        np.testing.assert_allclose(np.asarray(out).astype(np.float32), exact, rtol=tolerance,
                                   atol=tolerance * np.sqrt(args.k))
        print(f"batched_matmul {a.shape} x {b.shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

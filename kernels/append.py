"""Concatenate long runs: every head's cached keys and one more, into a new cache.

What to look for in its timeline: the whole cache passes through SBUF to gain one row, twice its bytes for a few new
ones. That is what a cache kept by concatenation costs at every token, and why serving code writes into a cache of fixed
size instead.
"""

import argparse
import math

import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

PIECE = 4096  # elements of a partition in SBUF at once


@nki.jit
def append(inputs, steps, offsets, widths, count):
    """[count, w0], [count, w1], ... -> [count, w0 + w1 + ...].

    inputs   tensors in HBM; run i of an input begins at its offset + i * its step and is as long as its width
    """
    total = sum(widths)
    out = nl.ndarray((count * total,), dtype=inputs[0].dtype, buffer=nl.shared_hbm)
    for i in range(count):
        column = 0
        for source, step, offset, width in zip(inputs, steps, offsets, widths):
            move(out, i * total + column, source, offset + i * step, width)
            column += width
    return out


def move(out, to, source, start, width):
    """A contiguous run, spread over as many partitions as divide it."""
    partitions = math.gcd(width, nl.tile_size.pmax)
    columns = width // partitions
    for first in range(0, columns, PIECE):
        piece = min(PIECE, columns - first)
        tile = nl.ndarray((partitions, piece), dtype=source.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=source.ap([[columns, partitions], [1, piece]], offset=start + first))
        nisa.dma_copy(dst=out.ap([[columns, partitions], [1, piece]], offset=to + first), src=tile)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--cached", type=int, default=1023)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    cache = rng.standard_normal((args.heads, args.cached, args.head_dim), dtype=np.float32).astype(args.dtype)
    new = rng.standard_normal((args.heads, 1, args.head_dim), dtype=np.float32).astype(args.dtype)
    widths = (args.cached * args.head_dim, args.head_dim)
    out = append([cache, new], widths, (0, 0), widths, args.heads)
    if not args.no_check:
        exact = np.concatenate([cache, new], axis=1)
        np.testing.assert_array_equal(np.asarray(out).reshape(exact.shape), exact)
        print(f"append {cache.shape} + {new.shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

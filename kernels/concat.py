"""Put tensors side by side along their last dimension (the two halves of a rotary embedding).

What to look for in its timeline: nothing but DMA. Short pieces (64 elements of bfloat16 are 128 bytes) need a
descriptor each, and the DMA engines spend more time on descriptors than on bytes.
"""

import argparse

import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np


@nki.jit
def concat(inputs, reads, dims, widths, write):
    """[outer, w0], [outer, w1], ... -> [outer, w0 + w1 + ...].

    dims    (loops, partitions, free): how the outer dimensions are walked; the last free size is 1
    reads   (strides over dims, offset) of each input; its last dimension is contiguous
    widths  sizes of the last dimensions; write: strides of the result over dims
    """
    loops, partitions, free = dims
    total = sum(widths)
    size = total
    for n in loops + partitions + free:
        size *= n
    out = nl.ndarray((size,), dtype=inputs[0].dtype, buffer=nl.shared_hbm)
    group = size_of(free)
    for index in every(loops):
        for first in range(0, partitions[0], nl.tile_size.pmax):
            count = min(nl.tile_size.pmax, partitions[0] - first)
            tile = nl.ndarray((count, group, total), dtype=inputs[0].dtype, buffer=nl.sbuf)
            column = 0
            for source, (strides, offset), width in zip(inputs, reads, widths):
                pattern, start = walk(strides, index, first, count, free)
                part = source.ap(pattern + [[1, width]], offset=offset + start)
                nisa.dma_copy(dst=tile[:, :, column : column + width], src=part)
                column += width
            pattern, start = walk(write, index, first, count, free)
            nisa.dma_copy(dst=out.ap(pattern + [[1, total]], offset=start), src=tile)
    return out


def size_of(sizes):
    result = 1
    for size in sizes:
        result *= size
    return result


def every(sizes):
    """All indices of a space, in row-major order."""
    indices = [()]
    for size in sizes:
        indices = [index + (i,) for index in indices for i in range(size)]
    return indices


def walk(strides, index, first, count, free):
    """The access pattern of a tile over the outer dimensions, and where it starts."""
    loops = len(index)
    start = first * strides[loops]
    for i, stride in zip(index, strides):
        start += i * stride
    pattern = [[strides[loops], count]]
    for stride, size in zip(strides[loops + 1 :], free):
        if size > 1:
            pattern.append([stride, size])
    return pattern, start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    a = rng.standard_normal((args.rows, args.columns), dtype=np.float32).astype(args.dtype)
    b = rng.standard_normal((args.rows, args.columns), dtype=np.float32).astype(args.dtype)
    strides = (args.columns, 0)
    out = concat([a, b], ((strides, 0), (strides, 0)), ((), (args.rows,), (1,)), (args.columns, args.columns),
                 (2 * args.columns, 0))
    if not args.no_check:
        np.testing.assert_array_equal(np.asarray(out).reshape(args.rows, -1), np.concatenate([a, b], axis=1))
        print(f"concat {a.shape} + {b.shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

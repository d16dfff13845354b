"""Reduce the rows of a matrix to one value each: maximum, sum or mean.

What to look for in its timeline: a reduction reads everything and writes next to nothing, so half of the traffic of an
element-wise pass remains and Vector, one element per lane and cycle, comes close to being the bottleneck. Long rows go
in pieces, and the last instruction of a row reduces the results of the pieces.
"""

import argparse

import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

PIECE = 4096  # elements of a row in SBUF at once


@nki.jit
def row_reduce(x, strides, dims, operator, dtype, offset=0):
    """[rows, group, columns] -> [rows, group]: "max", "sum" or "mean" over the columns, in float32, as `dtype`.

    `dims` gives rows, group and columns, `strides` the element strides of x in HBM along them, from `offset` on. A
    group is a number of short rows that share a partition.
    """
    rows, group, columns = dims
    out = nl.ndarray((rows, group), dtype=dtype, buffer=nl.shared_hbm)
    op = nl.maximum if operator == "max" else nl.add
    piece = min(columns, PIECE)
    while columns % piece:
        piece -= 1
    assert group == 1 or piece == columns, f"{group} rows of {columns} elements do not fit in a tile"
    pmax = nl.tile_size.pmax
    for first in range(0, rows, pmax):
        count = min(pmax, rows - first)
        partial = nl.ndarray((count, group * (columns // piece)), dtype=nl.float32, buffer=nl.sbuf)
        for start in range(0, columns, piece):
            tile = nl.ndarray((count, group, piece), dtype=x.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=tile, src=x.ap([[strides[0], count], [strides[1], group], [strides[2], piece]],
                                             offset=offset + first * strides[0] + start * strides[2]))
            part = partial[:, start // piece * group : (start // piece + 1) * group]
            nisa.tensor_reduce(dst=part, op=op, data=tile, axis=2)
        result = nl.ndarray((count, group), dtype=dtype, buffer=nl.sbuf)
        if columns > piece:
            nisa.tensor_reduce(dst=result, op=op, data=partial, axis=1)
        if operator == "mean":
            nisa.tensor_scalar(dst=result, data=result if columns > piece else partial, op0=nl.multiply,
                               operand0=1.0 / columns, engine=nisa.engine.vector)
        elif columns == piece:
            nisa.tensor_copy(dst=result, src=partial, engine=nisa.engine.vector)
        nisa.dma_copy(dst=out[first : first + count, :], src=result)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--columns", type=int, default=8192)
    parser.add_argument("--operator", choices=["max", "sum", "mean"], default="max")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    x = rng.standard_normal((args.rows, args.columns), dtype=np.float32).astype(args.dtype)
    out = row_reduce(x, (args.columns, 0, 1), (args.rows, 1, args.columns), args.operator, "float32")
    if not args.no_check:
        exact = getattr(x.astype(np.float64), args.operator)(axis=1, keepdims=True)
        np.testing.assert_allclose(np.asarray(out), exact, rtol=1e-4, atol=1e-2)
        print(f"row_reduce {args.operator} {x.shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

"""Element-wise addition of two matrices: the smallest whole kernel.

What to look for in its timeline: the DMA engines are busy from end to end and everything else waits for them.
Three bytes cross HBM for every byte of result, and one Vector instruction per tile is over long before the next
tile has arrived, so the run sits on the slanted part of the roofline. Narrow tiles make it worse (try --tile 128):
a DMA has a fixed cost, and rows of less than about 2 KiB per partition do not pay it back.
"""

import argparse

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np


@nki.jit
def tensor_add(a, b, tile=2048):
    """a + b for two [rows, columns] tensors; rows a multiple of 128, columns a multiple of `tile` or smaller."""
    rows, columns = a.shape
    assert a.shape == b.shape, f"a is {a.shape} but b is {b.shape}"
    assert rows % nl.tile_size.pmax == 0, f"{rows} rows are not a multiple of {nl.tile_size.pmax} partitions"
    width = min(tile, columns)
    assert columns % width == 0, f"{columns} columns are not a multiple of the tile width {width}"

    out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    for row in nl.affine_range(rows // nl.tile_size.pmax):
        for column in nl.affine_range(columns // width):
            p = nl.ds(row * nl.tile_size.pmax, nl.tile_size.pmax)
            f = nl.ds(column * width, width)
            a_tile = nl.ndarray((nl.tile_size.pmax, width), dtype=a.dtype, buffer=nl.sbuf)
            b_tile = nl.ndarray((nl.tile_size.pmax, width), dtype=b.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=a_tile, src=a[p, f])
            nisa.dma_copy(dst=b_tile, src=b[p, f])
            total = nl.ndarray((nl.tile_size.pmax, width), dtype=a.dtype, buffer=nl.sbuf)
            nisa.tensor_tensor(dst=total, data1=a_tile, data2=b_tile, op=nl.add)
            nisa.dma_copy(dst=out[p, f], src=total)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=4096)
    parser.add_argument("--tile", type=int, default=2048, help="columns per tile")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()

    import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)

    rng = np.random.default_rng(0)
    shape = (args.rows, args.columns)
    a = rng.standard_normal(shape, dtype=np.float32).astype(args.dtype)
    b = rng.standard_normal(shape, dtype=np.float32).astype(args.dtype)
    out = tensor_add(a, b, tile=args.tile)
    if not args.no_check:
        tolerance = 1e-6 if args.dtype == "float32" else 1e-2
        expected = a.astype(np.float32) + b.astype(np.float32)
        np.testing.assert_allclose(np.asarray(out).astype(np.float32), expected, rtol=tolerance, atol=tolerance)
        print(f"tensor_add {shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

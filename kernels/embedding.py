"""Look up rows of a table: an indirect DMA.

What to look for in its timeline: the addresses are only known at run time, so GpSimd writes a descriptor for every row
before the DMA engines can start; the bytes themselves are few.
"""

import argparse

import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np


@nki.jit
def embedding(table, ids):
    """table [V, D], ids [N, 1] int32 -> [N, D]."""
    count, width = ids.shape[0], table.shape[1]
    out = nl.ndarray((count, width), dtype=table.dtype, buffer=nl.shared_hbm)
    for first in range(0, count, nl.tile_size.pmax):
        rows = min(nl.tile_size.pmax, count - first)
        index = nl.ndarray((rows, 1), dtype=nl.int32, buffer=nl.sbuf)
        nisa.dma_copy(dst=index, src=ids[first : first + rows, :])
        tile = nl.ndarray((rows, width), dtype=table.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=table.ap([[width, rows], [1, width]], vector_offset=index, indirect_dim=0))
        nisa.dma_copy(dst=out[first : first + rows, :], src=tile)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    table = rng.standard_normal((args.vocabulary, args.width), dtype=np.float32).astype(args.dtype)
    ids = rng.integers(0, args.vocabulary, (args.tokens, 1), dtype=np.int32)
    out = embedding(table, ids)
    if not args.no_check:
        np.testing.assert_array_equal(np.asarray(out), table[ids[:, 0]])
        print(f"embedding {table.shape}[{args.tokens}] {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

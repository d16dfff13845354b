"""Softmax over the rows of a matrix, one pass over HBM.

What to look for in its timeline: each row is read once and written once, so the DMA engines set the pace as long as
Vector and Scalar keep up. Vector finds the maximum (one element per lane and cycle, whatever the dtype), Scalar
computes exp(x - max) and adds up the row in the same instruction, and Vector scales by 1 / sum. Compare the lanes for
float32 and bfloat16: half the bytes, but the same Scalar time, and the bottleneck moves.
"""

import argparse

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np


@nki.jit
def softmax(x):
    """softmax(x, axis=1) of [rows, columns] with a multiple of 128 rows; a whole row has to fit in SBUF."""
    rows, columns = x.shape
    pmax = nl.tile_size.pmax
    assert rows % pmax == 0, f"{rows} rows are not a multiple of {pmax} partitions"

    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for row in nl.affine_range(rows // pmax):
        p = nl.ds(row * pmax, pmax)
        tile = nl.ndarray((pmax, columns), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[p, :])

        negative_max = nl.ndarray((pmax, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=negative_max, op=nl.maximum, data=tile, axis=1, negate=True)

        exponent = nl.ndarray((pmax, columns), dtype=nl.float32, buffer=nl.sbuf)
        total = nl.ndarray((pmax, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=exponent, op=nl.exp, data=tile, bias=negative_max, reduce_op=nl.add, reduce_res=total,
                        reduce_cmd=nisa.reduce_cmd.reset_reduce)

        inverse = nl.ndarray((pmax, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.reciprocal(dst=inverse, data=total)
        result = nl.ndarray((pmax, columns), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=result, data=exponent, op0=nl.multiply, operand0=inverse)
        nisa.dma_copy(dst=out[p, :], src=result)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=2048)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()

    import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)

    rng = np.random.default_rng(0)
    x = (4 * rng.standard_normal((args.rows, args.columns), dtype=np.float32)).astype(args.dtype)
    out = softmax(x)
    if not args.no_check:
        exact = x.astype(np.float64)
        exact = np.exp(exact - exact.max(axis=1, keepdims=True))
        exact /= exact.sum(axis=1, keepdims=True)
        tolerance = 1e-5 if args.dtype == "float32" else 1e-2
        np.testing.assert_allclose(np.asarray(out).astype(np.float64), exact, rtol=tolerance, atol=tolerance * 1e-2)
        print(f"softmax {x.shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

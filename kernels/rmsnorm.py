"""RMSNorm over the rows of a matrix: x / sqrt(mean(x^2) + eps) * weight.

What to look for in its timeline: one long Scalar instruction per tile squares and sums, a few tiny ones ([128, 1])
turn the sum into a scale, and one Vector instruction applies scale and weight together. The tiny instructions cost
almost as much as their fixed start-up, so for narrow rows (--columns 256) the engines spend their time starting
instructions rather than computing, and every tile has to be in flight at once to hide it.
"""

import argparse

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np


@nki.jit
def rmsnorm(x, weight, eps=1e-6):
    """RMSNorm of x [rows, columns] with weight [columns]; rows a multiple of 128; arithmetic in float32."""
    rows, columns = x.shape
    pmax = nl.tile_size.pmax
    assert rows % pmax == 0, f"{rows} rows are not a multiple of {pmax} partitions"
    assert weight.shape == (columns,), f"weight is {weight.shape} but x has {columns} columns"

    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    # The same weights in every partition: the source access pattern has stride 0 over the partitions.
    scale = nl.ndarray((pmax, columns), dtype=weight.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=scale, src=weight.reshape((1, columns)).broadcast(0, pmax))
    epsilon = nl.ndarray((pmax, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=epsilon, value=eps)

    for row in nl.affine_range(rows // pmax):
        p = nl.ds(row * pmax, pmax)
        tile = nl.ndarray((pmax, columns), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[p, :])

        square = nl.ndarray((pmax, columns), dtype=nl.float32, buffer=nl.sbuf)
        total = nl.ndarray((pmax, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=square, op=nl.square, data=tile, reduce_op=nl.add, reduce_res=total,
                        reduce_cmd=nisa.reduce_cmd.reset_reduce)
        inverse = nl.ndarray((pmax, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=inverse, op=nl.rsqrt, data=total, scale=1.0 / columns, bias=epsilon)

        result = nl.ndarray((pmax, columns), dtype=x.dtype, buffer=nl.sbuf)
        nisa.scalar_tensor_tensor(dst=result, data=tile, op0=nl.multiply, operand0=inverse,
                                  op1=nl.multiply, operand1=scale)
        nisa.dma_copy(dst=out[p, :], src=result)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()

    import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)

    rng = np.random.default_rng(0)
    x = rng.standard_normal((args.rows, args.columns), dtype=np.float32).astype(args.dtype)
    weight = rng.uniform(0.5, 1.5, args.columns).astype(args.dtype)
    out = rmsnorm(x, weight)
    if not args.no_check:
        exact = x.astype(np.float64)
        exact = exact / np.sqrt((exact**2).mean(axis=1, keepdims=True) + 1e-6) * weight.astype(np.float64)
        tolerance = 1e-5 if args.dtype == "float32" else 1e-2
        np.testing.assert_allclose(np.asarray(out).astype(np.float64), exact, rtol=tolerance, atol=tolerance * 1e-1)
        print(f"rmsnorm {x.shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

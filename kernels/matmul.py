"""Matrix multiplication in five steps, from one tile at a time to fully blocked.

    1 naive      128 x 128 tiles, both loaded again for every multiplication
    2 wide       the moving tile fills a PSUM bank: 512 columns
    3 hoisted    the stationary strip is loaded once per row of tiles
    4 blocked    a block of rows shares the moving strip
    5 fully      blocks in all three dimensions, loads of long rows, accumulation in SBUF

What to look for in the timelines: in step 1 the Tensor engine (one short MATMUL now and then) starves behind the DMA
engines; each step moves fewer bytes in longer rows for the same arithmetic, so the gaps between MATMULs close until in
the last two the Tensor lane is one solid bar and the roofline point touches the flat part. Step 5 is about sizes: at
1024 step 4 is as good, because its operands fit in SBUF; at --size 4096 step 5 moves a tenth less, and it goes on
working when a strip of K no longer fits. `--step 5` runs one of them.
"""

import argparse

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

K = 128  # contraction of one matmul: the partitions
M = 128  # columns of a stationary tile
N = 512  # columns of a moving tile: a PSUM bank of float32


def shapes(lhs_t, rhs, m, n):
    """The sizes, after a check that they are multiples of the tile."""
    depth, rows = lhs_t.shape
    assert rhs.shape[0] == depth, f"lhs_t contracts over {depth} rows but rhs has {rhs.shape[0]}"
    columns = rhs.shape[1]
    for name, size, tile in (("K", depth, K), ("M", rows, m), ("N", columns, n)):
        assert size % tile == 0, f"{name} = {size} is not a multiple of {tile}"
    return depth, rows, columns


def load(source, row, column, width):
    """Rows row..row+127 and columns column..column+width-1 of a matrix in HBM, as a new tile."""
    tile = nl.ndarray((K, width), dtype=source.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source[row : row + K, column : column + width])
    return tile


def load_strip(source, row, tiles, column, width):
    """`tiles` row blocks of 128 in one DMA: [128, tiles, width], block after block in every partition."""
    strip = nl.ndarray((K, tiles, width), dtype=source.dtype, buffer=nl.sbuf)
    rows = source[row : row + tiles * K, column : column + width]
    nisa.dma_copy(dst=strip, src=rows.reshape_dim(0, (tiles, K)).permute((1, 0, 2)))
    return strip


def store(out, row, column, product):
    """A product from PSUM, rounded on the way through SBUF, to HBM."""
    result = nl.ndarray(product.shape, dtype=out.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=result, src=product)
    rows, width = product.shape
    nisa.dma_copy(dst=out[row : row + rows, column : column + width], src=result)


@nki.jit
def matmul_naive(lhs_t, rhs):
    """Step 1: lhs_t.T @ rhs for lhs_t [K, M], rhs [K, N], all multiples of 128."""
    depth, rows, columns = shapes(lhs_t, rhs, M, M)
    out = nl.ndarray((rows, columns), dtype=lhs_t.dtype, buffer=nl.shared_hbm)
    for m in nl.affine_range(rows // M):
        for n in nl.affine_range(columns // M):
            product = nl.ndarray((M, M), dtype=nl.float32, buffer=nl.psum)
            for k in nl.affine_range(depth // K):
                stationary = load(lhs_t, k * K, m * M, M)
                moving = load(rhs, k * K, n * M, M)
                nisa.nc_matmul(dst=product, stationary=stationary, moving=moving)
            store(out, m * M, n * M, product)
    return out


@nki.jit
def matmul_wide(lhs_t, rhs):
    """Step 2: moving tiles of 512 columns. N a multiple of 512."""
    depth, rows, columns = shapes(lhs_t, rhs, M, N)
    out = nl.ndarray((rows, columns), dtype=lhs_t.dtype, buffer=nl.shared_hbm)
    for m in nl.affine_range(rows // M):
        for n in nl.affine_range(columns // N):
            product = nl.ndarray((M, N), dtype=nl.float32, buffer=nl.psum)
            for k in nl.affine_range(depth // K):
                stationary = load(lhs_t, k * K, m * M, M)
                moving = load(rhs, k * K, n * N, N)
                nisa.nc_matmul(dst=product, stationary=stationary, moving=moving)
            store(out, m * M, n * N, product)
    return out


@nki.jit
def matmul_hoisted(lhs_t, rhs):
    """Step 3: the stationary tiles of a row of the result stay in SBUF while n runs."""
    depth, rows, columns = shapes(lhs_t, rhs, M, N)
    out = nl.ndarray((rows, columns), dtype=lhs_t.dtype, buffer=nl.shared_hbm)
    for m in nl.affine_range(rows // M):
        stationary = load_strip(lhs_t, 0, depth // K, m * M, M)
        for n in nl.affine_range(columns // N):
            product = nl.ndarray((M, N), dtype=nl.float32, buffer=nl.psum)
            for k in nl.affine_range(depth // K):
                moving = load(rhs, k * K, n * N, N)
                nisa.nc_matmul(dst=product, stationary=stationary[:, k, :], moving=moving)
            store(out, m * M, n * N, product)
    return out


@nki.jit
def matmul_blocked(lhs_t, rhs, block_rows=512):
    """Step 4: the moving strip is used by a block of rows before the next one is loaded."""
    depth, rows, columns = shapes(lhs_t, rhs, M, N)
    block = block_of(rows, M, block_rows)
    out = nl.ndarray((rows, columns), dtype=lhs_t.dtype, buffer=nl.shared_hbm)
    for m in nl.affine_range(rows // block):
        stationary = load_strip(lhs_t, 0, depth // K, m * block, block)
        for n in nl.affine_range(columns // N):
            moving = load_strip(rhs, 0, depth // K, n * N, N)
            for i in nl.affine_range(block // M):
                product = nl.ndarray((M, N), dtype=nl.float32, buffer=nl.psum)
                for k in nl.affine_range(depth // K):
                    nisa.nc_matmul(dst=product, stationary=stationary[:, k, i * M : (i + 1) * M],
                                   moving=moving[:, k, :])
                store(out, m * block + i * M, n * N, product)
    return out


@nki.jit
def matmul_fully_blocked(lhs_t, rhs, block_rows=1024, block_columns=1024, block_depth=1024):
    """Step 5: blocks in M, N and K; whatever K is, two blocks of each operand and one of the result fit in SBUF."""
    depth, rows, columns = shapes(lhs_t, rhs, M, N)
    bm, bn, bk = block_of(rows, M, block_rows), block_of(columns, N, block_columns), block_of(depth, K, block_depth)
    out = nl.ndarray((rows, columns), dtype=lhs_t.dtype, buffer=nl.shared_hbm)
    for m in nl.affine_range(rows // bm):
        for n in nl.affine_range(columns // bn):
            sums = []  # the block of the result so far, one float32 tile for 128 rows
            for k in nl.sequential_range(depth // bk):
                last = k == depth // bk - 1
                stationary = nl.ndarray((K, bk // K, bm), dtype=lhs_t.dtype, buffer=nl.sbuf)
                moving = nl.ndarray((K, bk // K, bn), dtype=rhs.dtype, buffer=nl.sbuf)
                for t in nl.affine_range(bk // K):  # one DMA for each tile: the first multiplication waits for two only
                    rows_of_k = nl.ds(k * bk + t * K, K)
                    nisa.dma_copy(dst=stationary[:, t, :], src=lhs_t[rows_of_k, m * bm : (m + 1) * bm])
                    nisa.dma_copy(dst=moving[:, t, :], src=rhs[rows_of_k, n * bn : (n + 1) * bn])
                for i in nl.affine_range(bm // M):
                    total = nl.ndarray((M, bn), dtype=out.dtype if last else nl.float32, buffer=nl.sbuf)
                    for j in nl.affine_range(bn // N):
                        product = nl.ndarray((M, N), dtype=nl.float32, buffer=nl.psum)
                        for t in nl.affine_range(bk // K):
                            nisa.nc_matmul(dst=product, stationary=stationary[:, t, i * M : (i + 1) * M],
                                           moving=moving[:, t, j * N : (j + 1) * N])
                        part = nl.ds(j * N, N)
                        if k == 0:
                            nisa.tensor_copy(dst=total[:, part], src=product)
                        else:
                            nisa.tensor_tensor(dst=total[:, part], data1=sums[i][:, part], data2=product, op=nl.add)
                    if k == 0:
                        sums.append(total)
                    else:
                        sums[i] = total
                    if last:
                        nisa.dma_copy(dst=out[m * bm + i * M : m * bm + (i + 1) * M, n * bn : (n + 1) * bn], src=total)
    return out


def block_of(size, tile, limit):
    """The largest multiple of `tile` that divides `size` and does not exceed `limit`."""
    block = min(size, limit) // tile * tile
    while size % block:
        block -= tile
    return block


STEPS = [matmul_naive, matmul_wide, matmul_hoisted, matmul_blocked, matmul_fully_blocked]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="M, K and N where they are not given")
    parser.add_argument("--m", type=int)
    parser.add_argument("--k", type=int)
    parser.add_argument("--n", type=int)
    parser.add_argument("--step", type=int, choices=[1, 2, 3, 4, 5], help="run one step (default: all five)")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()
    m, k, n = args.m or args.size, args.k or args.size, args.n or args.size

    import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)

    rng = np.random.default_rng(0)
    lhs_t = rng.standard_normal((k, m), dtype=np.float32).astype(args.dtype)
    rhs = rng.standard_normal((k, n), dtype=np.float32).astype(args.dtype)
    for kernel in STEPS if args.step is None else [STEPS[args.step - 1]]:
        out = kernel(lhs_t, rhs)
        if not args.no_check:
            exact = lhs_t.astype(np.float32).T @ rhs.astype(np.float32)
            tolerance = 1e-5 if args.dtype == "float32" else 1e-2
            np.testing.assert_allclose(np.asarray(out).astype(np.float32), exact, rtol=tolerance,
                                       atol=tolerance * np.sqrt(k))
            print(f"{kernel.__name__} {m} x {k} x {n} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

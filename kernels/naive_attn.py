"""Attention one operator at a time, every intermediate in HBM: what an op-by-op compiler makes of eager attention.

What to look for in its timeline, beside flash_attn.py: the Tensor engine works in two bursts, at the beginning and at
the end, and between them the DMA engines carry the [Sq, Sk] matrix of scores to the chip and back once for every
operator: scale, mask, maximum, exponential and sum, division. Its bytes grow with the square of the sequence while
the arithmetic per byte stays put, so the roofline shows it far to the left of the knee, whatever the sequence length.
"""

import argparse
import math

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

TILE = 128  # rows of a tile: the partitions
BANK = 512  # float32 columns of a PSUM bank
WIDTH = 2048  # columns of a tile of scores in SBUF
MASKED = -1e30  # the score of a key the query may not see


@nki.jit
def naive_attn(q, k, v, scale=None, causal=False):
    """softmax(scale * q^T k) v with the softmax in float32, in separate passes over the scores.

    q [heads, D, Sq], k [kv_heads, D, Sk], v [kv_heads, Sk, D] -> [heads, Sq, D] in q's dtype; D at most 128, lengths
    multiples of 128. Query head h uses key head h // (heads // kv_heads).
    """
    heads, depth, length = q.shape
    kv_heads, _, keys = k.shape
    assert depth <= TILE, f"the head dimension {depth} is larger than {TILE}"
    assert v.shape == (kv_heads, keys, depth), f"v is {v.shape} but k asks for {(kv_heads, keys, depth)}"
    assert heads % kv_heads == 0, f"{heads} query heads cannot share {kv_heads} key heads evenly"
    assert length % TILE == 0, f"the query length {length} is not a multiple of {TILE}"
    assert keys % TILE == 0, f"the key length {keys} is not a multiple of {TILE}"
    assert not causal or length == keys, f"causal attention needs as many keys as queries, not {keys} and {length}"
    if scale is None:
        scale = 1.0 / math.sqrt(depth)

    out = nl.ndarray((heads, length, depth), dtype=q.dtype, buffer=nl.shared_hbm)
    for head in range(heads):
        kv_head = head // (heads // kv_heads)
        s = scores(q[head, :, :], k[kv_head, :, :])
        s = scaled(s, scale)
        if causal:
            s = masked(s)
        p = divided(*exponential(s, row_maximum(s)), q.dtype)
        weighted(out[head, :, :], p, v[kv_head, :, :])
    return out


def scores(q, k):
    """q^T k -> [Sq, Sk] float32 in HBM."""
    depth, length = q.shape
    keys = k.shape[1]
    width = tile_width(keys)
    s = nl.ndarray((length, keys), dtype=nl.float32, buffer=nl.private_hbm)
    for row in range(0, length, TILE):
        q_tile = nl.ndarray((depth, TILE), dtype=q.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=q_tile, src=q[:, row : row + TILE])
        for column in range(0, keys, width):
            k_tile = nl.ndarray((depth, width), dtype=k.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=k_tile, src=k[:, column : column + width])
            result = nl.ndarray((TILE, width), dtype=nl.float32, buffer=nl.sbuf)
            for start in range(0, width, BANK):
                stop = min(start + BANK, width)
                product = nl.ndarray((TILE, stop - start), dtype=nl.float32, buffer=nl.psum)
                nisa.nc_matmul(dst=product, stationary=q_tile, moving=k_tile[:, start:stop])
                nisa.tensor_copy(dst=result[:, start:stop], src=product, engine=nisa.engine.vector)
            nisa.dma_copy(dst=s[row : row + TILE, column : column + width], src=result)
    return s


def scaled(s, scale):
    """scale * s, through SBUF and back to HBM."""
    length, keys = s.shape
    width = tile_width(keys)
    out = nl.ndarray(s.shape, dtype=nl.float32, buffer=nl.private_hbm)
    for row in range(0, length, TILE):
        for column in range(0, keys, width):
            tile = load(s, row, column, width)
            result = nl.ndarray(tile.shape, dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=result, data=tile, op0=nl.multiply, operand0=scale, engine=nisa.engine.vector)
            nisa.dma_copy(dst=out[row : row + TILE, column : column + width], src=result)
    return out


def masked(s):
    """s with a large negative number wherever the key comes after the query."""
    length, keys = s.shape
    width = tile_width(keys)
    out = nl.ndarray(s.shape, dtype=nl.float32, buffer=nl.private_hbm)
    for row in range(0, length, TILE):
        for column in range(0, keys, width):
            tile = load(s, row, column, width)
            result = nl.ndarray(tile.shape, dtype=nl.float32, buffer=nl.sbuf)
            nisa.affine_select(dst=result, pattern=[[-1, width]], offset=row - column, channel_multiplier=1,
                               on_true_tile=tile, on_false_value=MASKED, cmp_op=nl.greater_equal)
            nisa.dma_copy(dst=out[row : row + TILE, column : column + width], src=result)
    return out


def row_maximum(s):
    """-max over the keys, [Sq, 1] in HBM."""
    length, keys = s.shape
    width = tile_width(keys)
    out = nl.ndarray((length, 1), dtype=nl.float32, buffer=nl.private_hbm)
    for row in range(0, length, TILE):
        partial = nl.ndarray((TILE, keys // width), dtype=nl.float32, buffer=nl.sbuf)
        for column in range(keys // width):
            tile = load(s, row, column * width, width)
            nisa.tensor_reduce(dst=partial[:, column : column + 1], op=nl.maximum, data=tile, axis=1)
        result = nl.ndarray((TILE, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=result, op=nl.maximum, data=partial, axis=1, negate=True)
        nisa.dma_copy(dst=out[row : row + TILE, :], src=result)
    return out


def exponential(s, negative_max):
    """exp(s - max) and its sum over the keys, both in HBM."""
    length, keys = s.shape
    width = tile_width(keys)
    out = nl.ndarray(s.shape, dtype=nl.float32, buffer=nl.private_hbm)
    sums = nl.ndarray((length, 1), dtype=nl.float32, buffer=nl.private_hbm)
    for row in range(0, length, TILE):
        bias = load(negative_max, row, 0, 1)
        partial = nl.ndarray((TILE, keys // width), dtype=nl.float32, buffer=nl.sbuf)
        for column in range(keys // width):
            tile = load(s, row, column * width, width)
            result = nl.ndarray(tile.shape, dtype=nl.float32, buffer=nl.sbuf)
            nisa.activation(dst=result, op=nl.exp, data=tile, bias=bias, reduce_op=nl.add,
                            reduce_res=partial[:, column : column + 1], reduce_cmd=nisa.reduce_cmd.reset_reduce)
            nisa.dma_copy(dst=out[row : row + TILE, column * width : (column + 1) * width], src=result)
        total = nl.ndarray((TILE, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=total, op=nl.add, data=partial, axis=1)
        nisa.dma_copy(dst=sums[row : row + TILE, :], src=total)
    return out, sums


def divided(s, sums, dtype):
    """s / sums, rounded to the dtype of the model."""
    length, keys = s.shape
    width = tile_width(keys)
    out = nl.ndarray(s.shape, dtype=dtype, buffer=nl.private_hbm)
    for row in range(0, length, TILE):
        inverse = nl.ndarray((TILE, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.reciprocal(dst=inverse, data=load(sums, row, 0, 1))
        for column in range(0, keys, width):
            tile = load(s, row, column, width)
            result = nl.ndarray(tile.shape, dtype=dtype, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=result, data=tile, op0=nl.multiply, operand0=inverse, engine=nisa.engine.vector)
            nisa.dma_copy(dst=out[row : row + TILE, column : column + width], src=result)
    return out


def weighted(out, p, v):
    """out [Sq, D] = p v. The keys have to lie on the partitions: each block of p is transposed on the way."""
    length, keys = p.shape
    depth = v.shape[1]
    width = tile_width(keys)
    for row in range(0, length, TILE):
        product = nl.ndarray((TILE, depth), dtype=nl.float32, buffer=nl.psum)
        for column in range(0, keys, width):
            p_tile = load(p, row, column, width)
            v_tile = nl.ndarray((TILE, width // TILE, depth), dtype=v.dtype, buffer=nl.sbuf)
            source = v[column : column + width, :].reshape((width // TILE, TILE, depth)).permute((1, 0, 2))
            nisa.dma_copy(dst=v_tile, src=source)
            for block in range(width // TILE):
                turned = nl.ndarray((TILE, TILE), dtype=p.dtype, buffer=nl.psum)
                nisa.nc_transpose(dst=turned, data=p_tile[:, block * TILE : (block + 1) * TILE],
                                  engine=nisa.engine.tensor)
                stationary = nl.ndarray((TILE, TILE), dtype=p.dtype, buffer=nl.sbuf)
                nisa.tensor_copy(dst=stationary, src=turned, engine=nisa.engine.vector)
                nisa.nc_matmul(dst=product, stationary=stationary, moving=v_tile[:, block, :])
        result = nl.ndarray((TILE, depth), dtype=out.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=result, src=product, engine=nisa.engine.vector)
        nisa.dma_copy(dst=out[row : row + TILE, :], src=result)


def load(matrix, row, column, width):
    """One tile of a matrix in HBM."""
    tile = nl.ndarray((TILE, width), dtype=matrix.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=matrix[row : row + TILE, column : column + width])
    return tile


def tile_width(keys):
    """The widest tile of at most WIDTH columns that divides the keys evenly."""
    width = min(keys, WIDTH)
    while keys % width:
        width -= TILE
    return width


def reference(q, k, v, causal):
    """The same in NumPy, float64 (heads share keys as in the kernel)."""
    q, k, v = (np.asarray(x).astype(np.float64) for x in (q, k, v))
    sharing = q.shape[0] // k.shape[0]
    k, v = np.repeat(k, sharing, axis=0), np.repeat(v, sharing, axis=0)
    s = np.einsum("hdq,hdk->hqk", q, k) / math.sqrt(q.shape[1])
    if causal:
        s = np.where(np.tri(*s.shape[1:], dtype=bool), s, -np.inf)
    p = np.exp(s - s.max(axis=2, keepdims=True))
    return np.einsum("hqk,hkd->hqd", p / p.sum(axis=2, keepdims=True), v)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seq", type=int, default=2048, help="sequence length, a multiple of 128")
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--causal", action="store_true")
    args = parser.parse_args()

    import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)

    rng = np.random.default_rng(0)
    across, along = (args.heads, 128, args.seq), (args.heads, args.seq, 128)
    q, k, v = (rng.standard_normal(shape, dtype=np.float32).astype(args.dtype) for shape in (across, across, along))
    out = naive_attn(q, k, v, causal=args.causal)
    tolerance = 1e-5 if args.dtype == "float32" else 2e-2
    exact = reference(q, k, v, args.causal)
    np.testing.assert_allclose(np.asarray(out, np.float64), exact, rtol=tolerance, atol=tolerance)
    print(f"naive_attn {'causal ' * args.causal}q {q.shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

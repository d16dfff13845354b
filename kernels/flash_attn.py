"""Flash attention: softmax(scale * Q K^T) V without ever writing the scores to HBM.

What to look for in its timeline, beside naive_attn.py: HBM traffic falls from the size of the scores to the size of
q, k, v and the result, so the DMA engines are nearly idle and all compute engines are busy from end to end. One step
handles 128 queries against 1024 keys and uses every engine: Tensor multiplies, transposes and multiplies again, Vector
finds the row maxima and rescales, Scalar takes the exponentials, GpSimd keeps the running maximum. In float32 the
Tensor engine sets the pace; in bfloat16 it is four times as fast, and Vector (one score per lane and cycle, to find the
maximum) and Scalar become the bottleneck: the part of attention that is not a matmul.

The engines start instructions in program order, so the loop is written as a software pipeline: while step n is
multiplied with k, step n - 1 is exponentiated and transposed and step n - 2 is multiplied with v. Find one step in the
lanes and follow it.

Two tricks are worth finding in the code. The row sums cost nothing: v carries an extra column of ones, so the matmul
with v adds up the probabilities as well. And the causal mask is a matmul: identity x bias, accumulated onto the scores
of the one 128 x 128 block that crosses the diagonal; blocks above the diagonal are never computed.
"""

import argparse
import math

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

TILE = 128  # queries per step, keys per transpose: the partitions
BANK = 512  # float32 columns of a PSUM bank
SECTION = 1024  # keys per step: two banks of scores, so that two steps fit beside transposes and results
QUERIES = 16  # query tiles that share one pass over k and v: amortises loading them
MASKED = -1e30  # added to the score of a key the query may not see


@nki.jit
def flash_attn(q, k, v, scale=None, causal=False):
    """Attention for any sequence length that is a multiple of 128.

    q [heads, D, Sq], k [kv_heads, D, Sk], v [kv_heads, Sk, D] -> [heads, Sq, D] in q's dtype; D at most 128.
    Query head h uses key head h // (heads // kv_heads). `scale` defaults to 1 / sqrt(D). With `causal`, query i sees
    keys 0..i, and Sq must equal Sk.
    """
    heads, depth, length = q.shape
    kv_heads, _, keys = k.shape
    check(q, k, v, causal)
    if scale is None:
        scale = 1.0 / math.sqrt(depth)

    out = nl.ndarray((heads, length, depth), dtype=q.dtype, buffer=nl.shared_hbm)
    identity, diagonal = mask_operands(q.dtype) if causal else (None, None)

    passes = plan_passes(heads, kv_heads, length // TILE)
    visits = plan_visits(passes, keys, causal)
    steps = plan_steps(passes, visits, keys, causal)

    loaded = {}  # visit -> (k section, v section), loaded one visit ahead of its use
    rows = {}  # (pass, row) -> state of one query tile between its visits
    live = {}  # step -> what its later stages need
    load_visit(loaded, rows, 0, q, k, v, passes, visits)
    # The order of the stages is the order on every engine, chosen so that none waits for what was only just started.
    for n in range(len(steps) + 2):
        current, previous, oldest = n, n - 1, n - 2
        if oldest >= 0:
            copy_transposed(live[oldest])
        if current < len(steps):
            if steps[current]["opens"]:
                load_visit(loaded, rows, steps[current]["visit"] + 1, q, k, v, passes, visits)
            live[current] = scores(steps[current], loaded, rows, identity, diagonal, scale)
        if oldest >= 0:
            accumulate(steps[oldest], live.pop(oldest), loaded, rows)
            if steps[oldest]["last"]:
                store(out, rows.pop((steps[oldest]["pass"], steps[oldest]["row"])))
            if steps[oldest]["closes"]:
                loaded.pop(steps[oldest]["visit"])
        if 0 <= previous < len(steps):
            probabilities(live[previous], scale)
    return out


def check(q, k, v, causal):
    heads, depth, length = q.shape
    kv_heads, _, keys = k.shape
    assert depth <= TILE, f"the head dimension {depth} is larger than {TILE}"
    assert k.shape[1] == depth, f"q has head dimension {depth} but k has {k.shape[1]}"
    assert v.shape == (kv_heads, keys, depth), f"v is {v.shape} but k asks for {(kv_heads, keys, depth)}"
    assert heads % kv_heads == 0, f"{heads} query heads cannot share {kv_heads} key heads evenly"
    assert length % TILE == 0, f"the query length {length} is not a multiple of {TILE}"
    assert keys % TILE == 0, f"the key length {keys} is not a multiple of {TILE}"
    assert not causal or length == keys, f"causal attention needs as many keys as queries, not {keys} and {length}"


def mask_operands(dtype):
    """identity: 1 where partition == column. diagonal: 0 where partition >= column, else a large negative number."""
    ones = nl.ndarray((TILE, TILE), dtype=dtype, buffer=nl.sbuf)
    nisa.memset(dst=ones, value=1.0)
    identity = nl.ndarray((TILE, TILE), dtype=dtype, buffer=nl.sbuf)
    nisa.affine_select(dst=identity, pattern=[[-1, TILE]], channel_multiplier=1, on_true_tile=ones,
                       on_false_value=0.0, cmp_op=nl.equal)
    zeros = nl.ndarray((TILE, TILE), dtype=dtype, buffer=nl.sbuf)
    nisa.memset(dst=zeros, value=0.0)
    diagonal = nl.ndarray((TILE, TILE), dtype=dtype, buffer=nl.sbuf)
    nisa.affine_select(dst=diagonal, pattern=[[-1, TILE]], channel_multiplier=1, on_true_tile=zeros,
                       on_false_value=MASKED, cmp_op=nl.greater_equal)
    return identity, diagonal


# The plan: which query tiles pass over which keys, in which order. Only integers, nothing is computed yet.


def plan_passes(heads, kv_heads, tiles):
    """Groups of query tiles of the heads that share a key head: (key head, query heads, first tile, end tile)."""
    sharing = heads // kv_heads
    count = max(1, QUERIES // sharing)
    passes = []
    for kv_head in range(kv_heads):
        for first in range(0, tiles, count):
            passes.append((kv_head, range(kv_head * sharing, (kv_head + 1) * sharing), first,
                           min(first + count, tiles)))
    return passes


def plan_visits(passes, keys, causal):
    """The sections of keys each pass goes over: (pass, first key, number of keys)."""
    visits = []
    for number, (_, _, _, end) in enumerate(passes):
        stop = min(keys, end * TILE) if causal else keys
        for start in range(0, stop, SECTION):
            visits.append((number, start, min(SECTION, stop - start)))
    return visits


def plan_steps(passes, visits, keys, causal):
    """One step for each query tile and section with something to compute."""
    steps = []
    for visit, (number, start, count) in enumerate(visits):
        _, shared, first, end = passes[number]
        opens = len(steps)
        for index, tile in enumerate(list(range(first, end)) * len(shared)):
            stop = min(keys, (tile + 1) * TILE) if causal else keys
            if start < stop:
                steps.append({"visit": visit, "pass": number, "row": index, "keys": min(count, stop - start),
                              "diagonal": tile * TILE - start if causal else keys,
                              "first": start == 0, "last": start + count >= stop, "opens": False, "closes": False})
        steps[opens]["opens"] = True
        steps[-1]["closes"] = True
    return steps


# The stages.


def load_visit(loaded, rows, visit, q, k, v, passes, visits):
    """Load the keys and values of a visit and, where it is the first of its pass, the queries."""
    if visit == len(visits):
        return
    number, start, count = visits[visit]
    kv_head, shared, first, end = passes[number]
    depth = q.shape[1]
    tiles = count // TILE

    if start == 0:
        index = 0
        for head in shared:
            strip = nl.ndarray((depth, (end - first) * TILE), dtype=q.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=strip, src=q[head, :, first * TILE : end * TILE])
            for tile in range(first, end):
                rows[number, index] = {"head": head, "tile": tile,
                                       "q": strip[:, (tile - first) * TILE : (tile - first + 1) * TILE]}
                index += 1

    k_section = nl.ndarray((depth, count), dtype=k.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=k_section, src=k[kv_head, :, start : start + count])
    # Keys to partitions, tile by tile, with a column of ones that adds up the rows in the same matmul.
    v_section = nl.ndarray((TILE, tiles, depth + 1), dtype=v.dtype, buffer=nl.sbuf)
    nisa.memset(dst=v_section[:, :, depth : depth + 1], value=1.0, engine=nisa.engine.gpsimd)
    source = v[kv_head, start : start + count, :].reshape((tiles, TILE, depth)).permute((1, 0, 2))
    nisa.dma_copy(dst=v_section[:, :, 0:depth], src=source)
    loaded[visit] = (k_section, v_section)


def scores(step, loaded, rows, identity, diagonal, scale):
    """q k^T into PSUM, and the bias -scale * max for the exponential: the running maximum of the row so far."""
    k_section, _ = loaded[step["visit"]]
    row = rows[step["pass"], step["row"]]
    banks = []
    bias = row.get("bias")
    for start in range(0, step["keys"], BANK):
        width = min(BANK, step["keys"] - start)
        bank = nl.ndarray((TILE, width), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=bank, stationary=row["q"], moving=k_section[:, start : start + width])
        across = step["diagonal"] - start
        if 0 <= across < width:
            nisa.nc_matmul(dst=bank[:, across : across + TILE], stationary=identity, moving=diagonal, accumulate=True)
        negative_max = nl.ndarray((TILE, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=negative_max, op=nl.maximum, data=bank, axis=1, negate=True)
        lower = nl.ndarray((TILE, 1), dtype=nl.float32, buffer=nl.sbuf)
        if bias is None:
            nisa.tensor_scalar(dst=lower, data=negative_max, op0=nl.multiply, operand0=scale,
                               engine=nisa.engine.gpsimd)
        else:
            nisa.tensor_scalar(dst=lower, data=negative_max, op0=nl.multiply, operand0=scale, op1=nl.minimum,
                               operand1=bias, engine=nisa.engine.gpsimd)
        bias = lower
        banks.append(bank)
    before = row.get("bias")
    row["bias"] = bias
    return {"banks": banks, "before": before, "bias": bias, "dtype": row["q"].dtype}


def probabilities(live, scale):
    """exp(scale * scores + bias), transposed so that the keys lie on the partitions for the matmul with v."""
    if live["before"] is not None:
        live["decay"] = nl.ndarray((TILE, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=live["decay"], op=nl.exp, data=live["before"], scale=-1.0, bias=live["bias"])
    live["turned"] = []
    for bank in live.pop("banks"):
        width = bank.shape[1]
        p = nl.ndarray((TILE, width), dtype=live["dtype"], buffer=nl.sbuf)
        nisa.activation(dst=p, op=nl.exp, data=bank, scale=scale, bias=live["bias"])
        turned = nl.ndarray((TILE, width), dtype=p.dtype, buffer=nl.psum)
        for start in range(0, width, TILE):
            nisa.nc_transpose(dst=turned[:, start : start + TILE], data=p[:, start : start + TILE],
                              engine=nisa.engine.tensor)
        live["turned"].append(turned)


def copy_transposed(live):
    """The transposed probabilities from PSUM to SBUF, where a stationary operand has to be."""
    live["p"] = []
    banks = live.pop("turned")
    for index, turned in enumerate(banks):
        p = nl.ndarray(turned.shape, dtype=turned.dtype, buffer=nl.sbuf)
        # Vector has to search the scores and Scalar to exponentiate them: they share what is left, Scalar taking the
        # first bank, which is transposed while it still works on the second.
        if index == 0 and len(banks) > 1:
            copy_on_scalar(p, turned)
        else:
            nisa.tensor_copy(dst=p, src=turned, engine=nisa.engine.vector)
        live["p"].append(p)


def copy_on_scalar(dst, src):
    """The Scalar engine of trn1 has no plain copy, only the identity as an activation."""
    if nisa.get_nc_version() > nisa.nc_version.gen2:
        nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.scalar)
    else:
        nisa.activation(dst=dst, op=nl.copy, data=src)


def accumulate(step, live, loaded, rows):
    """p v, its last column the sum of p, added to what the row has so far after that has been scaled down."""
    _, v_section = loaded[step["visit"]]
    row = rows[step["pass"], step["row"]]
    columns = v_section.shape[2]
    product = nl.ndarray((TILE, columns), dtype=nl.float32, buffer=nl.psum)
    tile = 0
    for p in live["p"]:
        for start in range(0, p.shape[1], TILE):
            nisa.nc_matmul(dst=product, stationary=p[:, start : start + TILE], moving=v_section[:, tile, :])
            tile += 1
    total = nl.ndarray((TILE, columns), dtype=nl.float32, buffer=nl.sbuf)
    if live["before"] is None:
        nisa.tensor_copy(dst=total, src=product, engine=nisa.engine.vector)
    else:
        nisa.scalar_tensor_tensor(dst=total, data=row["total"], op0=nl.multiply, operand0=live["decay"],
                                  op1=nl.add, operand1=product)
    row["total"] = total


def store(out, row):
    """Divide by the sum of the row, which is the last column, and write the tile."""
    depth = out.shape[2]
    inverse = nl.ndarray((TILE, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=inverse, data=row["total"][:, depth : depth + 1])
    result = nl.ndarray((TILE, depth), dtype=out.dtype, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=result, data=row["total"][:, 0:depth], op0=nl.multiply, operand0=inverse)
    nisa.dma_copy(dst=out[row["head"], row["tile"] * TILE : (row["tile"] + 1) * TILE, :], src=result)


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
    parser.add_argument("--kv-heads", type=int, default=None, help="key and value heads (default: as many as heads)")
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()
    kv_heads = args.kv_heads or args.heads

    import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)

    rng = np.random.default_rng(0)
    q = rng.standard_normal((args.heads, args.head_dim, args.seq), dtype=np.float32).astype(args.dtype)
    k = rng.standard_normal((kv_heads, args.head_dim, args.seq), dtype=np.float32).astype(args.dtype)
    v = rng.standard_normal((kv_heads, args.seq, args.head_dim), dtype=np.float32).astype(args.dtype)
    out = flash_attn(q, k, v, causal=args.causal)
    if not args.no_check:
        tolerance = 1e-5 if args.dtype == "float32" else 2e-2
        exact = reference(q, k, v, args.causal)
        np.testing.assert_allclose(np.asarray(out).astype(np.float64), exact, rtol=tolerance, atol=tolerance)
        kind = "causal " if args.causal else ""
        print(f"flash_attn {kind}q {q.shape}, k {k.shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()

"""Random numbers: XORWOW generators, one per partition and engine.

The vendor names the algorithm (XORWOW) and the size of its state (6 words per partition on GpSimd, 24 on Vector), not
how a seed of one word becomes a state nor the order of the draws.  Here a seed is spread over the partitions with
SplitMix, a 24-word state is four generators drawn from in turn, and elements are drawn in the order of the free
dimension.  So numbers are reproducible and uniform, but not the chip's.
"""

from __future__ import annotations

import numpy as np

from simcore.dtypes import cast
from simcore.isa.operand import check_per_partition, check_same_free, check_sbuf, check_tiles, generation, like, rows
from simcore.isa.table import GPSIMD, VECTOR, Engine, Read, ReadOrScalar, Write, instruction, require

WORDS = 6
_STEP = np.uint32(362437)


def _state(engine: str) -> np.ndarray:
    """The generators of an engine of the current core: uint32 [128, generators, 6]."""
    from simcore.frontend import state

    rec = state.recorder
    key = (rec.core, "rng", engine)
    if key not in rec.accumulators:
        rec.accumulators[key] = seeded(0, engine)
    return rec.accumulators[key]


def seeded(seed: int, engine: str) -> np.ndarray:
    """States of all partitions from one word (SplitMix64)."""
    generators = 4 if engine == "vector" else 1
    count = 128 * generators * WORDS
    with np.errstate(over="ignore"):
        z = np.uint64(seed & 0xFFFFFFFF) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z >> np.uint64(32)).astype(np.uint32).reshape(128, generators, WORDS)


def draw(engine: str, partitions: int, count: int) -> np.ndarray:
    """uint32 [partitions, count] from the engine's generators (Marsaglia's XORWOW)."""
    state = _state(engine)
    x, y, z, w, v, d = (state[:partitions, :, i].copy() for i in range(WORDS))
    turns = -(-count // state.shape[1])
    out = np.empty((partitions, turns, state.shape[1]), np.uint32)
    with np.errstate(over="ignore"):
        for i in range(turns):
            t = x ^ (x >> np.uint32(2))
            x, y, z, w = y, z, w, v
            v = (v ^ (v << np.uint32(4))) ^ (t ^ (t << np.uint32(1)))
            d = d + _STEP
            out[:, i] = v + d
    for i, word in enumerate((x, y, z, w, v, d)):
        state[:partitions, :, i] = word
    return out.reshape(partitions, -1)[:, :count]


def uniform(engine: str, partitions: int, count: int) -> np.ndarray:
    """float32 in [0, 1)."""
    return (draw(engine, partitions, count) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def engine_name(engine) -> str:
    return "gpsimd" if engine is Engine.gpsimd else "vector"


@instruction(engines=(VECTOR, GPSIMD), opcode="RNG")
def rng(dst: Write, engine=Engine.vector):
    """dst = random bits, the lowest of 32 per element."""


@rng.check
def _(v):
    check_tiles(v)
    require(v["dst"].dtype.is_int and v["dst"].dtype.itemsize <= 4,
            f"nisa.rng: dst must be an integer tile, but is {v['dst'].dtype}")
    if v.engine is GPSIMD:
        check_sbuf(v, "dst")
        require(generation() >= 3, "nisa.rng: the GpSimd engine draws random numbers from NeuronCore-v3 on")


@rng.values
def _(dst, engine):
    bits = draw(engine_name(engine), dst.shape[0], dst.layout.free)
    dst.write(bits.astype(np.dtype(f"u{dst.itemsize}")).view(dst.dtype.np))


@instruction(engines=(VECTOR,), since=4, opcode="RAND2")
def rand2(dst: Write, min: ReadOrScalar, max: ReadOrScalar):
    """dst = uniform numbers from min to max."""


@rand2.check
def _(v):
    check_tiles(v)
    check_per_partition(v, "min", "max")
    low, high = v.params.get("min"), v.params.get("max")
    require(low is None or high is None or low < high, f"nisa.rand2: min {low} must be less than max {high}")


@rand2.values
def _(dst, min, max):
    shape = (dst.shape[0], dst.layout.free)
    low, high = like(min, shape), like(max, shape)
    dst.write(low + uniform("vector", *shape) * (high - low))


@instruction(engines=(VECTOR,), opcode="SET_RNG_SEED")
def set_rng_seed(src_seeds: Read):
    """Seed the Vector engine's generators from one 32-bit word."""


@set_rng_seed.check
def _(v):
    check_tiles(v)
    lay = v["src_seeds"]
    require(lay.size == 1, f"nisa.set_rng_seed: src_seeds must hold one value, but has shape {lay.shape}")
    require(lay.dtype.itemsize == 4, f"nisa.set_rng_seed: src_seeds must be a 32-bit value, but is {lay.dtype}")


@set_rng_seed.values
def _(src_seeds):
    seed = int(np.ascontiguousarray(src_seeds.read()).reshape(-1).view(np.uint32)[0])
    _state("vector")[...] = seeded(seed, "vector")


def check_state(v, name: str) -> None:
    check_tiles(v)
    lay = v[name]
    require(lay.dtype == "uint32", f"nisa.{v.name}: {name} must be uint32, but is {lay.dtype}")
    words = 24 if v.engine is VECTOR else 6
    require(lay.free == words, f"nisa.{v.name}: {name} needs {words} words per partition on the {v.engine.display} "
                               f"engine, but has {lay.free}")
    require(v.engine is GPSIMD or generation() >= 4, f"nisa.{v.name}: the Vector engine's state can be "
                                                     "reached from NeuronCore-v4 on")


@instruction(engines=(GPSIMD, VECTOR), since=3, opcode="RAND_SET_STATE")
def rand_set_state(src_seeds: Read, engine=Engine.gpsimd):
    """Set the state of an engine's generators, partition by partition."""


@rand_set_state.check
def _(v):
    check_state(v, "src_seeds")
    check_sbuf(v, "src_seeds")


@rand_set_state.values
def _(src_seeds, engine):
    words = rows(src_seeds.read())
    _state(engine_name(engine))[:len(words)] = words.reshape(len(words), -1, WORDS)


@instruction(engines=(GPSIMD, VECTOR), since=3, opcode="RAND_GET_STATE")
def rand_get_state(dst: Write, engine=Engine.gpsimd):
    """Read the state of an engine's generators."""


@rand_get_state.check
def _(v):
    check_state(v, "dst")
    if v.engine is GPSIMD or generation() < 4:
        check_sbuf(v, "dst")


@rand_get_state.values
def _(dst, engine):
    dst.write(_state(engine_name(engine))[:dst.shape[0]].reshape(dst.shape[0], -1))


@instruction(engines=(VECTOR,), opcode="DROPOUT")
def dropout(dst: Write, data: Read, prob: ReadOrScalar):
    """dst = data with each element set to zero with probability prob."""


@dropout.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "data")
    check_per_partition(v, "prob")
    prob = v.params.get("prob")
    require(prob is None or 0 <= prob <= 1, f"nisa.dropout: prob is {prob}; a probability lies between 0 and 1")


@dropout.values
def _(dst, data, prob):
    values = rows(data.read())
    chance = like(prob, values.shape)
    # outside 0..1 there is no probability and the effect is not documented: the data stays, as in the vendor's
    # simulator
    keep = uniform("vector", *values.shape) >= np.where((chance >= 0) & (chance <= 1), chance, 0)
    dst.write(cast(np.where(keep, values, values.dtype.type(0)), dst.dtype))

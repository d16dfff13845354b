"""What the NumPy semantics and the checks of several instructions share."""

from __future__ import annotations

import numpy as np

from simcore import machine
from simcore.dtypes import to_float32
from simcore.isa.operators import Operator, to_operator
from simcore.isa.table import require
from simcore.layout import PARTITIONS, psum, sbuf
from simcore.tensor import Tensor
from simcore.trace import Variant


def rows(values: np.ndarray) -> np.ndarray:
    """Values as [partitions, free]."""
    return values.reshape(values.shape[0], -1)


def f32(x) -> np.ndarray:
    """A tile's values, or a number, as float32, in which the engines compute.  There is no float64 on the chip."""
    if isinstance(x, Tensor):
        x = x.read()
    return to_float32(x)


def like(x, shape) -> np.ndarray:
    """Operand `x` in the shape [partitions, free] of the result: (P, 1) operands and numbers broadcast."""
    values = f32(x)
    return values if values.ndim == 0 else _fit(values, shape)


def _fit(values: np.ndarray, shape) -> np.ndarray:
    values = rows(values)
    if values.shape[1] not in (1, shape[1]):
        raise ValueError(f"{values.shape[1]} elements per partition where {shape[1]} are needed")
    return values


def raw_like(x, shape, dtype) -> np.ndarray:
    """The same without a cast to float32, for bit operators and exact integers."""
    if isinstance(x, Tensor):
        return _fit(x.read(), shape)
    return np.asarray(x).astype(dtype)


def binary(op: Operator, a, b, shape, *, exact: bool = False) -> np.ndarray:
    """`a op b` on operands of an instruction, [partitions, free].

    Bit operators work on integer patterns, everything else in float32; exact keeps int32/uint32 arithmetic exact.
    """
    if op.kind == "bit" or exact:
        dtype = next((x.dtype.np for x in (a, b) if isinstance(x, Tensor)), np.dtype(np.int32))
        return op.apply(raw_like(a, shape, dtype), raw_like(b, shape, dtype))
    return op.apply(like(a, shape), like(b, shape))


# ------------------------------------------------------------------------------------------------ checks


def check_tiles(v: Variant, *names: str) -> None:
    """Every operand is on chip, has at most 128 partitions, and all have the same number."""
    counts = {}
    for o in v.operands:
        if o.name.endswith(".index") or names and o.name not in names:
            continue
        lay = o.layout
        require(lay.on_chip, f"nisa.{v.name}: {o.name} must be in SBUF or PSUM, but is in {lay.buffer.value}; load it "
                             "with nisa.dma_copy first")
        require(lay.shape[0] <= PARTITIONS, f"nisa.{v.name}: {o.name} has {lay.shape[0]} partitions; at most "
                                            f"{PARTITIONS} are possible")
        counts[o.name] = lay.shape[0]
    require(len(set(counts.values())) <= 1,
            f"nisa.{v.name}: operands differ in partitions: " + ", ".join(f"{k} has {n}" for k, n in counts.items()))


def check_same_free(v: Variant, *names: str, broadcast: tuple[str, ...] = ()) -> None:
    """Element counts per partition agree; `broadcast` names operands that may also be (P, 1)."""
    first = None
    for name in names:
        lay = v.get(name)
        if lay is None or (name in broadcast and lay.free == 1):
            continue
        if first is None:
            first = (name, lay.free)
        require(lay.free == first[1], f"nisa.{v.name}: {name} has {lay.free} elements per partition, "
                                      f"{first[0]} has {first[1]}")


def check_not_both_psum(v: Variant, a: str, b: str) -> None:
    la, lb = v.get(a), v.get(b)
    require(not (la is not None and lb is not None and la.buffer is psum and lb.buffer is psum),
            f"nisa.{v.name}: {a} and {b} cannot both be in PSUM; copy one to SBUF first")


def check_sbuf(v: Variant, *names: str) -> None:
    for name in names:
        lay = v.get(name)
        require(lay is None or lay.buffer is sbuf, f"nisa.{v.name}: {name} must be in SBUF, but is in "
                                                   f"{lay and lay.buffer.value}")


def check_op(v: Variant, param: str, *, kinds: tuple[str, ...] = (), names: tuple[str, ...] = (),
             optional: bool = False) -> Operator | None:
    """The operator of a parameter, one of these kinds or names."""
    op = to_operator(v.params.get(param))
    if op is None:
        require(optional, f"nisa.{v.name}: {param} must name an operator such as nl.add")
        return None
    if kinds or names:
        require(op.kind in kinds or op.name in names, f"nisa.{v.name}: {param}=nl.{op.name} is not possible here")
    require(op.name not in ("abs_max", "abs_min") or generation() >= 4,
            f"nisa.{v.name}: nl.{op.name} needs NeuronCore-v4")
    return op


def check_bit_dtypes(v: Variant, op: Operator | None) -> None:
    """Bit operators work on integer patterns: every operand must be an integer tile."""
    if op is None or op.kind != "bit":
        return
    for o in v.operands:
        require(o.layout.dtype.is_int or o.name.endswith(".index"),
                f"nisa.{v.name}: nl.{op.name} works on integer tiles, but {o.name} is {o.layout.dtype}; view it "
                "as an integer of its size")


def check_per_partition(v: Variant, *names: str) -> None:
    """Operands that are a number or one value per partition."""
    for name in names:
        lay = v.get(name)
        require(lay is None or lay.free == 1, f"nisa.{v.name}: {name} must be a number or one value per partition, "
                                              f"but has {lay and lay.free}")


def generation() -> int:
    """The NeuronCore version a kernel is being captured for: 2 trn1, 3 trn2, 4 trn3."""
    from simcore.frontend import state

    return machine.generation(state.recorder.target)

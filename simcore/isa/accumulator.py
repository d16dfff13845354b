"""The accumulator registers of the Vector and Scalar engines: one float32 per partition, kept between instructions.

`reduce_cmd` says what an instruction does with them: idle leaves them, reset clears, reduce accumulates on top,
reset_reduce clears and accumulates, load_reduce starts from a given value.
"""

from __future__ import annotations

import numpy as np

from simcore.isa.operand import like
from simcore.isa.operators import Operator
from simcore.isa.table import require

IDENTITY = {"add": 0.0, "subtract": 0.0, "multiply": 1.0, "maximum": -np.inf, "minimum": np.inf, "abs_max": 0.0,
            "abs_min": np.inf}


def command(cmd) -> str:
    """The name of a reduce_cmd."""
    return getattr(cmd, "name", str(cmd))


def registers(engine: str, partitions: int) -> np.ndarray:
    """The registers of an engine of the current core, as a view of the first `partitions`."""
    from simcore.frontend import state

    rec = state.recorder
    key = (rec.core, engine)
    found = rec.accumulators.get(key)
    if found is None:
        found = rec.accumulators[key] = np.zeros(128, np.float32)
    return found[:partitions]


def accumulate(engine: str, values: np.ndarray, cmd: str, op: Operator | None, reduce_res=None, init=None,
               negate: bool = False) -> None:
    """One step of an engine's accumulator over [partitions, free] results; written to reduce_res where it is given."""
    register = registers(engine, values.shape[0])
    name = "add" if op is None else op.name
    if cmd in ("reset", "reset_reduce"):
        register[...] = IDENTITY[name]
    elif cmd == "load_reduce":
        register[...] = like(0.0 if init is None else init, (len(register), 1)).reshape(-1)
    if cmd in ("reduce", "reset_reduce", "load_reduce"):
        values = np.asarray(values, np.float32)
        reduce = np.add if op is None else op.reduce
        with np.errstate(all="ignore"):
            register[...] = reduce(register, reduce.reduce(values, axis=1))
    if reduce_res is not None:
        out = register.reshape(-1, 1).copy()
        reduce_res.write(-out if negate else out)


def check_accumulator(v, *, ops: tuple[str, ...], commands: tuple[str, ...]) -> None:
    """reduce_op, reduce_cmd and reduce_res of a variant are possible."""
    from simcore.isa.operand import check_op

    check_op(v, "reduce_op", names=ops, optional=True)
    cmd = command(v.params.get("reduce_cmd"))
    require(cmd in commands, f"nisa.{v.name}: reduce_cmd {cmd} is not possible; use one of {', '.join(commands)}")
    res = v.get("reduce_res")
    require(res is None or res.free == 1, f"nisa.{v.name}: reduce_res must have one element per partition, "
                                          f"but has {res and res.free}")
    if "reduce_init" in v.params or v.get("reduce_init") is not None:
        given = v.get("reduce_init") is not None or v.params.get("reduce_init") not in (None, 0, 0.0)
        require(cmd == "load_reduce" or not given, f"nisa.{v.name}: reduce_init needs reduce_cmd load_reduce")

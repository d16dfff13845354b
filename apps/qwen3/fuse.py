"""Fusion: which chains of element-wise operators share one pass over HBM."""

from __future__ import annotations

import math

from simcore.apps.qwen3.graph import View
from simcore.apps.qwen3.ops import Op, outside

ROW_BUDGET = 64 * 1024
"""Bytes of float32 a row may have for a rule that keeps rows on chip: three such rows fit in 192 KiB of a partition."""


def fuse(ops: list[Op], result: str, *, rows: bool) -> list[Op]:
    """Join an element-wise operator with the chain that feeds it, where nothing outside needs the chain to end
    earlier.
    """
    users: dict[str, list[int]] = {}
    for i, op in enumerate(ops):
        for v in op.inputs:
            users.setdefault(v.base, []).append(i)
    group_of: dict[int, int] = {}  # op -> number of the op that ends its group so far
    groups: dict[int, list[int]] = {}
    maker: dict[str, int] = {v.base: i for i, op in enumerate(ops) for _, _, v in op.steps or [("", (), op.out)]}
    for i, op in enumerate(ops):
        groups[i], group_of[i] = [i], i
        if op.kind != "chain" or (op.reduces and not rows):
            continue
        for v in op.inputs:
            j = maker.get(v.base)
            if j is None or ops[j].kind != "chain" or group_of[j] == group_of[i]:
                continue
            members = groups[group_of[j]]
            joined = [ops[m] for m in members] + [ops[m] for m in groups[group_of[i]]]
            if (
                _may_join(joined, rows)
                and _closed(members, groups[group_of[i]], ops, users, i)
                and _laid_out_alike(v, ops[j])
            ):
                old = group_of[j]
                groups[i] = sorted(members + groups[i])
                del groups[old]
                for m in groups[i]:
                    group_of[m] = i
    fused = []
    for end in sorted(groups):
        chosen = [ops[m] for m in groups[end]]
        fused.append(chosen[0] if len(chosen) == 1 else _joined(chosen, groups[end], users, result))
    return fused


def _laid_out_alike(v: View, maker: Op) -> bool:
    """An operand read through another view than it was made in (a slice, a permutation) has to be in memory first."""
    made = next(r for _, _, r in maker.steps if r.base == v.base)
    return made.strides == v.strides and made.shape == v.shape and v.offset == 0


def _may_join(ops: list[Op], rows: bool) -> bool:
    shapes = {op.full for op in ops}
    if len(shapes) == 1 and not any(op.reduces for op in ops):
        return True
    widest = max(shapes, key=math.prod)
    return rows and shapes <= {widest, (*widest[:-1], 1)} and widest[-1] * 4 <= ROW_BUDGET


def _closed(members: list[int], more: list[int], ops: list[Op], users: dict[str, list[int]], at: int) -> bool:
    """Nothing outside the group and before `at` uses a result of the group."""
    inside = {*members, *more}
    return all(u in inside or u > at for m in members for _, _, v in ops[m].steps for u in users.get(v.base, ()))


def _joined(members: list[Op], numbers: list[int], users: dict[str, list[int]], result: str) -> Op:
    steps = [s for op in members for s in op.steps]
    inside = set(numbers)
    kept = [v for _, _, v in steps if v.base == result or any(u not in inside for u in users.get(v.base, ()))]
    op = Op(
        "chain",
        members[-1].out,
        outside(steps),
        members[-1].module,
        [n for m in members for n in m.nodes],
        [n for m in members for n in m.names],
        steps,
    )
    op.options["kept"] = tuple(kept)
    return op

"""`nki.collectives`: data between ranks.

With several ranks (simcore.frontend.ranks.capture_ranks) values move between them.  A launch by itself is rank 0; its
collectives over more ranks can be timed but have no values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore.errors import KernelError, NkiValidationError
from simcore.frontend import state
from simcore.frontend.instructions import nisa
from simcore.frontend.nki.objects import NKIObject
from simcore.isa.operators import to_operator
from simcore.registers import Register
from simcore.tensor import Tensor


@dataclass
class ReplicaGroup(NKIObject):
    """Groups of ranks: a list of lists without overlap."""

    groups: Any = None

    def __hash__(self):
        return id(self)


def rank_id(name=None) -> Register:
    """A register with this rank's number."""
    rec = state.current("nki.collectives.rank_id")
    nisa.register_move()
    return Register(rec.rank, "rank_id")


def _group(what: str, replica_group) -> tuple[int, ...]:
    """The ranks of the group this rank belongs to."""
    groups = getattr(replica_group, "groups", replica_group)
    rec = state.current(f"nki.collectives.{what}")
    if not isinstance(groups, list | tuple) or not groups:
        raise NkiValidationError(f"nki.collectives.{what}: replica_group must hold lists of ranks, not {groups!r}",
                                 site=state.user_site(2))
    members = [tuple(int(r) for r in g) for g in groups]
    flat = [r for g in members for r in g]
    if len(set(flat)) != len(flat):
        raise NkiValidationError(f"nki.collectives.{what}: the groups {members} overlap", site=state.user_site(2))
    for g in members:
        if rec.rank in g:
            return g
    raise NkiValidationError(f"nki.collectives.{what}: rank {rec.rank} is in none of the groups {members}",
                             site=state.user_site(2))


def _lists(what: str, *lists) -> None:
    for x in lists:
        if not isinstance(x, list | tuple) or not all(isinstance(t, Tensor) for t in x):
            raise NkiValidationError(f"nki.collectives.{what}: sources and destinations must be lists of tensors",
                                     site=state.user_site(2))
    if len({len(x) for x in lists}) != 1:
        raise NkiValidationError(f"nki.collectives.{what}: {len(lists[0])} sources but {len(lists[1])} destinations",
                                 site=state.user_site(2))


def _move(what: str, group: tuple[int, ...], read: Callable[[], Any], write: Callable[[dict[int, Any]], None]) -> None:
    """Let the ranks of a group bring what `read` gives, and `write` what all brought (by rank)."""
    rec = state.recorder
    if not rec.values:
        return
    here = read()
    if len(group) == 1:
        write({rec.rank: here})
        return
    if rec.world is None:
        raise KernelError(f"nki.collectives.{what} over ranks {list(group)} needs all of them for its "
                          "values; run the kernel with "
                          "simcore.frontend.ranks.capture_ranks, or without values", site=state.user_site(2))
    program = rec.programs.current.number

    def then(arrived: dict) -> None:
        brought = {rank: values for rank, (values, _) in arrived.items()}
        for _, receive in arrived.values():
            receive(brought)

    rec.world.meet(rec.rank, (what, group, program), len(group), (here, write), then)


def _values(t: Tensor) -> np.ndarray:
    return np.array(t.read())


def _combine(op, parts: list[np.ndarray]) -> np.ndarray:
    fn = to_operator(op).apply
    total = parts[0].astype(np.float32)
    for part in parts[1:]:
        total = fn(total, part.astype(np.float32))
    return total


def all_reduce(srcs, dsts, replica_group, op, priority=None, name=None) -> None:
    """Each destination = op over the sources of all ranks."""
    group = _group("all_reduce", replica_group)
    _lists("all_reduce", srcs, dsts)
    for src, dst in zip(srcs, dsts, strict=True):
        nisa._all_reduce(src, dst, group, op, name=name)
        _move("all_reduce", group, lambda s=src: _values(s),
              lambda got, d=dst: d.write(_combine(op, [got[r] for r in group])))


def all_gather(srcs, dsts, replica_group, collective_dim, priority=None, name=None) -> None:
    """Each destination = the sources of all ranks, joined along collective_dim."""
    group = _group("all_gather", replica_group)
    _lists("all_gather", srcs, dsts)
    for src, dst in zip(srcs, dsts, strict=True):
        nisa._all_gather(src, dst, group, collective_dim, name=name)
        _move("all_gather", group, lambda s=src: _values(s),
              lambda got, d=dst: d.write(np.concatenate([got[r] for r in group], axis=collective_dim)))


def reduce_scatter(srcs, dsts, replica_group, collective_dim, op, priority=None, name=None) -> None:
    """Each destination = this rank's part, along collective_dim, of op over the sources of all ranks."""
    group = _group("reduce_scatter", replica_group)
    _lists("reduce_scatter", srcs, dsts)
    at = group.index(state.recorder.rank)
    for src, dst in zip(srcs, dsts, strict=True):
        nisa._reduce_scatter(src, dst, group, collective_dim, op, name=name)
        _move("reduce_scatter", group, lambda s=src: _values(s),
              lambda got, d=dst: d.write(np.split(_combine(op, [got[r] for r in group]), len(group),
                                                  axis=collective_dim)[at]))


def all_to_all(srcs, dsts, replica_group, collective_dim, priority=None, name=None) -> None:
    """Each destination = this rank's part of the source of every rank, joined along collective_dim."""
    group = _group("all_to_all", replica_group)
    _lists("all_to_all", srcs, dsts)
    at = group.index(state.recorder.rank)
    for src, dst in zip(srcs, dsts, strict=True):
        nisa._all_to_all(src, dst, group, collective_dim, name=name)
        _move("all_to_all", group, lambda s=src: _values(s),
              lambda got, d=dst: d.write(np.concatenate([np.split(got[r], len(group), axis=collective_dim)[at]
                                                         for r in group], axis=collective_dim)))


def all_gather_v(srcs, dsts, replica_group, metadata_tensor, recv_counts_known=False, has_rdispls=False, priority=None,
                 name=None) -> None:
    """One chunk of every rank to all ranks; its size and place come from the metadata tensor at run time."""
    _exchange("all_gather_v", srcs, dsts, replica_group, metadata_tensor, recv_counts_known, has_rdispls, name)


def all_to_all_v(srcs, dsts, replica_group, metadata_tensor, recv_counts_known=False, has_rdispls=False, priority=None,
                 name=None) -> None:
    """A chunk of every rank to every other, sizes and places from the metadata tensor at run time."""
    _exchange("all_to_all_v", srcs, dsts, replica_group, metadata_tensor, recv_counts_known, has_rdispls, name)


def _exchange(what, srcs, dsts, replica_group, metadata, counts_known, has_rdispls, name) -> None:
    group = _group(what, replica_group)
    _lists(what, srcs, dsts)
    rows = 4 if has_rdispls else 3
    if len(srcs) != 1 or metadata.size < rows * len(group):
        raise NkiValidationError(f"nki.collectives.{what}: one source and a metadata tensor of {rows} "
                                 f"x {len(group)} are needed", site=state.user_site(2))
    src, dst = srcs[0], dsts[0]
    me = group.index(state.recorder.rank)
    nisa._exchange_v(src, dst, metadata, group, what, name=name)

    def read():
        table = _values(metadata).reshape(-1, len(group)).astype(np.int64)
        flat = _values(src).reshape(-1)
        column = (lambda j: 0) if what == "all_gather_v" else (lambda j: j)
        return [flat[table[1, column(j)]:][:table[0, column(j)]] for j in range(len(group))]

    def write(got):
        out = _values(dst).reshape(-1)
        table = _values(metadata).reshape(-1, len(group))
        for j, rank in enumerate(group):
            chunk = got[rank][me]
            start = int(table[3, j]) if has_rdispls else out.size // len(group) * j
            if start + chunk.size > out.size:
                raise IndexError(f"nki.collectives.{what}: {chunk.size} elements from rank {rank} at {start} leave the "
                                 f"destination of {out.size}")
            out[start:start + chunk.size] = chunk
            if not counts_known:
                table[2, j] = chunk.size
        dst.write(out)
        if not counts_known:
            metadata.write(table)

    _move(what, group, read, write)


def collective_permute(srcs, dsts, source_target_pairs, priority=None, name=None) -> None:
    """The source of each pair's first rank goes to the destination of its second."""
    _lists("collective_permute", srcs, dsts)
    pairs = tuple((int(a), int(b)) for a, b in source_target_pairs)
    group = tuple(sorted({r for p in pairs for r in p}))
    rank = state.current("nki.collectives.collective_permute").rank
    nisa._permute(srcs[0], dsts[0], group, name=name)
    sender = next((a for a, b in pairs if b == rank), None)
    _move("collective_permute", group, lambda: _values(srcs[0]), lambda got: dsts[0].write(got[sender])
          if sender is not None else None)


def collective_permute_implicit(srcs_by_channel, dsts_by_channel, replica_group, channel_ids=(0,), priority=None,
                                name=None) -> None:
    """In a ring: each rank sends to its successor and receives from its predecessor."""
    group = _group("collective_permute_implicit", replica_group)
    before = group[group.index(state.recorder.rank) - 1]
    for channel, srcs, dsts in zip(channel_ids, srcs_by_channel, dsts_by_channel, strict=False):
        _lists("collective_permute_implicit", srcs, dsts)
        nisa._permute(srcs[0], dsts[0], group, name=name)
        _move(f"collective_permute_implicit {channel}", group, lambda s=srcs[0]: _values(s),
              lambda got, d=dsts[0]: d.write(got[before]))


def collective_permute_implicit_reduce(srcs0_by_channel, srcs1_by_channel, dsts_by_channel, replica_group, op,
                                       channel_ids=(0,), priority=None, name=None) -> None:
    """In a ring: op of the two local sources goes to the successor's destination."""
    group = _group("collective_permute_implicit_reduce", replica_group)
    before = group[group.index(state.recorder.rank) - 1]
    for channel, a, b, dsts in zip(channel_ids, srcs0_by_channel, srcs1_by_channel, dsts_by_channel, strict=False):
        _lists("collective_permute_implicit_reduce", a, b, dsts)
        nisa._permute_reduce(a[0], b[0], dsts[0], group, op, name=name)
        _move(f"collective_permute_implicit_reduce {channel}", group,
              lambda x=a[0], y=b[0]: _combine(op, [_values(x), _values(y)]),
              lambda got, d=dsts[0]: d.write(got[before]))


def collective_permute_implicit_current_processing_rank_id(iteration_id, replica_group, channel_id=0,
                                                           name=None) -> Register:
    """A register with the rank whose data arrives in ring step `iteration_id` (0 is the own)."""
    group = _group("collective_permute_implicit_current_processing_rank_id", replica_group)
    nisa.register_move()
    return Register(group[(group.index(state.recorder.rank) - int(iteration_id)) % len(group)], "ring rank")


__all__ = ["ReplicaGroup", "all_gather", "all_gather_v", "all_reduce", "all_to_all", "all_to_all_v",
           "collective_permute", "collective_permute_implicit",
           "collective_permute_implicit_current_processing_rank_id", "collective_permute_implicit_reduce", "rank_id",
           "reduce_scatter"]

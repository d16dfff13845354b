"""Collectives: data between ranks.  One row per transfer of a rank; the front end (frontend/ranks.py) moves the values.

`group` is the replica group this rank belongs to, as a tuple of ranks.
"""

from __future__ import annotations

from simcore.isa.operators import to_operator
from simcore.isa.table import DMA, Read, Write, instruction, require
from simcore.layout import psum


def _check_memory(v) -> None:
    buffers = {o.layout.on_chip for o in v.operands}
    require(len(buffers) == 1, f"nki.collectives.{v.name.lstrip('_')}: sources and destinations must all "
                               "be in HBM or all in SBUF")
    for o in v.operands:
        require(o.layout.buffer is not psum, f"nki.collectives.{v.name.lstrip('_')}: {o.name} is in "
                                             "PSUM, which DMA cannot reach")


def _check_reduce(v) -> None:
    op = to_operator(v.params["op"])
    require(op is not None and op.name in ("add", "minimum", "maximum"),
            f"nki.collectives.{v.name.lstrip('_')}: op must be nl.add, nl.minimum or nl.maximum")


def _sizes(v, factor_src: int, factor_dst: int, text: str) -> None:
    src, dst = v["src"].size, v["dst"].size
    require(src * factor_src == dst * factor_dst,
            f"nki.collectives.{v.name.lstrip('_')}: source has {src} elements, destination {dst}; {text} in a group of "
            f"{len(v.params['group'])}")


@instruction(engines=(DMA,), opcode="ALL_REDUCE")
def _all_reduce(src: Read, dst: Write, group, op):
    """dst = op over the src of all ranks of the group."""


@_all_reduce.check
def _(v):
    _check_memory(v)
    _check_reduce(v)
    _sizes(v, 1, 1, "they must be equal")


@instruction(engines=(DMA,), opcode="ALL_GATHER")
def _all_gather(src: Read, dst: Write, group, dim):
    """dst = the src of all ranks, joined along dim."""


@_all_gather.check
def _(v):
    _check_memory(v)
    _sizes(v, len(v.params["group"]), 1, "the destination holds all sources")
    require(v.params["dim"] in ((0, 1) if v["src"].on_chip else (0,)),
            f"nki.collectives.all_gather: collective_dim {v.params['dim']} is not possible "
            "here; use 0 (0 or 1 in SBUF)")


@instruction(engines=(DMA,), opcode="REDUCE_SCATTER")
def _reduce_scatter(src: Read, dst: Write, group, dim, op):
    """dst = this rank's part of op over the src of all ranks."""


@_reduce_scatter.check
def _(v):
    _check_memory(v)
    _check_reduce(v)
    _sizes(v, 1, len(v.params["group"]), "the destination holds one part")
    require(v.params["dim"] == 0, f"nki.collectives.reduce_scatter: collective_dim {v.params['dim']} "
                                  "is not possible; use 0")


@instruction(engines=(DMA,), opcode="ALL_TO_ALL")
def _all_to_all(src: Read, dst: Write, group, dim):
    """dst = this rank's part of the src of every rank."""


@_all_to_all.check
def _(v):
    _check_memory(v)
    require(not v["src"].on_chip, "nki.collectives.all_to_all: tensors must be in HBM")
    _sizes(v, 1, 1, "they must be equal")
    require(v.params["dim"] == 0, f"nki.collectives.all_to_all: collective_dim {v.params['dim']} "
                                  "is not possible; use 0")


@instruction(engines=(DMA,), opcode="VARIABLE_EXCHANGE")
def _exchange_v(src: Read, dst: Write, metadata: Read, group, kind):
    """all_gather_v and all_to_all_v: sizes come from the metadata tensor at run time."""


@_exchange_v.check
def _(v):
    require(not v["src"].on_chip and not v["dst"].on_chip, f"nki.collectives.{v.params['kind']}: source and "
                                                           "destination must be in HBM")
    require(v["metadata"].dtype == "uint32", f"nki.collectives.{v.params['kind']}: metadata_tensor must be uint32, but "
                                             f"is {v['metadata'].dtype}")


@instruction(engines=(DMA,), opcode="COLLECTIVE_PERMUTE")
def _permute(src: Read, dst: Write, group):
    """This rank's src goes to another rank's dst."""


@_permute.check
def _(v):
    _check_memory(v)
    _sizes(v, 1, 1, "they must be equal")


@instruction(engines=(DMA,), opcode="COLLECTIVE_PERMUTE_REDUCE")
def _permute_reduce(src0: Read, src1: Read, dst: Write, group, op):
    """op of this rank's two sources goes to the next rank's dst."""


@_permute_reduce.check
def _(v):
    _check_memory(v)
    _check_reduce(v)


def _nothing():
    """The front end moves the values: several ranks take part."""


for _row in (_all_reduce, _all_gather, _reduce_scatter, _all_to_all, _exchange_v, _permute, _permute_reduce):
    _row.values(_nothing)

"""What a rule finds: a place in the kernel, and a rewrite to try there.

The ten optimisations are those of the vendor's performance guide (aws-neuron-sdk, nki/deep-dives/nki_perf_guide.rst);
their numbers here are the guide's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from simcore.explain.sketch import Sketch, Step
from simcore.machine import Machine
from simcore.tensor import Storage
from simcore.timeline import Timeline


@dataclass(frozen=True)
class Rule:
    """One optimisation of the guide."""

    id: str
    number: str  # in the guide
    title: str  # the symptom, in a few words
    advice: str  # what to change in the kernel


RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in (
        Rule(
            "input-reload",
            "1",
            "the same input is loaded again",
            "Keep the tile in SBUF across the loop that uses it again, or reorder the loops so that all uses follow "
            "one load.",
        ),
        Rule(
            "unfused-passes",
            "2",
            "an intermediate goes through HBM",
            "Fuse the two passes: use the tile where it is produced instead of storing it to HBM and loading it back.",
        ),
        Rule(
            "engine-idle",
            "3",
            "engines take turns instead of working together",
            "Pipeline the engines: give every iteration its own tile (allocate it inside the loop), and slice large "
            "tiles so that the next engine starts on the first slice while this one works on the second.",
        ),
        Rule(
            "unhidden-load",
            "4",
            "computation waits for loads",
            "Load the next tile before computing on this one, into a tile of its own.",
        ),
        Rule(
            "small-free",
            "5a",
            "instructions are too short along the free dimension",
            "Process more elements per partition with each instruction: at least 128, better 512, so that its fixed "
            "cost of some 60 to 150 cycles is paid less often.",
        ),
        Rule(
            "small-partitions",
            "5b",
            "instructions use few partitions",
            "Put the tiles on disjoint partitions of one tile and process them with one instruction: 128 lanes cost "
            "no more than 32.",
        ),
        Rule(
            "uncombined",
            "6",
            "instructions that one instruction could do",
            "Combine them: activation computes func(scale * x + bias) at once, tensor_scalar applies two operators, "
            "scalar_tensor_tensor one with a scalar and one with a tensor, activation_reduce also adds up.",
        ),
        Rule(
            "short-stationary",
            "7",
            "the short tensor is stationary in matmuls",
            "Swap the operands of nc_matmul: the long tensor stationary, the short one moving. Weights load up to "
            "four times faster than columns stream; the result comes out transposed.",
        ),
        Rule(
            "transposes",
            "8",
            "the Tensor engine transposes",
            "Let the tensor arrive in the layout that is needed: choose its layout in HBM, or swap the operands of "
            "the matmul before it so that the result needs no transpose.",
        ),
        Rule(
            "small-dma",
            "9",
            "DMA transfers are small",
            "Move more with each transfer: at least 2 KiB per partition on all 128 partitions, 32 KiB per DMA engine.",
        ),
        Rule(
            "dma-transpose",
            "10",
            "the DMA engines transpose element by element",
            "Load contiguously and transpose on the Tensor engine (nisa.nc_transpose) where it is idle, or keep the "
            "tensor in HBM in the layout that is needed.",
        ),
    )
}


@dataclass(frozen=True)
class Context:
    """What rules look at.  The sketch is for looking; each candidate's rewrite gets a fresh one."""

    sketch: Sketch
    timeline: Timeline
    machine: Machine

    @cached_property
    def readers(self) -> dict[Step, list[Step]]:
        """Per step, later steps that read what it wrote."""
        return self.sketch.readers()

    @cached_property
    def producers(self) -> dict[Step, list[Step]]:
        """Per step, the steps whose results it reads."""
        out: dict[Step, list[Step]] = {}
        for producer, consumers in self.readers.items():
            for c in consumers:
                out.setdefault(c, []).append(producer)
        return out


@dataclass(frozen=True)
class Candidate:
    """A rewrite to try, and what it is about."""

    rule: str
    site: int  # index into the trace's sites
    count: int  # instructions concerned
    message: str  # one sentence with the figures of this place
    rewrite: Callable[[Sketch], None]


def name_of(sketch: Sketch, storage: Storage) -> str:
    """The kernel's name of a tensor: the parameter, or the variable its line assigns it to."""
    if storage.given_name and storage.kind != "tile":
        return storage.given_name
    if storage.site is not None and storage.site >= 0:
        site = sketch.trace.sites[storage.site]
        lines = sketch.trace.sources.get(site.file, "").splitlines()
        if 0 < site.line <= len(lines) and (match := re.match(r"\s*(\w+)\s*=", lines[site.line - 1])):
            return match[1]
    return storage.name


def same(sketch: Sketch, steps: Iterable[Step]) -> list[Step]:
    """The steps of another sketch of the same trace with the same positions."""
    return [sketch.original[s.index] for s in steps]


def by_site(steps: Iterable[Step]) -> dict[int, list[Step]]:
    """Steps by their line, most first."""
    groups: dict[int, list[Step]] = {}
    for step in steps:
        groups.setdefault(step.site, []).append(step)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))

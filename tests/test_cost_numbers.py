"""The numbers behind a cost are those the cost rule reads, and reading them changes nothing."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from handmade import pipeline

import simcore
from simcore import format
from simcore.frontend import activate
from simcore.lowering.costs import ops_of
from simcore.lowering.numbers import basis
from simcore.timeline import ENGINES
from simcore.viz.tui.model.cost import cost
from simcore.viz.tui.model.runs import Item, Runs
from simcore.viz.tui.model.view import choose, open_view


@pytest.fixture(scope="module")
def trace():
    with activate():
        from simcore.kernels.flash_attn import flash_attn

        x = np.zeros((1, 128, 512), ml_dtypes.bfloat16)
        return simcore.capture(flash_attn, x, x, x.reshape(1, 512, 128))


@pytest.mark.parametrize("target", ["trn1", "trn2", "trn3"])
def test_the_noted_rule_costs_the_same(trace, target):
    machine = simcore.load_machine(target)
    for variant in trace.variants:
        known = basis(variant, machine)
        assert known.ops == ops_of(variant, machine)
        assert known.numbers
        for number in known.numbers:
            assert number.kind and number.source, number


def test_a_number_that_is_not_read_does_not_matter_and_one_that_is_does(trace):
    machine = simcore.load_machine("trn2")
    product = next(v for v in trace.variants if v.name == "nc_matmul")
    read = {n.name for n in basis(product, machine).numbers}
    assert {"tensor.clock_hz", "tensor.cycles_per_column.bf16"} <= read and "vector.clock_hz" not in read
    assert basis(product, machine.replace(**{"vector.clock_hz": 1e9})).ops == ops_of(product, machine)
    assert basis(product, machine.replace(**{"tensor.clock_hz": 1e9})).ops != ops_of(product, machine)


def test_the_panel_shows_the_law_and_its_source(trace):
    timeline = simcore.simulate(trace, simcore.load_machine("trn2"))
    view = open_view(Runs((timeline,)))
    row = int(np.flatnonzero(timeline.instructions.engine == ENGINES.index("Vector"))[0])
    text = "\n".join("".join(t for t, _ in line) for line in cost(choose(view, Item(0, "instruction", row))))
    for part in ("one of these costs", "vector cycles", "vector law:", "vector.clock_hz", "specified",
                 "elements per partition", "where"):
        assert part in text, text


def test_the_panel_costs_what_the_compiler_made_of_an_instruction():
    """Of the older dialect: reciprocals of four iterations done at once cost more than one, and the panel says so."""

    def kernel(a):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((4, nl.par_dim(128), 1), dtype=nl.float32, buffer=nl.shared_hbm)
        for i in nl.affine_range(4):
            nl.store(out[i], nisa.reciprocal(nisa.tensor_reduce(nl.max, nl.load(a[i]), axis=1)))
        return out

    with activate():
        import neuronxcc.nki as nki

        trace = simcore.capture(nki.jit(kernel), np.zeros((4, 128, 256), np.float32), values=False)
    timeline = simcore.simulate(trace, simcore.load_machine("trn2"))
    row = [timeline.opcode(r) for r in range(len(timeline.instructions))].index("RECIPROCAL")
    text = "\n".join("".join(t for t, _ in line) for line in cost(choose(open_view(Runs((timeline,))),
                                                                         Item(0, "instruction", row))))
    took = timeline.instructions.end_ps[row] - timeline.instructions.start_ps[row]
    assert "4 of these, done at once, cost" in text and f"RECIPROCAL  {format.time(int(took))}" in text, text


def test_the_panel_says_why_it_knows_nothing():
    def said(timeline):
        return cost(open_view(Runs((timeline,))))[0][0][0]

    assert "a saved run does not hold the rules" in said(pipeline(1))
    assert said(replace(pipeline(1), kind="measured")).startswith("measured:")

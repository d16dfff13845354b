"""What the terminal view computes, against brute force and a pencil; no terminal and no textual here."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade import NS, pipeline, random_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore.errors import UsageError
from simcore.timeline import ClockStates, Dependences, DmaTransfers, Instructions, Timeline
from simcore.viz.tui import widgets
from simcore.viz.tui.arrange import arrange
from simcore.viz.tui.model import facts, find, moves, query, why
from simcore.viz.tui.model.graphs import Steps, bandwidth, graphs
from simcore.viz.tui.model.now import moment
from simcore.viz.tui.model.overview import overview
from simcore.viz.tui.model.runs import Item, Runs, align
from simcore.viz.tui.model.source import source
from simcore.viz.tui.model.spans import Spans, cells
from simcore.viz.tui.model.view import Matches, View, choose, open_view, undo
from simcore.viz.tui.model.waits import gaps
from simcore.viz.tui.model.window import MIN_SPAN_PS, Window, ticks


def test_the_model_does_not_import_textual():
    code = "import sys, simcore.viz.tui.model.moves, simcore.viz.tui.model.facts; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------------------------------------ window


@given(st.integers(0, 10**12), st.integers(MIN_SPAN_PS, 10**12), st.integers(1, 300), st.data())
@settings(max_examples=200, deadline=None)
def test_column_is_the_inverse_of_edges(start, span, width, data):
    window = Window(start, start + span)
    edges = window.edges(width)
    time = data.draw(st.integers(start, start + span - 1))
    column = window.column(time, width)
    assert edges[column] <= time < edges[column + 1]
    assert window.time(column, width) == edges[column]


def test_zoom_keeps_the_time_under_the_cursor_in_its_place():
    window = Window(0, 1_000_000)
    near = window.zoom(4, 750_000, 1_000_000)
    assert near.span_ps == 250_000
    assert (750_000 - near.start_ps) / near.span_ps == pytest.approx(0.75)
    assert near.zoom(0.25, 750_000, 1_000_000) == window
    assert window.zoom(1e9, 5, 1_000_000).span_ps == MIN_SPAN_PS
    assert window.zoom(1e-9, 5, 1_000_000) == window


def test_pan_stops_at_the_ends():
    window = Window(400_000, 600_000)
    assert window.pan(0.5, 1_000_000) == Window(500_000, 700_000)
    assert window.pan(99, 1_000_000) == Window(800_000, 1_000_000)
    assert window.pan(-99, 1_000_000) == Window(0, 200_000)


@given(st.integers(0, 10**13), st.integers(MIN_SPAN_PS, 10**13), st.integers(20, 250))
@settings(max_examples=200, deadline=None)
def test_ticks_are_apart_and_tell_different_times(start, span, width):
    found = ticks(Window(start, start + span), width)
    assert len({t.label for t in found}) == len(found)
    assert all(0 <= t.column < width for t in found)
    assert all(b.column - a.column >= 13 for a, b in itertools.pairwise(found))


def test_ticks_are_round():
    assert [t.label for t in ticks(Window(0, 3_000_000), 60)] == ["0 µs", "1 µs", "2 µs"]
    assert [t.label for t in ticks(Window(1_000_000, 1_040_000), 60)][:2] == ["1.00 µs", "1.01 µs"]


# ------------------------------------------------------------------------------------------------ spans

rows = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40), st.integers(0, 3)), max_size=30)


@given(rows, st.integers(1, 60), st.integers(0, 200), st.integers(60, 200))
@settings(max_examples=300, deadline=None)
def test_busy_time_per_column_equals_counting_every_picosecond(rows, width, first, span):
    rows.sort(key=lambda r: r[0])
    start = np.array([r[0] for r in rows], np.int64)
    end = start + np.array([r[1] for r in rows], np.int64)
    kind = np.array([r[2] for r in rows], np.int64)
    busy = np.zeros(600, bool)
    owner = np.full(600, -1)
    for s, e, k in zip(start, end, kind):  # a row keeps what earlier rows left it
        free = ~busy[s:e]
        owner[s:e][free] = k
        busy[s:e] = True
    edges = Window(first, first + span).edges(width)
    spans = Spans.of(start, end, kind)
    expected = [busy[a:b].sum() for a, b in itertools.pairwise(edges)]
    assert spans.busy(edges).tolist() == expected
    for k in range(4):
        part = spans.by_kind.get(k)
        want = [(owner[a:b] == k).sum() for a, b in itertools.pairwise(edges)]
        assert (part.busy(edges).tolist() if part else [0] * width) == want
    found = spans.kinds(edges)
    for c, (a, b) in enumerate(itertools.pairwise(edges)):
        counts = [(owner[a:b] == k).sum() for k in range(4)]
        assert (found[c] == -1) == (max(counts) == 0)
        assert found[c] == -1 or counts[found[c]] == max(counts)


def test_cells_know_blocks_their_ends_and_rows_without_duration():
    start = np.array([0, 100, 130, 170])
    end = np.array([55, 120, 160, 170])
    got = cells(Spans.of(start, end, np.zeros(4, int)), start, np.arange(0, 201, 10))
    assert got.block[:6].tolist() == [0, 0, 0, 0, 0, -1]
    assert got.tail[5] and got.fraction[5] == 0.5
    assert got.block[10:12].tolist() == [1, 1] and got.block[13:16].tolist() == [2, 2, 2]
    assert got.tick.nonzero()[0].tolist() == [17]


def test_a_block_that_starts_inside_a_column_has_a_head():
    start, end = np.array([5]), np.array([40])
    got = cells(Spans.of(start, end, np.zeros(1, int)), start, np.arange(0, 51, 10))
    assert got.head.tolist() == [True, False, False, False, False]
    assert got.block.tolist() == [-1, 0, 0, 0, -1]


# ------------------------------------------------------------------------------------------------ graphs


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9)), max_size=20), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_graph_columns_equal_counting_every_picosecond(steps, width):
    steps = sorted(dict(steps).items())
    step = Steps(np.array([t for t, _ in steps], np.int64), np.array([v for _, v in steps], float))
    value = np.zeros(400)
    for t, v in steps:
        value[t:] = v
    edges = Window(30, 30 + max(width, 250)).edges(width)
    assert step.highest(edges).tolist() == [value[a:b].max() for a, b in itertools.pairwise(edges)]
    assert step.mean(edges) == pytest.approx([value[a:b].mean() for a, b in itertools.pairwise(edges)])
    assert [step.at(t) for t in (0, 30, 99, 250)] == value[[0, 30, 99, 250]].tolist()


def test_bandwidth_keeps_the_bytes():
    rng = np.random.default_rng(0)
    start = np.sort(rng.integers(0, 10**6, 200))
    end = start + rng.integers(1, 10**5, 200)
    nbytes = rng.integers(1, 1 << 16, 200)
    steps = bandwidth(start, end, nbytes)
    edges = np.array([0, 300_000, 2 * 10**6])
    moved = (steps.mean(edges) * np.diff(edges) * 1e-12).sum()
    assert moved == pytest.approx(nbytes.sum(), rel=1e-9)
    assert steps.at(2 * 10**6) == 0


def test_graphs_have_units_limits_and_an_order():
    found = graphs(pipeline(2))
    assert [g.name for g in found] == ["SBUF", "HBM"]
    sbuf, hbm = found
    assert sbuf.capacity and sbuf.top == 128 * 224 * 1024 and sbuf.text(1 << 20) == "1.00 MiB"
    assert hbm.text(hbm.steps.at(0)) == "300 GB/s" and hbm.average
    assert [g.name for g in graphs(replace(pipeline(2), counters={}))] == ["HBM"]
    unknown = replace(pipeline(2), target="chip of tomorrow")
    assert not graphs(unknown)[0].capacity and graphs(unknown)[0].top == 1 << 21


# ------------------------------------------------------------------------------------------------ query


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("matmul", {1, 6}),
        ("MAT,act", {1, 2, 6, 7}),
        ("op:dma engine:sync", {0, 4, 5, 9}),
        ("engine:v", {3, 8}),
        ("line:6", {1, 6}),
        ("line:6-7", {1, 2, 6, 7}),
        ("pipeline.py:8", {3, 8}),
        ("line:pipeline.py:8", {3, 8}),
        ("other.py:8", set()),
        ("cause:reuse", {5}),
        (">150ns", {1, 6}),
        ("<0.1us", {0, 4, 5, 9}),
        ("!op:dma !matmul", {2, 3, 7, 8}),
        ("text:fp32[128", set(range(10))),
        ("bfloat16", set(range(10))),  # no opcode has it, the operands do
        ("", set(range(10))),
    ],
)
def test_query_chooses(text, rows):
    assert set(np.flatnonzero(query.mask(query.parse(text), pipeline(2)))) == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (">100", "is not a duration"),
        ("engin:tensor", "Did you mean 'engine'?"),
        ("engine:tenser", "is not one of"),
        ("op:", "nothing after the colon"),
        ("cause:dmma", "is not one of"),
        ("line:x", "is not a line"),
    ],
)
def test_a_query_that_makes_no_sense_says_what_would(text, said):
    with pytest.raises(UsageError) as e:
        query.parse(text)
    assert said in e.value.message


# ------------------------------------------------------------------------------------------------ runs


EMPTY = Timeline(
    name="empty",
    kind="simulated",
    target="trn2",
    instructions=Instructions.empty(),
    dma=DmaTransfers.empty(),
    dependences=Dependences.empty(),
    clock=ClockStates.empty(),
    opcodes=(),
)


def view_of(*timelines: Timeline, width: int = 90) -> View:
    return open_view(Runs(timelines), width)


def at(view: View) -> str:
    """The chosen row as "TENSOR_TENSOR@500"."""
    assert view.item is not None
    t = view.runs.timelines[view.item.run]
    name = t.opcode(view.item.row) if view.item.table == "instruction" else "transfer"
    return f"{name}@{view.runs.span(view.item)[0] // NS}"


def test_lanes_are_engines_then_dma_folded_or_not():
    runs = Runs((pipeline(2),))
    assert [lane.name for lane in runs.folded] == ["Tensor", "Vector", "Scalar", "Sync", "DMA"]
    assert [lane.name for lane in runs.everything][4:] == [f"DMA {i}" for i in range(16)]
    edges = np.array([0, 200, 650, 900, 1800]) * NS
    assert runs.folded[-1].fraction(edges).tolist() == [1.0, 0.0, 1.0, 0.5]


def test_two_runs_lie_side_by_side_from_the_start_of_their_kernels():
    early, late = pipeline(1), pipeline(1, shift_ns=500)
    late = replace(late, kind="measured")
    runs, moved = align([early, late])
    assert moved == (500 * NS, 0)
    assert runs.timelines[0].instructions.start_ps[0] == runs.timelines[1].instructions.start_ps[0] == 500 * NS
    assert [runs.label(lane) for lane in runs.folded][:3] == ["A Tensor", "B Tensor", "A Vector"]
    assert runs.timelines[0].counters["SBUF bytes"].time_ps[0] == 500 * NS


def test_an_empty_timeline_has_an_empty_view():
    view = view_of(EMPTY)
    assert view.item is None
    for move in (moves.zoom_in_on, why.back, why.forward, why.worst_stall, undo, moves.mark, moves.fold, moves.fit):
        assert isinstance(move(view), View)
    for move in (moves.step_row, moves.step_lane, moves.step_time, moves.step_event, why.next_stall, why.step_path):
        assert isinstance(move(view, 1), View)
    for panel in (facts.chosen, moment, facts.chain):
        assert panel(view)


def test_a_core_without_work_of_the_kernel_is_hidden_until_unfolded():
    t = pipeline(1)
    core = np.zeros(len(t.instructions), int)
    measured = replace(
        t,
        kind="measured",
        opcodes=("DMA_DIRECT2D", "MATMUL", "ACTIVATE", "NOP"),
        instructions=replace(t.instructions, core=np.where(t.instructions.opcode == 3, 1, core)),
    )
    runs = Runs((measured,))
    assert {lane.core for lane in runs.folded} == {0}
    assert {lane.core for lane in runs.everything} == {0, 1}
    hidden = choose(open_view(runs), Item(0, "instruction", 3))
    assert not hidden.folded and hidden.here.core == 1


# ------------------------------------------------------------------------------------------------ moves


def test_moving_along_a_lane_and_between_lanes():
    view = view_of(pipeline(2))
    assert at(view) == "DMA_DIRECT2D@0"
    view = moves.step_row(view, 1)
    assert at(view) == "DMA_DIRECT2D@650"
    view = moves.step_lane(view, -1)
    assert at(view) == "ACTIVATE@400"  # nearest to 650 on Scalar: it starts 250 before, the next 650 after
    assert at(moves.edge(view, True)) == "ACTIVATE@1300"
    assert at(undo(moves.edge(view, True))) == "ACTIVATE@400"
    assert view.time_ps == 650 * NS
    assert moves.step_row(moves.step_row(view, -1), -1).item == view.item


def test_time_steps_by_columns_and_by_events():
    view = view_of(pipeline(2))
    assert moves.step_time(view, 3).time_ps == 3 * view.column_ps == 60 * NS
    assert moves.step_time(view, -3).time_ps == 0
    seen = []
    for _ in range(8):
        view = moves.step_event(view, 1)
        seen.append(view.time_ps // NS)
    assert seen == [50, 200, 400, 500, 650, 700, 900, 950]
    assert moves.step_event(view, -1).time_ps == 900 * NS
    assert "nothing happens before" in moves.step_event(view_of(pipeline(1)), -1).note


def test_zooming_to_the_chosen_row_and_to_a_marked_stretch():
    view = moves.zoom_in_on(moves.step_lane(view_of(pipeline(2)), -3))
    assert view.window.holds(200 * NS) and view.window.holds(399 * NS) and view.window.span_ps == 300 * NS
    view = moves.mark(view_of(pipeline(2)))
    view = moves.step_time(view, 10)
    assert view.selection == (0, 200 * NS)
    view = moves.zoom_in_on(view)
    assert view.window == Window(0, 200 * NS) and view.mark_ps is None
    assert undo(view).window == Window(0, 1800 * NS)


def test_mouse_moves():
    view = view_of(pipeline(2))
    view = moves.click(view, 0, 15)  # 300 ns
    assert at(view) == "MATMUL@200" and view.time_ps == 300 * NS
    assert moves.drag(view, 15).mark_ps is None  # a click is not a drag
    view = moves.drag(view, 20)
    assert view.selection == (300 * NS, 400 * NS)
    small = moves.zoom(view_of(pipeline(2)), 4)
    assert moves.center(small, 900 * NS).window == Window(675 * NS, 1125 * NS)
    assert small.window.holds(moves.center(small, 0).time_ps)


def test_folding_keeps_the_chosen_transfer():
    view = choose(view_of(pipeline(1)), Item(0, "transfer", 3))
    assert view.here.name == "DMA"
    view = moves.fold(view)
    assert view.here.name == "DMA 3" and view.item.row == 3
    assert moves.fold(view).here.name == "DMA"


# ------------------------------------------------------------------------------------------------ why


def test_back_and_forward_follow_the_waits():
    view = choose(view_of(pipeline(2)), Item(0, "instruction", 3))
    seen = [at(view)]
    while not (moved := why.back(view)).note.startswith("it waited for nothing"):
        view = moved
        seen.append(at(view))
    assert seen == ["TENSOR_TENSOR@500", "ACTIVATE@400", "MATMUL@200", "DMA_DIRECT2D@0"]
    view = why.forward(view)
    assert at(view) == "MATMUL@200" and view.note == "forward: waited for it (dma)"
    assert at(undo(view)) == "DMA_DIRECT2D@0"
    last = choose(view, Item(0, "instruction", 9))
    assert why.forward(last).note == "nothing is recorded to have waited for it"


def test_back_from_a_transfer_is_its_trigger():
    view = choose(view_of(pipeline(1)), Item(0, "transfer", 20))
    assert at(why.back(view)) == "DMA_DIRECT2D@650"


def test_stalls_of_the_tensor_engine():
    view = choose(view_of(pipeline(3)), Item(0, "instruction", 1))
    idle = gaps(view.here)
    assert ((idle.end - idle.start) // NS).tolist() == [200, 700, 700]
    view = why.next_stall(view, 1)
    assert at(view) == "MATMUL@1100"
    assert view.note == "stall: idle 700 ns before this; it waited for: a DMA to complete"
    assert at(why.next_stall(view, -1)) == "MATMUL@200"
    worst = why.worst_stall(view_at_tensor := choose(view, Item(0, "instruction", 1)))
    assert at(worst) == "MATMUL@1100"
    assert at(why.worst_stall(worst)) == "MATMUL@2000"
    wide = replace(view_at_tensor, width=1)
    assert "no stall of" in why.next_stall(wide, 1).note


def test_the_critical_path_adds_up_and_can_be_walked():
    view = why.toggle_critical(view_of(pipeline(2)))
    assert view.critical
    (lane,) = view.model.paths
    assert int((lane.end - lane.start).sum()) == 1800 * NS
    names = [lane.names[k] for k in lane.kind]
    assert names == ["Sync", "DMA", "Tensor", "Scalar", "Vector", "Sync", "DMA"] * 2
    seen = [at(view)]
    for _ in range(9):
        view = why.step_path(view, 1)
        seen.append(at(view))
    assert seen[:3] == ["DMA_DIRECT2D@0", "MATMUL@200", "ACTIVATE@400"] and seen[-1] == "DMA_DIRECT2D@1550"
    assert why.step_path(view, 1).note == "the critical path ends here"


def test_search_walks_all_matches_and_goes_around():
    view = view_of(pipeline(2))
    matches = Matches.of(query.parse("matmul"), view.runs)
    view = find.find(view, matches)
    assert at(view) == "MATMUL@200"
    view = find.find(view, matches)
    assert at(view) == "MATMUL@1100"
    view = find.find(view, matches)
    assert at(view) == "MATMUL@200" and "around the end" in view.note
    assert at(find.find(view, matches, -1)) == "MATMUL@1100"
    nothing = find.find(view, Matches.of(query.parse("op:nonsense"), view.runs))
    assert nothing.item == view.item and "nothing matches" in nothing.note


@given(st.integers(0, 5), st.sampled_from(["engine:t", "op:iota", ">200ns", "line:6"]))
@settings(max_examples=20, deadline=None)
def test_search_finds_every_match_once(seed, text):
    view = view_of(random_rows(120, seed))
    matches = Matches.of(query.parse(text), view.runs)
    seen = []
    for _ in range(matches.count):
        view = find.find(view, matches)
        seen.append(view.item.row)
    assert sorted(seen) == np.flatnonzero(matches.instructions[0]).tolist()
    assert find.find(view, matches).item.row == seen[0]


def test_a_filter_narrows_lanes_and_their_transfers():
    view = view_of(pipeline(2))
    view = find.set_filter(view, Matches.of(query.parse("line:9"), view.runs))
    narrowed = {lane.name: len(view.matches.narrowed(lane).rows) for lane in view.lanes}
    assert narrowed == {"Tensor": 0, "Vector": 0, "Scalar": 0, "Sync": 2, "DMA": 32}
    dma = view.matches.narrowed(view.lanes[-1])
    assert dma.fraction(np.array([0, 650, 900]) * NS).tolist() == [0.0, 1.0]
    assert at(view) == "DMA_DIRECT2D@650"  # the first of the chosen
    assert at(moves.step_row(view, 1)) == "DMA_DIRECT2D@1550"
    assert not find.set_filter(view, None).filtering
    refused = find.set_filter(view, Matches.of(query.parse("op:nonsense"), view.runs))
    assert refused.matches is view.matches


def test_filter_like_the_chosen_row_and_off_again():
    view = choose(view_of(pipeline(1)), Item(0, "transfer", 20))  # of the store, line 9
    view = find.filter_like(view, "line")
    assert view.filtering and view.matches.count == 1 and view.matches.query.text == "line:pipeline.py:9"
    assert not find.filter_like(view, "line").filtering
    assert find.filter_like(view, "op").matches.count == 2
    assert find.filter_like(view_of(EMPTY), "op").note == "no instruction is chosen to filter by"


def test_the_same_instruction_in_the_other_run():
    view = view_of(pipeline(3), pipeline(2, shift_ns=77))
    view = choose(view, Item(0, "instruction", 7))  # the second tile's ACTIVATE
    view = find.twin(view)
    assert view.item == Item(1, "instruction", 7) and at(view) == "ACTIVATE@1377"
    assert view.note == "run B: ACTIVATE of Scalar on line 7, number 2 of 2"
    assert find.twin(view).item == Item(0, "instruction", 7)
    third = choose(view, Item(0, "instruction", 12))
    assert find.twin(third).item == third.item
    assert find.twin(third).note == "run B has 2 ACTIVATE of Scalar on line 7, this is number 3"
    store = choose(view, Item(0, "transfer", 20))  # its trigger's twin
    assert find.twin(store).item == Item(1, "instruction", 4)
    unknown = replace(pipeline(2), sites=(), instructions=replace(pipeline(2).instructions, site=np.full(10, -1)))
    assert find.twin(choose(view_of(pipeline(3), unknown), Item(0, "instruction", 7))).item == Item(1, "instruction", 7)


# ------------------------------------------------------------------------------------------------ panels


def text(lines) -> str:
    return "\n".join("".join(t for t, _ in line) for line in lines)


def test_the_panel_of_an_instruction_says_what_why_and_where():
    said = text(facts.chosen(choose(view_of(pipeline(2)), Item(0, "instruction", 6))))
    for part in (
        "MATMUL on T Tensor   row 6 of 10",
        "start     1.100000 µs",
        "took      200 ns = 480 cycles of 2.40 GHz at 4/8 of its rate",
        "waited    700 ns m dma: a DMA to complete",
        "behind    DMA_DIRECT2D Y Sync at 900",
        "16.8 MFLOP in bfloat16 (83.9 TFLOP/s)",
        "pipeline.py:6 in pipeline  nisa.nc_matmul(dst=acc, stationary=w, moving=tile)",
        "dst=fp32[128, 512]",
    ):
        assert part in said, said


def test_the_panel_of_a_transfer():
    said = text(facts.chosen(choose(view_of(pipeline(1)), Item(0, "transfer", 0))))
    for part in (
        "HBM → SBUF on D DMA engine 0",
        "moves 4.00 KiB   at 20.5 GB/s",
        "descriptors 8 of 512 B",
        "pipeline.py:5",
    ):
        assert part in said, said


def test_the_source_panel_marks_the_line():
    said = text(source(choose(view_of(pipeline(1)), Item(0, "instruction", 2)), 5))
    assert said.splitlines()[0] == "pipeline.py:7 in pipeline   % of the critical path per line, 11 % here"
    assert sum(line.startswith("▶") for line in said.splitlines()) == 1
    assert "▶7   11% nisa.activation(" in said and " 6   22% nisa.nc_matmul(" in said
    assert len(said.splitlines()) == 5


def test_the_chain_panel_goes_both_ways():
    said = text(facts.chain(choose(view_of(pipeline(2)), Item(0, "instruction", 2)))).splitlines()
    assert said[0].startswith("f → TENSOR_TENSOR V Vector at 500") and said[1].startswith("  ▶ ACTIVATE")
    assert said[2].startswith("b ← MATMUL T Tensor at 200") and "idle 400 ns" in said[2]
    assert len(said) == 4


def test_the_now_panel_is_a_debugger_for_time():
    said = text(moment(moves.at_time(view_of(pipeline(2)), 250 * NS)))
    for part in (
        "Tensor     ▶ MATMUL  25 % done, 150 ns left",
        "Vector     · idle  TENSOR_TENSOR in 250 ns  d data",
        "DMA        · idle",
        "SBUF       2.00 MiB",
    ):
        assert part in said, said
    said = text(moment(moves.at_time(view_of(pipeline(2)), 100 * NS)))
    assert "DMA        ▶ 16 of 16 engines" in said and "qSyncDynamicHW  16 in flight, 64.0 KiB, HBM→SBUF" in said


def test_the_now_panel_sums_up_a_marked_stretch():
    view = moves.step_time(moves.mark(view_of(pipeline(2))), 45)
    said = text(moment(view))
    assert "marked 900 ns" in said and "Tensor" in said and " 22 % busy  1 instruction start" in said
    assert "DMA          50 % busy" in said, said


def test_the_summary_panel_says_where_the_time_goes():
    said = text(overview(view_of(pipeline(4)))).splitlines()
    assert said[0].startswith("span 3.60 µs  bound DMA 1.80 µs (50 %)  HBM 512 KiB")
    assert said[2].split() == ["T", "Tensor", "800", "ns", "22%", "22%", "m", "dma", "2.30", "µs"]
    assert "handoff" not in said[-1] and said[-1].split() == ["D", "DMA", "1.80", "µs", "50%", "39%"]
    both = text(overview(view_of(pipeline(4), pipeline(2)))).splitlines()
    assert both[0].startswith("A span 3.60 µs") and both[1].startswith("B span 1.80 µs")
    assert both[3].startswith("A T Tensor") and both[4].startswith("B T Tensor") and "B/A 0.500x" in both[4]


def test_long_lines_with_a_label_go_on_below_it():
    line = facts.line("operands", "a b c " * 20)
    wrapped = facts.wrapped([line], 40)
    assert len(wrapped) > 1 and all(sum(len(t) for t, _ in one) <= 41 for one in wrapped)
    assert all(one[0][0] == " " * facts.LABEL for one in wrapped[1:])
    assert text(wrapped).split() == text([line]).split()


# ------------------------------------------------------------------------------------------------ room


@pytest.mark.parametrize("panels", ["normal", "large", "none"])
@pytest.mark.parametrize("lanes", [1, 6, 12, 21, 42])
@pytest.mark.parametrize("graphs_", [0, 3, 8])
def test_areas_fill_the_terminal_and_no_more(panels, lanes, graphs_):
    for width, height in ((80, 24), (100, 30), (120, 40), (200, 60), (90, 12)):
        room = arrange(width, height, lanes, graphs_, panels)
        used = 4 + room.axis + room.lanes + room.graphs + room.panels
        assert used <= height, room
        assert room.lanes >= 1
        if height >= 24 and panels == "normal":
            assert used == height and room.panels >= 6
            assert room.lanes - int(room.legend) >= min(lanes, 6) * room.lane


def test_many_runs_keep_room_for_lanes():
    room = arrange(120, 40, 26, 20)
    assert room.lanes - 1 >= 12 and room.graphs >= 5
    assert arrange(120, 40, 26, 20, "none", with_graphs=False).lanes == 1 + 26


def test_at_80_by_24_everything_is_there():
    room = arrange(80, 24, 6, 3)
    assert (room.lanes, room.graphs, room.panels, room.axis, room.columns) == (6, 3, 10, 1, 1)


# ------------------------------------------------------------------------------------------------ size


def test_a_frame_costs_columns_not_rows(monkeypatch):
    """Counted, not timed: no array longer than a few screens is touched when a frame of a big run is drawn again."""
    view = view_of(random_rows(20_000), width=180)
    edges = view.window.edges(180)
    for lane in view.lanes:
        lane.cells(edges)
    longest = 0
    real = np.searchsorted

    def counted(array, values, *args, **kwargs):
        nonlocal longest
        longest = max(longest, np.size(values))
        return real(array, values, *args, **kwargs)

    monkeypatch.setattr(np, "searchsorted", counted)
    for lane in view.lanes:
        lane.cells(edges)
    assert 0 < longest <= 181


def test_a_big_run_does_not_wait_for_its_critical_path(monkeypatch):
    monkeypatch.setattr("simcore.viz.tui.model.view.MANY", 5)
    view = choose(view_of(pipeline(2)), Item(0, "instruction", 2))
    assert "critical path" not in text(source(view, 5))
    view.model.prepare()
    assert "% of the critical path per line" in text(source(view, 5))


def test_rows_need_not_be_ordered_within_an_engine():
    t = Instructions.filled(3, start_ps=[0, 5_000, 3_000], end_ps=[1_000, 6_000, 4_000], done_ps=[1_000, 6_000, 4_000])
    runs = Runs((replace(EMPTY, instructions=t, opcodes=("A",)),))
    assert runs.folded[0].start.tolist() == [0, 3_000, 5_000] and runs.folded[0].rows.tolist() == [0, 2, 1]


def test_widgets_do_not_know_the_app():
    folder = Path(widgets.__file__).parent
    for file in folder.glob("*.py"):
        text_of_file = file.read_text(encoding="utf-8")
        assert "self.app" not in text_of_file and "tui.app" not in text_of_file and "tui.screen" not in text_of_file, (
            file
        )

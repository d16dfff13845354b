"""Summary, stalls and critical path of timelines whose figures can be checked with a pencil."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from handmade import NS, check_golden, pipeline, random_rows
from rich.console import Console

from simcore import analysis, compare
from simcore.budget import judge, time_limit
from simcore.explain import explain
from simcore.timeline import ENGINES, union_ps
from simcore.viz import text
from simcore.viz.tui.model.overview import overview
from simcore.viz.tui.model.runs import Runs
from simcore.viz.tui.model.view import open_view


def test_figures_of_the_pipeline():
    s = pipeline(4).summary()
    busy = {e.engine: e.busy_ps for e in s.engines}
    assert s.span_ps == 3600 * NS
    assert busy == {"Tensor": 800 * NS, "Vector": 600 * NS, "Scalar": 400 * NS, "Sync": 400 * NS}
    assert {e.engine: e.instructions for e in s.engines} == {"Tensor": 4, "Vector": 4, "Scalar": 4, "Sync": 8}
    assert s.hbm_read_bytes == s.hbm_write_bytes == 4 << 16
    assert s.flops == 4 * ((1 << 24) + 2 * (1 << 16))
    assert s.intensity == s.flops / (8 << 16)
    assert s.dma.busy_ps == 4 * 450 * NS and s.dma.engines == 16 and s.dma.descriptors == 4 * 2 * 16 * 8
    assert s.dma.bytes_per_s == pytest.approx((8 << 16) / 1.8e-6)
    assert s.bottleneck == "DMA" and s.bound_ps == 1800 * NS


def test_idle_is_stalls_plus_rest():
    """Where nothing overlaps, an engine's idle time is what its instructions waited, and what came after its last."""
    for e in pipeline(5).summary().engines:
        assert e.idle_ps == sum(e.stalls.values()) + e.done_ps


def test_critical_path_of_the_pipeline_is_everything():
    path = analysis.critical_path(pipeline(4))
    assert path.by_lane() == {
        "DMA": 1400 * NS,
        "Tensor": 800 * NS,
        "Vector": 600 * NS,
        "Scalar": 400 * NS,
        "Sync": 400 * NS,
    }
    assert [(s.line, ps // NS) for s, ps in path.by_line()] == [(9, 1000), (5, 800), (6, 800), (8, 600), (7, 400)]
    assert list(path.rows) == list(range(20))


@pytest.mark.parametrize("seed", range(5))
def test_critical_path_is_contiguous_and_adds_up(seed):
    t = random_rows(2000, seed)
    path = analysis.critical_path(t)
    assert (path.end_ps > path.start_ps).all()
    assert (path.start_ps[1:] == path.end_ps[:-1]).all()
    begin, end = analysis.span_ps(t)
    assert (path.start_ps[0], path.end_ps[-1]) == (begin, end)
    assert sum(path.by_lane().values()) == end - begin == sum(ps for _, ps in path.by_line())


def test_chains_of_waits():
    t = pipeline(2)
    assert list(analysis.chain_back(t, 9)) == list(range(9, -1, -1))
    assert list(analysis.waiters(t, 4)) == [5]
    assert len(analysis.waiters(t, 9)) == 0


def test_figures_per_line_add_up():
    t = random_rows(3000, 1)
    lines = analysis.lines(t)
    assert sum(line.instructions for line in lines) == 3000
    assert sum(line.critical_ps for line in lines) == t.summary().span_ps
    lengths = t.instructions.end_ps - t.instructions.start_ps
    for i, engine in enumerate(ENGINES):
        assert sum(line.busy_ps.get(engine, 0) for line in lines) == lengths[t.instructions.engine == i].sum()
    assert all(line.dma_ps <= union_ps(t.dma.start_ps, t.dma.end_ps) for line in lines)


def test_stalls_per_line_add_up():
    t = pipeline(4)
    assert sum(line.wait_ps for line in analysis.lines(t)) == t.instructions.wait_ps.sum()
    assert max(analysis.lines(t), key=lambda line: line.wait_ps).wait_ps > 0


def test_empty_timeline():
    e = dataclasses.replace(pipeline(1), name="empty", **_no_rows()).summary()
    assert e.span_ps == 0 and e.intensity is None and e.engines == () and e.dma.bytes_per_s is None
    assert e.critical_path_ps == {} and e.tables() == ()
    assert str(e).startswith("empty: simulated on trn2, 0 ns")


def _no_rows():
    from simcore.timeline import ClockStates, Dependences, DmaTransfers, Instructions

    return {
        "instructions": Instructions.empty(),
        "dma": DmaTransfers.empty(),
        "dependences": Dependences.empty(),
        "clock": ClockStates.empty(),
        "counters": {},
        "bounds": {},
    }


def test_a_notebook_shows_the_same_tables():
    page = dataclasses.replace(pipeline(4), name="<b>&")._repr_html_()
    assert "&lt;b&gt;&amp;: simulated on trn2" in page and "<b>&:" not in page
    assert page.count("<table>") == 3 and ">2.30 µs" not in page and "dma 2.30 µs" in page


def test_text_is_stable():
    check_golden("summary_pipeline.txt", f"{pipeline(4).summary()}\n")


def test_json_is_stable():
    check_golden("summary_pipeline.json", json.dumps(pipeline(4).summary().to_dict(), indent=1) + "\n")


@pytest.mark.parametrize("width", [80, 160])
def test_rich_shows_the_same_words(width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(text.summary(pipeline(4)))
    shown = " ".join(console.file.getvalue().split())
    for word in ("T Tensor", "800 ns", "Bottleneck DMA", "Lower bounds", "Critical path", "2.75 µs"):
        assert word in shown
    assert max(len(line) for line in console.file.getvalue().splitlines()) <= width


def test_what_rests_on_unmeasured_numbers_is_said():
    timeline = pipeline()
    timeline.info["outside_calibration"] = ["nisa.topk on GpSimd: specified, not measured", "another"]
    expected = "Not all is calibrated: nisa.topk on GpSimd: specified, not measured; 1 more: simcore run --json"
    shown = (timeline.summary(), explain(timeline), timeline)
    assert all(expected in text for text in (str(shown[0]), str(shown[1]), shown[2]._repr_html_()))
    assert expected in "".join(text for line in overview(open_view(Runs((timeline,)))) for text, _ in line)
    assert expected == judge(timeline, [time_limit("1us")])[0].to_dict()["caveat"]
    assert f"a: {expected}" in compare(timeline, pipeline()).headline()


def test_shares_of_overlapping_instructions_add_up_to_the_busy_time():
    """Three rows of one engine: alone 100 ns, two at once 100 ns, all three 50 ns, idle 50 ns, alone again 100 ns."""
    t = pipeline(1)
    i = t.instructions
    starts, ends = np.array([0, 100, 200, 300]) * 1000, np.array([250, 250, 250, 400]) * 1000
    rows = {name: getattr(i, name)[:4] for name in (f.name for f in dataclasses.fields(i))}
    rows |= {"start_ps": starts, "end_ps": ends, "done_ps": ends, "engine": np.zeros(4), "opcode": np.r_[0, 1, 1, 2]}
    t = dataclasses.replace(t, **(_no_rows() | {"instructions": type(i)(**rows)}))
    assert np.allclose(analysis.occupied_ps(t), [166_667, 66_667, 16_667, 100_000], atol=1)
    tensor = t.summary().engines[0]
    assert sum(o.time_ps for o in tensor.opcodes) == tensor.busy_ps == 350_000

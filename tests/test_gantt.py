"""Gantt and occupancy: aggregation is exact in sum, pictures say what they should, files are stable."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from handmade import NS, pipeline, random_rows

from simcore.errors import UsageError
from simcore.viz import binning, gantt, occupancy, style, window


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("columns", [1, 7, 100])
def test_shares_are_the_covered_part_of_each_column(seed, columns):
    rng = np.random.default_rng(seed)
    start = rng.integers(-2000, 12_000, 200)
    end = start + rng.integers(0, 1500, 200)
    share = binning.shares_of(start, end, (0, 10_000), columns)
    edges = np.linspace(0, 10_000, columns + 1)
    direct = [np.maximum(0, np.minimum(end, b) - np.maximum(start, a)).sum() for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(share * (10_000 / columns), direct, atol=1e-6)


def test_few_bars_are_exact_and_many_are_merged():
    start = np.arange(0, 10_000, 10)
    exact = binning.bars(start, start + 5, np.zeros(1000, int), (0, 10_000), columns=2000)
    assert (exact.share == 1).all() and (exact.row == np.arange(1000)).all()
    merged = binning.bars(start, start + 5, np.zeros(1000, int), (0, 10_000), columns=100)
    assert (merged.row == -1).all() and len(merged.start) <= 100
    np.testing.assert_allclose(((merged.end - merged.start) * merged.share).sum(), 5000, rtol=0.15)


def test_merged_bars_show_what_took_most():
    start = np.arange(0, 1000, 2)
    category = np.where(np.arange(500) % 5 == 0, 1, 0)
    merged = binning.bars(start, start + 2, category, (0, 1000), columns=10)
    assert (merged.category == 0).all()


@pytest.mark.parametrize("columns", [5, 100, 100_000])
def test_steps_keep_extremes(columns):
    rng = np.random.default_rng(1)
    time = np.sort(rng.integers(0, 10_000, 500))
    value = rng.random(500)
    value[250] = 9.0
    shown = binning.steps(time, value, (0, 10_000), columns)
    assert shown.high.max() == 9.0
    assert (shown.low <= shown.mean + 1e-12).all() and (shown.mean <= shown.high + 1e-12).all()
    exact = np.diff(np.r_[time, 10_000]) @ value        # the integral, whatever the columns
    assert np.diff(shown.time) @ shown.mean[:-1] == pytest.approx(exact)
    shown = binning.steps(time, value, (int(time[250]), int(time[250]) + 1), columns)
    assert shown.high[0] >= value[time <= time[250]][-1] - 1e-12


def _words(timeline, **options) -> str:
    with style.figure(12, 6) as fig:
        gantt.draw(fig, timeline, window.choose(timeline), **options)
        return "\n".join(t.get_text() for t in fig.findobj(match=lambda a: hasattr(a, "get_text")))


def test_the_picture_names_lanes_opcodes_and_causes():
    words = _words(pipeline(4))
    for wanted in (
        "pipeline (simulated on trn2)", "Tensor", "Vector", "Scalar", "Sync", "DMA", "all 16", "MATMUL", "ACTIVATE",
        "critical path", "waits for a DMA to complete", "waits for a buffer still in use", "PE clock held back", "SBUF",
    ):  # fmt: skip
        assert wanted in words, wanted
    assert "GpSimd" not in words


def test_a_line_is_marked():
    assert "line pipeline.py:6" in _words(pipeline(4), line="pipeline.py:6")


def test_two_cores_have_their_own_lanes():
    t = pipeline(2)
    rows = {f: getattr(t.instructions, f) for f in t.instructions.__dataclass_fields__}
    rows["core"] = np.where(np.arange(10) < 5, 0, 1)
    words = _words(dataclasses.replace(t, instructions=type(t.instructions)(**rows)))
    assert "Tensor 0" in words and "Tensor 1" in words


def test_zoom_by_time_and_by_line():
    t = pipeline(4)
    assert window.choose(t) == (0, 3600 * NS)
    assert window.choose(t, window=(100, 200)) == (100, 200)
    begin, end = window.choose(t, line="pipeline.py:6")
    assert begin < 200 * NS and 3100 * NS < end < 3200 * NS
    assert window.choose(t, line=6) == (begin, end)


@pytest.mark.parametrize("options, words", [
    ({"window": (5, 5)}, "is empty; the run lasts from 0 ns to 3.60 µs"),
    ({"window": (10**12, 2 * 10**12)}, "is empty"),
    ({"line": 77}, "no instruction comes from line 77; instructions come from lines 5, 6, 7, 8, 9"),
    ({"line": "other.py:6"}, "no instruction comes from line other.py:6"),
    ({"line": "six"}, "'six' is not a line"),
    ({"line": 6, "window": (0, 1)}, "not both"),
])  # fmt: skip
def test_wrong_windows_are_sentences(options, words):
    with pytest.raises(UsageError, match=words):
        window.choose(pipeline(4), **options)


@pytest.mark.parametrize("view", [gantt, occupancy])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_same_bytes_twice(tmp_path, view, suffix):
    a, b = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (a, b):
        view.write([pipeline(4)], path)
    assert a.read_bytes() == b.read_bytes() and a.stat().st_size > 5000


def test_size_of_the_file_does_not_grow_with_the_run(tmp_path):
    sizes = []
    for n in (30_000, 120_000):
        gantt.write(random_rows(n), tmp_path / f"{n}.svg")
        sizes.append((tmp_path / f"{n}.svg").stat().st_size)
    assert sizes[1] < 1.3 * sizes[0]


def test_several_runs_are_refused(tmp_path):
    with pytest.raises(UsageError, match="shows one run, 2 were given"):
        gantt.write([pipeline(1), pipeline(2)], tmp_path / "x.svg")


def test_counters_without_a_value_are_left_out(tmp_path):
    t = pipeline(2)
    zero = {name: type(c)(time_ps=c.time_ps, value=0 * c.value) for name, c in t.counters.items()}
    with pytest.raises(UsageError, match="records no counters"):
        occupancy.write(dataclasses.replace(t, counters=zero), tmp_path / "x.svg")


def test_limits_come_from_the_machine():
    t = pipeline(1)
    assert occupancy.limit_of(t, "SBUF bytes") == 128 * 229376
    assert occupancy.limit_of(t, "PSUM bytes") == 2 << 20
    assert occupancy.limit_of(t, "something else") is None

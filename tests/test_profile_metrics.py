"""The vendor's summary metrics recomputed from rows, against the profiles' own summaries and by hand.

docs/profile-agreement.md is written by this test (SIMCORE_UPDATE_GOLDENS=1) and compared with it.
"""

import os
from pathlib import Path

import pytest
from handmade import pipeline

from simcore import read_profile
from simcore.profile.metrics import summary_metrics

NAMES = ("baseline_fp32_s512", "baseline_bf16_s1024", "fused_fp32_s1024", "fused_bf16_s512")
PAGE = Path(__file__).parents[1] / "docs" / "profile-agreement.md"

NOT_FROM_ROWS = {
    "dma_queue_count": "rings set up by the runtime, which rows do not list",
    "event_count": "raw notifications, before they became rows",
    "trace_count": "raw notifications, before they became rows",
    "nc_idx": "sum of chip-wide core numbers, which rows do not carry", "nd_idx": "number of the device",
}
"""Metrics of the four summaries that rows cannot say."""

TICK = 1e-9
"""Times of the JSON are whole nanoseconds, cut off: a duration is up to this much too short."""


@pytest.fixture(scope="module")
def real(profiles):
    return {name: read_profile(profiles / f"trn2-attn-{name}.profile_full.json.gz") for name in NAMES}


def rows_behind(t, metric: str) -> int:
    """How many rows' durations a metric can add up."""
    if "dma" in metric:
        return len(t.dma)
    for k, engine in enumerate(("tensor", "vector", "scalar", "gpsimd", "sync")):
        if metric.startswith(engine):
            return int((t.instructions.engine == k).sum())
    return len(t.instructions) + len(t.dma)


def tolerance(t, metric: str, value: float) -> float:
    """What a metric may differ by: nothing for counts and bytes; for times 0.2 % and half a tick per row."""
    total = t.info["summary"]["total_time"]
    rounding = 0.5 * TICK * rows_behind(t, metric)
    if metric.startswith("throttle"):
        return abs(value) * 1e-4 + 10
    if metric.endswith("_time"):
        return 0.002 * value + rounding
    if metric == "neuroncore_cycle_count" or metric == "dma_active_cycles":
        return 0.002 * value + 1
    if metric.endswith("active_time_percent"):
        whole = t.info["summary"]["dma_active_time"] if "dma_active" in metric else total
        return 0.002 * value + rounding / whole
    return abs(value) * 1e-6


def compared(t) -> list[tuple[str, float, float]]:
    """(metric, the profile's own, recomputed) for every number of its summary that rows say."""
    given, ours = t.info["summary"], summary_metrics(t)
    return [(k, given[k], ours[k]) for k in sorted(given) if k in ours and not isinstance(given[k], str)]


@pytest.mark.parametrize("name", NAMES)
def test_agreement(real, name):
    t = real[name]
    checked = 0
    for metric, given, ours in compared(t):
        assert abs(ours - given) <= tolerance(t, metric, given), (metric, given, ours)
        checked += 1
    assert checked >= 80
    # nothing that rows could say is left out: what is not recomputed is not a number, is 0, or is listed above
    left = {k for k, v in t.info["summary"].items() if v and not isinstance(v, str)} - set(summary_metrics(t))
    assert left <= set(NOT_FROM_ROWS)


@pytest.mark.parametrize("name", NAMES)
def test_counts_and_bytes_are_exact(real, name):
    for metric, given, ours in compared(real[name]):
        if metric.endswith(("_count", "_bytes", "_flops", "_size")):
            assert ours == given, metric


def test_by_hand():
    """Four tiles of 900 ns each; see handmade.py."""
    m = summary_metrics(pipeline())
    assert m["total_time"] == pytest.approx(3.6e-6) and m["neuroncore_cycle_count"] == 4320
    assert m["tensor_engine_active_time"] == pytest.approx(4 * 200e-9)
    assert m["sync_engine_active_time_percent"] == pytest.approx(400 / 3600)
    assert m["total_active_time"] == pytest.approx(3.6e-6)             # always something: DMA, then engines
    assert m["hardware_flops"] == 4 << 24 and m["transpose_flops"] == 0
    peak = 2 * 128 * 128 * 2.4e9
    assert m["hfu_estimated_percent"] == pytest.approx((4 << 24) / (peak * 3.6e-6))
    assert m["mm_arithmetic_intensity"] == pytest.approx(128)           # 2**24 flops for 2 * 2**16 bytes
    assert m["mbu_estimated_percent"] == pytest.approx(8 * 65536 / 3.6e-6 / 716e9)
    assert m["hardware_dynamic_dma_packet_count"] == 4 * 32 and m["static_dma_packet_count"] == 0
    assert m["dma_active_time"] == pytest.approx(4 * 450e-9)
    assert m["throttle_active_nc0_time_ns"] == 3600 and m["throttle_activity_0_avg_util_limit_nc0_percent"] == 0.5


def page(real) -> str:
    lines = [
        "# Summary metrics recomputed from rows", "",
        "Every number in the summary of the four public trn2 profiles (profiler 2.28) that its rows can say, "
        "recomputed by `simcore.profile.metrics`.", "Counts, bytes and FLOPs agree exactly. "
                                                    "Times of the rows are whole "
        "nanoseconds, cut off, those of the summary are not: a sum of n rows is up to n ns short.",
        "Shown is the relative difference "
        "(recomputed less the profile's own); `=` is equal to nine digits.", "",
        "| metric | " + " | ".join(NAMES) + " |", "|---|" + "---|" * len(NAMES),
    ]
    tables = {name: {k: (g, o) for k, g, o in compared(t)} for name, t in real.items()}
    for metric in sorted({k for table in tables.values() for k in table}):
        cells = []
        for name in NAMES:
            given, ours = tables[name].get(metric, (None, None))
            if given is None:
                cells.append("")
            elif abs(ours - given) <= 1e-9 * abs(given):
                cells.append("=")
            else:
                cells.append(f"{(ours - given) / given * 100:+.3f} %" if given else f"{ours:g}")
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    lines += ["", "Not recomputed, because rows do not say them:", ""]
    lines += [f"- `{metric}`: {why}" for metric, why in NOT_FROM_ROWS.items()]
    return "\n".join(lines) + "\n"


def test_the_page_is_up_to_date(real):
    text = page(real)
    if os.environ.get("SIMCORE_UPDATE_GOLDENS"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "docs/profile-agreement.md differs; run with SIMCORE_UPDATE_GOLDENS=1"

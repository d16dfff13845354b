"""Roofline: points with a pencil, and the picture's words and files."""

from __future__ import annotations

import dataclasses

import pytest
from handmade import pipeline

from simcore.errors import UsageError
from simcore.machine import load_machine
from simcore.roofline import machine_of, rooflines
from simcore.viz import format, roofline, style

TENSORS = [
    {"name": "q", "kind": "input", "bytes": 1 << 16}, {"name": "out", "kind": "output", "bytes": 1 << 16},
    {"name": "scratch", "kind": "hbm", "bytes": 1 << 30},
]  # fmt: skip


def _with_tensors(**changes):
    return dataclasses.replace(pipeline(4), info={"tensors": TENSORS}, **changes)


def test_a_point_with_a_pencil():
    (roof,) = rooflines([_with_tensors()])
    (point,) = roof.points
    flops = 4 * ((1 << 24) + 2 * (1 << 16))
    assert point.achieved == flops / (8 << 16)
    assert point.algorithmic == flops / (2 << 16)  # the inputs and outputs, not the scratch tensor
    assert point.flops_per_s == pytest.approx(flops / 3.6e-6)
    machine = load_machine("trn2")
    memory = min(machine.hbm.bytes_per_s, machine.dma.engines * machine.dma.engine_bytes_per_s)
    assert roof.memory.bytes_per_s == memory
    assert point.roof_flops_per_s == min(point.peak_flops_per_s, point.achieved * memory)


def test_ceiling_over_a_mix_is_its_slowest_engine():
    """Tensor at bf16 needs 4 * 2**24 / peak; Vector and Scalar 4 * 2**16 / theirs: the longest of the three rules."""
    machine = load_machine("trn2")
    (point,) = rooflines([pipeline(4)])[0].points
    seconds = {
        "Tensor bf16": 4 * (1 << 24) / machine.tensor.peak_flops_per_s["bf16"],
        "Vector": 4 * (1 << 16) / machine.vector.peak_flops_per_s,
        "Scalar": 4 * (1 << 16) / machine.scalar.peak_flops_per_s,
    }
    assert point.work == max(seconds, key=seconds.get)
    assert point.peak_flops_per_s == pytest.approx(point.flops / max(seconds.values()))


def test_ridges_are_where_memory_and_ceiling_meet():
    (roof,) = rooflines([pipeline(4)])
    for ceiling, ridge in roof.ridges:
        assert ridge * roof.memory.bytes_per_s == pytest.approx(ceiling.flops_per_s)
    assert [c.flops_per_s for c in roof.ceilings] == sorted((c.flops_per_s for c in roof.ceilings), reverse=True)


def test_descriptors_lower_the_dma_slope():
    (roof,) = rooflines([pipeline(4)])
    slopes = {s.name: s.bytes_per_s for s in roof.slopes}
    machine = load_machine("trn2")
    rate = machine.dma.engine_bytes_per_s
    assert slopes["DMA, 512 B descriptors"] == pytest.approx(16 * 512 / (machine.dma.packet_ns * 1e-9 + 512 / rate))
    assert slopes["DMA, 512 B descriptors"] < slopes["DMA engines"] == pytest.approx(16 * rate)


def test_a_run_keeps_its_machine():
    machine = load_machine("trn2").replace(**{"hbm.bytes_per_s": 1e9})
    t = dataclasses.replace(pipeline(4), machine=machine.to_dict())
    assert machine_of(t).hbm.bytes_per_s == 1e9
    assert rooflines([t])[0].memory.name == "HBM"


def test_one_roof_per_target():
    roofs = rooflines([pipeline(1), dataclasses.replace(pipeline(2), target="trn1"), pipeline(3)])
    assert [(r.target, len(r.points)) for r in roofs] == [("trn2", 2), ("trn1", 1)]


def _words(timelines, **options) -> str:
    with style.figure(10, 7) as fig:
        roofline.draw(fig, rooflines(timelines), **options)
        texts = [t.get_text() for ax in fig.axes for t in ax.findobj(match=lambda a: hasattr(a, "get_text"))]
    return "\n".join(texts)


def test_the_picture_names_everything():
    measured = dataclasses.replace(_with_tensors(), kind="measured", name="seen")
    words = _words([_with_tensors(), measured])
    (roof,) = rooflines([pipeline(4)])
    ridge = next(r for c, r in roof.ridges if c.name.startswith("Tensor bf16"))
    for wanted in (
        "Roofline: trn2", "Tensor bf16  78.6 TFLOP/s", "Vector  1.00 TFLOP/s", f"ridge {format.digits(ridge)}",
        f"DMA engines: {format.rate(roof.memory.bytes_per_s)}",
        "HBM: ", "SBUF to Tensor", "Tensor to PSUM", "pipeline, simulated on trn2", "seen, measured on trn2",
        "of its roof", "moves 4.00x the bytes it needs", "algorithmic intensity",
    ):  # fmt: skip
        assert wanted in words, wanted


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_same_bytes_twice(tmp_path, suffix, theme):
    a, b = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (a, b):
        roofline.write([_with_tensors(), pipeline(2)], path, theme=theme)
    assert a.read_bytes() == b.read_bytes() and a.stat().st_size > 5000
    assert not list(tmp_path.glob("*.part"))


def test_bad_outputs_are_sentences(tmp_path):
    with pytest.raises(UsageError, match=r"a picture ends in \.png, \.svg, \.pdf"):
        roofline.write(pipeline(1), tmp_path / "roof.gif")
    with pytest.raises(UsageError, match="does not exist"):
        roofline.write(pipeline(1), tmp_path / "no" / "roof.png")


def test_without_hbm_traffic_there_is_still_a_picture(tmp_path):
    t = pipeline(2)
    rows = {f: getattr(t.instructions, f) for f in t.instructions.__dataclass_fields__}
    rows["hbm_read_bytes"] = rows["hbm_write_bytes"] = 0 * rows["hbm_read_bytes"]
    roofline.write(dataclasses.replace(t, instructions=type(t.instructions)(**rows)), tmp_path / "r.svg")

"""What the kernels' docstrings promise about their timelines, as closed forms and orders; no wall clock."""

import importlib

import pytest

import simcore
from simcore.frontend import TensorSpec, activate
from simcore.machine.mechanisms import without

MACHINE = simcore.load_machine("trn2")
DMA_BYTES_PER_S = MACHINE.dma.engines * MACHINE.dma.engine_bytes_per_s


def timeline(module: str, name: str, *shapes: str, **options):
    with activate():
        kernel = getattr(importlib.import_module(f"simcore.kernels.{module}"), name)
    trace = simcore.capture(kernel, *map(TensorSpec.parse, shapes), values=False, target="trn2", **options)
    return simcore.simulate(trace, MACHINE)


def attention(name: str, length: int, *, heads: int = 1, dtype: str = "bfloat16", depth: int = 128, **options):
    shapes = (f"{dtype}[{heads},{depth},{length}]",) * 2 + (f"{dtype}[{heads},{length},{depth}]",)
    return timeline(name, name, *shapes, **options)


def seconds(t) -> float:
    return t.end_ps / 1e12


@pytest.mark.parametrize(("length", "passes"), [(2048, 1), (4096, 2)])
def test_flash_attention_moves_q_k_v_and_the_result(length, passes):
    """q and the result once, k and v once for every pass of 16 query tiles."""
    t = attention("flash_attn", length)
    one = 2 * 128 * length
    assert t.hbm_bytes == 2 * one + passes * 2 * one


def test_flash_attention_skips_what_lies_above_the_diagonal():
    full, causal = attention("flash_attn", 4096), attention("flash_attn", 4096, causal=True)
    assert 0.5 < causal.flops / full.flops < 0.6
    assert 0.5 < causal.end_ps / full.end_ps < 0.65


def test_naive_attention_takes_as_long_as_its_bytes():
    """Scores in float32: written, scaled, read for the maximum, exponentiated, divided, read: 32 bytes."""
    t = attention("naive_attn", 2048)
    scores = (4 + 8 + 4 + 8 + 6 + 2) * 2048 * 2048
    assert scores < t.hbm_bytes < 1.25 * scores
    assert t.bounds["bottleneck"] == "DMA"
    assert 1.0 < seconds(t) * DMA_BYTES_PER_S / t.hbm_bytes < 1.35
    # an eighth of that is loads behind stores, which wait for HBM; the bytes and triggers alone:
    bare = simcore.simulate(t.trace, without(MACHINE, "read-ahead"))
    assert 1.0 < seconds(bare) * DMA_BYTES_PER_S / bare.hbm_bytes < 1.2


def test_flash_beats_naive_for_the_reason_the_roofline_shows():
    """HBM bytes fall, the run leaves the memory slope, and the gain is what the bytes alone would explain ..."""
    naive, flash = attention("naive_attn", 4096), attention("flash_attn", 4096)
    assert naive.hbm_bytes > 50 * flash.hbm_bytes
    assert flash.bounds["bottleneck"] not in ("DMA", "HBM")
    # ... down to where another resource becomes the limit
    expected = naive.hbm_bytes / DMA_BYTES_PER_S / (max(flash.bounds["resources"].values()) / 1e12)
    assert naive.end_ps / flash.end_ps == pytest.approx(expected, rel=0.3)


def test_flash_attention_is_close_to_its_bound():
    """The software pipeline works: float32 is limited by the Tensor engine, bfloat16 by the softmax."""
    for dtype, limit in (("float32", {"Tensor"}), ("bfloat16", {"Vector", "Scalar"})):
        t = attention("flash_attn", 8192, dtype=dtype)
        assert t.bounds["bottleneck"] in limit
        assert t.end_ps < 1.1 * max(t.bounds["resources"].values())


STEPS = ("matmul_naive", "matmul_wide", "matmul_hoisted", "matmul_blocked", "matmul_fully_blocked")


def test_each_step_of_the_matmul_ladder_moves_fewer_bytes_and_takes_less_time():
    runs = [timeline("matmul", step, "bfloat16[2048,2048]", "bfloat16[2048,2048]") for step in STEPS]
    moved, took = [t.hbm_bytes for t in runs], [t.end_ps for t in runs]
    assert moved == sorted(moved, reverse=True)
    assert took == sorted(took, reverse=True)
    assert runs[0].bounds["bottleneck"] == "DMA"
    assert runs[-1].bounds["bottleneck"] == "Tensor"
    assert runs[-1].flops / seconds(runs[-1]) > 0.9 * MACHINE.tensor.peak_flops_per_s["bf16"]


def test_element_wise_kernels_are_limited_by_dma():
    for t in (
        timeline("tensor_add", "tensor_add", "float32[1024,8192]", "float32[1024,8192]"),
        timeline("softmax", "softmax", "float32[2048,2048]"),
    ):
        assert t.bounds["bottleneck"] == "DMA"


def test_narrow_tiles_make_an_addition_slower():
    wide, narrow = (
        timeline("tensor_add", "tensor_add", "float32[512,8192]", "float32[512,8192]", tile=tile)
        for tile in (2048, 128)
    )
    assert narrow.hbm_bytes == wide.hbm_bytes
    assert narrow.end_ps > 1.5 * wide.end_ps

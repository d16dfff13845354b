"""Counters that DMA rows give: bytes per second over time, and how many DMAs are under way."""

from __future__ import annotations

import numpy as np

from simcore.timeline import MEMORIES, Counter, DmaTransfers, Instructions


def derived_counters(instructions: Instructions, dma: DmaTransfers) -> dict[str, Counter]:
    """"HBM GB/s", "DMA GB/s" and "pending DMAs" by name, those the rows say something about.

    Each transfer moves its bytes evenly from start to end; a DMA is pending from its trigger's start to its completion.
    """
    counters: dict[str, Counter] = {}
    hbm = MEMORIES.index("HBM")
    if len(dma):
        moved = np.where(dma.source == hbm, dma.read_bytes, 0) + np.where(dma.dest == hbm, dma.write_bytes, 0)
        touches = moved > 0
        if touches.any():
            counters["HBM GB/s"] = _rate(dma.start_ps[touches], dma.end_ps[touches], moved[touches])
        counters["DMA GB/s"] = _rate(dma.start_ps, dma.end_ps, np.maximum(dma.read_bytes, dma.write_bytes))
    triggers = np.unique(dma.instruction[dma.instruction >= 0])
    if len(triggers):
        counters["pending DMAs"] = step_sum(
            instructions.start_ps[triggers], instructions.done_ps[triggers], np.ones(len(triggers)))
    return counters


def _rate(start: np.ndarray, end: np.ndarray, moved: np.ndarray) -> Counter:
    length = np.maximum(end - start, 1)
    return step_sum(start, start + length, moved / length * 1000)     # bytes per picosecond are TB/s


def step_sum(start: np.ndarray, end: np.ndarray, height: np.ndarray) -> Counter:
    """The sum of boxes as a step function."""
    time = np.concatenate([start, end])
    change = np.concatenate([height, -height])
    order = np.argsort(time, kind="stable")
    time, total = time[order], np.cumsum(change[order])
    last = np.append(time[1:] != time[:-1], True) if len(time) else np.zeros(0, bool)
    value = total[last]
    # what rounding leaves where the sum is nothing
    value = np.where(np.abs(value) < 1e-9 * float(np.abs(height).max(initial=0)), 0.0, value)
    return Counter(time_ps=time[last], value=value)

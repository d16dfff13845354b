"""The Neuron Explorer's tables of what changes over time: bandwidth, memory in use, the Tensor engine's clock."""

from __future__ import annotations

from typing import Any

import numpy as np

from simcore.profile import vendor
from simcore.profile.counters import derived_counters
from simcore.profile.summary_files import metrics_of
from simcore.timeline import Timeline


def nanoseconds(ps: np.ndarray) -> np.ndarray:
    return (np.asarray(ps, np.int64) + 500) // 1000


def columns(rows: list[tuple], *names: str) -> dict[str, list]:
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}


class Usage:
    """One method per table; each returns its columns, missing ones being null."""

    def __init__(self, timeline: Timeline):
        self.t = timeline
        self.metrics = metrics_of(timeline)
        self.counters = derived_counters(timeline.instructions, timeline.dma) | timeline.counters

    def dma_usage(self) -> dict[str, Any]:
        return self._usage("DMA GB/s")

    def hbm_usage(self) -> dict[str, Any]:
        return self._usage("HBM GB/s")

    def _usage(self, name: str) -> dict[str, Any]:
        counter = self.counters.get(name)
        if counter is None:
            return {}
        moved = np.append(0.0, np.cumsum(counter.value[:-1] * np.diff(counter.time_ps) / 1000))[:len(counter)]
        return {"timestamp": nanoseconds(counter.time_ps), "current_throughput": counter.value * 1e9,
                "total_transfer_bytes": np.round(moved).astype(np.int64), "pcore_idx": np.zeros(len(counter), np.int64)}

    def pending_dma(self) -> dict[str, Any]:
        counter = self.counters.get("pending DMAs")
        if counter is None:
            return {}
        value = np.clip(counter.value, 0, 2**31 - 1).astype(np.int32)
        return {"timestamp": nanoseconds(counter.time_ps), "value": value,
                "pcore_idx": np.zeros(len(counter), np.int64)}

    def sbuf_usage(self) -> dict[str, Any]:
        return self._fullness("SBUF bytes")

    def psum_usage(self) -> dict[str, Any]:
        return self._fullness("PSUM bytes")

    def _fullness(self, name: str) -> dict[str, Any]:
        counter = self.counters.get(name)
        if counter is None:
            return {}
        full = vendor.memory_bytes(vendor.machine_of(self.t))[name]
        return {"timestamp": nanoseconds(counter.time_ps), "avg_util_percent": counter.value / full,
                "pcore_idx": np.zeros(len(counter), np.int64)}

    def throttle(self) -> dict[str, Any]:
        c = self.t.clock
        start, end = nanoseconds(c.start_ps), nanoseconds(c.end_ps)
        return {"timestamp": start, "duration": end - start, "k": c.k.astype(np.int32), "n": c.n.astype(np.int32),
                "type": [f"activity_{int(k < n)}" for k, n in zip(c.k.tolist(), c.n.tolist())],
                "pcore_idx": c.core.astype(np.int64)}

    def throttle_summary(self) -> dict[str, Any]:
        m, rows = self.metrics, []
        for core in np.unique(self.t.clock.core).tolist():
            rows.append((core, "all", m.get(f"throttle_active_nc{core}_time_ns"), None,
                         m.get(f"throttle_avg_util_limit_nc{core}_percent")))
        return columns(rows, "nc_idx", "throttle_type", "throttle_active_time_ns", "throttle_active_time_percent",
                        "max_achievable_util_with_throttling_percent")

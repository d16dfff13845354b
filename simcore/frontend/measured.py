"""What a benchmarked kernel says of itself: predicted latencies, where scripts read measured ones."""

from __future__ import annotations

from functools import cached_property


class Latency:
    """`benchmark_result.nc_latency`: the predicted latency, the same at every percentile.  simulated is True."""

    simulated = True

    def __init__(self, trace, target: str):
        self._trace, self._target = trace, target

    @cached_property
    def microseconds(self) -> float:
        """The simulated time of the launch."""
        from simcore.machine import load_machine
        from simcore.schedule import simulate

        return simulate(self._trace, load_machine(self._target)).end_ps / 1e6

    def get_latency_percentile(self, percentile) -> float:
        """Microseconds.  Predicted by simcore, not measured."""
        return self.microseconds

    def __repr__(self) -> str:
        return f"<predicted latency {self.microseconds:.2f} us, simulated>"


class BenchmarkResult:
    """What `kernel.benchmark_result` gives after a run; `nc_latency` is predicted (simulated is True)."""

    simulated = True

    def __init__(self, trace, target: str):
        self.nc_latency = Latency(trace, target)


class Keeping:
    """A kernel that keeps the result of its last run: as its own, and on the kernel it was subscripted from."""

    benchmark_result: BenchmarkResult | None = None
    owner: Keeping | None = None

    def keep(self, settings):
        """What a launch calls with its trace; the session around it, `settings`, hears of it too."""

        def kept(trace) -> None:
            self.benchmark_result = BenchmarkResult(trace, settings.target)
            if self.owner is not None:
                self.owner.benchmark_result = self.benchmark_result
            if settings.on_trace is not None:
                settings.on_trace(trace)

        return kept

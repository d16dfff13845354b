"""FILE in, Timelines out: a kernel script, a saved run, a hardware profile or bundle are one thing to every command."""

from __future__ import annotations

import dataclasses
import zipfile
from collections import Counter
from pathlib import Path

import simcore
from simcore import format
from simcore.apps.hardware import bundle
from simcore.apps.options import Sources
from simcore.apps.output import narrate, working
from simcore.errors import CapacityError, FileError, UsageError
from simcore.timeline import Timeline
from simcore.trace import Trace

WARNINGS = 5        # sentences shown per file


def load(sources: Sources, *, totals: bool = False) -> list[Timeline]:
    """The timelines of all files, in order; a script gives one per kernel launch.  Never an empty list.

    A profile's summary, which holds totals and no instructions, is refused unless `totals` says that they are enough.
    """
    if (sources.kernel or sources.args) and not any(map(is_script, sources.files)):
        raise UsageError(f"{sources.files[0]} is not a kernel file (.py): --kernel and --arg have no meaning for it")
    timelines = [timeline for file in sources.files for timeline in _load(file, sources)]
    for timeline in timelines:
        if timeline.totals_only and not totals:
            raise UsageError(
                f"{timeline.name} is the summary of a profile: it holds totals, but no instructions to show; "
                "run, check, compare and export take it"
            )
    return _distinct(timelines)


def _load(file: Path, sources: Sources) -> list[Timeline]:
    if not file.exists():
        raise FileError(f"{file} does not exist")
    if is_script(file):
        if file.is_dir():
            raise FileError(f"{file} is a folder, not a kernel script")
        return simulate(capture(file, sources), sources)
    if bundle.is_bundle(file):
        return bundle.read_timelines(file)
    if is_saved_run(file):
        return [Timeline.load(file)]
    with working(f"reading {file.name}"):
        return [simcore.read_profile(file)]


def is_script(file: Path) -> bool:
    return file.suffix in (".py", ".ipynb")


def is_saved_run(file: Path) -> bool:
    """A .simcore file by its suffix, or a zip by its first bytes."""
    return file.suffix == ".simcore" or (file.is_file() and zipfile.is_zipfile(file))


def capture(file: Path, sources: Sources) -> list[Trace]:
    """The kernel launches of a script, or the one launch --kernel and --arg ask for."""
    from simcore.apps import script

    with working(f"running {file.name}", script.instructions):
        traces = (
            script.run_kernel(file, sources) if sources.kernel or sources.args else script.run_script(file, sources)
        )
    if sources.launch is not None:
        if sources.launch > len(traces):
            kernels = f"{len(traces)} kernel{'s' * (len(traces) > 1)}"
            raise UsageError(f"--launch {sources.launch}: {file} launches {kernels}")
        traces = [traces[sources.launch - 1]]
    _warn(list(dict.fromkeys(w for trace in traces for w in trace.info.get("warnings", ()))))
    return traces


def _warn(sentences: list[str]) -> None:
    """What a run shows to be wrong although it ends: the first few, because a loop says the same of every tile."""
    for sentence in sentences[:WARNINGS]:
        narrate(f"simcore: warning: {sentence}")
    if len(sentences) > WARNINGS:
        narrate(f"simcore: warning: {len(sentences) - WARNINGS} more of this kind")


def simulate(traces: list[Trace], sources: Sources) -> list[Timeline]:
    machine = simcore.load_machine(sources.target or "trn2")
    timelines = []
    for trace in traces:
        with working(f"simulating {format.number(len(trace))} instructions of {trace.name} on {machine.name}"):
            try:
                timelines.append(simcore.simulate(trace, machine, spill=sources.spill))
            except CapacityError:
                if not sources.spill:
                    narrate("simcore: with --spill the kernel is simulated as it is compiled: reordered and spilled")
                raise
    return timelines


def _distinct(timelines: list[Timeline]) -> list[Timeline]:
    """Numbers names that occur more than once, so a legend can tell them apart."""
    total = Counter(timeline.name for timeline in timelines)
    seen: Counter[str] = Counter()
    out = []
    for timeline in timelines:
        seen[timeline.name] += 1
        if total[timeline.name] > 1:
            timeline = dataclasses.replace(timeline, name=f"{timeline.name} #{seen[timeline.name]}")
        out.append(timeline)
    return out

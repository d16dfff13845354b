"""pytest plugin to run nki-library's own integration tests on simcore:

    PYTHONPATH=tests/tools/names:CHECKOUT:CHECKOUT/src pytest -p simcore_nkilib --test-mode=simulation
    CHECKOUT/test/integration/nkilib/core

It puts simcore's modules under the vendor's names and stands in for packages the suite needs for devices and the cloud
only.  Tests of collectives run with all their ranks, which the suite's simulation mode alone cannot.
"""

import gc
import json
import math
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from simcore.frontend import activation
from simcore_nkilib import kernels, standins

activation.install()
standins.install()


def pytest_addoption(parser):
    group = parser.getgroup("simcore")
    group.addoption("--simcore-timing", action="store_true",
                    help="capture and simulate without values; nothing is compared")
    group.addoption("--simcore-zeros", action="store_true", help="memory reads as zeros until it is written")
    group.addoption("--simcore-release", metavar="N",
                    help="the NKI release the library was tested with (0.3, of its tag 2.29)")
    group.addoption("--simcore-sample", type=int, metavar="N",
                    help="N tests of each file, evenly spread over those the suite does not skip itself")
    group.addoption("--simcore-share", metavar="K/N", help="the K-th of N shares of the tests (K from 0)")
    group.addoption("--simcore-seconds", type=int, default=0, metavar="S",
                    help="end a test that takes more processor time")
    group.addoption("--simcore-budget", type=float, metavar="S", help="start no test after S seconds")
    group.addoption("--simcore-results", type=Path, metavar="FILE",
                    help="append outcomes (JSON lines), and leave out tests that have one there, but not those that "
                         "ended at a shorter time limit")


class _Late(BaseException):
    """Over the time limit; not an Exception, because negative tests take any for theirs."""


class _Run:
    """Which tests run in this session, and what became of them."""

    def __init__(self, config):
        option = config.getoption
        self.results, self.seconds, self.sample = (option(f"--simcore-{n}") for n in ("results", "seconds", "sample"))
        self.share = [int(n) for n in (option("--simcore-share") or "0/1").split("/")]
        self.end = time.monotonic() + (option("--simcore-budget") or math.inf)
        self.timing = option("--simcore-timing")
        if option("--simcore-release"):
            kernels.session["release"] = option("--simcore-release")
        if option("--simcore-zeros"):
            kernels.zero_memory()
        self.known = set()
        if self.results is not None and self.results.exists():
            lines = [json.loads(line) for line in self.results.read_text().splitlines()]
            limit = self.seconds or math.inf
            self.known = {(e["file"], e["test"]) for e in lines if e.get("limit", math.inf) >= limit}

    def note(self, **entry):
        if self.results is not None:
            with self.results.open("a") as f:
                f.write(json.dumps(entry) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        """Smallest first and all files in turns, so that a run that is ended early has seen as many as possible."""
        kernels.prepare(timing=self.timing)
        files: dict = {}
        for item in items:
            files.setdefault(item.location[0], []).append(item)
        chosen = []
        for file, found in files.items():
            able = [i for i in found if i.get_closest_marker("skip") is None]
            print(f"collected {file}: {len(found)}, run in simulation {len(able)}", file=sys.stderr)
            if (file, "") not in self.known:
                self.note(file=file, test="", collected=len(found), eligible=len(able))
            if self.sample and len(able) > self.sample:
                able = [able[int(k * len(able) / self.sample)] for k in range(self.sample)]
            able = sorted((i for i in able if (file, i.name) not in self.known), key=_size)
            chosen += enumerate(able)
        share, of = self.share
        kept = [i for _, i in sorted(chosen, key=lambda c: c[0])][share::of]
        dropped = set(items) - set(kept)
        config.hook.pytest_deselected(items=[i for i in items if i in dropped])
        items[:] = kept
        gc.collect()
        gc.freeze()         # makes it cheap to collect after each test: inputs are large, and cycles hold them

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):

        def late(*_):
            raise _Late("over the time limit of this run")

        before = signal.signal(signal.SIGPROF, late)
        signal.setitimer(signal.ITIMER_PROF, self.seconds)
        kernels.spent.clear()
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    def pytest_runtest_makereport(self, item, call):
        if call.when == "teardown":
            gc.collect()
            if time.monotonic() > self.end:
                item.session.shouldstop = "the budget of this run is spent"
        if call.when != "call" and call.excinfo is None:
            return
        outcome, why = "passed", ""
        if call.excinfo is not None:
            error = call.excinfo.value
            outcome = ("time" if isinstance(error, _Late) else
                       "skipped" if isinstance(error, pytest.skip.Exception) else "failed")
            why = f"{type(error).__name__}: {error}".strip()[:2000]
        limit = {"limit": self.seconds} if outcome == "time" else {}
        self.note(file=item.location[0], test=item.name, outcome=outcome, why=why, seconds=round(call.duration, 2),
                  **limit, **kernels.spent)


def pytest_configure(config):
    config.pluginmanager.register(_Run(config), "simcore_nkilib_run")


def _size(item) -> float:
    """Something that grows with the test's shapes: the numbers in its name, multiplied."""
    return sum(math.log(int(n)) for n in re.findall(r"\d+", item.name) if 1 < int(n) < 1 << 40)

"""A pytest plugin: kernels that must stay within a budget, as tests.

    def test_flash_attention_is_fast(simcore_check):
        simcore_check("kernels/flash_attn.py", budget="120us", engines=["tensor>=60%"], hbm_bytes="5MB")

`simcore_check` takes a file as `simcore check` does, or a kernel and its arguments; it returns the Timeline.
With `pytest --nki` the names `nki` and `neuronxcc.nki` are simcore's for the session, so tests can import kernels.
The plugin is installed with simcore and costs nothing until it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("simcore").addoption(
        "--nki", action="store_true", help="let simcore answer `import nki` and `import neuronxcc.nki` in this session"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--nki"):
        from simcore.frontend import activate

        names = ExitStack()
        names.enter_context(activate())
        config.add_cleanup(names.close)


@pytest.fixture
def simcore_check() -> Callable[..., Any]:
    """`simcore_check(source, *arguments, budget=..., engines=[...], hbm_bytes=..., target=..., ...)`.

    source     a file (script, .simcore, profile), `kernel` and `args` as on the command line; or a kernel and inputs
    budget     at most this long, "120us"; engines: shares of busy time, "tensor>=60%"; hbm_bytes: at most, "5MB"
    values     compute values too (a file: so that the script's own check counts); a kernel is timed without
    """

    def run(
        source: Any,
        *arguments: Any,
        budget: str | None = None,
        engines: Sequence[str] = (),
        hbm_bytes: str | None = None,
        target: str = "trn2",
        values: bool | None = None,
        kernel: str | None = None,
        args: Sequence[str] = (),
        **named: Any,
    ) -> Any:
        from simcore.budget import engine_limit, hbm_limit, judge, time_limit

        __tracebackhide__ = True  # what failed is the test's line, not the plugin's
        limits = [time_limit(budget)] if budget else []
        limits += [engine_limit(text) for text in engines]
        limits += [hbm_limit(hbm_bytes)] if hbm_bytes else []
        if isinstance(source, str | Path):
            from simcore.apps.load import load
            from simcore.apps.options import Sources

            timelines = load(
                Sources(
                    files=(Path(source),),
                    target=target,
                    kernel=kernel,
                    args=tuple(args),
                    values=values is not False,
                    script_args=tuple(map(str, arguments)),
                )
            )
        else:
            import simcore

            timelines = [simcore.profile(source, *arguments, target=target, values=bool(values), **named)]
        broken = [str(verdict) for timeline in timelines for verdict in judge(timeline, limits) if not verdict.ok]
        assert not broken, "\n".join(broken)
        return timelines[0] if len(timelines) == 1 else timelines

    return run

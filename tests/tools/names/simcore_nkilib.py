"""pytest plugin to run nki-library's own integration tests on simcore:

    PYTHONPATH=tests/tools/names:CHECKOUT:CHECKOUT/src pytest -p simcore_nkilib --test-mode=simulation
    CHECKOUT/test/integration/nkilib/core

It puts simcore's modules under the vendor's names and stands in for packages the suite needs for devices and the cloud
only.
"""

import importlib.util
import os
import signal
import sys
import types

import pytest

from simcore.frontend import activation

activation.install()
sys.modules.pop("test", None)       # the standard library's package of this name

_DEVICE_ONLY = {"aws_embedded_metrics", "boto3", "botocore", "fabric", "fabric2", "plotext", "pytest_html", "debugpy",
                "invoke", "paramiko"}
# the suite imports it, its repository does not hold it
_NOT_PUBLISHED = ("test.utils.scripts", "test.utils.perf_analysis_private")


class _Anything:
    def __init__(self, *args, **kwargs):
        pass

    def __call__(self, *args, **kwargs):
        return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else _Anything()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()

    def __iter__(self):
        return iter(())

    def __enter__(self):
        return self

    def __exit__(self, *args):
        return False


class _Module(types.ModuleType):
    __path__: list = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return (type(name, (Exception,), {}) if name.endswith(("Error", "Exception")) else _Anything
                if name[:1].isupper() else _Anything())


class _Finder:
    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        known = name.split(".")[0] in self.names or name.startswith(_NOT_PUBLISHED)
        return importlib.util.spec_from_loader(name, self, is_package=True) if known else None

    def create_module(self, spec):
        return _Module(spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.append(_Finder({n for n in _DEVICE_ONLY if importlib.util.find_spec(n) is None}))

if importlib.util.find_spec("attr") is None:        # the suite takes only `dataclass` from it
    import dataclasses

    sys.modules["attr"] = types.ModuleType("attr")
    sys.modules["attr"].dataclass = dataclasses.dataclass


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """SIMCORE_SAMPLE=20 keeps that many tests of each file, evenly spread over those the suite does not skip itself."""
    module = sys.modules.get("test.utils.test_orchestrator")
    if module is not None and not hasattr(module.Orchestrator, "_compiled_kernel"):
        # the suite's simulation mode reads it, only its compilation sets it
        module.Orchestrator._compiled_kernel = None
    sample = int(os.environ.get("SIMCORE_SAMPLE", "0"))
    files: dict = {}
    for item in items:
        files.setdefault(item.location[0], []).append(item)
    for name, found in files.items():
        able = [i for i in found if i.get_closest_marker("skip") is None]
        print(f"collected {name}: {len(found)}, run in simulation {len(able)}", file=sys.stderr)
        if sample and len(able) > sample:
            kept = {able[int(k * len(able) / sample)] for k in range(sample)}
            drop = [i for i in found if i not in kept]
            config.hook.pytest_deselected(items=drop)
            items[:] = [i for i in items if i not in set(drop)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """SIMCORE_SECONDS=60 ends a test that takes longer."""

    def late(*_):
        raise TimeoutError("over the time limit of this run")

    seconds = int(os.environ.get("SIMCORE_SECONDS", "0"))
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

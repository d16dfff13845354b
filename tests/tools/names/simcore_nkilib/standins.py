"""Modules that nki-library's test suite imports and simcore's users need not have.

Devices and the cloud: anything goes, nothing is done.  `allpairspy` and `attr`: the installed package where there
is one.
"""

import dataclasses
import importlib.util
import sys
import types

from simcore_nkilib import allpairs

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


def install() -> None:
    sys.modules.pop("test", None)       # the standard library's package of this name
    sys.meta_path.append(_Finder({n for n in _DEVICE_ONLY if importlib.util.find_spec(n) is None}))
    if importlib.util.find_spec("allpairspy") is None:
        sys.modules["allpairspy"] = allpairs
    if importlib.util.find_spec("attr") is None:        # the suite takes only `dataclass` from it
        sys.modules["attr"] = types.ModuleType("attr")
        sys.modules["attr"].dataclass = dataclasses.dataclass

"""Stand-ins for `torch_xla` and `torch_neuronx`, where they are not installed: the device is the CPU.

A public NKI script asks torch_xla for a device, moves tensors there, calls its kernel, and compares.  Under simcore the
kernel runs here, so tensors stay on the CPU and there is nothing to wait for; asked what hardware it is, the device
says NEURON, which is what it stands for.  What stands in for a compiled model is
the model itself.  Everything else these packages do (distributed runs, compilation) needs the packages, and asking for
it says so.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator
from types import ModuleType

PACKAGES = ("torch_xla", "torch_neuronx")


def cpu(*args, **kwargs):
    import torch

    return torch.device("cpu")


def nothing(*args, **kwargs) -> None:
    """Nothing is queued, so there is nothing to wait for or to cut off."""


def first(value=None, *args, **kwargs):
    """Of one process: what an all-reduce or gather of one rank gives."""
    return value


def itself(function=None, *args, **kwargs):
    """A compiled or traced function is the function."""
    return function if function is not None else itself


def nki_jit(function=None, **options):
    """The decorator of torch_neuronx: the older dialect's `nki.jit`."""
    import neuronxcc.nki as nki

    return nki.jit(function, **options)


def nki_op(name=None, **options):
    """The decorator that registers a function around a kernel as an operator: the function."""
    return name if callable(name) else itself


def on_cpu():
    """A torch mode in which the devices "xla" and "neuron" are the CPU, or None without torch."""
    try:
        import torch
        from torch.overrides import TorchFunctionMode
    except ImportError:
        return None
    if torch._C._get_privateuse1_backend_name() == "privateuseone":
        torch.utils.rename_privateuse1_backend("neuron")        # so that torch.device("neuron") can be written

    def here(value):
        if isinstance(value, str) and value.partition(":")[0] in ("xla", "neuron"):
            return "cpu"
        return torch.device("cpu") if isinstance(value, torch.device) and value.type in ("xla", "neuron") else value

    class OnCpu(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            return function(*map(here, args), **{k: here(v) for k, v in (kwargs or {}).items()})

    return OnCpu()


@contextlib.contextmanager
def step(*args, **kwargs):
    yield


class _PlatformTarget(str):
    """`get_platform_target()`: the target's name, also as `.value`."""

    value = property(str)


def get_platform_target(*args):
    from simcore.frontend.launch import session

    return _PlatformTarget(session().target)


def assert_close(actual, expected, **tolerances) -> None:
    import torch

    torch.testing.assert_close(actual, expected, **{k: v for k, v in tolerances.items() if v is not None})


def neuron_allclose(actual, expected, *args, rtol=1e-5, atol=1e-8, **kwargs) -> bool:
    import torch

    return torch.allclose(actual, expected, rtol=rtol, atol=atol)


_ONE = {"world_size": lambda *a: 1, "global_ordinal": lambda *a: 0, "local_ordinal": lambda *a: 0}
_XLA_MODEL = {
    "xla_device": cpu, "mark_step": nothing, "wait_device_ops": nothing, "rendezvous": nothing,
    "set_rng_state": nothing,
    "get_rng_state": lambda *a: 0, "get_ordinal": lambda *a: 0, "get_local_ordinal": lambda *a: 0,
    "xrt_world_size": lambda *a: 1, "xla_device_hw": lambda *a: "NEURON", "is_master_ordinal": lambda *a: True,
    "master_print": print, "REDUCE_SUM": "sum", "REDUCE_MAX": "max", "REDUCE_MIN": "min",
    "all_reduce": lambda kind, value, *a, **k: value, "all_gather": first, "unlazy": nothing,
}
MODULES: dict[str, dict] = {
    "torch_xla": {"device": cpu, "sync": nothing, "compile": itself, "step": step, "__version__": "0+simcore"},
    "torch_xla.core": {},
    "torch_xla.core.xla_model": _XLA_MODEL,
    "torch_xla.runtime": {**_ONE, "device_type": lambda: "NEURON", "set_device_type": nothing},
    "torch_xla.debug": {},
    "torch_xla.debug.metrics": {"metrics_report": lambda: "", "clear_all": nothing, "metric_names": list,
                                "counter_names": list, "metric_data": nothing, "counter_value": nothing},
    "torch_xla.debug.profiler": {"start_server": nothing, "trace": nothing, "Trace": step, "StepTrace": step},
    "torch_neuronx": {"nki_jit": nki_jit, "trace": itself, "wrap_nki": itself, "nki_op": nki_op,
                      "__version__": "0+simcore"},
    "torch_neuronx.xla_impl": {},
    "torch_neuronx.xla_impl.ops": {"nki_jit": nki_jit},
    "torch_neuronx.experimental": {},
    "torch_neuronx.experimental.profiler": {"profile": step},
    "torch_neuronx.nki_hop": {"wrap_nki": itself, "nki_op": nki_op},
    "torch_neuronx.utils": {"get_platform_target": get_platform_target},
    "torch_neuronx.testing": {"assert_close": assert_close, "neuron_allclose": neuron_allclose},
    "torch_neuronx.testing.validation": {"neuron_allclose": neuron_allclose},
}


class StandIn(ModuleType):
    """A module of which only the names in MODULES exist."""

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        whole = f"{self.__name__}.{name}"
        if whole in MODULES:
            return importlib.import_module(whole)
        raise AttributeError(f"{whole} needs the real {self.__name__.partition('.')[0]}; under simcore a stand-in "
                             "answers, which knows the CPU as the only device and neither compiles nor distributes")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Last on the path: asked only where the real package is not installed."""

    def __init__(self):
        self.mode = None

    def find_spec(self, name, path=None, target=None):
        if name not in MODULES:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=any(m.startswith(name + ".") for m in MODULES))

    def create_module(self, spec):
        return StandIn(spec.name, __doc__)

    def exec_module(self, module):
        vars(module).update(MODULES[module.__name__])
        self.open()

    def open(self) -> None:
        """From here on tensors for the devices "xla" and "neuron" go to the CPU."""
        if self.mode is None:
            self.mode = on_cpu()
            if self.mode is not None:
                self.mode.__enter__()

    def close(self) -> None:
        if self.mode is not None:
            self.mode.__exit__(None, None, None)


class Watch(importlib.abc.MetaPathFinder):
    """First on the path: a script that imports NKI beside torch may name the devices without importing torch_xla."""

    def __init__(self, finder: Finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("nki", "neuronxcc") and "torch" in sys.modules and self.finder.mode is None:
            if importlib.machinery.PathFinder.find_spec("torch_xla") is None:
                self.finder.open()
        return None


@contextlib.contextmanager
def standing_in() -> Iterator[None]:
    """While this is open, `import torch_xla` finds the stand-in where the real one is missing."""
    finder = Finder()
    watch = Watch(finder)
    sys.meta_path.append(finder)
    sys.meta_path.insert(0, watch)
    try:
        yield
    finally:
        finder.close()
        sys.meta_path.remove(finder)
        sys.meta_path.remove(watch)
        for name in MODULES:
            if isinstance(sys.modules.get(name), StandIn):
                del sys.modules[name]

"""capture(): run a kernel and record what it asks for."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import linecache
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore import collector
from simcore.dtypes import DType, to_dtype
from simcore.errors import KernelError, SimcoreError, UsageError, nearest
from simcore.frontend import ranks, state
from simcore.frontend.programs import Programs
from simcore.layout import PARTITIONS, layout, private_hbm, row_major, shared_hbm, to_buffer
from simcore.machine import available
from simcore.tensor import Storage, Tensor
from simcore.trace import RELEASES, Recorder, Trace


@dataclass(frozen=True)
class TensorSpec:
    """A tensor argument by shape and dtype only.  Its values are seeded normal numbers (integers: 0..7)."""

    shape: tuple[int, ...]
    dtype: DType
    fill: float | None = None

    @classmethod
    def parse(cls, text: str) -> TensorSpec:
        """"bfloat16[128,4096]" -> TensorSpec.  Raises UsageError when it is written otherwise."""
        name, bracket, rest = text.partition("[")
        if not bracket or not rest.endswith("]"):
            raise UsageError(f"{text!r} is not a tensor; write dtype[size,size], for example bfloat16[128,4096]")
        try:
            shape = tuple(int(n) for n in rest[:-1].split(",") if n.strip())
        except ValueError:
            raise UsageError(f"{text!r}: sizes must be integers, for example bfloat16[128,4096]") from None
        if any(n < 1 for n in shape):
            raise UsageError(f"{text!r}: sizes must be at least 1")
        return cls(shape, to_dtype(name.strip()))

    def materialize(self, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        if self.fill is not None:
            return np.full(self.shape, self.fill).astype(self.dtype.np)
        if self.dtype.is_int or self.dtype.packed is not None:
            return rng.integers(0, 8, self.shape).astype(self.dtype.np)
        return rng.standard_normal(self.shape, np.float32).astype(self.dtype.np)


@dataclass
class Session:
    """How launches run now.  `on_trace` receives the Trace of each launch.

    release  the NKI release the kernel was written for, where releases compute different values (see `RELEASES`)
    """

    target: str = "trn2"
    values: bool = True
    lnc: int | None = None
    on_trace: Callable[[Trace], None] | None = None
    release: str = RELEASES[-1]


_default = Session()
_session = _default


def session() -> Session:
    """The settings of launches made now.  Outside of `use_session`: NEURON_PLATFORM_TARGET_OVERRIDE, or trn2."""
    if _session is _default:
        _default.target = check_target(os.environ.get("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2"))
    return _session


@contextlib.contextmanager
def use_session(new: Session) -> Iterator[Session]:
    global _session
    before, _session = _session, new
    try:
        yield new
    finally:
        _session = before


def check_target(target: str) -> str:
    """The machine a target names: one that comes with simcore, or another name of the vendor's.  Raises UsageError."""
    aliases = {"gen2": "trn1", "gen3": "trn2", "gen4": "trn3", "trn1n": "trn1", "trn3pre": "trn3"}
    target = aliases.get(target, target)
    if target not in available():
        raise UsageError(f"there is no target {target!r}; choose one of "
                         f"{', '.join(available())}.{nearest(target, available())}")
    return target


def check_release(release: str) -> str:
    """An NKI release that simcore knows.  Raises UsageError."""
    if release not in RELEASES:
        raise UsageError(f"there is no NKI release {release!r}; choose one of "
                         f"{', '.join(RELEASES)}.{nearest(release, RELEASES)}")
    return release


def capture(kernel: Callable, /, *args, target: str | None = None, values: bool | None = None, lnc: int | None = None,
            grid=None, release: str | None = None, **kwargs) -> Trace:
    """Run a kernel and return its Trace.

    kernel  a function, jit-decorated or plain, a subscripted kernel (`kernel[2]`), or a functools.partial of one: what
            a partial binds are the kernel's arguments, also where they are called as an option below
            (`capture(partial(kernel, lnc=2), q, k, lnc=1)`)
    args    NumPy arrays, torch tensors, or TensorSpec (shape and dtype only); everything else is handed on as it is
    values  compute the values (outputs in `trace.outputs`); False records what is needed for timing only and allocates
            nothing
    lnc     physical cores the launch uses (1 or 2); grid: a launch grid of the older dialect
    release the NKI release the kernel was written for ("0.3"; by default the newest): `quantize_mx` doubled its block
            scales in 0.5

    Raises KernelError (with the kernel's line) when the kernel breaks a rule of the language or the chip, ValueNeeded
    when control flow depends on a value in a timing-only run, UsageError when an option takes what the kernel itself
    needs, and whatever the kernel itself raises.
    """
    from simcore.frontend.activation import activate
    from simcore.frontend.jit import Launch, unwrap

    while isinstance(kernel, functools.partial):
        args, kwargs, kernel = (*kernel.args, *args), {**kernel.keywords, **kwargs}, kernel.func
    inner, launch_grid = unwrap(kernel)
    _refuse_swallowed(inner, args, kwargs, {"target": target, "values": values, "lnc": lnc, "grid": grid,
                                             "release": release})
    now = session()
    settings = Session(check_target(target or now.target), now.values if values is None else values, lnc,
                       release=check_release(release or now.release))
    with activate(), use_session(settings):
        return record(inner, args, kwargs, Launch.of(grid if grid is not None else launch_grid, lnc))


def _refuse_swallowed(function: Callable, args: tuple, kwargs: dict, options: dict) -> None:
    """An option of `capture` that is also an argument the kernel cannot do without went to the wrong one."""
    try:
        signature = inspect.signature(function)
        given = signature.bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return          # the call itself will say what is wrong
    for name, value in options.items():
        p = signature.parameters.get(name)
        if value is not None and p is not None and p.default is p.empty and name not in given:
            raise UsageError(f"{name}= is an option of capture, and the kernel {function.__name__} has an argument of "
                             f"this name; bind the kernel's with functools.partial(kernel, {name}=...)")


def record(function: Callable, args: tuple, kwargs: dict, launch) -> Trace:
    """Run `function` under a fresh recorder with the current session's settings."""
    settings = session()
    rec = Recorder(settings.target, values=settings.values, release=settings.release)
    rec.rank, rec.world = ranks.current()
    inputs = Inputs(rec, shared=launch.programs > 1)
    before = state.begin(rec)
    try:
        try:
            given, named = inputs.positional(function, args), inputs.convert(kwargs)
            rec.programs = Programs(rec, launch.grid, launch.cores, launch.core_of)
            with single_threaded_blas(), collector.paused():
                results = rec.programs.run(lambda: function(*given, **named))
        except SimcoreError as e:
            if e.site is None:
                e.site = state.site_of(e)
            raise
        outputs = inputs.outputs(_merge(results))
        inputs.write_back()
        name = getattr(function, "__name__", "kernel")
        shapes = ", ".join(repr(a.layout).split("@")[0] for a in inputs.tensors)
        trace = rec.trace(name, outputs=outputs, sources=_sources(rec), cores=launch.cores,
                          info={"inputs": shapes, "dialect": getattr(function, "dialect", "nki")})
        if settings.values:
            from simcore import checks

            if os.environ.get("NKI_PRECISE_FP") == "0":
                trace.info["warnings"].append("NKI_PRECISE_FP=0 has no effect: bfloat16 and float8 values "
                                              "stay rounded, as on the "
                                              "chip; run the kernel with float32 arguments to see it without rounding")

            trace.info["warnings"] += checks.warnings(trace, rec.meetings)
        return trace
    finally:
        state.begin(before)
        rec.core = 0
        rec.programs = None         # they know the recorder: without the cycle, memory goes at once


def _merge(results: list) -> Any:
    """The launch's result: the first that a program returned (shared outputs are one tensor)."""
    return next((r for r in results if r is not None), None)


def _sources(rec: Recorder) -> dict[str, str]:
    files = dict.fromkeys(s.file for s in rec.sites)
    return {f: "".join(linecache.getlines(f)) for f in files}


class Inputs:
    """Arguments of a launch as HBM tensors, and results back."""

    def __init__(self, rec: Recorder, *, shared: bool):
        self.rec = rec
        self.buffer = shared_hbm if shared else private_hbm
        self.tensors: list[Tensor] = []
        self.copies: list[tuple[Any, Storage]] = []
        self.torch = None

    def positional(self, function: Callable, args: tuple) -> tuple:
        """Positional arguments, named as the kernel's parameters."""
        try:
            names = [p.name for p in inspect.signature(function).parameters.values()
                     if p.kind <= p.POSITIONAL_OR_KEYWORD]
        except (TypeError, ValueError):
            names = []
        return tuple(self.convert(v, names[i] if i < len(names) else f"arg{i}") for i, v in enumerate(args))

    def convert(self, value, name: str = "arg"):
        if isinstance(value, Tensor):
            return value
        if isinstance(value, TensorSpec):
            return self._spec(value, name)
        if isinstance(value, np.ndarray):
            return self._array(value, name)
        if type(value).__module__.startswith("torch") and hasattr(value, "detach"):
            return self._torch(value, name)
        if type(value).__module__.startswith("jax") and hasattr(value, "__array__"):
            return self._array(np.asarray(value), name)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self.convert(v, name) for v in value))
        if isinstance(value, tuple | list):
            return type(value)(self.convert(v, f"{name}{i}") for i, v in enumerate(value))
        if isinstance(value, dict):
            return {k: self.convert(v, str(k)) for k, v in value.items()}
        if (getattr(value, "__nki_object__", False) or dataclasses.is_dataclass(value)) and not isinstance(value, type):
            return self._object(value)
        return value

    def _object(self, value):
        fields = {k: v for k, v in vars(value).items()} if hasattr(value, "__dict__") else {}
        changed = {k: self.convert(v, k) for k, v in fields.items()}
        if all(changed[k] is v for k, v in fields.items()):
            return value
        clone = object.__new__(type(value))
        for k, v in changed.items():
            object.__setattr__(clone, k, v)
        return clone

    def _tensor(self, shape, dtype: DType, name: str) -> Tensor:
        storage = self.rec.new_storage(name, shape, dtype, self.buffer, kind="input")
        t = Tensor(storage, layout(tuple(shape), row_major(shape), dtype, self.buffer))
        self.tensors.append(t)
        return t

    def _spec(self, spec: TensorSpec, name: str) -> Tensor:
        t = self._tensor(spec.shape, spec.dtype, name)
        if self.rec.values:
            t.storage.data = spec.materialize(len(self.tensors)).reshape(-1).view(np.uint8)
        return t

    def _array(self, array: np.ndarray, name: str) -> Tensor:
        t = self._tensor(array.shape, to_dtype(array.dtype), name)
        if self.rec.values:
            flat = array if array.flags.c_contiguous and array.flags.writeable else array.copy(order="C")
            if flat is not array and array.flags.writeable:
                self.copies.append((array, t.storage))
            t.storage.data = flat.reshape(-1).view(np.uint8)
        return t

    def _torch(self, tensor, name: str) -> Tensor:
        import torch

        self.torch = torch
        dtype = to_dtype(tensor.dtype)
        t = self._tensor(tuple(tensor.shape), dtype, name)
        if self.rec.values:
            flat = tensor.detach().cpu().contiguous()
            data = flat.reshape(-1).view(torch.uint8).numpy()
            if flat.data_ptr() != tensor.data_ptr():
                self.copies.append((tensor, t.storage))
            t.storage.data = data
        return t

    def write_back(self) -> None:
        """Kernels may update their arguments in place; copies made for the run are copied back."""
        for original, storage in self.copies:
            if isinstance(original, np.ndarray):
                original[...] = storage.data.view(original.dtype).reshape(original.shape)

    def outputs(self, value):
        """Returned tensors as NumPy arrays (torch tensors when the inputs were)."""
        if isinstance(value, Tensor):
            if value.storage.kind == "tile":
                value.storage.note(kind="output")
            if not self.rec.values:
                return None
            array = np.ascontiguousarray(value.read())
            return self._to_torch(array) if self.torch is not None else array
        if isinstance(value, tuple | list):
            return (type(value)(self.outputs(v) for v in value) if not hasattr(value, "_fields")
                    else type(value)(*(self.outputs(v) for v in value)))
        if isinstance(value, dict):
            return {k: self.outputs(v) for k, v in value.items()}
        convert = getattr(value, "__nki_tensor__", None)
        return self.outputs(convert()) if convert is not None else value

    def _to_torch(self, array: np.ndarray):
        torch = self.torch
        dtype = getattr(torch, str(to_dtype(array.dtype)), None)
        if dtype is None:
            return torch.from_numpy(array.astype(np.float32))
        return torch.from_numpy(np.ascontiguousarray(array).reshape(-1).view(np.uint8)).view(dtype).reshape(array.shape)


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """128x128 products oversubscribe a threaded BLAS (measured 30 times slower with four threads)."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(limits=1, user_api="blas"):
        yield


_known_tiles: dict = {}


def allocate(shape, dtype, buffer, *, name=None, address=None, what="nl.ndarray") -> Tensor:
    """A fresh tensor inside a kernel, its memory uninitialised."""
    rec = state.current(what)
    try:
        view = _known_tiles.get((shape, dtype, buffer))
    except TypeError:
        view = None
    if view is None:
        view = _tile_layout(shape, dtype, buffer, what)
        try:
            _known_tiles[(shape, dtype, buffer)] = view
        except TypeError:
            pass
    site = rec.site
    if site is None:
        frame = sys._getframe(2)
        site = state._sites.get((id(frame.f_code) << 20) | frame.f_lasti, -1)
        if site < 0:
            site = state.site(rec, 2)
    programs = rec.programs
    if view.buffer is shared_hbm and programs is not None and len(programs.programs) > 1:
        # the n-th shared tensor of every program is one tensor
        p = programs.current
        p.allocations += 1
        key = (name or p.allocations, view)
        storage = rec.shared.get(key)
        if storage is None:
            storage = rec.shared[key] = _storage(rec, name, view, address, site)
    else:
        storage = _storage(rec, name, view, address, site)
    return Tensor(storage, view)


def _tile_layout(shape, dtype, buffer, what: str):
    """The layout of a fresh tensor.  Raises KernelError where no memory has such a tensor."""
    buffer, dt = to_buffer(buffer), to_dtype(dtype)
    try:
        shape = tuple(int(n) for n in (shape if isinstance(shape, tuple | list) else (shape,)))
    except TypeError:
        raise KernelError(f"{what}: shape {shape!r} must be integers") from None
    if any(n < 0 for n in shape):
        raise KernelError(f"{what}: shape {shape} has a negative size")
    if buffer.on_chip:
        if len(shape) < 2:
            raise KernelError(f"{what}: a tile in {buffer.value} needs a partition and a free dimension; shape "
                              f"{shape} has {len(shape)}")
        if shape[0] > PARTITIONS:
            raise KernelError(f"{what}: a tile in {buffer.value} has at most {PARTITIONS} partitions; shape "
                              f"{shape} asks for {shape[0]}")
    return layout(shape, row_major(shape), dt, buffer)


def _storage(rec, name, view, address, site) -> Storage:
    storage = rec.new_storage(name, view.shape, view.dtype, view.buffer, address=None if address is None
                              else _address(address), site=site)
    if rec.values:
        storage.allocate()
    return storage


def _address(address):
    return tuple(int(a) for a in address)


def profile(kernel: Callable, /, *args, target: str = "trn2", values: bool = True, lnc: int | None = None, **kwargs):
    """capture + simulate: the Timeline of a kernel on a chip.  `timeline.trace` is the Trace with the outputs.

    target  a chip, or the path of a machine .toml; the rest, and what is raised, as for capture and simulate
    """
    from simcore.machine import chip_of, load_machine
    from simcore.schedule import simulate

    machine = load_machine(target)
    trace = capture(kernel, *args, target=chip_of(machine), values=values, lnc=lnc, **kwargs)
    return simulate(trace, machine)

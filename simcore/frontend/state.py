"""What is being recorded now.

A process runs one kernel at a time; the two programs of an LNC=2 launch take turns.  So the current recorder is one
module variable, set by `capture` for the length of a launch.
"""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType

import simcore
from simcore.errors import KernelError, ValueNeeded
from simcore.timeline import Site
from simcore.trace import Recorder

recorder: Recorder | None = None

_PACKAGE = os.path.dirname(os.path.abspath(simcore.__file__)) + os.sep
_KERNELS = _PACKAGE + "kernels" + os.sep      # installed, the example kernels lie inside the package
_INTERNAL = -2
_sites: dict[int, int] = {}
_keep: list[CodeType] = []                    # the keys of _sites hold ids of code objects: keep those alive
_site_recorder: Recorder | None = None


def begin(rec: Recorder | None) -> Recorder | None:
    """Make `rec` the current recorder; returns the one before."""
    global recorder, _site_recorder
    before, recorder = recorder, rec
    if rec is not None and rec is not _site_recorder:
        _sites.clear()
        _keep.clear()
        _site_recorder = rec
    return before


def current(what: str) -> Recorder:
    """The recorder, or a sentence saying that `what` works inside a kernel only."""
    if recorder is None:
        raise KernelError(f"{what} works inside a kernel only; call the kernel through nki.jit, "
                          "nki.simulate or simcore.capture")
    return recorder


def site(rec: Recorder, depth: int = 1) -> int:
    """The number of the kernel's line that called, skipping simcore's own frames."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        code = frame.f_code
        key = (id(code) << 20) | frame.f_lasti
        found = _sites.get(key)
        if found is None:
            found = _new_site(rec, frame, key)
        if found >= 0:
            return found
        frame = frame.f_back
    return -1


def _new_site(rec: Recorder, frame: FrameType, key: int) -> int:
    code = frame.f_code
    _keep.append(code)
    if internal(code.co_filename):
        number = _INTERNAL
    else:
        where = Site(code.co_filename, frame.f_lineno, code.co_name)
        try:
            number = rec.sites.index(where)
        except ValueError:
            number = len(rec.sites)
            rec.sites.append(where)
    _sites[key] = number
    return number


def internal(file: str) -> bool:
    return file.startswith("<simcore") or (file.startswith(_PACKAGE) and not file.startswith(_KERNELS))


def user_site(depth: int = 1) -> Site | None:
    """The kernel's line that called, as a Site."""
    if recorder is None:
        return None
    number = site(recorder, depth + 1)
    return recorder.sites[number] if number >= 0 else None


def site_of(error: BaseException) -> Site | None:
    """The innermost kernel line of an exception's traceback."""
    found = None
    tb = error.__traceback__
    while tb is not None:
        code = tb.tb_frame.f_code
        if not internal(code.co_filename) and not code.co_filename.startswith("<"):
            found = Site(code.co_filename, tb.tb_lineno, code.co_name)
        tb = tb.tb_next
    return found


def value_needed(what: str):
    """Refuse to guess: the kernel's control flow wants a value that timing alone does not compute."""
    raise ValueNeeded(f"the kernel's control flow needs {what}, which a timing-only run does not compute; "
                      "run it with values (without --no-values, or values=True)", site=user_site(2))


def assign(region, value) -> None:
    """`region[...] = value` of the current dialect: a copy or a fill."""
    from simcore.frontend.instructions import nisa
    from simcore.tensor import Tensor

    if isinstance(value, Tensor):
        if value.buffer.on_chip and region.buffer.on_chip:
            nisa.tensor_copy(dst=region, src=value)
        else:
            nisa.dma_copy(dst=region, src=value)
    elif isinstance(value, int | float):
        nisa.memset(dst=region, value=value)
    else:
        raise KernelError(f"a {type(value).__name__} cannot be stored into a tile; use a tile or a number",
                          site=user_site(2))

"""`nki.language`: dtypes, buffers, creation, loops, operators, and functions on tiles."""

from __future__ import annotations

import contextlib

import numpy as np

from simcore.dtypes import (  # noqa: F401
    bfloat16,
    bool_,
    float4_e2m1fn_x4,
    float8_e4m3,
    float8_e4m3fn,
    float8_e4m3fn_x4,
    float8_e5m2,
    float8_e5m2_x4,
    float8_e8m0fnu,
    float16,
    float32,
    int8,
    int16,
    int32,
    tfloat32,
    uint8,
    uint16,
    uint32,
)
from simcore.errors import nearest
from simcore.frontend import state
from simcore.frontend.launch import allocate, session
from simcore.frontend.programs import programs
from simcore.frontend.tile_size import TileSize
from simcore.isa.operators import OPERATORS
from simcore.tensor import DynamicSlice as ds  # noqa: F401
from simcore.tensor import MemoryRegion, private_hbm, psum, sbuf, shared_hbm  # noqa: F401
from simcore.tensor import Tensor as NkiTensor  # noqa: F401

hbm = private_hbm
bool = bool_  # noqa: A001
tile_size = TileSize(session)
constants = tile_size

# operators: add, exp, maximum ... each a token for op= fields and a function on tiles
from simcore.frontend.nki import functions as _functions  # noqa: E402

globals().update({name: op for name, op in OPERATORS.items() if not name.startswith("_")})
globals().update({name: getattr(_functions, name) for name in _functions.__all__})
globals().update(_functions.REDUCTIONS)


# ------------------------------------------------------------------------------------------------ creation


def ndarray(shape, dtype, buffer=sbuf, name=None, address=None, **ignored):
    """An uninitialised tensor; address=(partition, byte) places it."""
    return allocate(shape, dtype, buffer, name=name, address=address)


# ------------------------------------------------------------------------------------------------ loops and programs


def affine_range(start, stop=None, step=1, **ignored):
    """A plain unrolled loop, as are sequential_range and static_range."""
    return range(int(start)) if stop is None else range(int(start), int(stop), int(step))


sequential_range = static_range = affine_range
range_ = range


def dynamic_range(start, stop=None, step=1, **ignored):
    """A loop on the device; the loop variable is a register."""
    from simcore.frontend.control import dynamic_range as run

    return run(start, stop, step)


def fori_loop(lower, upper, body_fun, step=1):
    for i in dynamic_range(lower, upper, step):
        body_fun(i)


def while_loop(init, body_fun):
    r = init
    while r:
        r = body_fun(r)
    return r


@contextlib.contextmanager
def no_reorder():
    """Instructions inside keep the order of the program."""
    from simcore.frontend.control import no_reorder as scope

    with scope():
        yield


def program_id(axis=0):
    p = programs()
    index = p.current.index
    return index[axis] if axis < len(index) else 0


def num_programs(axes=0):
    grid = programs().grid
    if axes is None:
        return int(np.prod(grid))
    if isinstance(axes, tuple | list):
        return int(np.prod([grid[a] for a in axes]))
    return grid[axes] if axes < len(grid) else 1


def program_ndim():
    p = programs()
    return 0 if p.grid == (1,) else len(p.grid)


# ------------------------------------------------------------------------------------------------ predicates, classes


def is_hbm(buffer):
    return not buffer.on_chip


def is_sbuf(buffer):
    return buffer is sbuf


def is_psum(buffer):
    return buffer is psum


def is_on_chip(buffer):
    return buffer.on_chip


class NKIObject:
    """Base of classes that carry tensors into kernels: class attributes are fields, missing arguments become their default or None."""

    __nki_object__ = True

    def __init_subclass__(cls, **kw):
        super().__init_subclass__(**kw)
        if "__init__" not in cls.__dict__:
            cls.__init__ = _fields_init


def _fields(cls) -> list[str]:
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        if base in (object, NKIObject):
            continue
        for n in getattr(base, "__annotations__", {}):
            names[n] = None
        for n, v in base.__dict__.items():
            if not n.startswith("_") and not callable(v) and not isinstance(v, property | classmethod | staticmethod):
                names[n] = None
    return list(names)


def _fields_init(self, *args, **kwargs):
    names = _fields(type(self))
    given = dict(zip(names, args, strict=False)) | kwargs
    for n in names:
        object.__setattr__(self, n, given.pop(n, getattr(type(self), n, None)))
    for n, v in given.items():
        object.__setattr__(self, n, v)
    post = getattr(self, "__post_init__", None)
    if post is not None:
        post()


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(f"nki.language has no {name!r}.{nearest(name, [n for n in globals() if not n.startswith('_')])}")


_ = state

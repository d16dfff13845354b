"""`neuronxcc.nki.compiler`: allocation helpers and directives.  Directives are accepted; they do not change values."""

from __future__ import annotations

import contextlib

from simcore.frontend.neuronxcc.placement import Memory as _Memory
from simcore.layout import psum as _psum
from simcore.layout import sbuf as _sbuf

sbuf, psum = _Memory(_sbuf), _Memory(_psum)


def _decorator(function=None, *args, **kwargs):
    if callable(function):
        return function
    return lambda fn: fn


skip_middle_end_transformations = enable_stack_allocator = force_auto_alloc = _decorator


def multi_buffer(factor: int = 2):
    """A directive of a loop: how many copies of its buffers may live at once."""
    return ("multi_buffer", factor)


@contextlib.contextmanager
def no_reorder():
    """Instructions inside keep the order of the program."""
    from simcore.frontend.control import no_reorder as scope
    from simcore.frontend.neuronxcc.results import flush

    flush()
    with scope():
        yield
        flush()


@contextlib.contextmanager
def allocation_scope(*args, **kwargs):
    yield

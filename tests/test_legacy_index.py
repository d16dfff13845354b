"""Index expressions and masks of the older dialect, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore.errors import KernelError
from simcore.frontend.neuronxcc.calls import Mask, resolve
from simcore.frontend.neuronxcc.forms import _nested
from simcore.frontend.neuronxcc.grids import MGrid, arange
from simcore.frontend.neuronxcc.index import Index, Predicate, truth

mgrid = MGrid()


def test_lines_and_grids_are_numpys():
    assert np.array_equal(arange(2, 14, 3).dense(), np.arange(2, 14, 3))
    p, f = mgrid[0:4, 3:9]
    want_p, want_f = np.mgrid[0:4, 3:9]
    assert np.array_equal(p.dense(), want_p) and np.array_equal(f.dense(), want_f)
    grid = mgrid[0:4, 3:9]
    assert grid.p is grid[0] and grid.x is grid[1]


@settings(max_examples=60, deadline=None)
@given(st.integers(-40, 40), st.integers(-9, 9), st.integers(1, 7), st.integers(0, 30))
def test_arithmetic_is_numpys(offset, scale, divisor, shift):
    a, b = arange(6)[:, None], arange(3, 8)[None, :]
    na, nb = np.arange(6)[:, None], np.arange(3, 8)[None, :]
    for mine, want in ((a * scale + b + offset, na * scale + nb + offset), (offset - a, offset - na),
                       (-(b - a), -(nb - na)),
                       ((a + shift) // divisor, (na + shift) // divisor),
                       ((b + shift) % divisor, (nb + shift) % divisor), (a * b, na * nb)):
        assert mine.shape == want.shape
        assert np.array_equal(mine.dense(), want)
        assert mine.bounds() == (want.min(), want.max())


def test_what_turns_out_affine_has_no_table():
    assert ((arange(8)[:, None] * 4) // 2).table is None
    assert (arange(8) // 3).table is not None


@settings(max_examples=60, deadline=None)
@given(st.integers(-5, 140), st.integers(-5, 520), st.integers(1, 3))
def test_masks_of_lines_are_boxes(rows, columns, scale):
    p, f = mgrid[0:128, 0:512]
    for mask, want in (((p < rows) & (f * scale < columns), lambda i, j: (i < rows) & (j * scale < columns)),
                       ((p >= rows) & (columns > f), lambda i, j: (i >= rows) & (columns > j)),
                       (~(p <= rows), lambda i, j: i > rows)):
        i, j = np.mgrid[0:128, 0:512]
        dense = want(i, j) & np.ones((128, 512), bool)
        assert np.array_equal(mask.dense((128, 512)), dense)
        found = resolve(mask, (128, 512))
        if not dense.any():
            assert found is False
        elif dense.all():
            assert found is None
        else:
            assert isinstance(found, Mask) and found.keep is None
            box = np.zeros((128, 512), bool)
            box[tuple(slice(a, b) for a, b in found.box)] = True
            assert np.array_equal(box, dense)


def test_a_triangle_keeps_its_bounding_box_and_its_points():
    p, f = mgrid[0:8, 0:8]
    found = resolve((p > f) & (p < 6), (8, 8))
    assert found.box == ((1, 6), (0, 5))
    assert np.array_equal(found.keep, np.tril(np.ones((5, 5), bool)))


def test_masks_of_loop_variables_only():
    i = 3
    assert resolve(i < 4, (128, 1)) is None
    assert resolve(i > 4, (128, 1)) is False
    assert truth(~(i < 4)) is False and truth(~(i > 4)) is True      # ~True is -2
    assert resolve((arange(8) < 5) & (i > 4), (8,)) is False


def test_and_between_masks_keeps_the_second():
    p, f = mgrid[0:8, 0:8]
    both = p < 2 and f < 3
    assert isinstance(both, Predicate) and resolve(both, (8, 8)).box == ((0, 8), (0, 3))


def test_grids_that_do_not_broadcast_say_so():
    with pytest.raises(KernelError, match="do not broadcast"):
        arange(4)[:, None] + arange(5)[:, None]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 4), st.integers(-3, 12)), min_size=1, max_size=3))
def test_nested_strides_reproduce_the_table(parts):
    line = np.zeros(1, np.int64)
    for count, stride in parts:
        line = (line[:, None] + np.arange(count) * stride).reshape(-1)
    found = _nested(line)
    if found:
        again = np.zeros(1, np.int64)
        for count, stride in found:
            again = (again[:, None] + np.arange(count) * stride).reshape(-1)
        assert np.array_equal(again, line)


def test_views_of_expressions():
    line = arange(6)
    assert line[:, None].shape == (6, 1) and line[None, :].shape == (1, 6) and line[:, None, None].shape == (6, 1, 1)
    assert np.array_equal(line[2:5].dense(), np.arange(6)[2:5])
    assert isinstance(line[None], Index) and line.expand_dims(1).shape == (6, 1)

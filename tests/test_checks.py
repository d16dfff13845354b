"""Findings over a whole trace, each with the line that is wrong."""

import numpy as np

import simcore
from simcore.frontend import activate

with activate():
    import nki
    import nki.isa as nisa
    import nki.language as nl

X = np.ones((4, 8), np.float32)


def findings(kernel, *arrays, **options):
    return simcore.capture(kernel, *arrays, **options).info["warnings"]


def line_of(function, text: str) -> str:
    import inspect

    lines, start = inspect.getsourcelines(function)
    return f"test_checks.py:{start + next(i for i, line in enumerate(lines) if text in line)}"


def test_a_read_of_memory_never_written_names_both_lines():
    def kernel(a):
        t = nl.ndarray((4, 8), nl.float32)          # allocated
        nisa.dma_copy(dst=t[:, 0:6], src=a[:, 0:6])
        u = nl.ndarray((4, 8), nl.float32)
        nisa.tensor_copy(dst=u, src=t)              # reads
        return a

    (found,) = findings(kernel, X)
    assert "reads 8 of 32 elements" in found
    assert line_of(kernel, "# allocated") in found and line_of(kernel, "# reads") in found


def test_parts_that_together_fill_a_tile_are_enough():
    def kernel(a):
        t, u = nl.ndarray((4, 8), nl.float32), nl.ndarray((4, 8), nl.float32)
        for i in range(0, 8, 2):
            nisa.dma_copy(dst=t[:, i:i + 2], src=a[:, i:i + 2])
        nisa.tensor_copy(dst=u, src=t.view(nl.bfloat16).view(nl.float32))
        nisa.tensor_copy(dst=u[:, 1:8:2], src=t[:, 0:8:2])
        nisa.tensor_copy(dst=t[:, 0:4], src=u[:, 1:8:2])
        return a

    assert findings(kernel, X) == []


def two_cores(wait):
    @nki.jit
    def kernel(a):
        me = nl.program_id(0)
        shared, out = nl.ndarray((2, 8), nl.float32, nl.shared_hbm), nl.ndarray((2, 8), nl.float32, nl.shared_hbm)
        nisa.dma_copy(dst=shared[me], src=a[me])
        if wait:
            nisa.core_barrier(shared, (0, 1))
        nisa.dma_copy(dst=out[me], src=shared[1 - me])
        return out

    return kernel[2]


def test_a_race_between_the_cores_is_found():
    assert findings(two_cores(True), X) == []
    assert any("core 0 reads shared_hbm" in w and "core_barrier" in w for w in findings(two_cores(False), X))


def test_partitions_start_where_engines_can():
    def kernel(a):
        t, u = nl.ndarray((128, 8), nl.float32), nl.ndarray((128, 8), nl.float32)
        nisa.memset(dst=t, value=0)
        nisa.tensor_copy(dst=u[32:64], src=t[64:96])
        nisa.tensor_copy(dst=u[64:128], src=t[0:64])
        nisa.tensor_copy(dst=u[32:96], src=t[0:64])
        return a

    (found,) = findings(kernel, X)
    assert "64 partitions from partition 32" in found


def test_a_view_outside_is_an_error_only_where_it_is_used():
    def kernel(a, use):
        t = nl.ndarray((4, 8), nl.float32)
        view = t.ap([[8, 4], [4, 8]], offset=0)
        nisa.memset(dst=view if use else t, value=0)
        return a

    simcore.capture(kernel, X, False)
    for values in (True, False):
        try:
            simcore.capture(kernel, X, True, values=values)
        except simcore.errors.KernelError as e:
            assert "leaves" in str(e) and line_of(kernel, "nisa.memset") in str(e)
        else:
            raise AssertionError("a view outside its tile was written")

"""One instruction at a time: a kernel that loads operands, issues the instruction and stores what it wrote."""

from __future__ import annotations

import ml_dtypes
import numpy as np

import simcore
from simcore.frontend import activate

with activate():
    import nki.isa as nisa
    import nki.language as nl

NUMPY = {"bfloat16": ml_dtypes.bfloat16, "float8_e4m3": ml_dtypes.float8_e4m3, "float8_e5m2": ml_dtypes.float8_e5m2,
         "float8_e4m3fn": ml_dtypes.float8_e4m3fn}


def numpy_dtype(name: str) -> np.dtype:
    return np.dtype(NUMPY.get(name, name))


class Out:
    """An operand that is written: its shape, dtype, memory, and what it holds before."""

    def __init__(self, shape, dtype="float32", buffer="sbuf", before=None):
        self.shape, self.dtype, self.buffer, self.before = tuple(shape), dtype, buffer, before


class In:
    """An operand that is read, where it is not in SBUF."""

    def __init__(self, values, buffer="psum"):
        self.values, self.buffer = values, buffer


def tile(array, buffer="sbuf"):
    """A tile with these values, inside a kernel."""
    t = nl.ndarray(array.shape, array.dtype, nl.sbuf)
    nisa.dma_copy(dst=t, src=array)
    if buffer == "sbuf":
        return t
    moved = nl.ndarray(array.shape, array.dtype, getattr(nl, buffer))
    nisa.tensor_copy(dst=moved, src=t)
    return moved


def issue(name: str, *, target="trn2", before=(), **operands):
    """Run one instruction; returns the written operands as arrays, in order (one array when there is one).

    before  (name, operands) pairs of instructions to issue first; NumPy arrays are read operands, Out written ones
    """
    calls = [*before, (name, operands)]
    inputs, places = [], []
    for k, (_, given) in enumerate(calls):
        for arg, value in given.items():
            values = value.before if isinstance(value, Out) else value.values if isinstance(value, In) else value
            if isinstance(values, np.ndarray):
                places.append((k, arg))
                inputs.append(values)

    def kernel(*arrays):
        have = dict(zip(places, arrays, strict=True))
        results = []
        for k, (instruction, given) in enumerate(calls):
            ready = {}
            for arg, value in given.items():
                if isinstance(value, Out):
                    if value.before is not None:
                        ready[arg] = tile(have[k, arg], value.buffer)
                    else:
                        ready[arg] = nl.ndarray(value.shape, value.dtype, getattr(nl, value.buffer))
                    results.append(ready[arg])
                elif (k, arg) in have:
                    ready[arg] = tile(have[k, arg], value.buffer if isinstance(value, In) else "sbuf")
                else:
                    ready[arg] = value
            getattr(nisa, instruction)(**ready)
        out = []
        for t in results:
            hbm = nl.ndarray(t.shape, t.dtype, nl.shared_hbm)
            if t.is_psum():
                moved = nl.ndarray(t.shape, t.dtype, nl.sbuf)
                nisa.tensor_copy(dst=moved, src=t)
                t = moved
            nisa.dma_copy(dst=hbm, src=t)
            out.append(hbm)
        return tuple(out)

    outputs = simcore.capture(kernel, *inputs, target=target).outputs
    return outputs[0] if len(outputs) == 1 else outputs


def close(got, want, dtype="float32", tol=None):
    """Equal up to the rounding of the dtype."""
    tol = (tol or {"float32": 2e-6, "bfloat16": 8e-3, "float16": 1e-3, "float8_e4m3": 0.07,
                   "float8_e5m2": 0.13}.get(dtype, 0))
    np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(want, np.float64), rtol=tol, atol=tol)

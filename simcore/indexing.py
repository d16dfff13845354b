"""How a kernel cuts tensors: `t[...]`, `.ap(...)`, gathers by row, `rearrange`.

Every cut of one layout by one key is worked out once and remembered on the layout, because kernels cut the same way in
every iteration of a loop.
"""

from __future__ import annotations

import math

from simcore.addresses import Outside, RowIndex, moving_view, storage_elements
from simcore.dtypes import DType, to_dtype
from simcore.errors import KernelError
from simcore.layout import Layout, layout, row_major
from simcore.registers import Register
from simcore.tensor import DynamicSlice, Tensor


def getitem(t: Tensor, key) -> Tensor:
    if key.__class__ is not tuple:
        key = (key,)
    lay = t.layout
    frozen: tuple | None
    if len(key) == 2:           # nearly all: written out, because a loop takes twice as long
        a, b = key
        frozen = ((a.start, a.stop, a.step) if a.__class__ is slice else _static(a),
                  (b.start, b.stop, b.step) if b.__class__ is slice else _static(b))
    else:
        frozen = tuple([(k.start, k.stop, k.step) if k.__class__ is slice else _static(k) for k in key])
    try:
        cut = lay.getitem.get(frozen)
    except TypeError:        # a register or another run-time value
        frozen = cut = None
    if cut is None:
        key, moving, unknown = _resolve_dynamic(lay, key, t)
        cut = _cut(lay, key, t)
        if not unknown and frozen is not None and not any(isinstance(k, DynamicSlice | Tensor) for k in frozen):
            lay.getitem[frozen] = cut
        if unknown:
            view = layout(cut[0].shape, cut[0].strides, cut[0].dtype, cut[0].buffer, "scalar")
            return moving_view(t, view, t.offset + cut[1], moving)
    return Tensor(t.storage, cut[0], t.offset + cut[1], t.index)


def _static(k):
    """A part of a key by which its cut may be remembered: `nl.ds` with a known start is a slice."""
    if k.__class__ is DynamicSlice and k.start.__class__ is int:
        return k.start, k.start + k.size, None
    return k


def _resolve_dynamic(lay, key, t: Tensor):
    """A key's static part and its run-time values: (key with 0 for them, [(value, elements per unit)], any?)."""
    ndim = len(lay.shape)
    if any(k is Ellipsis for k in key):
        at = next(i for i, k in enumerate(key) if k is Ellipsis)
        given = sum(k is not None and k is not Ellipsis for k in key)
        key = key[:at] + (slice(None),) * (ndim - given) + tuple(k for k in key[at + 1:] if k is not Ellipsis)
    moving, out, dim, unknown = [], [], 0, False
    for k in key:
        stride = lay.strides[dim] if dim < ndim else 0
        dim += k is not None
        if isinstance(k, DynamicSlice):
            if isinstance(k.start, Register | Tensor):
                moving.append((k.start, stride))
                unknown, k = True, slice(0, k.size)
            else:
                start = int(k.start)
                k = slice(start, start + k.size)
        elif isinstance(k, slice) and isinstance(k.start, Register | Tensor):
            if not isinstance(k.start, Register) or not isinstance(k.stop, Register):
                raise KernelError(f"{t!r}: a slice with a run-time start must end a constant distance later; "
                                  "use nl.ds(start, size)")
            moving.append((k.start, stride))
            unknown, k = True, slice(0, k.stop.distance(k.start), k.step)
        elif isinstance(k, slice) and isinstance(k.stop, Register | Tensor):
            k = slice(k.start, int(k.stop), k.step)
        elif isinstance(k, Register | Tensor):
            moving.append((k, stride))
            unknown, k = True, 0
        out.append(k)
    return tuple(out), moving, unknown


def _cut(lay, key, t):
    """(layout, offset change) of one indexing expression."""
    ndim = len(lay.shape)
    if any(k is Ellipsis for k in key):
        at = next(i for i, k in enumerate(key) if k is Ellipsis)
        given = sum(k is not None and k is not Ellipsis for k in key)
        key = key[:at] + (slice(None),) * (ndim - given) + tuple(k for k in key[at + 1:] if k is not Ellipsis)
    if sum(k is not None for k in key) > ndim:
        raise KernelError(f"{len(key)} indices for {t!r}, which has {ndim} dimensions")
    shape, strides, keep, delta, dim = [], [], [], 0, 0
    for k in key:
        if k is None:
            shape.append(1)
            strides.append(0)
            keep.append(True)
            continue
        n, s = lay.shape[dim], lay.strides[dim]
        if isinstance(k, range) and k.step > 0:         # x[nl.affine_range(n)], as nkipy's example writes it
            k = slice(k.start, k.stop, k.step)
        if isinstance(k, slice):
            start, count, step = _bounds(k, n, dim, t)
            delta += start * s
            shape.append(count)
            strides.append(s * step)
            keep.append(True)
        else:
            try:
                i = k.__index__()
            except (AttributeError, TypeError):
                raise KernelError(f"{t!r} cannot be indexed with {k!r} ({type(k).__name__}); use integers, "
                                  "slices, nl.ds or .ap()") from None
            if not -n <= i < n:
                raise KernelError(f"index {i} is outside dimension {dim} of {t!r}, which has {n} elements")
            delta += (i % n) * s
            shape.append(1)
            strides.append(s)
            keep.append(dim == 0 and lay.on_chip)
        dim += 1
    shape += lay.shape[dim:]
    strides += lay.strides[dim:]
    keep += [True] * (ndim - dim)
    if lay.on_chip and sum(keep) < 2:      # an on-chip tile has a partition and a free dimension
        free = [i for i, k in enumerate(keep) if not k]
        if free:
            keep[free[-1]] = True
    out_shape = tuple(n for n, k in zip(shape, keep, strict=True) if k)
    out_strides = tuple(s for s, k in zip(strides, keep, strict=True) if k)
    return layout(out_shape, out_strides, lay.dtype, lay.buffer, lay.indirect), delta


def _bounds(k: slice, n: int, dim: int, t):
    step = 1 if k.step is None else int(k.step)
    if step == 0:
        raise KernelError(f"slice step 0 in dimension {dim} of {t!r}")
    if step < 0:
        start, stop, step = k.indices(n)
        return start, max(0, -((start - stop) // step)), step
    start = 0 if k.start is None else int(k.start)
    stop = n if k.stop is None else int(k.stop)
    if start < 0:
        start += n
    if stop < 0:
        stop += n
    count = max(0, -(-(stop - start) // step))
    if count and (start < 0 or start + (count - 1) * step >= n):
        raise KernelError(f"slice {start}:{stop}{f':{step}' if step != 1 else ''} runs outside "
                          f"dimension {dim} of {t!r}, "
                          f"which has {n} elements")
    return start, count, step


def access_pattern(t: Tensor, pattern=None, offset=None, scalar_offset=None, vector_offset=None, indirect_dim=0,
                   dtype=None) -> Tensor:
    """`.ap()`: [step, count] pairs over the tensor's storage (see the vendor's access-pattern guide)."""
    storage = t.storage
    dt = t.dtype if dtype is None else to_dtype(dtype)
    if pattern is None:
        pattern = t.get_pattern()
    steps = tuple([int(s) for s, _ in pattern])
    counts = tuple([int(n) for _, n in pattern])
    moving = []
    # an offset counts from where the view starts (API reference of the SDK; kernels tested on hardware rely on it)
    start = t.offset * t.dtype.itemsize // dt.itemsize
    if isinstance(offset, Register | Tensor):
        moving.append((offset, 1))
    elif offset is not None:
        start += int(offset)
    key = (t.layout, storage.shape, storage.dtype, steps, counts, dt)
    known = _patterns.get(key)
    if known is None:
        known = _patterns[key] = _pattern(t, steps, counts, dt), storage_elements(storage, dt)
    view, size = known
    steps = view.strides
    if vector_offset is not None:
        if indirect_dim != 0 or scalar_offset is not None:
            raise KernelError(".ap(): vector_offset works on dimension 0 only, and not together with scalar_offset")
        unit = _unit(t, 0)
        return Tensor(storage, layout(counts, (unit, *steps[1:]), dt, t.buffer, "vector"), start,
                      RowIndex(vector_offset, unit, size))
    if scalar_offset is not None:
        if not -len(t.shape) <= indirect_dim < len(t.shape):
            raise KernelError(f".ap(): indirect_dim {indirect_dim} is not a dimension of {t!r}")
        unit = _unit(t, indirect_dim % len(t.shape))
        if isinstance(scalar_offset, Register | Tensor):
            moving.append((scalar_offset, unit))
        else:
            start += int(scalar_offset) * unit
    if moving:
        return moving_view(t, layout(counts, steps, dt, t.buffer, "scalar"), start, moving)
    low, high = view.extent
    # kernels make such patterns and do not use them
    if not (start + low >= 0 and start + high <= size) and view.size:
        view = layout(counts, steps, dt, t.buffer, "outside")
        return Tensor(storage, view, 0, Outside(f"access pattern {[list(p) for p in pattern]} at offset {start} "
                                                f"leaves {t!r}, whose storage has {size} elements"))
    return Tensor(storage, view, start)


_patterns: dict[tuple, tuple[Layout, int]] = {}      # -> layout, elements of the storage


def _pattern(t: Tensor, steps: tuple[int, ...], counts: tuple[int, ...], dt: DType) -> Layout:
    """The layout of a pattern over a tensor's storage."""
    pitch = t.storage.pitch * t.storage.dtype.itemsize // dt.itemsize
    own = math.prod(t.shape[1:]) * t.dtype.itemsize // dt.itemsize
    if t.buffer.on_chip and steps and steps[0] != pitch and steps[0] == own:
        # one partition on, said in elements of the view instead of the tile it was cut from
        steps = (pitch, *steps[1:])
    if t.buffer.on_chip and counts and counts[0] > 1 and steps[0] not in (0, pitch):
        raise KernelError(f"the first step of an on-chip access pattern must be the tile's {pitch} elements per "
                          f"partition, not {steps[0]}")
    return layout(counts, steps, dt, t.buffer)


def _unit(t: Tensor, dim: int) -> int:
    """Elements from one index of a dimension to the next, as the tensor was before the pattern."""
    return t.strides[dim] if t.shape[dim] != 1 else math.prod(t.shape[dim + 1:])


def vector_select(t: Tensor, dim: int, offsets: Tensor) -> Tensor:
    """Row `offsets[p]` of an HBM tensor for output partition p."""
    if dim != 0 or t.buffer.on_chip:
        raise KernelError("vector_select picks rows (dimension 0) of an HBM tensor")
    view = layout((offsets.size, *t.shape[1:]), t.strides, t.dtype, t.buffer, "vector")
    return Tensor(t.storage, view, t.offset, RowIndex(offsets, t.strides[0], t.storage.size))


# ---------------------------------------------------------------------------------------- rearrange


def rearrange(t: Tensor, source, target, sizes) -> Tensor:
    """Einops-like: `source` and `target` are strings ("p (a b)") or tuples of names and tuples of names."""
    source, target = _terms(source), _terms(target)
    if len(source) != t.ndim:
        raise KernelError(f"rearrange: {len(source)} source terms for {t!r} with {t.ndim} dimensions")
    known = dict(sizes)
    stride: dict[str, int] = {}
    for term, n, s in zip(source, t.shape, t.strides, strict=True):
        free = [a for a in term if a not in known]
        fixed = math.prod(known[a] for a in term if a in known)
        if len(free) > 1 or n % fixed or (not free and fixed != n):
            raise KernelError(f"rearrange: sizes of {' '.join(term)} do not follow from {n} elements")
        if free:
            known[free[0]] = n // fixed
        for a, inner in zip(term, row_major([known[a] for a in term]), strict=True):
            stride[a] = s * inner
    shape, strides = [], []
    for term in target:
        dims = [(known[a], stride[a]) for a in term]
        n = math.prod(d[0] for d in dims)
        real = [d for d in dims if d[0] != 1]
        for (_, outer), (count, inner) in zip(real, real[1:], strict=False):
            if outer != count * inner:
                raise KernelError(f"rearrange: {' '.join(term)} cannot be merged without a copy")
        shape.append(n)
        strides.append(real[-1][1] if real else 1)
    if sorted(a for x in source for a in x) != sorted(a for x in target for a in x):
        raise KernelError("rearrange: source and target must name the same dimensions")
    if t.buffer.on_chip and source[0] and target[0] and source[0][0] != target[0][0]:
        raise KernelError("rearrange: the partition dimension of an on-chip tile must stay first")
    return t._derive(shape, strides, t.offset)


def _terms(spec):
    if isinstance(spec, str):
        spec = spec.replace("(", " ( ").replace(")", " ) ").split()
        out, group = [], None
        for word in spec:
            if word == "(":
                group = []
            elif word == ")":
                out.append(tuple(group))
                group = None
            elif group is not None:
                group.append(word)
            else:
                out.append((word,))
        return out
    return [tuple(x) if isinstance(x, tuple | list) else (x,) for x in spec]


# ---------------------------------------------------------------------------------------- values


def scalar_value(t: Tensor):
    from simcore.frontend import state

    if t.size != 1:
        raise ValueError(f"a tile with {t.size} elements has no single value")
    if t.storage.data is None:
        state.value_needed(f"the value of {t.name}")
    return t.read().reshape(-1)[0].item()


def assign(region: Tensor, value) -> None:
    from simcore.frontend import state

    state.assign(region, value)


Tensor.__getitem__, Tensor.ap = getitem, access_pattern

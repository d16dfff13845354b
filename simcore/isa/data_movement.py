"""Copies, fills, transposes and DMA."""

from __future__ import annotations

import numpy as np

from simcore.dtypes import cast
from simcore.isa.operand import check_not_both_psum, check_same_free, check_tiles, generation, rows
from simcore.isa.operators import to_operator
from simcore.isa.table import (
    DMA,
    GPSIMD,
    SCALAR,
    TENSOR,
    VECTOR,
    DgeMode,
    Engine,
    OobMode,
    Read,
    ReadMany,
    ReadOrScalar,
    Update,
    Write,
    instruction,
    require,
)
from simcore.layout import psum, sbuf

_skip = OobMode.skip


def skips(oob_mode) -> bool:
    return getattr(oob_mode, "name", oob_mode) == "skip"


@instruction(engines=(DMA,), opcode="DMA_DIRECT2D")
def dma_copy(dst: Write, src: Read, priority=None, oob_mode=OobMode.error, dge_mode=DgeMode.unknown,
             engine=Engine.unknown, dst_rmw_op=None):
    """dst = src between HBM and SBUF, in row-major order of each side's own shape; dtypes convert through float32."""


@dma_copy.check
def _(v):
    dst, src = v["dst"], v["src"]
    require(dst.size == src.size, f"nisa.dma_copy: dst has {dst.size} elements {dst.shape}, src "
                                  f"has {src.size} {src.shape}")
    for o in v.operands:
        require(o.layout.buffer is not psum, f"nisa.dma_copy: {o.name} is in PSUM, which DMA cannot reach; copy it to "
                                             "SBUF with nisa.tensor_copy first")
    check_dma(v)
    if getattr(v.params["dge_mode"], "name", "") == "hwdge":
        require(dst.indirect != "vector" and src.indirect != "vector",
                "nisa.dma_copy: indirect access needs dge_mode swdge or unknown")


def check_dma(v):
    """What the generation must have for the arguments of a DMA."""
    hardware = getattr(v.params["dge_mode"], "name", "") == "hwdge"
    require(not hardware or generation() >= 3, f"nisa.{v.name}: dge_mode hwdge needs NeuronCore-v3")
    priority = v.params.get("priority")
    require(priority is None or generation() >= 4, f"nisa.{v.name}: priority needs NeuronCore-v4")
    require(priority is None or priority in (0, 1, 2, 3), f"nisa.{v.name}: priority is {priority}; 0 to 3 are possible")
    queue = v.params.get("engine", Engine.unknown)
    require(queue in (None, Engine.unknown) or (hardware and queue in (Engine.sync, Engine.scalar))
            or (not hardware and queue in (Engine.dma, Engine.gpsimd)),
            f"nisa.{v.name}: engine {getattr(queue, 'name', queue)} is not possible; sync or scalar "
            "are, with dge_mode hwdge")


@dma_copy.values
def _(dst, src, oob_mode, dst_rmw_op):
    skip = skips(oob_mode)
    values = src.index.read(src, skip) if src.index is not None else src.array()
    if dst_rmw_op is not None:
        op = to_operator(dst_rmw_op)
        if hasattr(dst.index, "update") and src.index is None:
            dst.index.update(dst, values, op, skip)
            return
        old = dst.index.read(dst, skip) if dst.index is not None else dst.array()
        values = op.apply(old.astype(np.float32).reshape(-1), values.astype(np.float32).reshape(-1))
    elif values.dtype != dst.dtype.np:
        values = cast(values.astype(np.float32) if values.dtype.kind not in "iu" or dst.dtype.is_float else values,
                      dst.dtype)
    if dst.index is not None:
        if skip and src.index is not None:
            values = _merge_skipped(dst, src, values)
        dst.index.write(dst, values, skip)
        return
    if skip and src.index is not None:
        values = _merge_skipped(dst, src, values)
    dst.write(values)


def _merge_skipped(dst, src, values):
    """Rows whose source index is out of bounds keep the destination's content."""
    valid = src.index.valid(src)
    if valid.all():
        return values
    old = (dst.index.read(dst, True) if dst.index is not None else dst.array()).reshape(src.shape)
    return np.where(valid.reshape((-1,) + (1,) * (len(src.shape) - 1)), values.reshape(src.shape), old)


@instruction(engines=(DMA,), opcode="DMA_TRANSPOSE")
def dma_transpose(dst: Write, src: Read, axes=None, priority=None, dge_mode=DgeMode.unknown, oob_mode=OobMode.error):
    """dst = src with its dimensions permuted: 2-D (1, 0), 3-D (2, 1, 0), 4-D (3, 1, 2, 0)."""


_AXES = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}


@dma_transpose.check
def _(v):
    src, dst, axes = v["src"], v["dst"], v.params["axes"]
    require(len(src.shape) in _AXES, f"nisa.dma_transpose: src has {len(src.shape)} dimensions; "
                                     "2, 3 and 4 are possible")
    if axes is not None:
        require(tuple(axes) == _AXES[len(src.shape)], f"nisa.dma_transpose: axes {tuple(axes)} is not possible; use "
                                                      f"{_AXES[len(src.shape)]}")
    check_dma(v)
    require(dst.size == src.size, f"nisa.dma_transpose: dst has {dst.size} elements {dst.shape}, src "
                                  f"has {src.size} {src.shape}")
    for o in v.operands:
        require(o.layout.buffer is not psum, f"nisa.dma_transpose: {o.name} is in PSUM, which DMA cannot reach")


@dma_transpose.values
def _(dst, src, oob_mode):
    values = src.index.read(src, skips(oob_mode)) if src.index is not None else src.array()
    values = values.transpose(_AXES[values.ndim])
    dst.write(cast(values.astype(np.float32), dst.dtype) if values.dtype != dst.dtype.np
              else np.ascontiguousarray(values))


@instruction(engines=(DMA,), opcode="DMA_COMPUTE")
def dma_compute(dst: Update, srcs: ReadMany, reduce_op, scales=None, unique_indices=True, oob_mode=OobMode.error):
    """dst = sum of srcs in float32 (read-modify-write where an operand is indirect)."""


@dma_compute.resolve
def _(rec, dst, srcs, reduce_op, scales, unique_indices, oob_mode):
    if isinstance(reduce_op, list | tuple):       # up to release 0.2: (dst, srcs, scales, reduce_op)
        reduce_op, scales = scales, reduce_op
    return dst, srcs, reduce_op, tuple(scales) if scales.__class__ is list else scales, unique_indices, oob_mode


@dma_compute.check
def _(v):
    srcs = [o for o in v.operands if o.name.startswith("srcs") and not o.name.endswith(".index")]
    require(1 <= len(srcs) <= 16, f"nisa.dma_compute: {len(srcs)} sources; 1 to 16 are possible")
    for o in srcs:
        require(o.layout.size == v["dst"].size, f"nisa.dma_compute: {o.name} has {o.layout.size} elements, "
                                                f"dst has {v['dst'].size}")
    require(to_operator(v.params["reduce_op"]) is to_operator("add"), "nisa.dma_compute: reduce_op must be nl.add")
    scales = v.params["scales"]
    require(scales is None or all(float(s) == 1.0 for s in scales),
            f"nisa.dma_compute: scales must all be 1.0, not {scales}")
    indirect = any(o.layout.indirect == "vector" for o in v.operands)
    require(not indirect or len(srcs) == 2, f"nisa.dma_compute: {len(srcs)} sources with run-time "
                                            "rows; exactly 2 are possible")


@dma_compute.values
def _(dst, srcs, oob_mode):
    skip = skips(oob_mode)
    total = None
    for src in srcs:
        values = (src.index.read(src, skip) if src.index is not None
                  else src.array()).astype(np.float32).reshape(dst.shape)
        total = values if total is None else total + values
    if dst.index is not None:
        dst.index.write(dst, total, skip)
    else:
        dst.write(total)


@instruction(engines=(VECTOR, SCALAR, GPSIMD), opcode="COPY")
def tensor_copy(dst: Write, src: Read, engine=Engine.unknown):
    """dst = src, cast to dst's dtype; equal dtypes are copied bit for bit."""


@tensor_copy.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "src")
    require(v.engine is not SCALAR or generation() >= 3,
            "nisa.tensor_copy: the Scalar engine cannot copy on NeuronCore-v2; use nisa.activation with op=nl.copy")
    if v.engine is GPSIMD:
        for o in v.operands:
            require(o.layout.buffer is sbuf, f"nisa.tensor_copy: GpSimd cannot reach PSUM, where {o.name} is; use the "
                                             "Vector or Scalar engine")


@tensor_copy.values
def _(dst, src):
    values = src.read()
    dst.write(values if values.dtype == dst.dtype.np else cast(_through_f32(values), dst.dtype))


def _through_f32(values):
    return values if values.dtype.kind in "iub" else values.astype(np.float32)


@instruction(engines=(VECTOR, GPSIMD), opcode="MEMSET")
def memset(dst: Write, value, engine=Engine.unknown):
    """dst = value."""


@memset.check
def _(v):
    check_tiles(v)
    if v["dst"].dtype.packed is not None:
        require(v.params["value"] == 0, f"nisa.memset: tiles of {v['dst'].dtype} can be filled with 0 only")


@memset.values
def _(dst, value):
    if dst.dtype.packed is not None:
        dst.array()[...] = 0
    else:
        dst.array()[...] = cast(np.asarray(value, np.float64 if isinstance(value, float) else None), dst.dtype)


@instruction(engines=(TENSOR, VECTOR), opcode="TRANSPOSE")
def nc_transpose(dst: Write, data: Read, engine=Engine.unknown):
    """dst = data.T in two dimensions, free dimensions flattened: Tensor up to 128x128 into PSUM, Vector up to 32x32."""


def transposes_on_vector(v) -> bool:
    """Which engine a transpose runs on: asked for, or by shape and destination as the vendor documents."""
    if v.engine is not Engine.unknown:
        return v.engine is VECTOR
    data, dst = v["data"], v["dst"]
    return dst.buffer is sbuf or data.buffer is psum or (data.shape[0] <= 32 and data.free <= 32)


@nc_transpose.check
def _(v):
    dst, data = v["dst"], v["data"]
    for o in v.operands:
        require(o.layout.on_chip, f"nisa.nc_transpose: {o.name} must be on chip, but is in {o.layout.buffer.value}")
    require((dst.shape[0], dst.free) == (data.free, data.shape[0]),
            f"nisa.nc_transpose: dst is {dst.shape[0]}x{dst.free}, but the transpose of {data.shape[0]}x{data.free} is "
            f"{data.free}x{data.shape[0]}")
    # float32: published kernels rely on the plain product with an identity
    require(dst.dtype is data.dtype or dst.dtype == "float32",
            f"nisa.nc_transpose: dst is {dst.dtype}, data is {data.dtype}; a transpose keeps its dtype")
    limit = 32 if v.engine is VECTOR else 128
    require(data.shape[0] <= limit and data.free <= limit,
            f"nisa.nc_transpose: {data.shape[0]}x{data.free} is larger than the {limit}x{limit} the "
            f"{'Vector' if limit == 32 else 'Tensor'} engine can transpose")


@nc_transpose.values
def _(dst, data):
    values = rows(data.read()).T
    dst.write(np.ascontiguousarray(values))


@instruction(engines=(VECTOR,), opcode="STREAM_SHUFFLE")
def nc_stream_shuffle(dst: Update, src: Read, shuffle_mask):
    """Within each 32 partitions: dst[i] = src[shuffle_mask[i]]; 255 leaves dst[i]."""


@nc_stream_shuffle.resolve
def _(rec, dst, src, shuffle_mask):
    return dst, src, tuple(shuffle_mask) if shuffle_mask.__class__ is list else shuffle_mask


@nc_stream_shuffle.check
def _(v):
    mask = v.params["shuffle_mask"]
    require(len(mask) == 32, f"nisa.nc_stream_shuffle: shuffle_mask has {len(mask)} entries; 32 are needed")
    require(all(0 <= int(m) < 32 or int(m) == 255 for m in mask),
            "nisa.nc_stream_shuffle: mask entries are 0..31, or 255 to leave a partition")
    require(v["dst"].dtype.itemsize == v["src"].dtype.itemsize,
            "nisa.nc_stream_shuffle: dst and src must have dtypes of one size")
    require(v["dst"].free == v["src"].free, f"nisa.nc_stream_shuffle: dst has {v['dst'].free} elements per "
                                            f"partition, src {v['src'].free}")


@nc_stream_shuffle.values
def _(dst, src, shuffle_mask):
    out = rows(dst.read()).copy()
    data = np.ascontiguousarray(rows(src.read())).view(out.dtype)
    for base in range(0, out.shape[0], 32):
        for i, m in enumerate(shuffle_mask):
            m = int(m)
            if m != 255 and base + i < out.shape[0] and base + m < data.shape[0]:
                out[base + i] = data[base + m]
    dst.write(out)


@instruction(engines=(VECTOR,), opcode="COPY_PREDICATED")
def tensor_copy_predicated(dst: Update, src: ReadOrScalar, predicate: Read, reverse_pred=False):
    """dst = src where predicate is not zero (zero with reverse_pred); the other elements keep their value."""


@tensor_copy_predicated.check
def _(v):
    check_tiles(v)
    check_same_free(v, "dst", "src", "predicate", broadcast=("src",))
    check_not_both_psum(v, "src", "predicate")
    pred, src = v["predicate"].dtype, v.get("src")
    require(pred in ("uint8", "uint16", "uint32"), "nisa.tensor_copy_predicated: predicate must be uint8, uint16 "
                                                   f"or uint32, but is {pred}")
    require(src is None or src.dtype is v["dst"].dtype, f"nisa.tensor_copy_predicated: src is {src and src.dtype}, dst "
                                                        f"is {v['dst'].dtype}; they must agree")


@tensor_copy_predicated.values
def _(dst, src, predicate, reverse_pred):
    old = rows(dst.read())
    take = rows(predicate.read()) != 0
    if reverse_pred:
        take = ~take
    new = (cast(rows(_through_f32(src.read())), dst.dtype) if hasattr(src, "layout")
           else cast(np.asarray(src, np.float32), dst.dtype))
    dst.write(np.where(take, new, old))


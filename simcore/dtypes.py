"""Dtypes: the vendor's names over NumPy storage.

A DType is its name: `float32 == "float32"`, usable as a dictionary key, in `np.zeros(dtype=...)`, and `str()` gives the
name.  Packed types (`*_x4`) hold four small values in one element and have no NumPy arithmetic of their own.
"""

from __future__ import annotations

from functools import cache, cached_property

import ml_dtypes
import numpy as np

from simcore.errors import UsageError, nearest

_Stored = np.dtype      # inside the class, `np` is the attribute


class DType(str):
    """A dtype name with its storage.

    np        NumPy dtype of one stored element
    itemsize  bytes of one stored element
    packed    None, or the dtype of each of the four packed values
    """

    np: _Stored
    itemsize: int
    packed: DType | None

    def __new__(cls, name: str, storage, packed: DType | None = None):
        self = super().__new__(cls, name)
        self.np = np.dtype(storage)
        self.itemsize = self.np.itemsize
        self.packed = packed
        return self

    @property
    def name(self) -> str:
        return str(self)

    @property
    def dtype(self) -> _Stored:
        """What `np.dtype(...)` asks an object for."""
        return self.np

    @cached_property
    def is_float(self) -> bool:
        return self.np.kind in "fV" and self.packed is None

    @cached_property
    def is_int(self) -> bool:
        return self.np.kind in "iub" and self.packed is None

    def __repr__(self) -> str:
        return str(self)

    def __reduce__(self):
        return (to_dtype, (str(self),))

    # str defines both; a DType is hashed and compared as its name
    __hash__ = str.__hash__

    def __eq__(self, other) -> bool:
        if isinstance(other, str):
            return str.__eq__(self, other)
        try:
            return to_dtype(other) is self
        except UsageError:
            return False

    def __ne__(self, other) -> bool:
        return not self == other


float32 = DType("float32", np.float32)
bfloat16 = DType("bfloat16", ml_dtypes.bfloat16)
float16 = DType("float16", np.float16)
tfloat32 = DType("tfloat32", np.float32)
int64 = DType("int64", np.int64)
uint64 = DType("uint64", np.uint64)
float64 = DType("float64", np.float64)
int32 = DType("int32", np.int32)
uint32 = DType("uint32", np.uint32)
int16 = DType("int16", np.int16)
uint16 = DType("uint16", np.uint16)
int8 = DType("int8", np.int8)
uint8 = DType("uint8", np.uint8)
bool_ = DType("bool", np.bool_)
float8_e4m3 = DType("float8_e4m3", ml_dtypes.float8_e4m3)
float8_e4m3fn = DType("float8_e4m3fn", ml_dtypes.float8_e4m3fn)
float8_e5m2 = DType("float8_e5m2", ml_dtypes.float8_e5m2)
float8_e8m0fnu = DType("float8_e8m0fnu", ml_dtypes.float8_e8m0fnu)
float4_e2m1fn = DType("float4_e2m1fn", ml_dtypes.float4_e2m1fn)
float8_e4m3fn_x4 = DType("float8_e4m3fn_x4", np.uint32, float8_e4m3fn)
float8_e5m2_x4 = DType("float8_e5m2_x4", np.uint32, float8_e5m2)
float4_e2m1fn_x4 = DType("float4_e2m1fn_x4", np.uint16, float4_e2m1fn)

DTYPES: dict[str, DType] = {str(d): d for d in list(globals().values()) if isinstance(d, DType)}
_ALIASES = {"bool_": bool_, "fp32": float32, "bf16": bfloat16, "fp16": float16, "f32": float32, "f16": float16,
            "tf32": tfloat32, "float": float32, "int": int32, "fp8_e4m3": float8_e4m3, "fp8_e5m2": float8_e5m2}
_BY_NUMPY = {d.np: d for d in reversed(DTYPES.values()) if d.packed is None and d is not tfloat32}
_cache: dict = {}


def to_dtype(spec) -> DType:
    """The DType of a DType, a name, a NumPy dtype or scalar type, a torch dtype, or an object with `.dtype`.

    Raises UsageError, naming the nearest known dtype, when there is none.
    """
    if spec.__class__ is DType:
        return spec
    fields = getattr(spec, "names", None)
    if fields and len(fields) == 1 and fields[0] in DTYPES:      # a NumPy record of one packed element, named after it
        return DTYPES[fields[0]]
    try:
        found = _cache.get(spec)
    except TypeError:
        found = None
    if found is None:
        found = _find(spec)
        try:
            _cache[spec] = found
        except TypeError:
            pass
    return found


def _find(spec) -> DType:
    if isinstance(spec, str):
        found = DTYPES.get(spec) or _ALIASES.get(spec)
        if found is None:
            raise UsageError(f"there is no dtype {spec!r}.{nearest(spec, [*DTYPES, *_ALIASES])}")
        return found
    if spec is float:
        return float32
    if spec is int:
        return int32
    if spec is bool:
        return bool_
    text = str(spec)
    if text.startswith("torch."):
        name = {"half": "float16", "float": "float32", "float8_e4m3fn": "float8_e4m3fn"}.get(text[6:], text[6:])
        return _find(name)
    try:
        return _BY_NUMPY[np.dtype(spec)]
    except (TypeError, KeyError):
        raise UsageError(f"{spec!r} is not a dtype the NeuronCore has") from None


def wider(a: DType, b: DType) -> DType:
    """The dtype that holds results of both: floats over integers, then the larger."""
    if a is b:
        return a
    if a.is_float != b.is_float:
        return a if a.is_float else b
    if a.itemsize != b.itemsize:
        return a if a.itemsize > b.itemsize else b
    return a if a.is_int or a is not float16 else b


_FLOAT8 = {d.np for d in (float8_e4m3, float8_e4m3fn, float8_e5m2, float4_e2m1fn)}      # one byte each


@cache
def _tables(float8: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """(the float32 of each byte, the byte of each upper half of a float32) of an 8-bit float."""
    upper = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.arange(256, dtype=np.uint8).view(float8).astype(np.float32), upper.astype(float8).view(np.uint8)


def to_float32(values) -> np.ndarray:
    """Values as float32, 8-bit floats by table (ml_dtypes converts those one by one)."""
    if getattr(values, "dtype", None) in _FLOAT8:
        return _tables(values.dtype)[0].take(values.view(np.uint8))
    return np.asarray(values, np.float32)


def _to_float8(values: np.ndarray, target: np.dtype) -> np.ndarray:
    """float32 rounded to nearest even.

    The upper half of the bits decides: every midpoint of an 8-bit float has zeros in the lower one.  What the lower
    half holds is kept as one sticky bit, so that no value moves onto a midpoint.
    """
    bits = np.ascontiguousarray(values).view(np.uint32)
    upper = (bits >> 16) | ((bits & 0xFFFF) != 0)
    return _tables(target)[1].take(upper).view(target)


def cast(values: np.ndarray, dtype: DType) -> np.ndarray:
    """Values in `dtype`: floats round to nearest even, float to integer too, saturating at the ends of the range.

    The vendor does not document how a float becomes an integer; every public kernel tried agrees with this.
    """
    target = dtype.np
    if values.dtype == target:
        return values
    if values.dtype in _FLOAT8:
        values = to_float32(values)
    if target in _FLOAT8:
        with np.errstate(over="ignore"):
            return _to_float8(np.asarray(values, np.float32), target)
    if dtype is tfloat32:
        return _round_tf32(values.astype(np.float32))
    if target.kind in "iu" and values.dtype.kind not in "iub":
        limits = np.iinfo(target)
        with np.errstate(invalid="ignore"):
            wide = np.rint(values.astype(np.float64))
            wide = np.clip(np.nan_to_num(wide, nan=0.0), limits.min, limits.max)
            if target.itemsize == 8:
                return wide.astype(target)
            return wide.astype(np.int64).astype(target)
    if target.kind == "b":
        return values.astype(np.float32) != 0
    with np.errstate(over="ignore", invalid="ignore"):
        if values.dtype.kind == "f" and values.dtype.itemsize == 8 and target.itemsize < 4:
            values = values.astype(np.float32)
        return values.astype(target)


def _round_tf32(values: np.ndarray) -> np.ndarray:
    bits = values.view(np.uint32)
    rounded = (bits + 0xFFF + ((bits >> 13) & 1)) & np.uint32(0xFFFFE000)
    return np.where(np.isfinite(values), rounded.view(np.float32), values)

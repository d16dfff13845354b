"""What test suites of other repositories use of the vendor's dtype helper, on NumPy and ml_dtypes.

Packed MX arrays are NumPy records of one integer, named after the packed type.
"""

import ml_dtypes
import numpy as np

from simcore.dtypes import DTYPES, cast, to_dtype
from simcore.isa.mx import pack, unpack

globals().update(DTYPES)


def static_cast(x, dtype):
    """x in another dtype; packed types take four values of the last dimension per element."""
    x = np.asarray(x)
    name = x.dtype.names[0] if x.dtype.names else None
    target = to_dtype(dtype)
    if name == str(target):
        return x
    if name is not None:
        wide = unpack(x[name], DTYPES[name])
        x = wide.reshape(*x.shape[:-1], -1)
    if target.packed is not None:
        values = x.astype(np.float32).reshape(*x.shape[:-1], -1, 4)
        return pack(values, target).view(packed_dtype(target))
    return cast(x, target)


def packed_dtype(dtype) -> np.dtype:
    return np.dtype([(str(dtype), dtype.np)])


def is_float_type(dtype) -> bool:
    return to_dtype(dtype).is_float


def sizeinbytes(dtype) -> int:
    return to_dtype(dtype).itemsize


def finfo(dtype):
    return ml_dtypes.finfo(to_dtype(dtype).np)

for _name, _dtype in DTYPES.items():
    if _dtype.packed is not None:
        np.sctypeDict.setdefault(_name, packed_dtype(_dtype))       # `np.zeros(shape, dtype="float8_e4m3fn_x4")`

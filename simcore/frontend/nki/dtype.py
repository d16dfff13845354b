"""`nki.dtype`: the dtypes by name, and `nki.dtype` itself as an annotation."""

from simcore.dtypes import DTYPES, DType

globals().update(DTYPES)
dtype = DType

__all__ = ["DType", "dtype", *DTYPES]

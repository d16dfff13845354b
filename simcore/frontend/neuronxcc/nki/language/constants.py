"""`neuronxcc.nki.language.constants`: limits of tiles and of dtypes."""

from simcore.dtypes import to_dtype
from simcore.frontend.neuronxcc.nki.language import bfp16, fp32, par_dim, tile_size

__all__ = ["bfp16", "fp32", "par_dim", "sizeinbytes", "tile_size"]


def sizeinbytes(dtype) -> int:
    """Bytes of one element."""
    return to_dtype(dtype).itemsize


def __getattr__(name: str):
    return getattr(tile_size, name)

"""`neuronxcc.nki.language.constants`: limits of tiles and of dtypes."""

from simcore.frontend.neuronxcc.nki.language import bfp16, fp32, par_dim, tile_size

__all__ = ["bfp16", "fp32", "par_dim", "tile_size"]


def __getattr__(name: str):
    return getattr(tile_size, name)

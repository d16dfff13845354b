"""local_tile: a tile on chip."""

from simcore.frontend.neuronxcc.tile import Tile as local_tile

__all__ = ["local_tile"]

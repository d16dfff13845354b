"""TileIndex: an index expression."""

from simcore.frontend.neuronxcc.index import Index as TileIndex

__all__ = ["TileIndex"]

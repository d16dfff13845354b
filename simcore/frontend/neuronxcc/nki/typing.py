"""`neuronxcc.nki.typing`: annotations; they constrain nothing."""

from simcore.frontend.nki.typing import _Subscriptable, mutable, mutable_tensor, scalar


class tensor(_Subscriptable):
    pass


__all__ = ["mutable", "mutable_tensor", "scalar", "tensor"]

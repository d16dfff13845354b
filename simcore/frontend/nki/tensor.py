"""`nki.tensor`: the tensor class under its module's name."""

from simcore.tensor import Tensor
from simcore.tensor import Tensor as NkiTensor
from simcore.tensor import Tensor as tensor

__all__ = ["NkiTensor", "Tensor", "tensor"]

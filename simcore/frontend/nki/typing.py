"""Annotations kernels use; they constrain nothing."""

from simcore.tensor import Tensor as tensor


class _Subscriptable:
    """`mutable_tensor`, `tensor[...]`: any subscript gives itself."""

    def __class_getitem__(cls, item):
        return cls


class mutable_tensor(_Subscriptable):
    pass


class mutable(_Subscriptable):
    pass


class scalar(_Subscriptable):
    pass


__all__ = ["mutable", "mutable_tensor", "scalar", "tensor"]

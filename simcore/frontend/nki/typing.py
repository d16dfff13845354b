"""Annotations kernels use; they constrain nothing."""

from simcore.tensor import Tensor


class _OfTensors(type):
    """isinstance(x, tensor) asks whether x is a tensor."""

    def __instancecheck__(cls, value) -> bool:
        return isinstance(value, Tensor)


class _Subscriptable:
    """`mutable_tensor`, `tensor[...]`: any subscript gives itself."""

    def __class_getitem__(cls, item):
        return cls


class tensor(_Subscriptable, metaclass=_OfTensors):
    """`tensor`, and `tensor[128, 512]`."""


class mutable_tensor(_Subscriptable):
    pass


class mutable(_Subscriptable):
    pass


class scalar(_Subscriptable):
    """`scalar[int]` as an annotation; called, it gives its value."""

    def __new__(cls, value=None, *args):
        return value


__all__ = ["mutable", "mutable_tensor", "scalar", "tensor"]

"""`neuronxcc.nki.typing`: annotations, and `tensor[[4096, 8192], dtype]` for an argument of benchmarks."""

from simcore.frontend.nki.typing import _Subscriptable, mutable, scalar


class Described:
    """A tensor by shape and dtype only."""

    def __init__(self, item):
        item = item if isinstance(item, tuple) else (item,)
        if item and isinstance(item[0], tuple | list):
            self.shape, self.dtype = tuple(item[0]), item[1] if len(item) > 1 else None
        else:
            self.shape, self.dtype = item, None


class tensor(_Subscriptable):
    def __class_getitem__(cls, item):
        return Described(item)


class mutable_tensor(_Subscriptable):
    pass


__all__ = ["mutable", "mutable_tensor", "scalar", "tensor"]

"""Arrays of zeros that take no memory, in place of large random inputs: without values, only shape and dtype count."""

import neuron_dtypes
import numpy as np

from simcore.dtypes import to_dtype

LARGE = 4096        # elements; smaller inputs may be indices and lengths, and stay as they are


class Shape(np.ndarray):
    """Zeros of stride 0: arithmetic and conversions give the same, and what is stored is forgotten."""

    def astype(self, dtype, *args, **kwargs):
        return shape_of(self.shape, dtype)

    def copy(self, order="C"):
        return self

    def __setitem__(self, key, value):
        pass

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if out is not None and any(isinstance(x, Shape) for x in out):
            return out[0]
        if method == "__call__" and ufunc.nout == 1 and ufunc.signature is None and out is None:
            one = ufunc(*(np.zeros((), x.dtype) if isinstance(x, np.ndarray) else x for x in inputs), **kwargs)
            return shape_of(np.broadcast_shapes(*map(np.shape, inputs)), one.dtype)
        plain = [x.view(np.ndarray) if isinstance(x, Shape) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **kwargs, **({} if out is None else {"out": out}))


def shape_of(shape, dtype) -> Shape:
    return np.broadcast_to(np.zeros((), dtype), shape).view(Shape)


def install() -> None:
    """The random functions the suite uses, and its conversion of dtypes."""
    for name, shape_at in {"randn": None, "rand": None, "random_sample": 0, "random": 0, "normal": 2,
                           "uniform": 2}.items():
        setattr(np.random, name, _instead(getattr(np.random, name), shape_at))
    np.random.default_rng = _generator(np.random.default_rng)
    neuron_dtypes.static_cast = _static_cast(neuron_dtypes.static_cast)


def _instead(drawn, shape_at):
    """shape_at  the position of the size among the arguments; None: the arguments are the size"""

    def draw(*args, size=None, **kwargs):
        shape = args if shape_at is None else size if size is not None or len(args) <= shape_at else args[shape_at]
        if shape is None or np.prod(shape, dtype=float) <= LARGE:
            return drawn(*args, **kwargs) if size is None else drawn(*args, size=size, **kwargs)
        return shape_of(shape, kwargs.get("dtype", np.float64))

    return draw


def _generator(real):
    class Generator:
        def __init__(self, *args):
            self._real = real(*args)

        def __getattr__(self, name):
            shape_at = {"random": 0, "standard_normal": 0, "normal": 2, "uniform": 2}
            found = getattr(self._real, name)
            return _instead(found, shape_at[name]) if name in shape_at else found

    return Generator


def _static_cast(real):
    def static_cast(x, dtype):
        target = to_dtype(dtype)
        if not isinstance(x, Shape) or x.dtype.names is not None:
            return real(x, dtype)
        if target.packed is None:
            return x.astype(target.np)
        return shape_of((*x.shape[:-1], x.shape[-1] // 4), neuron_dtypes.packed_dtype(target))

    return static_cast

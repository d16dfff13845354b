"""`nl.NKIObject`: base of classes that carry tensors and settings into kernels.

Class attributes, annotated or not, are the fields.  Constructor arguments that are missing become the class's default
or None, also under @dataclass; equality is structural.
"""

from __future__ import annotations


class NKIObject:
    """Base of kernel-side classes, with or without @dataclass."""

    __nki_object__ = True

    def __init_subclass__(cls, **kw):
        super().__init_subclass__(**kw)
        own = cls.__dict__.get("__annotations__", {})
        for name in own:
            if not hasattr(cls, name) and not _is_classvar(own[name]):
                # so that @dataclass accepts a field without a default anywhere, and a missing argument
                setattr(cls, name, None)
        if "__init__" not in cls.__dict__ and not _has_own_init(cls):
            cls.__init__ = _fields_init

    def __eq__(self, other):
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return vars(self) == vars(other)

    __hash__ = object.__hash__


def _is_classvar(annotation) -> bool:
    return "ClassVar" in str(annotation)


def _has_own_init(cls) -> bool:
    """Does a base class between this one and NKIObject bring a constructor of its own?"""
    for base in cls.__mro__[1:]:
        if base is NKIObject:
            return False
        init = base.__dict__.get("__init__")
        if init is not None and init is not _fields_init and not hasattr(base, "__dataclass_fields__"):
            return True
    return False


def fields(cls) -> list[str]:
    """Names of the fields, base classes first."""
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        if base in (object, NKIObject):
            continue
        for n, note in base.__dict__.get("__annotations__", {}).items():
            if not _is_classvar(note):
                names[n] = None
        for n, v in base.__dict__.items():
            if not n.startswith("_") and not callable(v) and not isinstance(v, property | classmethod | staticmethod):
                names[n] = None
    return list(names)


def _fields_init(self, *args, **kwargs):
    names = fields(type(self))
    if len(args) > len(names):
        raise TypeError(f"{type(self).__name__} has {len(names)} fields, but {len(args)} arguments were given")
    given = dict(zip(names, args, strict=False)) | kwargs
    for n in names:
        object.__setattr__(self, n, given.pop(n, getattr(type(self), n, None)))
    for n, v in given.items():
        object.__setattr__(self, n, v)
    post = getattr(self, "__post_init__", None)
    if post is not None:
        post()

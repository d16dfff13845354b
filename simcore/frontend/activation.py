"""Putting simcore's modules under the names kernels import (`nki`, `neuronxcc.nki`), and taking them away again.

Nothing called `nki` is ever installed.  Where the vendor's package is installed too, simcore's modules stand in front
of it while active, and the vendor's come back afterwards.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType

from simcore.frontend.neuronxcc import vendor
from simcore.layout import private_hbm, psum, sbuf

_HOME = "simcore.frontend."
ALIASES = {"nki": _HOME + "nki", "neuronxcc": _HOME + "neuronxcc"}
_depth = 0
_saved: dict[str, ModuleType] = {}
_ours: dict[str, ModuleType] = {}
# names of the language itself
_KEYWORDS = {"sbuf": sbuf, "psum": psum, "hbm": private_hbm, "builtin": lambda function: function}
_lent: list[str] = []


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `nki.x.y` as simcore.frontend.nki.x.y: one module object under two names."""

    def __init__(self):
        self.specs: dict = {}
        self.beside: dict[str, ModuleType] = {}     # modules that are no files of simcore

    def find_spec(self, fullname, path=None, target=None):
        home = _home(fullname)
        if home is None:
            return None
        try:
            found = importlib.util.find_spec(home)
        except ModuleNotFoundError:
            found = None
        if found is None:
            beside = vendor.find(fullname) if fullname.startswith("neuronxcc.") else None
            if beside is None:
                return None
            self.beside[fullname] = beside
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=found.submodule_search_locations is not None)

    def create_module(self, spec):
        if spec.name in self.beside:
            module = self.beside.pop(spec.name)
            self.specs[spec.name] = module.__spec__
            return module
        module = importlib.import_module(_home(spec.name))
        self.specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module):
        """Nothing to execute: the import system put the alias' spec on the module, so its own goes back."""
        module.__spec__ = self.specs.pop(module.__spec__.name)


def _home(name: str) -> str | None:
    top, _, rest = name.partition(".")
    if top not in ALIASES:
        return None
    return ALIASES[top] + (f".{rest}" if rest else "")


_finder = _Finder()


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in ALIASES


class activate:
    """From now on `import nki` and `import neuronxcc.nki` give simcore's modules: for a notebook or a test module.

    As a context manager (`with activate(): ...`) only until it ends.  May be nested.
    """

    def __init__(self) -> None:
        install()

    def __enter__(self) -> activate:
        return self

    def __repr__(self) -> str:
        return "<`import nki` and `import neuronxcc.nki` are simcore's from here on>"

    def __exit__(self, *error: object) -> None:
        remove()


def install() -> None:
    global _depth
    _depth += 1
    if _depth > 1:
        return
    for name in [n for n in sys.modules if _is_ours(n)]:
        _saved[name] = sys.modules.pop(name)
    sys.modules.update(_ours)
    sys.meta_path.insert(0, _finder)
    _lent[:] = [name for name in _KEYWORDS if not hasattr(builtins, name)]
    for name in _lent:
        setattr(builtins, name, _KEYWORDS[name])


def remove() -> None:
    global _depth
    _depth -= 1
    if _depth:
        return
    sys.meta_path.remove(_finder)
    for name in _lent:
        delattr(builtins, name)
    for name in [n for n in sys.modules if _is_ours(n)]:
        _ours[name] = sys.modules.pop(name)
    sys.modules.update(_saved)
    _saved.clear()

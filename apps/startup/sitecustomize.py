"""Read by every Python that `simcore exec` starts: `import nki` and `import neuronxcc` find simcore's modules, and
`import torch_xla` finds a stand-in where the real one is not installed.

Nothing is imported until one of the names is, so programs that never ask for them start as they always do.
"""

import importlib.machinery
import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


class _Names:
    """Finds the vendor's names by activating simcore when one is imported for the first time."""

    def find_spec(self, name, path=None, target=None):
        if name not in ("nki", "neuronxcc"):
            return None
        from simcore.apps import devices
        from simcore.frontend import activation

        sys.meta_path.remove(self)
        activation.install()
        if _devices.finder is None:
            _devices.finder = devices.Finder()
        watch = devices.Watch(_devices.finder)
        watch.find_spec(name)
        sys.meta_path.insert(0, watch)
        return importlib.util.find_spec(name)


class _Devices:
    """Last on the path: stand-ins for torch_xla and torch_neuronx, where nothing else was found."""

    finder = None

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ("torch_xla", "torch_neuronx"):
            return None
        from simcore.apps import devices

        if self.finder is None:
            self.finder = devices.Finder()
        return self.finder.find_spec(name)


_devices = _Devices()
sys.meta_path.insert(0, _Names())
sys.meta_path.append(_devices)

# This file stands in front of a sitecustomize the interpreter may have of its own; that one is read too.
_own = importlib.machinery.PathFinder.find_spec("sitecustomize",
                                                [p for p in sys.path if os.path.abspath(p or ".") != _HERE])
if _own is not None and _own.loader is not None:
    _own.loader.exec_module(importlib.util.module_from_spec(_own))

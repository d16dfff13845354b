"""The current dialect: what `import nki` gives a kernel."""

from simcore.frontend.jit import jit
from simcore.frontend.nki import collectives, isa, language, simulator, typing
from simcore.frontend.nki.simulator import baremetal, benchmark, profile, simulate, trace
from simcore.tensor import Tensor as NkiTensor
from simcore.tensor import Tensor as tensor

dtype = str
__version__ = "0.6.0+simcore"

__all__ = ["NkiTensor", "baremetal", "benchmark", "collectives", "dtype", "isa", "jit", "language", "profile", "simulate", "simulator",
           "tensor", "trace", "typing"]

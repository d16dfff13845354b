"""The current dialect: what `import nki` gives a kernel."""

from simcore.frontend.jit import jit
from simcore.frontend.nki import collectives, compiler, dtype, experimental, isa, language, simulator, tensor, typing
from simcore.frontend.nki.simulator import baremetal, benchmark, profile, simulate, trace
from simcore.tensor import Tensor as NkiTensor

__version__ = "0.6.0+simcore"

__all__ = ["NkiTensor", "baremetal", "benchmark", "collectives", "compiler", "dtype", "experimental", "isa", "jit",
           "language", "profile", "simulate", "simulator", "tensor", "trace", "typing"]

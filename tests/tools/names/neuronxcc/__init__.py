"""`import neuronxcc` in a plain interpreter with this folder on PYTHONPATH: simcore's module under the vendor's name.

Test suites of other repositories import `nki` without being started by simcore; this folder serves them the name.
"""

import importlib
import sys

from simcore.frontend import activation

activation.install()
sys.modules[__name__] = importlib.import_module(__name__)

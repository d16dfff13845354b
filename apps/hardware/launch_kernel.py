"""`python -m simcore.apps.hardware.launch_kernel FILE KERNEL ARG...`: one kernel on the chip with --arg's arguments.

Runs on a Trainium host with the vendor's own `nki` (or `neuronxcc.nki`) and PyTorch/XLA; executed twice, because the
first execution includes work done once.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(file: str, name: str, texts: list[str]) -> None:
    import torch
    import torch_xla.core.xla_model as xm

    from simcore.apps import arguments
    from simcore.apps.script import import_file
    from simcore.frontend import TensorSpec

    kernel = getattr(import_file(Path(file)), name)
    device = xm.xla_device()
    given = {}
    for i, (argument, value) in enumerate(arguments.parse(texts).items()):
        if isinstance(value, TensorSpec):
            array = value.materialize(i)
            value = torch.from_numpy(array.astype("float32")).to(getattr(torch, str(value.dtype))).to(device)
        given[argument] = value
    for _ in range(2):
        kernel(**given)
        xm.mark_step()
    xm.wait_device_ops()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

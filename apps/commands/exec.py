"""simcore exec: run any command with simcore's modules under the vendor's names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from simcore.errors import UsageError

STARTUP = Path(__file__).resolve().parents[1] / "startup"


def exec(
    context: typer.Context,
    target: Annotated[str, typer.Option("--target", "-t", help="The chip: trn1, trn2, trn3.")] = "trn2",
) -> None:
    """Run a command, such as somebody's test suite: simcore exec -- pytest tests/

    Every Python it starts finds simcore's modules under `nki` and `neuronxcc`. The exit code is the command's.
    """
    from simcore.frontend.launch import check_target

    command = list(context.obj or [])
    if not command:
        raise UsageError("nothing to run: write the command after --, for example  simcore exec -- pytest tests/")
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(STARTUP), *filter(None, [environment.get("PYTHONPATH")])])
    environment["NEURON_PLATFORM_TARGET_OVERRIDE"] = check_target(target)
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, environment)
    except FileNotFoundError:
        raise UsageError(f"there is no command {command[0]!r}") from None
    except OSError as e:
        raise UsageError(f"{command[0]} cannot be run: {e.strerror}") from None

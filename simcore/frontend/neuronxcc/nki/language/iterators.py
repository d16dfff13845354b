"""sync_program: programs of a launch wait for each other."""

from simcore.frontend import state
from simcore.frontend.neuronxcc.results import flush


def sync_program(*axes) -> None:
    """Every program of the launch reaches this point before any goes on."""
    flush()
    programs = state.current("sync_program").programs
    if len(programs.programs) > 1:
        programs.meet("sync_program")


__all__ = ["sync_program"]

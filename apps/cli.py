"""The command line: `simcore COMMAND FILE ...`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from simcore.apps import commands
from simcore.apps.qwen3.commands import app as qwen3
from simcore.errors import SimcoreError

_HELP = """Run unmodified NKI kernels on this computer and see what a NeuronCore would do, when, and why.

A FILE is a kernel script (run as it is, every kernel launch in it is captured), a saved .simcore run, or a profile \
of real hardware; every view takes any of them. Arguments after -- go to the script.
"""

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        import simcore

        print(f"simcore {simcore.__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", hidden=True, help="Show where in simcore an error arose.")
    ] = False,
) -> None:
    pass


for _command in commands.COMMANDS:
    app.command(_command.__name__.replace("_", "-"))(_command)
app.add_typer(qwen3, name="qwen3")


def main(arguments: list[str] | None = None) -> None:
    """Entry point.

    Exit codes: 0 done, 1 the kernel or script is wrong, 2 usage, 3 a file or machine,
    70 a fault of ours, 130 interrupted.
    """
    given = sys.argv[1:] if arguments is None else arguments
    ours, script = _split(given)
    try:
        _built()(args=ours, obj=script, prog_name="simcore")
    except SystemExit as e:
        if e.code == 130:
            print("simcore: interrupted", file=sys.stderr)
        if e.code == 2 and not script and any(argument.endswith(".py") for argument in ours):
            print("Arguments of a script come after --: simcore run FILE -- ARGUMENTS", file=sys.stderr)
        raise
    except SimcoreError as e:
        _fail(f"simcore: {e}", e.exit_code, ours)
    except BrokenPipeError:
        _close_pipe()
    except Exception as e:
        _fail(
            f"simcore: {type(e).__name__}: {e}\nThis is a fault of simcore, please report it with what "
            "`simcore --traceback ...` shows.",
            70,
            ours,
        )


def _built() -> Any:
    """The commands as typer builds them; its help gives every option a type, and a flag has none to give."""
    from typer.main import get_command

    command = get_command(app)
    known = [command]
    while known:
        one = known.pop()
        known += getattr(one, "commands", {}).values()
        for option in one.params:
            if getattr(option, "is_flag", False) and option.metavar is None:
                option.metavar = ""
    return command


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What is ours and what, after "--", is the script's."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _fail(message: str, code: int, arguments: list[str]) -> None:
    if "--traceback" in arguments:
        import traceback

        traceback.print_exc()
    print(message, file=sys.stderr)
    sys.exit(code)


def _close_pipe() -> None:
    """The reader of our output (`head`, `less`) went away: no message, and none from the interpreter at exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)

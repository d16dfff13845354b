"""One module per subcommand; COMMANDS is the one list of them, in the order `simcore --help` shows them.

A command's name is its function's, its help the docstring.  Modules import what they need inside the function, so
that asking for help stays instant.
"""

from simcore.apps.commands.bench import bench
from simcore.apps.commands.calibrate import calibrate
from simcore.apps.commands.capture_hw import capture_hw
from simcore.apps.commands.check import check
from simcore.apps.commands.compare import compare
from simcore.apps.commands.exec import exec
from simcore.apps.commands.explain import explain
from simcore.apps.commands.export import export
from simcore.apps.commands.gantt import gantt
from simcore.apps.commands.machines import machines
from simcore.apps.commands.occupancy import occupancy
from simcore.apps.commands.perfetto import perfetto
from simcore.apps.commands.report import report
from simcore.apps.commands.roofline import roofline
from simcore.apps.commands.run import run
from simcore.apps.commands.tui import tui
from simcore.apps.commands.validate import validate

COMMANDS = (
    run,
    exec,
    explain,
    tui,
    roofline,
    gantt,
    occupancy,
    perfetto,
    report,
    compare,
    check,
    capture_hw,
    export,
    validate,
    calibrate,
    machines,
    bench,
)

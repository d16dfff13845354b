"""simcore capture-hw: a profile of the chip itself, on a Trainium host."""

from __future__ import annotations

from pathlib import Path

from simcore.apps.options import Output, Sources, takes_sources


@takes_sources(scripts=True)
def capture_hw(sources: Sources, output: Output = None) -> None:
    """Run a script on the chip under the vendor's profiler and pack profile, versions and shapes into one bundle."""
    from simcore.apps.hardware.bundle import SUFFIX
    from simcore.apps.hardware.record import record
    from simcore.apps.output import narrate
    from simcore.files import check_writable

    [file] = sources.files
    output = output or Path(f"{file.stem}{SUFFIX}")
    check_writable(output)
    record(sources, output)
    narrate(f"wrote {output}; compare it with the simulator: simcore compare --predict {output}")

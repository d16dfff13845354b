"""From a script to a hardware bundle, and from a bundle back to a prediction."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from simcore.apps.hardware import bundle, capture
from simcore.apps.options import Sources
from simcore.apps.output import narrate
from simcore.errors import FileError, SimcoreError, UsageError
from simcore.files import replacing


def record(sources: Sources, output: Path, host: capture.Host = capture.Host()) -> None:  # noqa: B008  a constant
    """Run the file on the chip and write the bundle.  Raises UsageError where the chip or a tool is missing."""
    [file] = sources.files
    if not file.is_file() or file.suffix != ".py":
        raise FileError(f"{file} is not a kernel file")
    tool = host.check()
    commands: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="simcore-hw-") as name:
        folder = Path(name)
        capture.run(tool, _program(sources, file), folder / "out", commands)
        profiles = []
        for i, (neff, ntff) in enumerate(capture.pairs(folder / "out"), 1):
            profiles.append(folder / f"profile_{i}")
            capture.export(tool, neff, ntff, profiles[-1], commands)
        manifest = bundle.Manifest(
            script=file.name,
            sha256=bundle.sha256(file),
            path=str(file.resolve()),
            kernel=sources.kernel,
            args=list(sources.args),
            script_args=list(sources.script_args),
            target=sources.target or "trn2",
            shapes=_shapes(sources),
            versions=capture.versions(tool),
            environment=capture.ENVIRONMENT,
            commands=commands,
        )
        with replacing(output) as part:
            bundle.pack(part, manifest, file, profiles)


def _program(sources: Sources, file: Path) -> list[str]:
    if sources.kernel:
        return [sys.executable, "-m", "simcore.apps.hardware.launch_kernel", str(file), sources.kernel, *sources.args]
    return [sys.executable, str(file), *sources.script_args]


def _shapes(sources: Sources) -> list[str]:
    """Inputs of each launch, as the simulator sees them; empty where it cannot run the script."""
    from simcore.apps.load import capture as simulate_capture

    try:
        return [
            f"{trace.name}: {trace.info.get('inputs', '')}"
            for trace in simulate_capture(sources.files[0], replace(sources, values=False))
        ]
    except SimcoreError as e:
        narrate(f"the simulator cannot run this script, so the bundle holds no shapes: {e}")
        return []


def prediction_sources(file: Path, script: Path | None, options: Sources) -> Sources:
    """How to repeat a bundle's run in the simulator.

    The script is the one given, or the recorded path where it still holds the same text.  The copy inside the bundle is
    never run: a bundle may come from anybody.
    """
    manifest = bundle.read_manifest(file)
    if script is None:
        script = Path(manifest.path)
        if not script.is_file() or bundle.sha256(script) != manifest.sha256:
            raise UsageError(
                f"{file} was made from {manifest.script}, which is not at {manifest.path} any more, or has changed; "
                f"name it: simcore compare --predict {file} PATH/TO/{manifest.script}"
            )
    elif bundle.sha256(script) != manifest.sha256:
        narrate(f"{script} is not the file that ran on the chip (its text differs); comparing anyway")
    return replace(
        options,
        files=(script,),
        kernel=manifest.kernel,
        args=tuple(manifest.args),
        script_args=tuple(manifest.script_args),
        target=options.target or manifest.target,
    )

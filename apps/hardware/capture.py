"""Running a script on the chip under the vendor's profiler, by the vendor's documented commands.

    neuron-explorer inspect -o OUT python SCRIPT ARGS            (with the variables of ENVIRONMENT)
    neuron-explorer view -n NEFF -s NTFF --output-format json --output-file profile.json
    neuron-explorer view -n NEFF -s NTFF --output-format summary-json --output-file summary.json

Older releases call the tool neuron-profile; its sub-commands are the same.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simcore.errors import SimcoreError, UsageError

TOOLS = ("neuron-explorer", "neuron-profile")
ENVIRONMENT = {
    # source lines and names in the profile; they must be set before the kernel is compiled
    "NEURON_FRAMEWORK_DEBUG": "1",
    "NKI_DEBUG_INFO": "True",
    "XLA_IR_DEBUG": "1",
    "XLA_HLO_DEBUG": "1",
    # one device profile per model, with the descriptors of dynamic DMAs
    "NEURON_RT_INSPECT_ENABLE": "1",
    "NEURON_RT_INSPECT_DEVICE_PROFILE": "1",
    "NEURON_RT_ENABLE_DGE_NOTIFICATIONS": "1",
}
PACKAGES = ("neuronx-cc", "nki", "torch-neuronx", "jax-neuronx", "libneuronxla", "torch", "numpy", "simcore")
_HASH = re.compile(r"[0-9a-f]{6,}|\d{6,}")


class HardwareError(SimcoreError):
    """The chip or the vendor's tools did not do what was asked."""

    exit_code = 1


@dataclass(frozen=True)
class Host:
    """Where to look for the chip and the vendor's tools."""

    devices: Path = Path("/dev")
    path: str | None = None  # search path of the tools; None: PATH
    compilers: tuple[str, ...] = ("nki", "neuronxcc")

    def tool(self) -> str | None:
        return next((found for name in TOOLS if (found := shutil.which(name, path=self.path))), None)

    def missing(self) -> list[str]:
        """What this computer lacks to run a kernel on a chip, as sentences with the remedy."""
        lacks = []
        if not list(self.devices.glob("neuron[0-9]*")):
            lacks.append(
                f"a Neuron device: there is no {self.devices}/neuron0 "
                "(this needs a trn or inf instance with aws-neuronx-dkms)"
            )
        if self.tool() is None:
            lacks.append(
                f"the profiler: neither {' nor '.join(TOOLS)} is on PATH "
                "(aws-neuronx-tools; usually in /opt/aws/neuron/bin)"
            )
        if not any(importlib.util.find_spec(name) for name in self.compilers):
            lacks.append(
                f"the compiler: neither {' nor '.join(self.compilers)} can be imported "
                "(pip install 'simcore[neuron]' with the vendor's repository)"
            )
        return lacks

    def check(self) -> str:
        """The profiler's path.  Raises UsageError that lists everything that is missing."""
        lacks, tool = self.missing(), self.tool()
        if lacks or tool is None:
            raise UsageError(
                "capture-hw runs a kernel on a chip; this computer lacks\n" + "\n".join(f"  - {what}" for what in lacks)
            )
        return tool


def run(tool: str, command: Sequence[str], folder: Path, commands: list[list[str]]) -> None:
    """Run a program on the chip with profiling; NEFFs and NTFFs appear below `folder`.  Raises HardwareError."""
    _call(
        [tool, "inspect", "-o", str(folder), *command],
        commands,
        environment=ENVIRONMENT | {"NEURON_RT_INSPECT_OUTPUT_DIR": str(folder)},
    )


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(NEFF, NTFF) that belong together: by the hash in their names, else by their folder.  Never empty.

    Of several executions of one NEFF the last is taken: the first includes work done once.  Raises HardwareError.
    """
    neffs, ntffs = sorted(folder.rglob("*.neff")), sorted(folder.rglob("*.ntff"), key=_natural)
    found: dict[Path, Path] = {}
    for ntff in ntffs:
        hashes = set(_HASH.findall(ntff.stem))
        near = [n for n in neffs if n.parent == ntff.parent] or neffs
        named = [n for n in near if hashes & set(_HASH.findall(n.stem))]
        if len(named or near) == 1:
            found[(named or near)[0]] = ntff
    if not found:
        raise HardwareError(
            f"the run left {len(neffs)} NEFF and {len(ntffs)} NTFF files in {folder} and no pair belongs together; "
            "did the script launch a kernel on the chip?"
        )
    return sorted(found.items())


def _natural(path: Path) -> list:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name)]


def export(tool: str, neff: Path, ntff: Path, folder: Path, commands: list[list[str]]) -> None:
    """profile.json and summary.json of a pair, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for form, name in (("json", "profile.json"), ("summary-json", "summary.json")):
        _call(
            [
                tool,
                "view",
                "-n",
                str(neff),
                "-s",
                str(ntff),
                "--output-format",
                form,
                "--output-file",
                str(folder / name),
            ],
            commands,
        )
        if not (folder / name).exists():
            raise HardwareError(f"{Path(tool).name} view wrote no {form} for {neff.name}")


def versions(tool: str) -> dict[str, str]:
    """Versions of what took part, as far as they can be found."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False)
    said = (done.stdout or done.stderr).strip().splitlines()
    if done.returncode == 0 and said:
        found[Path(tool).name] = said[0]
    return found


def _call(command: list[str], commands: list[list[str]], environment: dict[str, str] | None = None) -> None:
    """Run a command of the vendor; what it prints goes to standard error."""
    commands.append(command)
    done = subprocess.run(command, env=os.environ | (environment or {}), stdout=sys.stderr, check=False)
    if done.returncode:
        raise HardwareError(f"`{' '.join(command)}` ended with exit code {done.returncode}; what it said stands above")

"""Reading machine TOMLs: ours by name, a user's by path."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from simcore.errors import MachineError, nearest
from simcore.machine.machine import Machine
from simcore.machine.sections import SECTIONS


@cache
def available() -> tuple[str, ...]:
    """Names of the machines that come with simcore."""
    here = resources.files("simcore.machine")
    return tuple(sorted(p.name[:-5] for p in here.iterdir() if p.name.endswith(".toml")))


@cache
def _shipped(name: str) -> Machine:
    return Machine.from_dict(_data(name, None, ()))


@cache
def generation(name: str) -> int:
    """The NeuronCore version of a machine that comes with simcore: 2 is trn1, 3 trn2, 4 trn3."""
    return _shipped(name).core.neuroncore_version


def load_machine(name_or_path: str | Path | Machine) -> Machine:
    """A machine by name ("trn2") or from a TOML file, which may extend another.  Raises MachineError."""
    if isinstance(name_or_path, Machine):
        return name_or_path
    text = str(name_or_path)
    if text in available():
        return _shipped(text)
    if not text.endswith(".toml"):
        raise MachineError(f"no machine is called {text!r}.{nearest(text, available())} There are "
                           f"{', '.join(available())}, or give the path of a .toml file")
    return Machine.from_dict(_data(text, None, ()))


def chip_of(target: str | Path | Machine) -> str:
    """The chip whose rules a kernel for this machine keeps: itself, what its file extends, or one of its generation."""
    machine = load_machine(target)
    alike = (name for name in ("trn1", "trn2", "trn3") if generation(name) == machine.core.neuroncore_version)
    return next((name for name in (machine.name, machine.extends, *alike) if name in available()), machine.name)


def _data(name: str, beside: Path | None, chain: tuple[str, ...]) -> dict[str, Any]:
    """The merged tables of a machine and those it extends; its own numbers win."""
    if name in available():
        path, label = None, name
        text = (resources.files("simcore.machine") / f"{name}.toml").read_text()
    else:
        path = (beside / name) if beside else Path(name)
        label = path.stem
        try:
            text = path.read_text()
        except OSError as e:
            raise MachineError(f"cannot read the machine file {path}: {e.strerror}") from None
    key = str(path.resolve()) if path else name
    if key in chain:
        raise MachineError(f"machine {label!r} extends itself: {' -> '.join((*chain, key))}")
    try:
        own = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise MachineError(f"{path or name + '.toml'} is not valid TOML: {e}") from None

    base_name = own.pop("extends", "")
    data: dict[str, Any] = {"sources": {}, **{s: {} for s in SECTIONS}}
    if base_name:
        data = _data(str(base_name), path.parent if path else None, (*chain, key))
    if own.pop("inherit", "") == "inferred":
        _infer(data, str(base_name))
    data |= {"name": label, "extends": str(base_name), "title": str(own.pop("title", data.get("title", label)))}
    data["sources"] = data["sources"] | own.pop("sources", {})
    fitted = own.pop("fitted", {})
    for section, numbers in own.items():
        if section not in SECTIONS:
            raise MachineError(f"machine {label!r} has no section [{section}].{nearest(section, SECTIONS)}")
        for number, entry in numbers.items():
            if number == "laws":
                data[section]["laws"] = [*entry, *data[section].get("laws", [])]      # the first that fits wins
            elif path is not None and not (isinstance(entry, dict) and "value" in entry):
                data[section][number] = {"value": entry, "kind": "assumed", "source": str(path.name)}
            else:
                data[section][number] = entry
    for dotted, entry in fitted.items():
        section, _, number = dotted.partition(".")
        if section not in SECTIONS:
            raise MachineError(f"machine {label!r}: [fitted] names {dotted!r}, which is no number of a machine")
        source = f"{entry.get('source', '')}" + (f"; residual {entry['residual']}" if "residual" in entry else "")
        data[section][number] = {"value": entry.get("value"), "kind": "fitted", "source": source}
    return data


def _infer(data: dict[str, Any], base: str) -> None:
    """Mark what another generation's description gives: for this one it is an inference, however it was found there."""
    for section in SECTIONS:
        for name, entry in data[section].items():
            for item in entry if name == "laws" else [entry]:
                item |= {"kind": "inferred", "source": f"as {base}: {item['source']}"}

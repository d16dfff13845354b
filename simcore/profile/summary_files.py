"""The two small formats: summary-json and summary-text (`view --output-format summary-json`).

Read, they give a partial Timeline: its totals and `info["summary"]`, no rows.  Any timeline can be written as
summary-json, with the metrics its rows say.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from simcore.errors import FileError
from simcore.files import replacing
from simcore.profile import vendor
from simcore.profile.files import clean, open_text, sentences
from simcore.profile.metrics import summary_metrics
from simcore.timeline import ClockStates, Dependences, DmaTransfers, Instructions, Timeline

MODEL = re.compile(r"n_[0-9a-f]{8,64}")
MAX_CHARACTERS = 4 << 20
_METRIC = re.compile(r"^\s+([A-Za-z]\w*)\s+(\S.*?)\s*$")
LACKS = ("instructions", "DMA packets", "dependences", "counters", "kernel lines")


def read_summary_json(path: str | Path) -> Timeline:
    """A partial Timeline.  Of several models the first is taken, as the vendor's own scripts do."""
    path = Path(path)
    with sentences(path):
        with open_text(path) as stream:
            text = stream.read(MAX_CHARACTERS + 1)
        if len(text) > MAX_CHARACTERS:
            raise FileError(f"{path} is too long for a summary")
        data = json.loads(text)
    if not isinstance(data, dict) or not data:
        raise FileError(f"{path} is not a summary: it holds no object of metrics")
    model, metrics = next(((k, v) for k, v in data.items() if isinstance(v, dict)), ("", data))
    return _partial(path, str(model), metrics, "summary-json", len(data) if model else 1)


def read_summary_text(path: str | Path) -> Timeline:
    """A partial Timeline from lines `    name   value` below a line that names the model."""
    path = Path(path)
    model, metrics, models = "", {}, 0
    with sentences(path), open_text(path) as stream:
        text = stream.read(MAX_CHARACTERS + 1)
    if len(text) > MAX_CHARACTERS:
        raise FileError(f"{path} is too long for a summary")
    for line in text.splitlines():
        if MODEL.fullmatch(line.strip().rstrip(":")):
            models += 1
            model = model or line.strip().rstrip(":")
        elif models == 1 and (found := _METRIC.match(line)):
            metrics[found[1]] = _value(found[2])
    return _partial(path, model, metrics, "summary-text", models)


def _value(text: str) -> Any:
    try:
        return json.loads(text) if text[:1] in "-0123456789" else text
    except ValueError:
        return text


def _partial(path: Path, model: str, metrics: dict, kind: str, models: int) -> Timeline:
    metrics = clean(metrics)
    total = metrics.get("total_time")
    if not isinstance(total, (int, float)) or isinstance(total, bool) or not 0 < total < 1e6:
        raise FileError(f"{path} has no total_time in seconds: not a summary of a profile")
    info: dict[str, Any] = {
        "source": f"vendor profile ({kind})", "summary": metrics, "model": model, "lacks": list(LACKS),
    }
    if models > 1:
        info["warnings"] = [{"category": "simcore", "message": f"the file has {models} models; this is the first"}]
    totals = {"profiled_ps": round(total * 1e12)}
    execution = metrics.get("total_exec_time")
    if isinstance(execution, (int, float)) and 0 < execution <= total:
        totals["kernel_ps"] = round(execution * 1e12)
    return Timeline(
        name=path.name.removesuffix(".gz").rsplit(".", 1)[0], kind="measured", target=vendor.target_of(metrics),
        instructions=Instructions.empty(), dma=DmaTransfers.empty(), dependences=Dependences.empty(),
        clock=ClockStates.empty(), opcodes=(), totals=totals, info=info,
    )


def write_summary_json(timeline: Timeline, path: str | Path) -> None:
    """Write the metrics as the vendor's summary-json: one model, `n_` and 40 hex digits of the name."""
    metrics = metrics_of(timeline)
    model = "n_" + hashlib.sha1(timeline.name.encode(), usedforsecurity=False).hexdigest()
    with replacing(path) as part:
        part.write_text(json.dumps({model: metrics}, indent=1, sort_keys=True, allow_nan=False) + "\n")


def metrics_of(timeline: Timeline) -> dict[str, Any]:
    """The summary of any timeline: what its rows say, and what only its own summary says (versions)."""
    given = timeline.info.get("summary")
    given = dict(given) if isinstance(given, dict) else {}
    if not len(timeline.instructions) and not len(timeline.dma):
        return given
    chip = given.get("instance_type", vendor.instance_type(timeline))
    return given | summary_metrics(timeline) | {"instance_type": chip}

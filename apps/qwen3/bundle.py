"""What a measurement on a chip is saved as: one JSON file, and its comparison with a prediction."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from simcore import format
from simcore.apps.qwen3.predict import Prediction
from simcore.errors import FileError
from simcore.files import replacing
from simcore.tables import Table

FORMAT = "simcore-qwen3-bundle"
VERSION = 1
CONFIGURATION = {"size": str, "layers": int, "seq": int, "batch": int, "dtype": str, "attention": str, "target": str}


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """One run of the benchmark.

    configuration  size, layers, seq, batch, dtype, attention ("eager" or "flash"), target
    latency_s      seconds of each timed call, end to end
    device_s       seconds of each execution on the device, where a profile was taken
    accuracy       cosine_similarity and mean_squared_error against the CPU reference
    environment    versions and flags, for people
    """

    configuration: dict[str, Any]
    latency_s: list[float]
    device_s: list[float] = field(default_factory=list)
    accuracy: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    profiles: list[str] = field(default_factory=list)

    @property
    def statistics(self) -> dict[str, float]:
        return statistics_of(self.latency_s, self.configuration["batch"])


def statistics_of(latency_s: Sequence[float], batch: int = 1) -> dict[str, float]:
    """Mean, median, least, greatest and standard deviation in seconds; prompts per second from the mean."""
    if not latency_s or any(not math.isfinite(x) or x <= 0 for x in latency_s):
        raise ValueError(f"latencies must be positive numbers, not {list(latency_s)}")
    mean = statistics.fmean(latency_s)
    return {
        "mean_s": mean,
        "median_s": statistics.median(latency_s),
        "min_s": min(latency_s),
        "max_s": max(latency_s),
        "stdev_s": statistics.stdev(latency_s) if len(latency_s) > 1 else 0.0,
        "prompts_per_s": batch / mean,
    }


def write(bundle: Bundle, path: str | Path) -> None:
    data = {"format": FORMAT, "version": VERSION, **asdict(bundle), "statistics": bundle.statistics}
    with replacing(path) as part:
        part.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read(path: str | Path) -> Bundle:
    """Raises FileError with a sentence where the file is not a bundle."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise FileError(f"cannot read {path}: {e.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise FileError(f"{path} is not a bundle of the Qwen3 benchmark: it is not JSON") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FileError(f"{path} is not a bundle of the Qwen3 benchmark: it does not say {FORMAT!r}")
    if data.get("version") != VERSION:
        raise FileError(f"{path} is a bundle of version {data.get('version')!r}; this simcore reads version {VERSION}")
    configuration = data.get("configuration")
    if not isinstance(configuration, dict):
        raise FileError(f"{path} has no configuration; was the benchmark interrupted?")
    for name, kind in CONFIGURATION.items():
        if not isinstance(configuration.get(name), kind):
            raise FileError(f"{path}: the configuration's {name} is {configuration.get(name)!r}, not a {kind.__name__}")
    latency = data.get("latency_s")
    if not isinstance(latency, list) or not latency or not all(_positive(x) for x in latency):
        raise FileError(f"{path} has no timed runs: latency_s is {latency!r}")
    device = data.get("device_s") or []
    if not isinstance(device, list) or not all(_positive(x) for x in device):
        raise FileError(f"{path}: device_s holds something that is not a time: {device!r}")
    return Bundle(
        configuration=configuration,
        latency_s=latency,
        device_s=device,
        accuracy=data.get("accuracy") or {},
        environment=data.get("environment") or {},
        profiles=data.get("profiles") or [],
    )


def _positive(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) and x > 0


def comparison(measured: Bundle, predicted: Prediction) -> str:
    """Measured beside predicted, and what of the latency the prediction does not cover."""
    stats = measured.statistics
    mean_ps = stats["mean_s"] * 1e12
    rows = [("end to end, mean of runs", format.time(mean_ps), format.MISSING, format.MISSING)]
    if measured.device_s:
        device_ps = statistics.fmean(measured.device_s) * 1e12
        rows.append(
            (
                "on the device",
                format.time(device_ps),
                format.time(predicted.device_ps),
                f"{(predicted.device_ps / device_ps - 1) * 100:+.1f} %",
            )
        )
        rows.append(("outside the device", format.time(mean_ps - device_ps), format.MISSING, format.MISSING))
    else:
        rows.append(("on the device", format.MISSING, format.time(predicted.device_ps), format.MISSING))
        rows.append(("not predicted", format.time(mean_ps - predicted.device_ps), format.MISSING, format.MISSING))
    rows.append(
        (
            "prompts/s",
            format.digits(stats["prompts_per_s"]),
            format.digits(predicted.prompts_per_second),
            format.MISSING,
        )
    )
    c = measured.configuration
    head = (
        f"Qwen3-{c['size']}, {c['layers']} layers, {c['seq']:,} tokens, {c['dtype']}, "
        f"{c['attention']} attention on {c['target']}: "
        f"{len(measured.latency_s)} runs"
    )
    text = str(Table(head, ("", "measured", "predicted", "error"), tuple(rows), (1, 2, 3)))
    if measured.accuracy:
        text += "\n" + "  ".join(f"{k.replace('_', ' ')} {v:.6g}" for k, v in sorted(measured.accuracy.items()))
    return text

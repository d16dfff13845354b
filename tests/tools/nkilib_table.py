"""The tables of docs/nki-library.md from result files of the `simcore_nkilib` pytest plugin.

    python tests/tools/nkilib_table.py values.jsonl timing.jsonl

A later result of a test replaces an earlier one.
"""

import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

_MEMORY = ("Unable to allocate", "can't allocate memory", "MemoryError")


def read(path):
    """({file: (collected, eligible)}, {file: {test: (kind, why)}})"""
    files, tests = {}, defaultdict(dict)
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        e = json.loads(line)
        name = e["file"].partition("nkilib/")[2].removesuffix(".py").replace("/test_", "/")
        if e["test"]:
            tests[name][e["test"]] = (kind(e), e["why"])
        else:
            files[name] = (e["collected"], e["eligible"])
    return files, tests


def kind(entry) -> str:
    """passed, skipped, time, memory (of the test's own arrays), values, capacity, or failed."""
    why = entry["why"]
    if entry["outcome"] != "failed":
        return entry["outcome"]
    if any(m in why for m in _MEMORY):
        return "memory"
    return "values" if "ValueNeeded" in why else "capacity" if "CapacityError" in why else "failed"


def table(path, columns, head) -> list[str]:
    files, tests = read(path)
    rows = [head, "|---" * (head.count("|") - 1) + "|"]
    total = Counter()
    for name in sorted(files):
        count = Counter(k for k, _ in tests[name].values())
        count.update(collected=files[name][0], eligible=files[name][1])
        count["run"] = sum(count[k] for k in ("passed", "failed", "values", "capacity"))
        total.update(count)
        rows.append(row(name, count, columns))
    rows.append(row("**all**", total, columns))
    return rows


def row(name, count, columns) -> str:
    return f"| {name} | " + " | ".join(str(count[c] or "") for c in columns) + " |"


def reasons(path) -> list[str]:
    """What went wrong, with numbers and places left out, and how often per file."""
    _, tests = read(path)
    found: Counter = Counter()
    for name, entries in tests.items():
        for k, why in entries.values():
            if k in ("failed", "values", "capacity"):
                found[name, re.sub(r"\S+/nkilib/", "", why)[:200]] += 1
    return [f"{n} {name}: {why}" for (name, why), n in found.most_common()]


if __name__ == "__main__":
    values, timing = sys.argv[1:]
    print("\n".join(table(values, ("collected", "eligible", "run", "passed", "failed", "skipped"),
                          "| tests | collected | eligible | ran | agree | do not | skip themselves |")))
    print("\n".join(reasons(values)))
    print("\n".join(table(timing, ("run", "passed", "values", "capacity", "failed", "skipped"),
                          "| tests | tried | simulated | need values | do not fit | refused | skip themselves |")))
    print("\n".join(reasons(timing)))

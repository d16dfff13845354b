"""Runs the scripts of a checkout that use the older dialect, each as __main__ in a process of its own.

    python tests/tools/legacy_scripts.py CHECKOUT [FOLDER ...] [--filter REGEX] [--timeout S]

Scripts that ask torch_xla for a device get the CPU; scripts written for jax are skipped where jax is missing.  A script
passes when it ends without an error: its own assertions decide.  Prints a table and `N of M pass`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOOLS = Path(__file__).parent


def scripts(root: Path, folders: list[str], pattern: str) -> list[Path]:
    """Python files that can be started: they use the dialect (or a file beside them does) and act when run."""
    found = []
    for folder in folders or ["."]:
        for path in sorted((root / folder).rglob("*.py")):
            text = path.read_text(errors="replace")
            starts = "__main__" in text or "xla_device()" in text or "\ntest_attn_tutorial(" in text
            if starts and ("neuronxcc" in text or "_nki_kernels" in text
                           or "nki_kernel" in text) and re.search(pattern, str(path)):
                found.append(path)
    return found


def run(root: Path, path: Path, timeout: float) -> tuple[str, float, str]:
    """(result, seconds, last line of the error)."""
    text = path.read_text(errors="replace")
    if re.search(r"^\s*(import|from) jax", text, re.M) and importlib.util.find_spec("jax") is None:
        return "skip", 0.0, "jax is not installed"
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, (TOOLS / "names", TOOLS / "devices", path.parent,
                                                                root / "src", root))),
               PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run([sys.executable, str(path)], cwd=folder, env=env, capture_output=True, text=True,
                                  timeout=timeout, errors="replace")
        except subprocess.TimeoutExpired:
            return "timeout", timeout, ""
    lines = [x for x in done.stderr.strip().splitlines() if x.strip()]
    return (("pass" if done.returncode == 0 else "fail"), time.time() - start, "" if done.returncode == 0
            else (lines[-1] if lines else ""))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--filter", default="")
    parser.add_argument("--timeout", type=float, default=300)
    options = parser.parse_args()
    passed = total = 0
    for path in scripts(options.checkout.resolve(), options.folders, options.filter):
        result, seconds, note = run(options.checkout.resolve(), path, options.timeout)
        total += result != "skip"
        passed += result == "pass"
        print(f"{result:8s} {seconds:7.1f}  {path.relative_to(options.checkout.resolve())}  {note[:200]}", flush=True)
    print(f"{passed} of {total} pass")
    return 0 if passed == total else 1


if __name__ == "__main__":
    sys.exit(main())

"""The instruction streams of four measured kernels beside what simcore records and simulates for them.

    python tests/tools/instruction_streams.py REFS PROFILES [--write docs/instruction-streams.md]

REFS holds a checkout of allenkchau/trainium-kernel-fusion, PROFILES the four trn2 profiles of its attention kernels.
Everything is counted by (opcode, dtype of the input, free size): how many instructions the kernel asked for, how many
the simulated chip executes, how many the real chip executed.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import re
import sys
from collections import Counter
from pathlib import Path

import simcore
from simcore.frontend import TensorSpec, activate

REPOSITORY = "allenkchau+trainium-kernel-fusion*"
CASES = {
    "baseline_fp32_s512": ("baseline", "float32", 512),
    "baseline_bf16_s1024": ("baseline", "bfloat16", 1024),
    "fused_fp32_s1024": ("fused", "float32", 1024),
    "fused_bf16_s512": ("fused", "bfloat16", 512),
}
COMPUTE = ("LDWEIGHTS", "MATMUL", "ACTIVATE", "TENSOR_SCALAR", "TENSOR_REDUCE", "RECIPROCAL", "COPY", "CAST")
_DTYPES = {"fp32": "float32", "bfloat16": "bfloat16", "fp32r": "float32", "fp32_perf": "float32"}
_OPCODE = {"activation": "ACTIVATE", "tensor_scalar": "TENSOR_SCALAR", "tensor_reduce": "TENSOR_REDUCE",
           "reciprocal": "RECIPROCAL"}

Key = tuple[str, str, int]      # opcode, dtype of the input, elements per partition of the input


def capture(refs: Path, name: str):
    """The trace of one of the four kernels, without values."""
    kind, dtype, seqlen = CASES[name]
    root = next(iter(sorted(refs.glob(REPOSITORY))))
    with activate():
        spec = importlib.util.spec_from_file_location(f"streams_{kind}", root / "kernels" / kind / "attention.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        argument = TensorSpec.parse(f"{dtype}[128,{seqlen}]")
        return simcore.capture(getattr(module, f"{kind}_attention"), argument, argument, argument, values=False)


def profile(profiles: Path, name: str):
    return simcore.read_profile(profiles / f"trn2-attn-{name}.profile_full.json.gz")


def recorded(trace) -> Counter[Key]:
    """What the kernel asked for: one entry per call, a matmul as one MATMUL."""
    found: Counter[Key] = Counter()
    for i in trace.variant:
        v = trace.variants[i]
        if v.name in ("nc_matmul", "nc_transpose"):
            data = v.get("moving") or v.get("data")
            found["MATMUL" if v.name == "nc_matmul" else "MATMUL (transpose)", str(data.dtype), data.free] += 1
        elif v.name == "tensor_copy":
            found["COPY" if v["dst"].dtype is v["src"].dtype else "CAST", str(v["src"].dtype), v["src"].free] += 1
        elif v.name in _OPCODE:
            found[_OPCODE[v.name], str(v["data"].dtype), v["data"].free] += 1
        elif v.name == "dma_copy":
            found["DMA", str(v["dst"].dtype), v["dst"].size] += 1
    return found


_SOURCE = re.compile(r"src=(\w+)@\S*?\[[-\d,]+\]\[([\d,]+)\]")


def measured(timeline) -> Counter[Key]:
    """What the chip executed, from the operand text of the profile."""
    found: Counter[Key] = Counter()
    for row in range(len(timeline.instructions)):
        opcode, text = timeline.opcode(row), timeline.operands(row)
        if opcode in COMPUTE:
            source = _SOURCE.search(text)
            if source is None:
                raise ValueError(f"no source in {opcode} {text!r}")
            free = math.prod(int(n) for n in source[2].split(","))
            name = "MATMUL (transpose)" if opcode == "MATMUL" and _is_transpose(timeline, row) else opcode
            found[name, _DTYPES.get(source[1], source[1]), free] += 1
    return found


def _is_transpose(timeline, row: int) -> bool:
    """A MATMUL is a transpose when the LDWEIGHTS before it loads in transpose mode."""
    instructions = timeline.instructions
    engine = instructions.engine[row]
    earlier = row - 1
    while earlier >= 0 and not (instructions.engine[earlier] == engine and timeline.opcode(earlier) == "LDWEIGHTS"):
        earlier -= 1
    return earlier >= 0 and "transpose_mode=ENABLED" in timeline.operands(earlier)


def opcodes(timeline) -> Counter[str]:
    """Instructions per opcode, those that compute."""
    return Counter(op for row in range(len(timeline.instructions)) if (op := timeline.opcode(row)) in COMPUTE)


def tables(refs: Path, profiles: Path) -> str:
    lines = []
    for name in CASES:
        trace, chip = capture(refs, name), profile(profiles, name)
        ours = simcore.simulate(trace, simcore.load_machine("trn2"))
        asked, ran = recorded(trace), measured(chip)
        a, b = opcodes(ours), opcodes(chip)
        lines += [f"### {name}", "", "| opcode | simulated | chip |", "|---|---|---|"]
        lines += [f"| {op} | {a[op]} | {b[op]} |" for op in COMPUTE if a[op] or b[op]]
        lines += ["", "| opcode | input dtype | free size | asked for | chip |", "|---|---|---|---|---|"]
        for key in sorted(set(asked) | set(ran)):
            if key[0] not in ("DMA", "LDWEIGHTS"):
                lines.append(f"| {key[0]} | {key[1]} | {key[2]} | {asked[key]} | {ran[key]} |")
        lines.append("")
    return "\n".join(lines)


MARK = "<!-- tables -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("refs", type=Path)
    parser.add_argument("profiles", type=Path)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    text = tables(options.refs, options.profiles)
    if options.write is None:
        print(text)
    else:
        before = options.write.read_text().partition(MARK)[0]
        options.write.write_text(f"{before}{MARK}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

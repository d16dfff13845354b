"""Timelines made by hand, for tests of views and analyses: their figures can be checked with a pencil."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from simcore.timeline import (
    CAUSES,
    ENGINES,
    ClockStates,
    Counter,
    Dependences,
    DmaTransfers,
    Instructions,
    Site,
    Timeline,
)

GOLDEN = Path(__file__).parent / "golden"


def check_golden(name: str, text: str) -> None:
    """Compare with tests/golden/NAME; SIMCORE_UPDATE_GOLDENS=1 writes it instead (then read the diff)."""
    path = GOLDEN / name
    if os.environ.get("SIMCORE_UPDATE_GOLDENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    assert path.exists(), f"{path} is missing; run with SIMCORE_UPDATE_GOLDENS=1 once"
    assert text == path.read_text(encoding="utf-8"), (
        f"{name} changed; if that is right, run with SIMCORE_UPDATE_GOLDENS=1"
    )


NS = 1000
SOURCE = """import nki

def pipeline(q, out):
    for i in range(tiles):
        nisa.dma_copy(dst=tile, src=q[i])
        nisa.nc_matmul(dst=acc, stationary=w, moving=tile)
        nisa.activation(dst=p, op=nl.exp, data=acc)
        nisa.tensor_tensor(dst=o, data1=p, data2=p, op=nl.add)
        nisa.dma_copy(dst=out[i], src=o)
"""
OPCODES = ("DMA_DIRECT2D", "MATMUL", "ACTIVATE", "TENSOR_TENSOR")


def pipeline(tiles: int = 4, name: str = "pipeline", shift_ns: int = 0) -> Timeline:
    """Load -> matmul -> exp -> add -> store per tile, one tile after the other with no overlap at all.

    Per tile, in ns: trigger 0..50, load 0..200, MATMUL 200..400, ACTIVATE 400..500, TENSOR_TENSOR 500..650,
    store trigger 650..700, store 650..900; the next tile's load trigger waits for the store (reuse).  900 ns per tile.
    """
    rows = []  # engine, opcode, line, start, end, done, cause, on, wait, flops, hbm read, hbm write
    dma = []
    for i in range(tiles):
        b, at = len(rows), 900 * i + shift_ns
        rows += [
            ("Sync", 0, 5, at, at + 50, at + 200, "reuse" if i else "start", b - 1, 200 if i else 0, 0, 1 << 16, 0),
            ("Tensor", 1, 6, at + 200, at + 400, at + 400, "dma", b, 200 if not i else 700, 1 << 24, 0, 0),
            ("Scalar", 2, 7, at + 400, at + 500, at + 500, "data", b + 1, 400 if not i else 800, 1 << 16, 0, 0),
            ("Vector", 3, 8, at + 500, at + 650, at + 650, "data", b + 2, 500 if not i else 750, 1 << 16, 0, 0),
            ("Sync", 0, 9, at + 650, at + 700, at + 900, "data", b + 3, 600, 0, 0, 1 << 16),
        ]
        for e in range(16):
            dma.append((e, b, at, at + 200, 1 << 12, 0, 2))
            dma.append((e, b + 4, at + 650, at + 900, 1 << 12, 2, 0))
    lines = sorted({r[2] for r in rows})
    columns = list(zip(*rows, strict=True))
    n = len(rows)
    instructions = Instructions.filled(
        n,
        engine=[ENGINES.index(e) for e in columns[0]],
        opcode=columns[1],
        site=[lines.index(x) for x in columns[2]],
        operands=[0] * n,
        source_row=np.arange(n),
        start_ps=np.array(columns[3]) * NS,
        end_ps=np.array(columns[4]) * NS,
        done_ps=np.array(columns[5]) * NS,
        wait_cause=[CAUSES.index(c) for c in columns[6]],
        wait_on=[max(x, -1) for x in columns[7]],
        wait_ps=np.array(columns[8]) * NS,
        dtype=[0 if o == 1 else -1 for o in columns[1]],
        elements=[1 << 23 if o == 1 else 0 for o in columns[1]],
        flops=columns[9],
        hbm_read_bytes=columns[10],
        hbm_write_bytes=columns[11],
    )
    dma.sort(key=lambda row: (row[2], row[0]))
    e, owner, start, end, size, source, dest = (np.array(c) for c in zip(*dma, strict=True))
    transfers = DmaTransfers.filled(
        len(dma),
        engine=e,
        queue=0,
        instruction=owner,
        start_ps=start * NS,
        end_ps=end * NS,
        read_bytes=size,
        write_bytes=size,
        descriptors=8,
        source=np.where(source == 0, 0, 1),
        dest=np.where(dest == 2, 1, 0),
    )
    on = instructions.wait_on
    return Timeline(
        name=name,
        kind="simulated",
        target="trn2",
        instructions=instructions,
        dma=transfers,
        dependences=Dependences.filled(
            int((on >= 0).sum()),
            producer=on[on >= 0],
            consumer=np.flatnonzero(on >= 0),
            cause=instructions.wait_cause[on >= 0],
        ),
        clock=ClockStates.filled(1, end_ps=900 * NS * tiles, k=4, n=8),
        opcodes=OPCODES,
        strings=("dst=fp32[128, 512] src=bfloat16[128, 512]",),
        sites=tuple(Site("pipeline.py", line, "pipeline") for line in lines),
        queues=("qSyncDynamicHW",),
        dtypes=("bfloat16",),
        sources={"pipeline.py": SOURCE},
        counters={
            "SBUF bytes": Counter(time_ps=[0, 200 * NS, 900 * NS], value=[1 << 20, 1 << 21, 1 << 20]),
            "HBM GB/s": Counter(time_ps=[0, 200 * NS, 650 * NS, 900 * NS], value=[300.0, 0.0, 250.0, 0.0]),
        },
        bounds={"resources": {"Tensor": 200 * NS * tiles, "DMA": 450 * NS * tiles}} if tiles else {},
    )


def random_rows(n: int, seed: int = 0) -> Timeline:
    """A simulated-looking timeline of `n` instructions on five engines: in order per engine, random waits."""
    rng = np.random.default_rng(seed)
    engine = rng.integers(0, 5, n)
    length = rng.integers(20, 400, n) * NS
    gap = np.where(rng.random(n) < 0.2, rng.integers(0, 300, n), 0) * NS
    start = np.empty(n, np.int64)
    for e in range(5):
        mine = engine == e
        ends = np.cumsum(length[mine] + gap[mine])
        start[mine] = ends - length[mine]
    order = np.argsort(start, kind="stable")
    engine, length, gap, start = engine[order], length[order], gap[order], start[order]
    end = start + length
    on = np.where(gap > 0, np.arange(n) - rng.integers(1, 9, n), -1)
    on = np.where((on >= 0) & (end[np.maximum(on, 0)] <= start), on, -1)
    trigger = rng.random(n) < 0.1
    done = end + np.where(trigger, 2000 * NS, 0)
    owner = np.flatnonzero(trigger)
    transfers = DmaTransfers.filled(
        len(owner),
        engine=np.arange(len(owner)) % 16,
        instruction=owner,
        start_ps=end[owner],
        end_ps=done[owner] - 500 * NS,
        read_bytes=65536,
        write_bytes=65536,
        descriptors=128,
        source=0,
        dest=1,
    )
    t = np.linspace(0, end.max() if n else 0, 1000).astype(np.int64)
    return Timeline(
        name=f"random{n}",
        kind="simulated",
        target="trn2",
        instructions=Instructions.filled(
            n,
            engine=engine,
            opcode=engine,
            site=rng.integers(0, 5, n),
            start_ps=start,
            end_ps=end,
            done_ps=done,
            wait_cause=np.where(gap > 0, rng.integers(2, 6, n), 1),
            wait_on=on,
            wait_ps=gap,
            flops=1000,
            hbm_read_bytes=10,
        ),
        dma=transfers,
        dependences=Dependences.filled(int((on >= 0).sum()), producer=on[on >= 0], consumer=np.flatnonzero(on >= 0)),
        clock=ClockStates.empty(),
        opcodes=("MATMUL", "TENSOR_TENSOR", "ACTIVATE", "IOTA", "DMA_DIRECT2D"),
        sites=tuple(Site("pipeline.py", line, "pipeline") for line in range(5, 10)),
        queues=("q",),
        sources={"pipeline.py": SOURCE},
        counters={
            "SBUF bytes": Counter(time_ps=t, value=rng.random(1000) * 2e7),
            "HBM GB/s": Counter(time_ps=t, value=rng.random(1000) * 400),
        },
    )

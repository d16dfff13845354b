"""Budgets: how they are written, when they are broken, and their three doors (library, command line, pytest)."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
from handmade import NS, pipeline

from simcore.budget import engine_limit, hbm_limit, judge, nbytes, picoseconds, time_limit
from simcore.errors import UsageError


def test_times_and_sizes():
    assert [picoseconds(t) for t in ("1ps", "1.5 ns", ".5us", "2µs", "1ms", "1s")] == [
        1,
        1500,
        500_000,
        2_000_000,
        10**9,
        10**12,
    ]
    assert [nbytes(t) for t in ("5", "5B", "5kB", "5MB", "5MiB", "0.5GiB")] == [5, 5, 5000, 5_000_000, 5 << 20, 1 << 29]


@pytest.mark.parametrize(
    "parse, text",
    [
        (picoseconds, "120"),
        (picoseconds, "-1us"),
        (picoseconds, "1 fortnight"),
        (nbytes, "5 MBit"),
        (nbytes, "much"),
        (engine_limit, "tensor"),
        (engine_limit, "tensor>60%"),
        (engine_limit, "tensor>=60"),
        (engine_limit, "tensr>=60%"),
    ],
)
def test_what_is_not_a_limit_is_refused(parse, text):
    with pytest.raises(UsageError, match=r"example|Did you mean"):
        parse(text)


def test_verdicts_of_a_run_one_can_check_with_a_pencil():
    run = pipeline(4)  # 3.6 us; Tensor busy 800 ns, DMA 1.8 us; 512 KiB of HBM traffic
    verdicts = judge(
        run,
        [
            time_limit("3.6us"),
            time_limit("3.599us"),
            engine_limit("tensor>=22.2%"),
            engine_limit("Tensor>=22.3%"),
            engine_limit("dma<=50%"),
            engine_limit("gpsimd<=0%"),
            hbm_limit("512KiB"),
            hbm_limit("524287B"),
        ],
    )
    assert [v.ok for v in verdicts] == [True, False, True, False, True, True, True, False]
    assert verdicts[0].actual == 3600 * NS
    assert str(verdicts[1]) == f"BROKEN: {run.name}: time 3.600 µs, at most 3.599 µs"


@pytest.fixture
def saved(tmp_path):
    pipeline(4).save(tmp_path / "run.simcore")
    return tmp_path / "run.simcore"


def test_check_command(simcore_command, saved):
    kept = simcore_command("check", saved, "--budget", "4us", "--engine", "tensor>=20%", "--hbm-bytes", "1MB")
    assert kept.code == 0 and kept.out.count("ok:") == 3
    broken = simcore_command("check", saved, "--budget", "3us", "--engine", "tensor>=20%", "--json")
    assert broken.code == 1
    assert [(v["what"], v["ok"]) for v in json.loads(broken.out)] == [("time", False), ("Tensor busy", True)]
    assert simcore_command("check", saved).code == 2
    assert simcore_command("check", saved, "--budget", "3").code == 2


def test_pytest_plugin(tmp_path, saved, root):
    (tmp_path / "my_kernel.py").write_text(
        (root / "kernels/tensor_add.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (tmp_path / "test_mine.py").write_text(
        textwrap.dedent("""
        import numpy as np
        from my_kernel import tensor_add

        def test_saved_run_kept(simcore_check):
            assert simcore_check("run.simcore", budget="4us", engines=["tensor>=20%"]).end_ps > 0

        def test_saved_run_broken(simcore_check):
            simcore_check("run.simcore", budget="3us")

        def test_kernel(simcore_check):
            a = np.ones((128, 512), np.float32)
            simcore_check(tensor_add, a, a, hbm_bytes="768KiB", engines=["vector>=1%"])

        def test_script(simcore_check):
            simcore_check("my_kernel.py", engines=["dma>=50%"])
    """),
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nki"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed, 3 passed" in done.stdout, done.stdout
    assert "BROKEN: " in done.stdout and "at most 3.000 µs" in done.stdout

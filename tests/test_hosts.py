"""Scripts written for a Trainium host: torch_xla and torch_neuronx stand-ins, and the vendor's closed kernels."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
real_xla = pytest.mark.skipif(importlib.util.find_spec("torch_xla") is not None, reason="the real torch_xla is here")

SCRIPT = """
import torch
import torch_xla
from torch_xla.core import xla_model as xm
from torch_neuronx import nki_jit
from torch_neuronx.xla_impl.ops import nki_jit as also
from torch_neuronx.utils import get_platform_target
import neuronxcc.nki as nki
import neuronxcc.nki.language as nl
from neuronxcc.starfish.support.util import allclose

def add(a, b, out):
    nl.store(out, value=nl.load(a) + nl.load(b))

device = xm.xla_device()
a = torch.ones((4, 3), dtype=torch.float16).to(device=device)
out = torch.zeros((4, 3), dtype=torch.float16).to(device=torch_xla.device())
nki_jit(add)(a, a, out)
xm.mark_step()
torch_xla.sync()
assert allclose(out.cpu(), 2 * torch.ones(4, 3))
also()(add)(a, a, out)
assert get_platform_target() == "trn2" == get_platform_target().value
timed = nki.benchmark(warmup=2, iters=3)(add)
timed(a.numpy(), a.numpy(), out.numpy())
assert timed.benchmark_result.nc_latency.get_latency_percentile(99) > 0
"""

CLOSED = """
import numpy as np
from neuronxcc.nki._private_kernels.attention import attention_isa_kernel
from neuronxcc.nki._pre_prod_kernels.common_types import ActFnType
from neuronxcc.nki.compiler.backends.neuron.dimensions import VNC
import neuronxcc.nki as nki
assert ActFnType.SiLU == ActFnType.SiLU != ActFnType.GELU
nki.jit(attention_isa_kernel)[VNC(2)](np.zeros((2, 2), np.float32))
"""


def run(*command: str, cwd=None):
    return subprocess.run([sys.executable, "-m", "simcore.apps", *command], capture_output=True, text=True, cwd=cwd)


@needs_torch
@real_xla
@pytest.mark.parametrize("how", [("run",), ("exec", "--", sys.executable)])
def test_a_script_for_a_trainium_host_runs_on_the_cpu(tmp_path, how):
    (tmp_path / "host.py").write_text(SCRIPT)
    done = run(*how, "host.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    if how == ("run",):
        assert done.stdout.count("add on") == 3 or done.stdout.count("add") >= 3


@real_xla
def test_what_the_stand_in_does_not_know_is_a_sentence(tmp_path):
    (tmp_path / "host.py").write_text("import torch_xla\ntorch_xla.launch(print)\n")
    done = run("run", "host.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "host.py:2" in done.stderr and "needs the real torch_xla" in done.stderr
    assert "Traceback" not in done.stderr


def test_closed_kernels_can_be_imported_and_say_what_they_are_when_called(tmp_path):
    (tmp_path / "closed.py").write_text(CLOSED)
    done = run("run", "closed.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "closed.py:8" in done.stderr
    assert ("attention_isa_kernel of neuronxcc.nki._private_kernels.attention comes with the vendor's compiler"
            in done.stderr)


def test_the_published_source_of_a_vendor_kernel_answers_where_it_is_on_the_path(tmp_path):
    folder = tmp_path / "nki_samples" / "reference"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "attention.py").write_text("def flash_fwd():\n    return 'public'\n")
    (tmp_path / "uses.py").write_text("from neuronxcc.nki.kernels.attention import flash_fwd\n"
                                      "raise SystemExit(flash_fwd())\n")
    done = run("run", "uses.py", cwd=tmp_path)
    assert "saying: public" in done.stderr


def test_the_stand_ins_go_when_the_run_is_over(tmp_path):
    from simcore.apps.devices import standing_in

    if importlib.util.find_spec("torch_xla") is not None:
        pytest.skip("the real torch_xla is here")
    with standing_in():
        __import__("torch_xla")
    assert "torch_xla" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        __import__("torch_xla")


@needs_torch
@real_xla
def test_devices_of_the_host_are_the_cpu(tmp_path):
    (tmp_path / "host.py").write_text(
        "import torch, torch_neuronx, torch_xla\n"
        "x = torch.ones(4, device='neuron').to('xla').to(torch.device('neuron:0'))\n"
        "layer = torch.nn.Linear(4, 4).to('neuron')\n"
        "assert x.device.type == layer(x).device.type == 'cpu'\n"
        "@torch_neuronx.nki_op('my::op', mutates_args={})\ndef f(x): return x\n"
        "assert f(x) is x and torch_neuronx.wrap_nki(f) is f\n"
        "print('done')\n")
    for how in (("run",), ("exec", "--", sys.executable)):
        done = run(*how, "host.py", cwd=tmp_path)
        assert "done" in done.stdout + done.stderr, done.stderr


@pytest.mark.parametrize(("name", "chip"), [("inf2", "inf2"), ("trn3pre", "trn3"), ("gen3", "trn2")])
def test_other_names_of_targets(name, chip):
    from simcore.frontend.launch import check_target

    assert check_target(name) == chip


@needs_torch
@real_xla
def test_a_device_may_be_named_without_importing_torch_xla(tmp_path):
    (tmp_path / "host.py").write_text("import torch\nimport nki\nx = torch.ones(3).to(torch.device('xla'))\n"
                                      "print(x.device, 'done')\n")
    for how in (("run",), ("exec", "--", sys.executable)):
        done = run(*how, "host.py", cwd=tmp_path)
        assert "cpu done" in done.stdout + done.stderr, done.stderr

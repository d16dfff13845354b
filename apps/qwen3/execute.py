"""Running launches: with values, to check the translation; or as shapes only, to time it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from simcore.apps.qwen3.graph import Graph
from simcore.apps.qwen3.ops import Launch, Slot


def kernel(launch: Launch) -> Callable:
    """The kernel function of a launch, imported under the NKI names."""
    from simcore.frontend import activate

    with activate():
        return getattr(importlib.import_module(f"simcore.kernels.{launch.kernel}"), launch.function)


def arguments(launch: Launch, tensors: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The launch's arguments with `tensors` in their slots."""

    def fill(a):
        if isinstance(a, Slot):
            return tensors[a.index]
        return tuple(fill(x) for x in a) if isinstance(a, tuple) else a

    return tuple(fill(a) for a in launch.arguments), dict(launch.options)


def shapes(launch: Launch) -> list[Any]:
    """The tensor arguments by shape and dtype only."""
    from simcore.dtypes import to_dtype
    from simcore.frontend import TensorSpec

    return [TensorSpec(shape, to_dtype(dtype)) for _, dtype, shape in launch.tensors]


def run(
    graph: Graph, launches: list[Launch], model: Any, inputs: Mapping[str, np.ndarray], *, target: str = "trn2"
) -> np.ndarray:
    """Every launch with values, one after the other on the simulated chip: the model's output as its kernels compute
    it.
    """
    import simcore

    memory: dict[str, np.ndarray] = {name: np.ascontiguousarray(a).reshape(-1) for name, a in inputs.items()}
    memory |= {name: to_numpy(t).reshape(-1) for name, t in graph.constants.items()}
    parameters = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for launch in launches:
        tensors = []
        for base, _dtype, shape in launch.tensors:
            if base not in memory:
                memory[base] = _weight(graph, parameters, base)
            size = int(np.prod(shape))
            tensors.append(memory[base][:size].reshape(shape))
        args, options = arguments(launch, tensors)
        outputs = simcore.capture(kernel(launch), *args, target=target, **options).outputs
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        for name, out in zip(launch.results, outputs, strict=True):
            memory[name] = np.asarray(out).reshape(-1)
    result = graph.result
    return np.lib.stride_tricks.as_strided(
        memory[result.base][result.offset :],
        result.shape,
        tuple(s * memory[result.base].itemsize for s in result.strides),
    ).copy()


def _weight(graph: Graph, parameters: Mapping[str, Any], base: str) -> np.ndarray:
    name = graph.weights[base.removesuffix("^T")].removeprefix("model.")
    value = parameters[name].detach()
    return to_numpy(value.T if base.endswith("^T") else value).reshape(-1)


def to_numpy(tensor: Any) -> np.ndarray:
    """A torch tensor as NumPy, with the chip's dtypes: bfloat16 stays, 64-bit integers become 32-bit, booleans
    bytes.
    """
    import ml_dtypes
    import torch

    t = tensor.detach().cpu().contiguous()
    if t.dtype == torch.bfloat16:
        return t.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    if t.dtype == torch.int64:
        return t.to(torch.int32).numpy()
    if t.dtype == torch.bool:
        return t.to(torch.uint8).numpy()
    return t.numpy()

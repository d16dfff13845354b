"""The swap: Transformers' attention interface in front of an NKI attention kernel.

Transformers hands over q [B, H, S, D] and k, v [B, H_kv, S, D]; kernels/flash_attn.py wants q and k as [heads, D, S]
and v as [heads, S, D], batches and heads counted together.  These few lines are all that is between them.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path

from simcore.errors import UsageError

TILE = 128


def to_kernel(query, key, value, length: int | None = None):
    """[B, H, S, D] tensors as the kernel's operands, the sequence padded with zeros to `length`."""
    batch, heads, _, depth = query.shape
    kv_heads = key.shape[1]
    length = length or key.shape[2]
    query, key, value = (_padded(x, length) for x in (query, key, value))
    q = query.reshape(batch * heads, length, depth).transpose(1, 2).contiguous()
    k = key.reshape(batch * kv_heads, length, depth).transpose(1, 2).contiguous()
    v = value.reshape(batch * kv_heads, length, depth).contiguous()
    return q, k, v


def from_kernel(out, batch: int, heads: int, length: int):
    """[B*H, S, D] -> [B, S, H, D], the layout an attention function of Transformers returns; padding cut off."""
    depth = out.shape[-1]
    return out.reshape(batch, heads, -1, depth)[:, :, :length].transpose(1, 2).contiguous()


def _padded(x, length: int):
    import torch

    missing = length - x.shape[2]
    return x if missing == 0 else torch.nn.functional.pad(x, (0, 0, 0, missing))


def attention_function(run: Callable) -> Callable:
    """An attention function for Transformers around `run(q, k, v, scale, causal) -> out` on kernel operands."""

    def nki_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
        batch, heads, length, depth = query.shape
        if length != key.shape[2]:
            raise UsageError(
                f"the NKI attention attends to as many keys as queries, not {key.shape[2]} and {length}; "
                "use eager attention for decoding"
            )
        if kwargs.get("sliding_window"):
            raise UsageError("the NKI attention has no sliding window; the Qwen3 models here do not use one")
        causal = kwargs.get("is_causal")
        causal = bool(getattr(module, "is_causal", True)) if causal is None else causal
        if attention_mask is not None and bool((attention_mask[..., -1, :] < 0).any()):
            raise UsageError(
                "the NKI attention masks only by causality; pad to the right and drop the padded rows afterwards"
            )
        padded = -(-length // TILE) * TILE
        if padded != length and not causal:
            raise UsageError(f"a sequence of {length} that is not causal is not a multiple of {TILE}")
        q, k, v = to_kernel(query, key, value, padded)
        out = run(q, k, v, depth**-0.5 if scaling is None else scaling, causal)
        return from_kernel(out, batch, heads, length), None

    return nki_attention


def register(run: Callable, name: str = "nki") -> str:
    """Make the attention selectable by name: `attn_implementation="nki"`."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(name, attention_function(run))
    # No [S, S] mask is built for a kernel that masks by itself.
    AttentionMaskInterface.register(name, lambda *args, **kwargs: None)
    return name


def simulated(kernel: Callable | None = None, *, target: str = "trn2", on_trace: Callable | None = None) -> Callable:
    """`run` on the simulated chip: kernels/flash_attn.py by default, or `attention_cte`."""

    def run(q, k, v, scale, causal):
        import simcore

        function = kernel or flash_attn()
        trace = simcore.capture(function, q, k, v, scale=scale, target=target, **causal_option(function, causal))
        if on_trace is not None:
            on_trace(trace)
        return trace.outputs

    return run


def flash_attn() -> Callable:
    from simcore.frontend import activate

    with activate():
        return importlib.import_module("simcore.kernels.flash_attn").flash_attn


def attention_cte(checkout: str | Path) -> Callable:
    """attention_cte of an nki-library checkout, with our layouts: q and k come as [heads, D, S]."""
    from simcore.frontend import activate

    source = Path(checkout) / "src" / "nkilib_src"
    if not (source / "nkilib").is_dir():
        raise UsageError(f"{checkout} is not a checkout of nki-library: there is no {source / 'nkilib'}")
    with activate():
        sys.path.insert(0, str(source))
        try:
            kernel = importlib.import_module("nkilib.core.attention.attention_cte").attention_cte
        finally:
            sys.path.remove(str(source))

    def attention(q, k, v, scale=1.0, causal_mask=True):
        return kernel(q, k, v, scale=scale, causal_mask=causal_mask, tp_q=False, tp_k=False, tp_out=False)

    attention.__name__ = "attention_cte"
    return attention


def causal_option(function: Callable, causal: bool) -> dict[str, bool]:
    """Causality under the name the kernel has for it."""
    return {"causal_mask": causal} if function.__name__ == "attention_cte" else {"causal": causal}


def agreement(output, reference) -> tuple[float, float]:
    """(cosine similarity, mean squared error) of two tensors or arrays, in float64, as the demonstration prints
    them.
    """
    import numpy as np

    a, b = (
        np.asarray(x.detach().cpu().float() if hasattr(x, "detach") else x, np.float64).ravel()
        for x in (output, reference)
    )
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return (float(a @ b) / norm if norm else math.nan), float(((a - b) ** 2).mean())

"""The Qwen3 family in numbers, and models of any of its sizes with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simcore.errors import UsageError, nearest

VOCABULARY = 151_669
"""Rows of the embedding table of Qwen3-Embedding (config.json of the models on the Hugging Face hub)."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """One model of the family: config.json of Qwen/Qwen3-Embedding-{0.6B,4B,8B} and Qwen/Qwen3-1.7B."""

    name: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int = 128


SIZES = {
    s.name: s
    for s in (
        Size(name="0.6B", hidden=1024, intermediate=3072, layers=28, heads=16, kv_heads=8),
        Size(name="1.7B", hidden=2048, intermediate=6144, layers=28, heads=16, kv_heads=8),
        Size(name="4B", hidden=2560, intermediate=9728, layers=36, heads=32, kv_heads=8),
        Size(name="8B", hidden=4096, intermediate=12288, layers=36, heads=32, kv_heads=8),
    )
}


def size(name: str) -> Size:
    """The size called `name`, or a sentence that lists the sizes there are."""
    try:
        return SIZES[name]
    except KeyError:
        raise UsageError(
            f"there is no Qwen3 of size {name!r}; choose one of {', '.join(SIZES)}.{nearest(name, SIZES)}"
        ) from None


def config(of: Size, layers: int | None = None, *, vocabulary: int = VOCABULARY, **changes: Any):
    """A Transformers configuration of this size, cut to `layers`."""
    from transformers import Qwen3Config

    values: dict[str, Any] = dict(
        vocab_size=vocabulary,
        hidden_size=of.hidden,
        intermediate_size=of.intermediate,
        num_hidden_layers=layers or of.layers,
        num_attention_heads=of.heads,
        num_key_value_heads=of.kv_heads,
        head_dim=of.head_dim,
        max_position_embeddings=32_768,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        tie_word_embeddings=True,
    )
    return Qwen3Config(**(values | changes))


def build(
    of: Size,
    layers: int | None = None,
    *,
    attention: str = "eager",
    dtype: str = "bfloat16",
    device: str = "cpu",
    seed: int = 0,
    **changes: Any,
):
    """The Transformers model (without a head), with seeded random weights; on device "meta" it has none at all."""
    import torch
    from transformers.models.qwen3.modeling_qwen3 import Qwen3Model

    settings = config(of, layers, **changes)
    settings._attn_implementation = attention
    torch.manual_seed(seed)
    with torch.device(device):
        model = Qwen3Model(settings)
    return model.to(getattr(torch, dtype)).eval()

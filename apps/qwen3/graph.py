"""The model's own operator graph: Transformers' code exported at full shape, without weights and without memory.

torch.export runs the model on tensors that have a shape but no storage, so 16,384 tokens and [16, 16384, 16384] scores
cost nothing.  What comes back is a list of ATen operators; here it becomes nodes over *views*: every tensor is
described by the storage it lies in (named after the node that produced it), its shape and its strides, so that
reshapes, permutes and slices are seen for what they are: no work.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

from simcore.apps.qwen3.sizes import Size, build
from simcore.errors import UsageError

DTYPES = {
    "torch.bfloat16": "bfloat16",
    "torch.float16": "float16",
    "torch.float32": "float32",
    "torch.int64": "int32",
    "torch.int32": "int32",
    "torch.bool": "uint8",
    "torch.uint8": "uint8",
}
"""dtypes on the chip: 64-bit integers become 32-bit, booleans bytes (as the vendor's compiler does)."""

VIEWS = {
    "view",
    "_unsafe_view",
    "permute",
    "transpose",
    "expand",
    "unsqueeze",
    "squeeze",
    "slice",
    "select",
    "alias",
    "detach",
    "t",
}
SKIPPED = {"_assert_tensor_metadata", "sym_constrain_range_for_size", "_assert_scalar"}
ATTENTION = "(Tensor q, Tensor k, Tensor v, float scale, bool causal) -> Tensor"
FOLDED = 1 << 20
"""Elements up to which an operator on constants is computed at compile time."""


@dataclass(frozen=True)
class View:
    """A tensor as an operator sees it: a strided view (in elements) of the storage `base`."""

    base: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def size(self) -> int:
        n = 1
        for s in self.shape:
            n *= s
        return n


@dataclass(frozen=True)
class Node:
    """One operator: ATen name without overload, operands (views or plain values), result, and the module it is part
    of.
    """

    name: str
    op: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    out: View
    module: str


@dataclass(frozen=True)
class Graph:
    """Operators in order; storages that exist before the first one: weights, inputs, folded constants (with their
    values).
    """

    nodes: tuple[Node, ...]
    weights: dict[str, str]  # storage -> parameter name in the model
    inputs: tuple[str, ...]
    constants: dict[str, Any]  # storage -> torch tensor
    result: View


def export(
    of: Size,
    *,
    layers: int,
    length: int,
    attention: str = "eager",
    dtype: str = "bfloat16",
    batch: int = 1,
    decode: bool = False,
    vocabulary: int | None = None,
) -> Graph:
    """The graph of a prefill of `length` tokens, or with `decode` of one token after `length - 1` cached ones.

    attention is "eager", or "flash" for the kernel behind Transformers' attention interface (one node
    `simcore.attention` with the adapter's own reshapes around it).
    """
    import torch

    if attention not in ("eager", "flash"):
        raise UsageError(f"attention is eager or flash, not {attention!r}")
    if decode and attention == "flash":
        raise UsageError("a decode step has one query; the flash kernel needs a multiple of 128: use eager attention")
    changes = {} if vocabulary is None else {"vocabulary": vocabulary}
    model = build(
        of,
        layers,
        attention="eager" if attention == "eager" else _graph_attention(),
        dtype=dtype,
        device="meta",
        **changes,
    )
    ids = torch.zeros(batch, 1 if decode else length, dtype=torch.long, device="meta")
    mask = torch.ones(batch, length, dtype=torch.long, device="meta")
    cache: tuple[Any, ...] = ()
    if decode:
        one = torch.zeros(batch, of.kv_heads, length - 1, of.head_dim, dtype=getattr(torch, dtype), device="meta")
        cache = tuple(one.clone() for _ in range(2 * layers))
    table = torch.export.default_decompositions()
    table.pop(torch.ops.aten.silu.default, None)  # one instruction on the Scalar engine, so one operator here
    with torch.no_grad(), _quiet():
        program = torch.export.export(_wrapped(model), (ids, mask, *cache), strict=False).run_decompositions(table)
    return _Reader(program).graph()


def _wrapped(model):
    import torch
    from transformers import DynamicCache

    class Encoder(torch.nn.Module):
        """ids, attention mask and cached keys and values in; hidden states (and in decoding new keys and values)
        out.
        """

        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids, mask, *cache):
            past = None
            if cache:
                past = DynamicCache(config=model.config)
                for layer in range(len(cache) // 2):
                    past.update(cache[2 * layer], cache[2 * layer + 1], layer)
            return self.model(
                input_ids=ids, attention_mask=mask, past_key_values=past, use_cache=past is not None
            ).last_hidden_state

    return Encoder()


def _graph_attention() -> str:
    """Attention as one opaque operator, behind the same adapter the real run uses."""
    import torch

    from simcore.apps.qwen3.attention import attention_function

    if not hasattr(torch.ops, "simcore") or not hasattr(torch.ops.simcore, "attention"):

        @torch.library.custom_op("simcore::attention", mutates_args=(), schema=ATTENTION)
        def attention(q, k, v, scale, causal):
            from simcore.apps.qwen3.attention import simulated

            return simulated()(q, k, v, scale, causal)

        @attention.register_fake
        def _(q, k, v, scale, causal):
            return q.new_empty(q.shape[0], q.shape[2], v.shape[2])

    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(
        "nki_graph",
        attention_function(lambda q, k, v, scale, causal: torch.ops.simcore.attention(q, k, v, scale, causal)),
    )
    AttentionMaskInterface.register("nki_graph", lambda *args, **kwargs: None)
    return "nki_graph"


class _quiet:
    """torch.export warns about things that are no concern of a graph that is only read."""

    def __enter__(self):
        self.filters = warnings.catch_warnings()
        self.filters.__enter__()
        warnings.simplefilter("ignore")
        self.level = logging.getLogger("torch").level
        logging.getLogger("torch").setLevel(logging.ERROR)

    def __exit__(self, *exc):
        self.filters.__exit__(*exc)
        logging.getLogger("torch").setLevel(self.level)


class _Reader:
    """One walk over an exported program."""

    def __init__(self, program: Any):
        self.program = program
        self.views: dict[str, View] = {}
        self.aliases: dict[str, Any] = {}  # node -> folded tensor or number
        self.nodes: list[Node] = []
        self.weights: dict[str, str] = {}
        self.inputs: list[str] = []
        self.constants: dict[str, Any] = {}

    def graph(self) -> Graph:
        kinds = {s.arg.name: (s.kind.name, s.target) for s in self.program.graph_signature.input_specs}
        result = None
        for n in self.program.graph.nodes:
            if n.op == "placeholder":
                self._placeholder(n, *kinds[n.name])
            elif n.op == "output":
                result = self._view(n.args[0][0])
            elif n.op == "call_function":
                self._call(n)
        assert result is not None
        return Graph(tuple(self.nodes), self.weights, tuple(self.inputs), self.constants, result)

    def _placeholder(self, n, kind: str, target: str | None) -> None:
        self.views[n.name] = self._own(n)
        if kind in ("PARAMETER", "BUFFER"):
            self.weights[n.name] = target or n.name
        else:
            self.inputs.append(n.name)

    def _call(self, n) -> None:
        op = n.target.__name__.split(".")[0] if hasattr(n.target, "__name__") else str(n.target)
        if op in SKIPPED:
            return
        if self._fold(n):
            return
        if op in VIEWS:
            source = self._view(n.args[0])
            value = n.meta["val"]
            # torch reports offsets within the storage; of a parameter or a result that is the storage itself
            self.views[n.name] = View(
                source.base, source.dtype, tuple(value.shape), tuple(value.stride()), int(value.storage_offset())
            )
            return
        if op == "index" and self._is_identity(n):
            value = n.meta["val"]
            source = self._view(n.args[0])
            self.views[n.name] = View(
                source.base, source.dtype, tuple(value.shape), tuple(value.stride()), source.offset
            )
            return
        args = tuple(self._operand(a) for a in n.args)
        options = {k: self._operand(v) for k, v in n.kwargs.items()}
        out = self.views[n.name] = self._own(n)
        self.nodes.append(Node(n.name, op, args, options, out, _module(n)))

    def _own(self, n) -> View:
        value = n.meta["val"]
        return View(n.name, DTYPES[str(value.dtype)], tuple(value.shape), tuple(value.stride()))

    def _operand(self, a):
        if hasattr(a, "op"):
            if a.name in self.aliases:
                folded = self.aliases[a.name]
                if folded.numel() == 1 and folded.dim() == 0:
                    return folded.item()
            return self._view(a)
        if isinstance(a, list | tuple):
            return tuple(self._operand(x) for x in a)
        return a

    def _view(self, n) -> View:
        if n.name in self.aliases and n.name not in self.views:
            folded = self.aliases[n.name]
            self.constants[n.name] = folded
            self.views[n.name] = View(
                n.name, DTYPES[str(folded.dtype)], tuple(folded.shape), tuple(folded.contiguous().stride())
            )
        return self.views[n.name]

    def _fold(self, n) -> bool:
        """Operators whose operands are all constants are computed here, as a compiler would, where they are small."""
        import torch

        value = n.meta.get("val")
        if not isinstance(value, torch.Tensor) or value.numel() > FOLDED:
            return False
        if any(a.name not in self.aliases for a in n.all_input_nodes):
            return False

        def real(a):
            if hasattr(a, "op"):
                return self.aliases[a.name]
            if isinstance(a, list | tuple):
                return type(a)(real(x) for x in a)
            return torch.device("cpu") if isinstance(a, torch.device) else a

        result = n.target(*(real(a) for a in n.args), **{k: real(v) for k, v in n.kwargs.items()})
        self.aliases[n.name] = result.detach()
        return True

    def _is_identity(self, n) -> bool:
        """Is this gather one that takes every element in order (what mask construction does with aranges)?"""
        import torch

        source = self._view(n.args[0])
        indices = n.args[1]
        if len(indices) != len(source.shape):
            return False
        for axis, index in enumerate(indices):
            if index is None or index.name not in self.aliases:
                return False
            if not torch.equal(self.aliases[index.name].flatten(), torch.arange(source.shape[axis])):
                return False
        value = n.meta["val"]
        return value.numel() == source.size


def _module(n) -> str:
    """The module of the model an operator belongs to, for example "layers.0.self_attn.q_norm"."""
    stack = n.meta.get("nn_module_stack") or {}
    path = list(stack.values())[-1][0] if stack else ""
    return path.removeprefix("model").removeprefix(".")

"""Qwen3: the swap, the compiled graph, predictions, bundles."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from simcore.apps.qwen3 import attention, bundle, predict, published, report, sizes  # noqa: E402
from simcore.apps.qwen3 import compile as compiling  # noqa: E402
from simcore.apps.qwen3.execute import run, to_numpy  # noqa: E402
from simcore.apps.qwen3.graph import export  # noqa: E402
from simcore.apps.qwen3.space import space  # noqa: E402
from simcore.errors import FileError, UsageError  # noqa: E402

TINY = sizes.Size(name="tiny", hidden=256, intermediate=512, layers=2, heads=4, kv_heads=2, head_dim=64)


def tokens(length: int, batch: int = 1, vocabulary: int = 512):
    return torch.randint(0, vocabulary, (batch, length), generator=torch.Generator().manual_seed(1))


def reference(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).last_hidden_state


# ---------------------------------------------------------------------------------------- the swap


@pytest.mark.parametrize("length", [256, 200])
@pytest.mark.parametrize("batch", [1, 2])
def test_swap_agrees_with_eager(length, batch):
    """Real Transformers code, attention through its own interface, a length that needs padding, several prompts."""
    model = sizes.build(TINY, 2, dtype="float32", vocabulary=512)
    ids = tokens(length, batch)
    expected = reference(model, ids)
    launches = []
    model.set_attn_implementation(attention.register(attention.simulated(on_trace=launches.append)))
    cosine, mse = attention.agreement(reference(model, ids), expected)
    assert len(launches) == 2
    assert cosine >= 0.9999
    assert mse < 1e-9


def test_swap_agrees_in_bfloat16():
    model = sizes.build(TINY, 1, dtype="bfloat16", vocabulary=512)
    ids = tokens(128)
    expected = reference(model, ids)
    model.set_attn_implementation(attention.register(attention.simulated()))
    cosine, _ = attention.agreement(reference(model, ids), expected)
    assert cosine >= 0.999


def test_swap_with_attention_cte(refs):
    checkouts = sorted(refs.glob("aws-neuron+nki-library@d2ad3a5*")) or sorted(refs.glob("aws-neuron+nki-library@*"))
    if not checkouts:
        pytest.skip(f"no checkout of nki-library in {refs}")
    model = sizes.build(TINY, 1, dtype="float32", vocabulary=512)
    ids = tokens(256)
    expected = reference(model, ids)
    model.set_attn_implementation(
        attention.register(attention.simulated(attention.attention_cte(checkouts[0])), "nki_cte")
    )
    cosine, _ = attention.agreement(reference(model, ids), expected)
    assert cosine >= 0.999  # the kernel multiplies in bfloat16 whatever its inputs are


def test_adapter_is_its_own_inverse():
    q = torch.arange(2 * 4 * 128 * 8, dtype=torch.float32).reshape(2, 4, 128, 8)
    kernel_q, k, v = attention.to_kernel(q, q[:, :2], q[:, :2])
    assert kernel_q.shape == (8, 8, 128)
    assert k.shape == (4, 8, 128)
    assert v.shape == (4, 128, 8)
    back = attention.from_kernel(kernel_q.transpose(1, 2), 2, 4, 128)
    assert torch.equal(back, q.transpose(1, 2))


def test_adapter_refuses_what_the_kernel_cannot_do():
    def nothing(*args):
        raise AssertionError("must not be reached")

    adapter = attention.attention_function(nothing)
    q = torch.zeros(1, 4, 128, 64)
    with pytest.raises(UsageError, match="as many keys"):
        adapter(None, q[:, :, :1], q, q, None)
    with pytest.raises(UsageError, match="sliding window"):
        adapter(None, q, q, q, None, sliding_window=16)
    with pytest.raises(UsageError, match="causality"):
        adapter(torch.nn.Module(), q, q, q, torch.full((1, 1, 128, 128), -1.0))
    with pytest.raises(UsageError, match="not a checkout"):
        attention.attention_cte("/nowhere")


# ---------------------------------------------------------------------------------------- the graph


@pytest.mark.parametrize("rule", compiling.RULES)
@pytest.mark.parametrize("kind", ["eager", "flash"])
def test_launches_compute_the_model(kind, rule):
    """What is timed is what computes: all kernels of the compiled graph, run in order, give the model's output."""
    model = sizes.build(TINY, 2, dtype="float32", vocabulary=512)
    ids = tokens(256)
    graph = export(TINY, layers=2, length=256, attention=kind, dtype="float32", vocabulary=512)
    inputs = {graph.inputs[0]: to_numpy(ids), graph.inputs[1]: to_numpy(torch.ones_like(ids))}
    out = run(graph, compiling.compile_graph(graph, rule), model, inputs)
    np.testing.assert_allclose(out, reference(model, ids).numpy(), rtol=1e-4, atol=1e-4)


def test_launches_compute_the_model_in_bfloat16():
    model = sizes.build(TINY, 1, dtype="bfloat16", vocabulary=512)
    ids = tokens(128)
    graph = export(TINY, layers=1, length=128, dtype="bfloat16", vocabulary=512)
    inputs = {graph.inputs[0]: to_numpy(ids), graph.inputs[1]: to_numpy(torch.ones_like(ids))}
    out = run(graph, compiling.compile_graph(graph), model, inputs)
    cosine, _ = attention.agreement(out.astype(np.float32), reference(model, ids))
    assert cosine >= 0.9999


def test_graph_of_the_real_model_allocates_nothing_and_keeps_its_shapes():
    graph = export(sizes.SIZES["0.6B"], layers=1, length=16_384)
    scores = [n for n in graph.nodes if n.op == "bmm"]
    assert [n.out.shape for n in scores] == [(16, 16_384, 16_384), (16, 16_384, 128)]
    assert max(t.numel() for t in graph.constants.values()) <= 16_384


def test_fusion_moves_fewer_bytes_and_computes_the_same_operators():
    graph = export(TINY, layers=1, length=256, vocabulary=512)
    launches = {rule: compiling.compile_graph(graph, rule) for rule in compiling.RULES}
    operators = {rule: {n for x in mine for n in x.operators} for rule, mine in launches.items()}
    assert operators["none"] == operators["pointwise"] == operators["rows"]
    assert len(launches["none"]) > len(launches["pointwise"]) > len(launches["rows"])


def test_unfused_attention_moves_the_bytes_one_counts_by_hand():
    """bfloat16 scores: written, scaled, masked, cast, the five operators of the softmax, cast back, read: 58 bytes
    each.
    """
    p = predict.predict(TINY, layers=1, length=1024)
    moved = sum(r.count * r.timed.hbm_bytes for r in p.rows if r.part == "attention")
    elements = TINY.heads * 1024 * 1024
    mask = 2 * 1024 * 1024 * TINY.heads
    least = (2 + 4 + 4 + 6 + 4 + 8 + 8 + 4 + 8 + 6 + 2) * elements + mask
    assert least < moved < 1.1 * least


# ---------------------------------------------------------------------------------------- iteration spaces


def visited(where, number: int, offset: int = 0) -> np.ndarray:
    """Every element a space visits of one operand, in order."""
    sizes_ = (*where.loops, *where.partitions, *where.free)
    index = np.indices(sizes_).reshape(len(sizes_), -1)
    return offset + (np.array(where.strides[number])[:, None] * index).sum(0)


@pytest.mark.parametrize(
    ("shape", "strides", "limit"),
    [
        ((1, 16, 64, 128), (131072, 128, 2048, 1), 256),  # a permuted tensor
        ((1, 1, 300, 7), (2100, 2100, 7, 1), 4096),
        ((5,), (1,), 64),
        ((1, 1), (1, 1), 16),
        ((3, 2, 1000), (2000, 1000, 1), 128),
    ],
)
def test_space_visits_every_element_once(shape, strides, limit):
    where = space(shape, [strides], limit=limit)
    expected = sorted(sum(i * s for i, s in zip(index, strides)) for index in np.ndindex(*shape))
    assert sorted(visited(where, 0).tolist()) == expected


def test_space_pairs_operands():
    """A row operand and a column operand meet the elements they belong to."""
    where = space((200, 48), [(48, 1), (1, 0), (0, 1)], limit=64)
    full, row, column = (visited(where, k) for k in range(3))
    assert np.array_equal(row, full // 48)
    assert np.array_equal(column, full % 48)


# ---------------------------------------------------------------------------------------- predictions


def test_layers_are_counted():
    one = predict.predict(TINY, layers=1, length=256)
    many = predict.predict(TINY, layers=7, length=256)
    direct = predict.predict(TINY, layers=2, length=256)
    assert sum(r.count for r in many.rows if r.label == "mm") == 7 * 7
    per_layer = direct.device_ps - one.device_ps
    assert many.device_ps == one.device_ps + 6 * per_layer


def test_prediction_is_never_below_its_bounds_and_adds_up():
    p = predict.predict(TINY, layers=2, length=256, attention="flash")
    assert all(r.timed.time_ps >= r.timed.bound_ps > 0 for r in p.rows)
    assert p.device_ps == p.start_ps + sum(p.by_part().values())
    assert set(p.ideal_ps) == set(p.by_part())
    data = json.loads(json.dumps(p.to_dict()))
    assert data["device_ps"] == p.device_ps


def test_decode_reads_the_weights_and_the_cache():
    p = predict.predict(TINY, layers=1, length=1024, decode=True)
    read = sum(r.count * r.timed.hbm_read_bytes for r in p.rows)
    weights = 2 * (256 * (256 + 2 * 128) + 256 * 256 + 3 * 256 * 512)
    cache = 2 * 2 * TINY.kv_heads * 1023 * TINY.head_dim
    assert read > weights + cache


def test_verdict_shows_measured_values_only_for_the_measured_configuration():
    p = predict.predict(TINY, layers=1, length=256)
    assert "nothing was measured" in report.verdict([p])[0]
    assert published.find(size="0.6B", layers=4, length=16_384, batch=1, target="trn2", attention="eager", decode=False)
    assert (
        published.find(size="0.6B", layers=4, length=8_192, batch=1, target="trn2", attention="eager", decode=False)
        is None
    )
    assert published.FLASH.end_to_end_ps == pytest.approx(334e9, rel=2e-3)


@pytest.mark.slow
def test_the_demonstration_is_predicted():
    """Within 15 % of what was measured, on the device, by the machine file alone; speed-up as measured."""
    eager, flash = (
        predict.predict(sizes.SIZES["0.6B"], layers=4, length=16_384, attention=a) for a in ("eager", "flash")
    )
    assert eager.device_ps == pytest.approx(published.EAGER.device_ps, rel=0.15)
    assert flash.device_ps == pytest.approx(published.FLASH.device_ps, rel=0.15)
    host = published.EAGER.host_ps, published.FLASH.host_ps
    assert 6.5 < (eager.device_ps + host[0]) / (flash.device_ps + host[1]) < 10


# ---------------------------------------------------------------------------------------- bundles

CONFIGURATION = {
    "size": "0.6B",
    "layers": 4,
    "seq": 256,
    "batch": 1,
    "dtype": "bfloat16",
    "attention": "flash",
    "target": "trn2",
}


def test_bundle_round_trip(tmp_path):
    made = bundle.Bundle(
        configuration=CONFIGURATION,
        latency_s=[0.3, 0.31, 0.29],
        device_s=[0.25],
        accuracy={"cosine_similarity": 0.9999, "mean_squared_error": 1e-4},
        environment={"python": "3.11"},
    )
    bundle.write(made, tmp_path / "run.json")
    assert bundle.read(tmp_path / "run.json") == made


def test_statistics():
    s = bundle.statistics_of([0.1, 0.2, 0.3], batch=2)
    assert s["mean_s"] == pytest.approx(0.2)
    assert s["median_s"] == 0.2
    assert s["stdev_s"] == pytest.approx(0.1)
    assert s["prompts_per_s"] == pytest.approx(10)
    with pytest.raises(ValueError, match="positive"):
        bundle.statistics_of([0.1, float("nan")])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[]", "does not say"),
        ('{"format": "simcore-qwen3-bundle", "version": 9}', "version 9"),
        ('{"format": "simcore-qwen3-bundle", "version": 1}', "no configuration"),
        (
            json.dumps(
                {"format": "simcore-qwen3-bundle", "version": 1, "configuration": CONFIGURATION | {"layers": "4"}}
            ),
            "layers",
        ),
        (json.dumps({"format": "simcore-qwen3-bundle", "version": 1, "configuration": CONFIGURATION}), "no timed runs"),
    ],
)
def test_bad_bundles_are_refused(tmp_path, text, says):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(FileError, match=says):
        bundle.read(path)


def test_comparison_shows_what_is_not_predicted(tmp_path):
    p = predict.predict(TINY, layers=1, length=256, attention="flash")
    made = bundle.Bundle(configuration=CONFIGURATION, latency_s=[0.3], device_s=[0.25])
    text = bundle.comparison(made, p)
    assert "outside the device" in text
    assert "%" in text
    assert "not predicted" in bundle.comparison(bundle.Bundle(configuration=CONFIGURATION, latency_s=[0.3]), p)


def test_a_machine_of_ones_own(tmp_path):
    """Twice the DMA bandwidth: what is bound by it gets faster, nothing gets slower."""
    file = tmp_path / "fast.toml"
    file.write_text('extends = "trn2"\n[dma]\nengine_bytes_per_s = 54.4e9\n')
    usual = predict.predict(TINY, layers=1, length=512)
    fast = predict.predict(TINY, layers=1, length=512, target=str(file))
    assert fast.device_ps < usual.device_ps
    assert {r.label for r in fast.rows} == {r.label for r in usual.rows}


def test_prediction_with_attention_cte(refs):
    checkouts = sorted(refs.glob("aws-neuron+nki-library@*"))
    if not checkouts:
        pytest.skip(f"no checkout of nki-library in {refs}")
    ours = predict.predict(TINY, layers=1, length=512, attention="flash")
    theirs = predict.predict(
        TINY, layers=1, length=512, attention="flash", attention_kernel=attention.attention_cte(checkouts[-1])
    )
    assert [r.kernel for r in theirs.rows if r.label == "flash attention"] == ["attention_cte"]
    differs = [a.label for a, b in zip(ours.rows, theirs.rows, strict=True) if a.timed != b.timed]
    assert differs == ["flash attention"]

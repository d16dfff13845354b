"""`nl`: creation, views, functions on tiles, loops, registers, programs."""

import dataclasses

import numpy as np
import pytest

import simcore
from simcore.errors import KernelError, UsageError, ValueNeeded
from simcore.frontend import activate
from tests.isa_run import close, tile

with activate():
    import nki
    import nki.isa as nisa
    import nki.language as nl


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def on_tiles(function, *arrays, target="trn2"):
    """`function` on tiles with these values; its result as an array."""

    def kernel(*given):
        t = function(*[tile(g) for g in given])
        if t.is_psum():
            t = nl.copy(t)
        out = nl.ndarray(t.shape, t.dtype, nl.shared_hbm)
        nisa.dma_copy(dst=out, src=t)
        return out

    return simcore.capture(kernel, *arrays, target=target).outputs


X = normal((6, 8))
POSITIVE = np.abs(X) + 0.25
SPREAD = X * 20

FUNCTIONS = {
    "floor": (np.floor, SPREAD), "ceil": (np.ceil, SPREAD), "trunc": (np.trunc, SPREAD), "negative": (np.negative, X),
    "sign": (np.sign, X),
    "abs": (np.abs, X), "square": (np.square, X), "exp": (np.exp, X), "log": (np.log, POSITIVE),
    "sqrt": (np.sqrt, POSITIVE),
    "rsqrt": (lambda x: 1 / np.sqrt(x), POSITIVE), "reciprocal": (lambda x: 1 / x, POSITIVE), "tanh": (np.tanh, X),
    "relu": (lambda x: np.maximum(x, 0), X),
    "sin": (np.sin, SPREAD), "cos": (np.cos, SPREAD), "copy": (lambda x: x, X),
    "logical_not": (np.logical_not, np.round(X)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_one_tile(name):
    fn, x = FUNCTIONS[name]
    close(on_tiles(getattr(nl, name), x), fn(x.astype(np.float64)), tol=1e-5)


def test_tan():
    x = np.clip(X, -1.2, 1.2)
    close(on_tiles(nl.tan, x), np.tan(x), tol=1e-4)


BINARY = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "maximum": np.maximum,
          "minimum": np.minimum,
          "power": np.power, "mod": np.mod, "fmod": np.fmod, "equal": np.equal, "less": np.less,
          "logical_or": np.logical_or}


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("other", ["tile", "column", "number", "reversed"])
def test_functions_of_two(name, other):
    x, y = POSITIVE, {"tile": POSITIVE[::-1].copy(), "column": POSITIVE[:, :1].copy()}.get(other, np.float32(1.5))
    fn = getattr(nl, name)
    if other == "number":
        got = on_tiles(lambda a: fn(a, 1.5), x)
    elif other == "reversed":
        got, x, y = on_tiles(lambda a: fn(1.5, a), x), y, x
    else:
        got = on_tiles(fn, x, y)
    close(got, BINARY[name](x, y), tol=1e-5)


REDUCTIONS = {"sum": np.sum, "max": np.max, "min": np.min, "prod": np.prod, "mean": np.mean, "var": np.var}


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [(2,), (1, 2)])
def test_reductions(name, axis):
    x = normal((4, 3, 5))
    got = on_tiles(lambda t: getattr(nl, name)(t, axis=axis), x)
    want = REDUCTIONS[name](x.astype(np.float64), axis=axis)
    close(got.reshape(want.shape), want, tol=1e-5)


def test_all_is_one_where_every_element_is_not_zero():
    x = np.array([[1, 2, 3], [1, 0, 3]], np.float32)
    assert on_tiles(lambda t: nl.all(t, axis=1), x).tolist() == [[1.0], [0.0]]


def test_softmax_rms_norm_where_matmul_transpose():
    x, w = normal((6, 10)), normal((1, 10), 1)
    e = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    close(on_tiles(nl.softmax, x), e / e.sum(1, keepdims=True), tol=1e-5)
    close(on_tiles(lambda a, b: nl.rms_norm(a, b, axis=1, n=10, epsilon=1e-3), x, w),
          x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-3) * w, tol=1e-5)
    close(on_tiles(lambda a: nl.where(nl.greater(a, 0.0), a, -1.0), x), np.where(x > 0, x, -1))
    y = normal((10, 7), 2)
    close(on_tiles(nl.matmul, x, y), x @ y, tol=1e-5)
    close(on_tiles(lambda a, b: nl.matmul(a, b, transpose_x=True), x, normal((6, 4), 3)), x.T @ normal((6, 4), 3),
          tol=1e-5)
    np.testing.assert_array_equal(on_tiles(nl.transpose, x), x.T)


def test_broadcast_over_free_and_partition_dimensions():
    np.testing.assert_array_equal(on_tiles(lambda t: nl.broadcast_to(t, (6, 5)), X[:, :1].copy()),
                                  np.broadcast_to(X[:, :1], (6, 5)))
    np.testing.assert_array_equal(on_tiles(lambda t: nl.broadcast_to(t, (100, 8)), X[:1]),
                                  np.broadcast_to(X[:1], (100, 8)))


def test_constants_and_random_numbers(tmp_path):
    np.save(tmp_path / "c.npy", X)
    np.testing.assert_array_equal(on_tiles(lambda t: nl.load(nl.shared_constant(str(tmp_path / "c.npy"))), X), X)
    np.testing.assert_array_equal(on_tiles(lambda t: nl.shared_identity_matrix(5, nl.float32), X), np.eye(5))

    def twice(t):
        seed = nl.full((1, 1), 42, nl.int32)
        nl.random_seed(seed)
        a = nl.rand((6, 8), nl.float32)
        nl.random_seed(seed)
        return nl.subtract(a, nl.rand((6, 8), nl.float32))

    assert not on_tiles(twice, X).any()
    draws = on_tiles(lambda t: nl.rand((128, 64), nl.float32), X)
    assert 0 <= draws.min() and draws.max() < 1 and abs(draws.mean() - 0.5) < 0.02


def test_gather_flattened():
    index = np.random.default_rng(0).integers(0, 8, (6, 4)).astype(np.int32)
    np.testing.assert_array_equal(on_tiles(nl.gather_flattened, X, index), np.take_along_axis(X, index, 1))


def test_unwritten_memory_reads_as_nan_and_four():
    assert np.isnan(on_tiles(lambda t: nl.ndarray((2, 3), nl.float32), X)).all()
    assert (on_tiles(lambda t: nl.ndarray((2, 3), nl.int32), X) == 4).all()


# ------------------------------------------------------------------------------------------------ views

VIEWS = {
    "integer keeps the partition": (lambda t: t[3], lambda a: a[3:4]),
    "integer in a free dimension": (lambda t: t[:, 2], lambda a: a[:, 2]),
    "step": (lambda t: t[:, :, 1:8:3], lambda a: a[:, :, 1:8:3]),
    "negative bounds": (lambda t: t[..., -3:-1], lambda a: a[..., -3:-1]),
    "ds": (lambda t: t[:, nl.ds(1, 2)], lambda a: a[:, 1:3]),
    "range": (lambda t: t[nl.affine_range(2, 6), :, nl.affine_range(1, 8, 3)], lambda a: a[2:6, :, 1:8:3]),
    "permute": (lambda t: t.permute((0, 2, 1)), lambda a: a.transpose(0, 2, 1)),
    "reshape": (lambda t: t.reshape((6, 2, 16)), lambda a: a.reshape(6, 2, 16)),
    "reshape_dim": (lambda t: t.reshape_dim(2, (2, -1)), lambda a: a.reshape(6, 4, 2, 4)),
    "flatten_dims": (lambda t: t.flatten_dims(1, 2), lambda a: a.reshape(6, 32)),
    "slice": (lambda t: t.slice(2, 1, 7, 2), lambda a: a[:, :, 1:7:2]),
    "select": (lambda t: t.select(1, 2), lambda a: a[:, 2]),
    "expand and broadcast": (lambda t: t.expand_dim(1).broadcast(1, 3),
                             lambda a: np.broadcast_to(a[:, None], (6, 3, 4, 8))),
    "rearrange": (lambda t: t.rearrange(("p", "a", ("b", "c")), ("p", "c", "a", "b"), {"c": 2}),
                  lambda a: a.reshape(6, 4, 4, 2).transpose(0, 3, 1, 2)),
    "ap": (lambda t: t.ap([[32, 6], [2, 16]], offset=1), lambda a: a.reshape(6, 32)[:, 1::2]),
    "ap of a view": (lambda t: t[2:6, 1:3].ap([[16, 4], [1, 4]], offset=4), lambda a: a[2:6, 1, 4:]),
    "view": (lambda t: t.view(nl.int32).view(nl.float32), lambda a: a),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(name):
    cut, want = VIEWS[name]
    x = normal((6, 4, 8))
    np.testing.assert_array_equal(on_tiles(lambda t: nl.copy(cut(t)), x).reshape(want(x).shape), want(x))


@pytest.mark.parametrize(("cut", "words"), [
    (lambda t: t[:, 9], "outside dimension 1"), (lambda t: t[:, 0:9], "runs outside"),
    (lambda t: t.reshape((4, 48)), "partition"),
    (lambda t: t.permute((1, 0, 2)), "must stay first"), (lambda t: t[:, :, 0:4].reshape((6, 16)), "without a copy"),
    (lambda t: t.ap([[32, 6], [1, 33]]), "leaves"), (lambda t: t.broadcast(1, 3), "size 1"),
])
def test_views_that_do_not_exist(cut, words):
    with pytest.raises(KernelError, match=words):
        on_tiles(lambda t: nl.copy(cut(t)), normal((6, 4, 8)))


# ------------------------------------------------------------------------------------------------ control


def test_registers_and_device_loops():
    def kernel(a, count):
        n = nisa.register_alloc()
        t, total = tile(count), nl.zeros((1, 4), nl.float32)
        nisa.register_load(n, t)

        def body(i):
            row = nl.ndarray((1, 4), nl.float32)
            nisa.dma_copy(dst=row, src=a.ap([[4, 1], [1, 4]], scalar_offset=i, indirect_dim=0))
            nisa.tensor_tensor(dst=total, data1=total, data2=row, op=nl.add)

        nl.fori_loop(0, n, body)
        for i in nl.dynamic_range(1, n, 2):
            body(i)

        def countdown(r):
            nisa.tensor_scalar(dst=t, data=t, op0=nl.subtract, operand0=1.0)
            nisa.register_load(r, t)
            body(0)
            return r

        nl.while_loop(n, countdown)
        left, out = nl.ndarray((1, 1), nl.int32), nl.ndarray((1, 4), nl.float32, nl.shared_hbm)
        nisa.register_store(left, n)
        nisa.tensor_tensor(dst=total, data1=total, data2=nl.broadcast_to(nl.copy(left, nl.float32), (1, 4)), op=nl.add)
        nisa.dma_copy(dst=out, src=total)
        return out

    x = normal((6, 4))
    got = simcore.capture(kernel, x, np.array([[5]], np.int32)).outputs
    close(got[0], x[:5].sum(0) + x[1:5:2].sum(0) + 5 * x[0], tol=1e-5)
    with pytest.raises(ValueNeeded, match="register"):
        simcore.capture(kernel, x, np.array([[5]], np.int32), values=False)


def test_two_cores_exchange_and_wait():
    @nki.jit
    def kernel(a):
        me = nl.program_id(0)
        mine, theirs = nl.load(a[me]), nl.ndarray((1, 4), nl.float32)
        nisa.sendrecv(src=mine, dst=theirs, send_to_rank=1 - me, recv_from_rank=1 - me, pipe_id=0)
        shared, out = nl.ndarray((2, 4), nl.float32, nl.shared_hbm), nl.ndarray((2, 4), nl.float32, nl.shared_hbm)
        nisa.dma_copy(dst=shared[me].reshape((1, 4)), src=theirs)
        nisa.core_barrier(shared, (0, 1))
        nisa.dma_copy(dst=out[me], src=shared[1 - me])
        return out

    x = normal((2, 1, 4))
    trace = simcore.capture(kernel[2], x)
    np.testing.assert_array_equal(trace.outputs, x[:, 0])       # exchanged twice
    assert set(trace.core.tolist()) == {0, 1}
    assert (trace.order[:, 0] < trace.order[:, 1]).all()
    timing = simcore.capture(kernel[2], x, values=False)
    np.testing.assert_array_equal(timing.variant, trace.variant)
    with pytest.raises(KernelError, match="two cores"):
        simcore.capture(kernel, x)


def test_cores_that_never_meet_are_an_error():
    @nki.jit
    def kernel(a):
        if nl.program_id(0) == 0:
            nisa.core_barrier(a, (0, 1))
        return a

    with pytest.raises(KernelError, match="program 0 at its 1. core_barrier"):
        simcore.capture(kernel[2], normal((2, 4)))


def test_order_of_instructions():
    def kernel(a):
        with nl.no_reorder():
            t = nl.load(a)
            nl.add(t, t)
        first = nisa.memset(dst=nl.ndarray((1, 1), nl.float32), value=0)
        nisa.memset(dst=nl.ndarray((1, 1), nl.float32), value=0).depends_on(first)
        return a

    assert simcore.capture(kernel, X).order.tolist() == [[0, 1], [2, 3]]


def test_unknown_names_are_errors_with_the_nearest_known():
    with pytest.raises(AttributeError, match="tensor_copy"):
        nisa.tensor_cpy  # noqa: B018
    with pytest.raises(AttributeError, match="softmax"):
        nl.softmaxx  # noqa: B018


# ------------------------------------------------------------------------------------------------ objects, host


class Plain(nl.NKIObject):
    a = 1
    b: int
    c: list = None


@dataclasses.dataclass
class Data(nl.NKIObject):
    first: int = 3
    second: int           # dataclasses alone would refuse a field without a default here
    label: str = "x"

    def __post_init__(self):
        self.total = self.first + (self.second or 0)


def test_objects_have_defaults_for_missing_arguments():
    p = Plain(b=5)
    assert (p.a, p.b, p.c) == (1, 5, None)
    assert p == Plain(b=5) and p != Plain(b=6)
    assert (Data().second, Data(1, 2).total, Data(second=4).total) == (None, 3, 7)


def test_simulate_takes_and_gives_numpy_and_torch():
    torch = pytest.importorskip("torch")

    @nki.jit
    def double(a):
        t, out = nl.load(a), nl.ndarray(a.shape, a.dtype, nl.shared_hbm)
        nl.store(out, nl.multiply(t, 2.0))
        return out

    np.testing.assert_array_equal(nki.simulate(double)(X), 2 * X)
    x = torch.tensor(X).to(torch.bfloat16)
    got = nki.simulate(double)(x)
    assert got.dtype == torch.bfloat16 and torch.equal(got, x * 2)
    np.testing.assert_array_equal(double(X), 2 * X)


def test_arguments_are_updated_in_place():
    @nki.jit
    def clear(a):
        nl.store(a, nl.zeros(a.shape, a.dtype))
        return a

    x = X.copy()
    nki.simulate(clear)(x)
    assert not x.any()


def test_the_target_comes_from_the_environment(monkeypatch):
    @nki.jit
    def version(a):
        seen.append(nisa.get_nc_version())
        return a

    for name, want in (("trn1", nisa.nc_version.gen2), ("gen3", nisa.nc_version.gen3), ("gen4", nisa.nc_version.gen4)):
        seen: list = []
        monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", name)
        version(X)
        assert seen == [want]
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "trn9")
    with pytest.raises(UsageError, match="trn9"):
        version(X)


def test_device_print(capsys):
    on_tiles(lambda t: (nl.device_print("tile", t), t)[1], np.array([[1.5]], np.float32))
    assert "tile" in (printed := capsys.readouterr().out) and "1.5" in printed

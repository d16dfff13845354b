"""The older dialect: values against NumPy, and the instructions that are recorded."""

from __future__ import annotations

import numpy as np
import pytest

import simcore
from simcore.errors import KernelError
from simcore.frontend import TensorSpec, activate
from simcore.timeline import ENGINES

with activate():
    import neuronxcc.nki as nki
    import neuronxcc.nki.compiler as ncc
    import neuronxcc.nki.isa as nisa
    import neuronxcc.nki.language as nl

RNG = np.random.default_rng(7)


def data(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def names(trace) -> list[str]:
    return [trace.row_name(i) for i in range(len(trace))]


def layouts(trace, i) -> dict:
    return {o.name: (o.layout.shape, str(o.layout.dtype), o.layout.buffer.value)
            for o in trace.variants[trace.variant[i]].operands}


def test_dtypes_are_numpys():
    assert nl.float32 is np.float32 and nl.int32 is np.int32
    assert isinstance(nl.bfloat16, np.dtype) and nl.bfloat16.itemsize == 2
    assert nl.fp32.min == np.finfo(np.float32).min


def test_a_result_is_written_straight_into_its_destination():
    @nki.jit
    def kernel(a):
        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        buf = nl.ndarray((2, nl.par_dim(128), 512), dtype=nl.float32)
        for i in nl.affine_range(2):
            buf[i] = nl.load(a[i])
            buf[i, :, 0:256] = nisa.activation(op=nl.exp, data=buf[i, :, 0:256])
            nl.store(out[i], buf[i])
        return out

    a = data(2, 128, 512)
    trace = simcore.capture(kernel, a)
    assert names(trace) == ["dma_copy", "activation", "dma_copy"] * 2
    want = a.copy()
    want[:, :, :256] = np.exp(want[:, :, :256])
    assert np.allclose(trace.outputs, want, rtol=1e-6)
    assert layouts(trace, 1)["dst"] == ((128, 256), "float32", "sbuf")


def test_a_result_that_is_used_gets_a_tile_of_its_own_in_program_order():
    @nki.jit
    def kernel(a):
        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        t = nl.load(a)
        u = nl.exp(t)
        t[...] = nl.multiply(t, 2.0)
        nl.store(out, nl.add(t, u))
        return out

    a = data(128, 64)
    trace = simcore.capture(kernel, a)
    assert names(trace) == ["dma_copy", "activation", "tensor_scalar", "tensor_tensor", "dma_copy"]
    assert np.allclose(trace.outputs, np.exp(a) + 2 * a, rtol=1e-6)


def test_a_result_keeps_its_values_when_the_tile_it_was_assigned_to_changes():
    @nki.jit
    def kernel(a):
        out = nl.ndarray((2, *a.shape), dtype=a.dtype, buffer=nl.shared_hbm)
        buf = nl.ndarray((nl.par_dim(128), 64), dtype=nl.float32)
        u = nl.exp(nl.load(a))
        buf[...] = u
        buf[...] = nl.multiply(buf, 2.0)
        nl.store(out[0], u)
        nl.store(out[1], buf)
        return out

    a = data(128, 64)
    assert np.allclose(simcore.capture(kernel, a).outputs, np.stack([np.exp(a), 2 * np.exp(a)]), rtol=1e-6)


def test_instructions_belong_to_the_line_that_asked_for_them():
    @nki.jit
    def kernel(a):
        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        t = nl.load(a)
        u = nl.exp(t)
        nl.store(out, u)
        return out

    trace = simcore.capture(kernel, data(128, 64))
    first = kernel.plain.__code__.co_firstlineno
    assert [trace.sites[s].line - first for s in trace.site] == [3, 4, 5]


def test_psum_accumulates_and_zeros_cost_nothing():
    @nki.jit
    def kernel(a, b):
        out = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.shared_hbm)
        total = nl.zeros((nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.psum)
        for k in nl.affine_range(3):
            total += nisa.nc_matmul(nl.load(a[k]), nl.load(b[k]))
        nl.store(out, nl.copy(total))
        return out

    a, b = data(3, 128, 128), data(3, 128, 512)
    trace = simcore.capture(kernel, a, b)
    assert names(trace) == ["dma_copy", "dma_copy", "nc_matmul"] * 3 + ["tensor_copy", "dma_copy"]
    matmuls = [i for i, n in enumerate(names(trace)) if n == "nc_matmul"]
    assert [trace.variants[trace.variant[i]].params["accumulate"] for i in matmuls] == [False, True, True]
    assert np.allclose(trace.outputs, np.einsum("kpm,kpn->mn", a, b), atol=1e-3)


def test_psum_that_another_engine_filled_is_added_to():
    @nki.jit
    def kernel(a, b):
        out = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.shared_hbm)
        total = nl.ndarray((nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.psum)
        right = nl.load(b)
        total[...] = nl.copy(right)
        total += nisa.nc_matmul(nl.load(a), right)
        nl.store(out, nl.copy(total))
        return out

    a, b = data(128, 128), data(128, 512)
    assert np.allclose(simcore.capture(kernel, a, b).outputs, b + a.T @ b, atol=1e-3)


def test_reading_zeros_that_no_matmul_reached():
    @nki.jit
    def kernel(a):
        out = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.shared_hbm)
        total = nl.zeros((nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.psum)
        nl.store(out, nl.copy(total))
        return out

    trace = simcore.capture(kernel, data(1, 1))
    assert names(trace) == ["memset", "tensor_copy", "dma_copy"] and not trace.outputs.any()


def test_a_rectangular_mask_clips_every_operand():
    @nki.jit
    def kernel(a):
        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        p, f = nl.mgrid[0:128, 0:512]
        for i in nl.affine_range(2):
            inside = (i * 128 + p < 200) & (f < 300)
            t = nl.load(a[i * 128 + p, f], mask=inside)
            u = nl.square(t, mask=inside)
            nl.store(out[i * 128 + p, f], u, mask=inside)
        return out

    a = data(200, 300)
    trace = simcore.capture(kernel, a)
    assert np.allclose(trace.outputs, a * a)
    assert layouts(trace, 4) == {"dst": ((72, 300), "float32", "sbuf"), "data": ((72, 300), "float32", "sbuf")}
    timing = simcore.capture(kernel, TensorSpec.parse("float32[200,300]"), values=False)
    assert timing.outputs is None and np.array_equal(timing.region_offset,
                                                     trace.region_offset) and len(timing) == len(trace)


def test_an_access_past_the_end_needs_a_mask():
    @nki.jit
    def kernel(a):
        nl.load(a[nl.arange(128)[:, None], nl.arange(512)[None, :]])

    with pytest.raises(KernelError, match="give the instruction a mask"):
        simcore.capture(kernel, data(100, 512))


def test_a_triangular_mask_writes_its_points_only():
    @nki.jit
    def kernel(a):
        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        p, f = nl.mgrid[0:128, 0:128]
        t = nl.load(a)
        t[p, f] = nl.multiply(t, 0.0, mask=p < f)
        nl.store(out, t)
        s = nl.sum(t, axis=1, mask=p > f)
        nl.store(out[p, 127], s, mask=p < 0)
        return out

    a = data(128, 128)
    assert np.allclose(simcore.capture(kernel, a).outputs, np.tril(a))


def test_a_reduction_counts_unmasked_elements_only():
    @nki.jit
    def kernel(a):
        out = nl.ndarray((128, 2), dtype=a.dtype, buffer=nl.shared_hbm)
        p, f = nl.mgrid[0:128, 0:128]
        t = nl.load(a)
        r = nl.ndarray((nl.par_dim(128), 2), dtype=a.dtype)
        r[:, 0] = nl.sum(t, axis=1, mask=f <= p)
        r[:, 1] = nisa.tensor_reduce(np.max, t, axis=1, mask=f < 40)
        nl.store(out, r)
        return out

    a = data(128, 128)
    want = np.stack([np.tril(a).sum(1), a[:, :40].max(1)], 1)
    assert np.allclose(simcore.capture(kernel, a).outputs, want, atol=1e-4)


def test_reductions_over_any_free_axes_read_a_permuted_pattern():
    @nki.jit
    def pool(a):
        out = nl.ndarray((64, 4, 5), dtype=a.dtype, buffer=nl.shared_hbm)
        p, i, j, k, m = nl.mgrid[0:64, 0:4, 0:2, 0:5, 0:2]
        t = nl.load(a)
        nl.store(out, nl.max(t[p, 2 * i + j, 2 * k + m], axis=[2, 4]))
        return out

    a = data(64, 8, 10)
    assert np.array_equal(simcore.capture(pool, a).outputs, a.reshape(64, 4, 2, 5, 2).max((2, 4)))


def test_division_in_an_index_is_a_strided_region():
    @nki.jit
    def repeat(a):
        out = nl.ndarray((128, 64), dtype=a.dtype, buffer=nl.shared_hbm)
        t = nl.load(a)
        f = nl.arange(64)[None, :]
        nl.store(out, nl.copy(t[nl.arange(128)[:, None], f // 4]))
        return out

    a = data(128, 16)
    trace = simcore.capture(repeat, a)
    assert np.array_equal(trace.outputs, np.repeat(a, 4, 1))
    assert trace.variants[trace.variant[1]]["src"].strides == (16, 1, 0)


def test_gather_and_scatter_by_tiles_of_indices():
    @nki.jit
    def kernel(a, rows):
        out = nl.ndarray((256, 32), dtype=a.dtype, buffer=nl.shared_hbm)
        f = nl.arange(32)[None, :]
        index = nl.load(rows[nl.arange(64)[:, None]])
        picked = nl.load(a[index, f])
        nl.store(out[nisa.iota(nl.arange(64)[:, None] * 2, dtype=nl.int32), f], picked)
        return out

    a, rows = data(256, 32), RNG.permutation(256)[:64].astype(np.int32)
    out = simcore.capture(kernel, a, rows).outputs
    assert np.array_equal(out[0:128:2], a[rows])
    assert np.isnan(out[1:128:2]).all()


def test_index_outside_the_tensor_is_the_vendors_error():
    @nki.jit
    def kernel(a):
        index = nisa.iota(3 * nl.arange(64)[:, None], dtype=nl.int32)
        nl.load(a[index, nl.arange(512)[None, :]])

    with pytest.raises(IndexError) as caught:
        simcore.capture(kernel, data(128, 512))
    assert str(caught.value) == "index 66048 is out of bounds for axis 0 with size 65536"


def test_operators_broadcast_and_choose_the_instruction():
    @nki.jit
    def kernel(a, b, row):
        out = nl.ndarray((4, 128, 64), dtype=a.dtype, buffer=nl.shared_hbm)
        x, y, r = nl.load(a), nl.load(b), nl.load(row)
        nl.store(out[0], x + y)
        nl.store(out[1], 2.0 - x * y)
        nl.store(out[2], x * nl.max(y, axis=1, keepdims=True))
        nl.store(out[3], x + r)
        return out

    a, b, row = data(128, 64), data(128, 64), data(1, 64)
    trace = simcore.capture(kernel, a, b, row)
    want = np.stack([a + b, 2 - a * b, a * b.max(1, keepdims=True), a + row])
    assert np.allclose(trace.outputs, want, atol=1e-5)
    assert names(trace)[3:12] == ["tensor_tensor", "dma_copy", "tensor_tensor", "tensor_scalar", "dma_copy",
                                  "tensor_reduce", "tensor_scalar", "dma_copy", "memset"]
    assert "nc_matmul" in names(trace)[12:]      # a row reaches all partitions through the Tensor engine


def test_loop_reduce_accumulates_over_the_named_loop_per_destination():
    @nki.jit
    def kernel(a):
        out = nl.ndarray((2, 128, 32), dtype=a.dtype, buffer=nl.shared_hbm)
        sums = nl.ndarray((2, nl.par_dim(128), 32), dtype=a.dtype)
        for k in nl.affine_range(3):
            for q in nl.affine_range(2):
                sums[q] = nl.loop_reduce(nl.load(a[k, q]), op=np.add, loop_indices=[k])
        for q in nl.affine_range(2):
            nl.store(out[q], sums[q])
        return out

    a = data(3, 2, 128, 32)
    trace = simcore.capture(kernel, a)
    assert np.allclose(trace.outputs, a.sum(0), atol=1e-5)
    assert names(trace).count("tensor_tensor") == 4


def test_grids_multiply_out_and_programs_have_indices():
    @nki.jit
    def kernel(a):
        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        i, j = nl.program_id(0), nl.program_id(1)
        nl.store(out[i, j], nl.load(a[i, j]) + float(i * 10 + j))
        return out

    a = data(4, 2, 128, 8)
    want = a + (np.arange(4)[:, None] * 10 + np.arange(2))[:, :, None, None]
    for grid in ((4, 2), (nl.nc(2) * 2, 2), (2 * nl.nc(2), 2), (nl.spmd_dim(nl.nc(2), 2), 2)):
        assert np.allclose(nki.simulate_kernel(kernel[grid], a), want)


def test_placements_repeat_addresses():
    @nki.jit
    def kernel(a):
        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        t = nl.ndarray((4, nl.par_dim(128), 64), dtype=a.dtype,
                       buffer=ncc.sbuf.mod_alloc(base_addr=1024, num_free_tiles=(2,)))
        for i in nl.affine_range(4):
            t[i] = nl.load(a[i])
            nl.store(out[i], t[i])
        return out

    trace = simcore.capture(kernel, data(4, 128, 64))
    assert [s.address for s in trace.storages if s.address is not None] == [(0, 1024), (0, 1280), (0, 1024), (0, 1280)]


def test_output_arguments_are_updated_in_place():
    def kernel(a, out):
        nl.store(out, nl.load(a) * 3.0)

    a, out = data(128, 16), np.zeros((128, 16), np.float32)
    nki.simulate_kernel(nki.trace(kernel), a, out)
    assert np.allclose(out, 3 * a)


def test_benchmark_predicts_a_latency_marked_as_simulated():
    @nki.benchmark(warmup=5, iters=10)
    def kernel(a):
        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.exp(nl.load(a)))
        return out

    a = data(128, 512)
    assert np.allclose(kernel(a), np.exp(a), rtol=1e-6)
    latency = kernel.benchmark_result.nc_latency
    assert latency.simulated and 1 < latency.get_latency_percentile(99) < 1000
    assert latency.get_latency_percentile(50) == latency.get_latency_percentile(99)


def test_three_loop_ranges_and_their_lengths():
    for loop in (nl.affine_range, nl.sequential_range, nl.static_range):
        assert [int(i) for i in loop(2, 8, 3)] == [2, 5] and len(loop(4)) == 4


def test_unknown_names_say_what_is_near():
    with pytest.raises(AttributeError, match="tensor_tensor"):
        _ = nisa.tensor_tensr
    with pytest.raises(AttributeError, match="affine_range"):
        _ = nl.afine_range


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "cos", "tan"])
def test_composed_functions(name):
    @nki.jit
    def kernel(a):
        out = nl.ndarray(a.shape, dtype=nl.float32, buffer=nl.shared_hbm)
        nl.store(out, getattr(nl, name)(nl.load(a)))
        return out

    a = np.linspace(-1.4, 1.4, 128 * 8, dtype=np.float32).reshape(128, 8)
    assert np.allclose(simcore.capture(kernel, a).outputs, getattr(np, name)(a), atol=1e-5)


def test_loop_reduce_over_nested_loops_starts_with_the_outer_one():
    @nki.jit
    def kernel(a):
        out = nl.ndarray((2, 128, 1), dtype=a.dtype, buffer=nl.shared_hbm)
        highest = nl.ndarray((2, nl.par_dim(128), 1), dtype=a.dtype)
        for q in nl.affine_range(2):
            for i in nl.affine_range(3):
                for j in nl.affine_range(2):
                    row = nisa.tensor_reduce(nl.max, nl.load(a[q, i, j]), axis=1)
                    highest[q] = nl.loop_reduce(row, op=np.max, loop_indices=[i, j])
            nl.store(out[q], highest[q])
        return out

    a = data(2, 3, 2, 128, 16)
    assert np.array_equal(simcore.capture(kernel, a).outputs[..., 0], a.max((1, 2, 4)))


def test_an_access_by_a_tile_of_indices_reads_that_tile():
    @nki.jit
    def kernel(a, rows):
        out = nl.ndarray((64, 32), dtype=a.dtype, buffer=nl.shared_hbm)
        index = nl.load(rows[nl.arange(64)[:, None]])
        nl.store(out, nl.load(a[index, nl.arange(32)[None, :]]))
        return out

    trace = simcore.capture(kernel, data(256, 32), np.arange(64, dtype=np.int32))
    gather = trace.variants[trace.variant[1]]
    assert [o.name for o in gather.operands] == ["dst", "src", "src.index"]
    storage = trace.region_storage[trace.regions(1)[2]]
    assert storage == trace.region_storage[trace.regions(0)[0]]


@pytest.mark.parametrize("grid, cores", [((4, 2), [0] * 8), ((nl.nc(2) * 2, 2), [0, 0, 0, 0, 1, 1, 1, 1]),
                                         ((2 * nl.nc(2), 2), [0, 0, 1, 1] * 2)])
def test_physical_cores_of_programs(grid, cores):
    """As the vendor's example says: nc(2) * 2 puts the first half on core 0, 2 * nc(2) deals in turns."""
    @nki.jit
    def kernel(a):
        nl.load(a)

    assert simcore.capture(kernel[grid], data(128, 8)).core.tolist() == cores


def test_a_function_without_a_decorator_is_a_kernel_too():
    def kernel(a):
        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.load(a) + 1.0)
        return out

    a = data(64, 8)
    assert np.allclose(simcore.capture(kernel, a).outputs, a + 1)


def test_block_dimensions_taken_step_by_step_and_all_at_once():
    @nki.jit
    def kernel(a):
        out = nl.ndarray((2, 3, 128, 8), dtype=a.dtype, buffer=nl.shared_hbm)
        t = nl.ndarray((2, 3, nl.par_dim(128), 8), dtype=a.dtype)
        for i in nl.affine_range(2):
            row = t[i]
            for j in nl.affine_range(3):
                row[j] = nl.load(a[i, j])
        for i in nl.affine_range(2):
            for j in nl.affine_range(3):
                t[i, j] = t[i, j] * 2.0
                nl.store(out[i, j], t[i, j])
        whole = nl.ndarray((2, nl.par_dim(128), 8), dtype=nl.float32)
        for i in nl.affine_range(2):
            whole[i] = nl.copy(t[i, 0])
        nl.store(out[:, 0], whole)
        nl.store(out[0, 1], whole.view(nl.int32)[1].view(nl.float32))
        return out

    a = data(2, 3, 128, 8)
    trace = simcore.capture(kernel, a)
    want = 2 * a
    want[0, 1] = 2 * a[1, 0]
    assert np.array_equal(trace.outputs, want)
    assert sum(s.buffer.value == "sbuf" and s.shape == (128, 8) for s in trace.storages) >= 6      # each block a tile
    assert any("several blocks" in w for w in trace.info["warnings"])


@pytest.mark.parametrize(("apart", "engines"), [(1, ["Scalar", "Vector", "Scalar", "Vector"]), (4, ["Scalar"] * 4)])
def test_an_open_copy_goes_to_the_engine_that_would_be_free_again_first(apart, engines):
    """Copies that come faster than Scalar takes them go to both engines by turns; those that come slower to Scalar."""
    @nki.jit
    def kernel(a, b):
        out = nl.ndarray((4, nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.shared_hbm)
        x, y = nl.load(a), nl.load(b)
        for i in range(4):
            p = nl.zeros((128, 512), dtype=nl.float32, buffer=nl.psum)
            for _ in range(apart):
                p += nisa.nc_matmul(x, y)
            nl.store(out[i], nisa.tensor_copy(p))
        return out

    a, b = TensorSpec.parse("bfloat16[128,128]"), TensorSpec.parse("bfloat16[128,512]")
    t = simcore.simulate(simcore.capture(kernel, a, b, values=False, target="trn2"), simcore.load_machine("trn2"))
    copies = sorted((r for e in ("Scalar", "Vector") for r in t.rows(e) if t.opcode(r) == "COPY"),
                    key=lambda r: t.instructions.start_ps[r])
    assert [ENGINES[t.instructions.engine[r]] for r in copies] == engines


def test_transposing_loads_an_identity_first():
    """One load per dtype, in front of the arguments, and the product that transposes waits for it."""
    @nki.jit
    def kernel(a, transposing):
        out = nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.shared_hbm)
        x = nl.load(a)
        if transposing:
            for _ in range(2):
                x = nl.copy(nisa.nc_transpose(x))
        nl.store(out, x)
        return out

    machine = simcore.load_machine("trn2")
    spec = TensorSpec.parse("float32[128,128]")
    with_it, without = (simcore.simulate(simcore.capture(kernel, spec, k, values=False, target="trn2"), machine)
                        for k in (True, False))
    hardware = [[q for q in t.dma.queue if t.queues[q].endswith("DynamicHW")] for t in (with_it, without)]
    assert len(hardware[0]) == 16 and not hardware[1]
    product = with_it.rows("Tensor")[0]
    loaded = with_it.dma.end_ps[with_it.dma.queue == hardware[0][0]].max()
    assert with_it.instructions.start_ps[product] > loaded
    assert with_it.totals["kernel_ps"] > without.totals["kernel_ps"]


def test_what_fits_is_read_once_though_other_tiles_could_be_merged():
    """A right side of two thirds of SBUF is kept; what gives way are the reductions merged over row blocks."""
    @nki.jit
    def kernel(a, w):
        out = nl.ndarray((8, nl.par_dim(128), 2048), dtype=nl.float32, buffer=nl.shared_hbm)
        for m in nl.affine_range(8):
            x = nl.load(a[m])
            y = nl.ndarray((128, 2048), dtype=nl.float32, buffer=nl.sbuf)
            for n in nl.affine_range(4):
                p = nl.zeros((128, 512), dtype=nl.float32, buffer=nl.psum)
                for k in nl.affine_range(16):
                    p += nl.matmul(x[:, 128 * k:128 * (k + 1)], nl.load(w[k, :, 512 * n:512 * (n + 1)]),
                                   transpose_x=True)
                y[:, 512 * n:512 * (n + 1)] = nl.copy(p)
            nl.store(out[m], nl.multiply(y, nl.rsqrt(nl.sum(nl.square(y), axis=[1]))))
        return out

    a, w = TensorSpec.parse("float32[8,128,2048]"), TensorSpec.parse("float32[16,128,2048]")
    t = simcore.simulate(simcore.capture(kernel, a, w, values=False, target="trn1"), simcore.load_machine("trn1"))
    assert t.instructions.hbm_read_bytes.sum() == 4 * 2048 * (8 * 128 + 16 * 128)


@pytest.mark.parametrize("window", [1, 4, 12, 1 << 30])
def test_a_store_that_waits_lets_few_loads_pass(window):
    """A long chain ends in a store; loads of what follows are triggered meanwhile, as many as may overtake it."""
    @nki.jit
    def kernel(a, b):
        out = nl.ndarray((2, nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.shared_hbm)
        x = nl.load(a)
        for _ in range(16):
            x = nl.multiply(x, 1.5)
        nl.store(out[0], x)
        y = nl.load(b[0])
        for i in range(1, 24):
            y = nl.add(y, nl.load(b[i]))
        nl.store(out[1], y)
        return out

    machine = simcore.load_machine("trn2").replace(**{"compiler.legacy_dma_window": window})
    a, b = TensorSpec.parse("float32[128,512]"), TensorSpec.parse("float32[24,128,512]")
    t = simcore.simulate(simcore.capture(kernel, a, b, values=False, target="trn2"), machine)
    triggers = [bool(t.instructions.hbm_write_bytes[r]) for r in t.rows("GpSimd") if "DMA" in t.opcode(r)]
    passed = triggers.index(True) - 1
    assert passed == window - 1 if window <= 12 else passed > 12


def test_an_identity_comes_first_where_all_loads_share_a_queue():
    """Without descriptor generation arguments and identities are in one queue; the transpose is what comes first."""
    @nki.jit
    def kernel(a, b):
        out = nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.shared_hbm)
        x = nl.copy(nisa.nc_transpose(nl.load(a)))
        for i in nl.affine_range(8):
            x = nl.add(x, nl.load(b[i]))
        nl.store(out, x)
        return out

    machine = simcore.load_machine("trn2").replace(**{"dma.hw_dge_instances": 0})
    a, b = TensorSpec.parse("bfloat16[128,128]"), TensorSpec.parse("float32[8,128,128]")
    t = simcore.simulate(simcore.capture(kernel, a, b, values=False, target="trn2"), machine)
    loads = t.rows("Sync")
    assert [t.strings[t.instructions.operands[r]].count("bfloat16") for r in loads[:3]] == [2, 2, 0]


@pytest.mark.parametrize("by_copy", [True, False])
def test_only_a_copy_takes_over_the_cast_of_its_store(by_copy):
    @nki.jit
    def kernel(a):
        out = nl.ndarray((128, 128), dtype=nl.bfloat16, buffer=nl.shared_hbm)
        x = nl.load(a)
        p = nisa.nc_matmul(x, x)
        nl.store(out, nisa.tensor_copy(p) if by_copy else nisa.tensor_scalar(p, nl.multiply, 2.0))
        return out

    spec = TensorSpec.parse("bfloat16[128,128]")
    t = simcore.simulate(simcore.capture(kernel, spec, values=False, target="trn2"), simcore.load_machine("trn2"))
    opcodes = [t.opcode(r) for e in ("Vector", "Scalar") for r in t.rows(e)]
    assert opcodes == (["CAST"] if by_copy else ["TENSOR_SCALAR"])
    stored = t.dma.read_bytes[t.dma.dest == 0].sum()
    assert stored == 128 * 128 * (2 if by_copy else 4)

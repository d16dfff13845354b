"""Costs of single instructions against closed forms, and the clock limiter against its definition."""

import pytest

from simcore import capture, load_machine, simulate
from simcore.dtypes import to_dtype
from simcore.frontend import TensorSpec
from simcore.layout import layout, private_hbm, row_major, sbuf
from simcore.limiter import Limiter
from simcore.lowering.costs import ops_of
from simcore.lowering.costs_dma import run_bytes
from simcore.machine import ps_per_cycle

TRN2 = load_machine("trn2")


def spec(shape, dtype="float32"):
    return TensorSpec(tuple(shape), to_dtype(dtype))


def variants(kernel, *args, target="trn2"):
    return {v.name: v for v in capture(kernel, *args, target=target, values=False).variants}


def ns(ps):
    return ps / 1000


def one_of_each(a):
    import nki.isa as nisa
    import nki.language as nl

    x = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.sbuf)
    y = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.sbuf)
    s = nl.ndarray((128, 1), dtype=nl.float32, buffer=nl.sbuf)
    p = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
    nisa.dma_copy(dst=x, src=a)
    nisa.tensor_reduce(dst=s, op=nl.add, data=x, axis=1)
    nisa.tensor_scalar(dst=y, data=x, op0=nl.multiply, operand0=s)
    nisa.reciprocal(dst=s, data=s)
    nisa.activation(dst=y, op=nl.exp, data=x, bias=s)
    nisa.nc_matmul(dst=p, stationary=x[:, 0:128], moving=x)
    nisa.tensor_copy(dst=y, src=p)
    nisa.tensor_tensor(dst=y, data1=x, data2=y, op=nl.add)


def test_vector_and_scalar_follow_the_measured_laws():
    """The trn2 profiles: durations and intervals of 512-element fp32 instructions, to 3 %."""
    v = variants(one_of_each, spec((128, 512)))
    durations = {"tensor_reduce": 680, "tensor_scalar": 481, "activation": 706, "tensor_copy": 690,
                 "tensor_tensor": 692}
    for name, measured in durations.items():
        (op,) = ops_of(v[name], TRN2)
        assert ns(op.latency_ps) == pytest.approx(measured, rel=0.03), name
    intervals = {"tensor_reduce": 600, "tensor_scalar": 396, "activation": 612, "tensor_copy": 598}
    for name, measured in intervals.items():
        (op,) = ops_of(v[name], TRN2)
        assert ns(op.issue_ps) == pytest.approx(measured, rel=0.02), name


def test_the_sum_beside_an_activation_is_read_by_an_instruction_of_its_own():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.sbuf)
        total = nl.ndarray((128, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)
        nisa.activation(dst=x, op=nl.exp, data=x)
        nisa.activation_reduce(dst=x, op=nl.exp, data=x, reduce_op=nl.add, reduce_res=total)
        nisa.tensor_copy(dst=x[:, 0:1], src=total)
        return a

    trace = capture(kernel, spec((128, 512)), target="trn2", values=False)
    machine = load_machine("trn2")
    plain, summed = (ops_of(v, machine) for v in trace.variants if v.name.startswith("activation"))
    assert [o.opcode for o in plain] == ["ACTIVATE"]
    assert [o.opcode for o in summed] == ["ACTIVATE", "ACT_READ_ACCUMULATOR"]
    assert ns(summed[0].issue_ps) == pytest.approx(512 / 1.2 + 200.7, abs=1) and summed[0].issue_ps > plain[0].issue_ps
    assert ns(summed[1].issue_ps) == pytest.approx(185, abs=1) and ns(summed[1].latency_ps) == pytest.approx(279, abs=1)
    t = simulate(trace, machine)
    copy = next(r for r in t.rows("Vector") if t.opcode(r) == "COPY")
    start = {t.opcode(r): int(t.instructions.start_ps[r]) for r in t.rows("Scalar")}
    assert t.instructions.start_ps[copy] >= start["ACT_READ_ACCUMULATOR"] + summed[1].latency_ps


@pytest.mark.parametrize(("dtype", "passes", "cycles"), [("float32", 2, 2.0), ("bfloat16", 1, 1.0085)])
def test_matmul_is_load_and_multiply_per_pass(dtype, passes, cycles):
    ops = ops_of(variants(one_of_each, spec((128, 512), dtype))["nc_matmul"], TRN2)
    assert [o.opcode for o in ops] == ["LDWEIGHTS", "MATMUL"] * passes
    assert all(o.pe_cycles == round(512 * cycles) for o in ops[1::2])
    assert all(o.elements == 128 * 128 * 512 for o in ops[1::2])      # as the profiler counts them: in every pass
    assert sum(o.flops for o in ops) == 2 * 128 * 128 * 512


def test_operands_of_zeros_and_ones_need_one_pass():
    def onezero(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.sbuf)
        p = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
        nisa.dma_copy(dst=x, src=a)
        nisa.nc_matmul(dst=p, stationary=x[:, 0:128], moving=x, is_stationary_onezero=True)

    assert len(ops_of(variants(onezero, spec((128, 512)))["nc_matmul"], TRN2)) == 2


def ps_per_product(rows_of_products, dtype="float32"):
    """Time from the first to the last of many products of 512 columns, per product; rows_of_products repeats."""
    def many(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.sbuf)
        p = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
        nisa.dma_copy(dst=x, src=a)
        for k in range(400):
            rows = rows_of_products[k % len(rows_of_products)]
            nisa.nc_matmul(dst=p, stationary=x[0:rows, 0:128], moving=x[0:rows])

    t = simulate(capture(many, spec((128, 512), dtype), target="trn2", values=False), TRN2)
    start = [int(t.instructions.start_ps[r]) for r in t.rows("Tensor") if t.opcode(r) == "LDWEIGHTS"]
    return (max(start) - min(start)) / 400


def test_products_of_few_rows_alone_stay_at_half_clock():
    """VC: fp32 products of 64 rows 1707 ns each, of 128 rows 860 ns; PB: bf16 products of 32 rows at half rate."""
    assert ps_per_product([64]) == pytest.approx(1707e3, rel=0.01)
    assert ps_per_product([128]) == pytest.approx(860e3, rel=0.02)
    assert ps_per_product([32], "bfloat16") == pytest.approx(2 * 213.3e3, rel=0.02)
    among_others = ps_per_product([128, 128, 128, 32], "bfloat16")
    assert among_others == pytest.approx(ps_per_product([128], "bfloat16"), rel=0.02)


def test_dma_descriptors_and_engines():
    """128 rows of 2 KiB: 128 descriptors over 16 engines, 8 packets each of 4.6 ns + bytes / 27.2 GB/s."""
    (op,) = ops_of(variants(one_of_each, spec((128, 512)))["dma_copy"], TRN2)
    t = op.dma
    d = TRN2.dma
    assert (t.mode, t.descriptors, t.engines, t.bytes) == ("hw", 128, 16, 128 * 2048)
    packet = d.packet_ns + 2048 / d.engine_bytes_per_s * 1e9
    assert ns(t.work_ps[0]) == pytest.approx(8 * packet + d.completion_write_ns, abs=1)
    assert t.hbm_read == t.bytes and t.hbm_write == 0


def transposed(rows, columns, from_sbuf=False, target="trn2"):
    """What the transpose of rows x columns bfloat16 asks of the DMA engines."""
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        if from_sbuf:
            a = nl.ndarray((rows, columns), dtype=a.dtype, buffer=nl.sbuf)
            nisa.memset(a, value=0.0)
        x = nl.ndarray((columns, rows), dtype=a.dtype, buffer=nl.sbuf)
        nisa.dma_transpose(dst=x, src=a)

    (op,) = ops_of(variants(kernel, spec((rows, columns), "bfloat16"), target=target)["dma_transpose"],
                   load_machine(target))
    return op.dma


def test_dma_transposes_are_slower_than_copies():
    """AG2: from SBUF at best half of a copy's rate.  From HBM less, as the measured kernels say."""
    load, turn = transposed(128, 128), transposed(128, 128, from_sbuf=True)
    assert load.hbm_read == load.bytes == turn.bytes == 2 * 128 * 128 and turn.hbm_read == 0
    d = TRN2.dma
    per_engine = load.bytes / d.engines / d.engine_bytes_per_s * 1e9
    assert d.transpose_sbuf_fraction == 0.5 and d.transpose_fraction < 0.5
    assert ns(load.work_ps[0] - turn.work_ps[0]) == pytest.approx(
        per_engine * (1 / d.transpose_fraction - 1 / d.transpose_sbuf_fraction), abs=1)


@pytest.mark.parametrize(("rows", "columns", "whole"), [(512, 64, (512, 128)), (500, 128, (512, 128))])
def test_dma_transposes_write_whole_tiles(rows, columns, whole):
    """AG2: the engines together write tiles of 128 partitions by 16 elements; what is not a multiple is slower."""
    def bytes_per_ns(t):
        return t.bytes / sum(ns(w) - d.completion_write_ns for w in t.work_ps)

    d = TRN2.dma
    share = rows * columns / (whole[0] * whole[1])
    assert bytes_per_ns(transposed(rows, columns)) == pytest.approx(share * bytes_per_ns(transposed(*whole)), rel=0.03)
    on_trn1 = [bytes_per_ns(transposed(*shape, target="trn1")) for shape in ((rows, columns), whole)]
    assert on_trn1[0] == pytest.approx(on_trn1[1], rel=0.03)


def test_descriptor_runs():
    f32 = to_dtype("float32")
    assert run_bytes(layout((128, 64), row_major((128, 64)), f32, private_hbm)) == 128 * 64 * 4
    assert run_bytes(layout((128, 64), (256, 1), f32, private_hbm)) == 256
    assert run_bytes(layout((128, 64), (64, 1), f32, sbuf)) == 256
    assert run_bytes(layout((64, 128), (1, 64), f32, private_hbm)) == 4


def test_one_partition_uses_one_engine():
    def row(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((1, 512), dtype=a.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)

    (op,) = ops_of(variants(row, spec((1, 512)))["dma_copy"], TRN2)
    assert op.dma.engines == op.dma.descriptors == 1


def test_trn1_has_no_hardware_descriptors():
    (op,) = ops_of(variants(one_of_each, spec((128, 512)), target="trn1")["dma_copy"], load_machine("trn1"))
    assert op.dma.mode == "static"


def test_cycles_become_picoseconds_in_one_place():
    assert TRN2.tensor.ps(24) == 10_000
    assert ps_per_cycle(1e9) == 1000.0


# ------------------------------------------------------------------------------------------------ the limiter


def limiter_at(phase: float) -> Limiter:
    return Limiter(TRN2.replace(**{"tensor.limiter_phase_fraction": phase}))


def test_limiter_starts_slow_and_warms_up():
    limiter = limiter_at(0.0)
    window = limiter.window
    assert window == round(4096 / 1.2e9 * 1e12)
    assert not limiter.full(0)
    end = limiter.stream(0, window // 2)            # half rate: the whole first window
    assert end == window // 2 * 2
    assert limiter.full(window)                     # it streamed 1/2 of its cycles, more than 3/8


def test_limiter_windows_begin_before_the_first_product():
    """Half a window is gone: too little of it is streamed, and the engine warms up in the next."""
    limiter = limiter_at(0.5)
    limiter.stream(1000, limiter.window)
    begin = limiter.origin + limiter.window
    assert not limiter.full(begin) and limiter.full(begin + limiter.window)
    assert limiter.intervals(begin + limiter.window)[0][:2] == (0, begin + limiter.window)


@pytest.mark.parametrize(("share", "full"), [(0.374, False), (0.376, True)])
def test_limiter_threshold(share, full):
    limiter = limiter_at(0.0)
    limiter.stream(0, round(share * limiter.window))
    assert limiter.full(limiter.window) is full


def test_limiter_cools_down_after_an_idle_window():
    limiter = limiter_at(0.0)
    limiter.stream(0, limiter.window // 2)
    assert limiter.full(limiter.window) and not limiter.full(3 * limiter.window)
    states = limiter.intervals(4 * limiter.window)
    assert [k for _, _, k in states] == [4, 8, 4]


def test_limiter_warms_up_as_fast_as_on_average():
    """An uninterrupted stream runs at half clock for 1.25 windows: on average over all phases, and in the model."""
    def warm_up(limiter):
        limiter.stream(0, 4 * limiter.window)
        return next(end for _, end, k in limiter.intervals(4 * limiter.window) if k == 4) / limiter.window

    phases = 64
    assert sum(warm_up(limiter_at((i + 0.5) / phases)) for i in range(phases)) / phases == pytest.approx(1.25, rel=0.01)
    assert warm_up(Limiter(TRN2)) == pytest.approx(1.25, rel=0.01)


def test_no_limiter_on_trn1():
    limiter = Limiter(load_machine("trn1"))
    assert limiter.stream(7, 1000) == 1007 and limiter.full(0)


def test_matmul_stream_runs_at_the_measured_interval():
    """Many bf16 products in a row reach 217 ns each at full clock (98 % of the peak), 427 ns at half."""
    def many(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.sbuf)
        p = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
        nisa.dma_copy(dst=x, src=a)
        for _ in range(200):
            nisa.nc_matmul(dst=p, stationary=x[:, 0:128], moving=x)

    t = simulate(capture(many, spec((128, 512), "bfloat16"), target="trn2", values=False), TRN2)
    ends = [int(t.instructions.end_ps[r]) for r in t.rows("Tensor") if t.opcode(r) == "MATMUL"]
    gaps = [b - a for a, b in zip(ends, ends[1:], strict=False)]
    assert ns(gaps[2]) == pytest.approx(430, rel=0.01)
    assert ns(sorted(gaps[60:])[50]) == pytest.approx(217.3, rel=0.01)


def test_products_are_seen_as_the_profiler_sees_them():
    """Four fp32 transposes at half clock (trn2 profiles): the first product is seen from its LDWEIGHTS on (475 ns), the
    others from when the one before is through (420 ns), and so are their stationary tiles (230 ns, 183 at the head)."""
    def transposes(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.sbuf)
        p = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
        nisa.dma_copy(dst=x, src=a)
        for i in range(4):
            nisa.nc_transpose(dst=p[:, i * 128:i * 128 + 128], data=x[:, i * 128:i * 128 + 128])

    t = simulate(capture(transposes, spec((128, 512)), target="trn2", values=False), TRN2)
    start, end = t.instructions.start_ps, t.instructions.end_ps
    load, product = ([r for r in t.rows("Tensor") if t.opcode(r) == o] for o in ("LDWEIGHTS", "MATMUL"))
    assert start[product[0]] == start[load[0]]
    assert [ns(end[r] - start[r]) for r in product] == pytest.approx([475, 420, 420, 420], rel=0.03)
    assert [ns(end[r] - start[r]) for r in load] == pytest.approx([183, 225, 230, 230], rel=0.05)
    assert start[load[2]] == start[product[1]]


def test_the_maximum_beside_a_vector_instruction_waits_for_it_and_is_read_by_another():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.sbuf)
        most = nl.ndarray((128, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)
        nisa.tensor_scalar_reduce(dst=x, data=x, op0=nl.multiply, operand0=1.0, reduce_op=nl.maximum, reduce_res=most)
        return a

    trace = capture(kernel, spec((128, 512)), target="trn2", values=False)
    machine = load_machine("trn2")
    ops = next(ops_of(v, machine) for v in trace.variants if v.name == "tensor_scalar_reduce")
    assert [o.writes for o in ops] == [("dst",), ("reduce_res",)]
    first, second = ops
    assert first.issue_ps >= first.latency_ps + machine.semaphore.same_engine_ns * 1000 - 1000
    assert second.issue_ps < 0.2 * first.issue_ps


def weights_first(a, b):
    """Loads b before a, uses a before b, and keeps the sum."""
    import nki.isa as nisa
    import nki.language as nl

    tiles = []
    for src in (b, a):
        t = nl.ndarray((128, 512), dtype=src.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=t, src=src)
        tiles.append(t)
    out = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.sbuf)
    nisa.activation(dst=out, op=nl.exp, data=tiles[1])
    nisa.tensor_tensor(dst=out, data1=out, data2=tiles[0], op=nl.add)
    result = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=result, src=out)
    return result


def test_loads_are_triggered_in_the_order_in_which_they_are_needed():
    trace = capture(weights_first, spec((128, 512)), spec((128, 512)), target="trn2", values=False)
    machine = load_machine("trn2")

    def first_source(m):
        t = simulate(trace, m)
        row = min((r for r in range(len(t.instructions.start_ps)) if t.opcode(r).startswith("DMA")),
                  key=lambda r: t.instructions.start_ps[r])
        region = trace.regions(int(t.instructions.source_row[row]))[1]
        return trace.storages[trace.region_storage[region]].name

    assert first_source(machine) == "a"
    assert first_source(machine.replace(**{"compiler.loads_by_need": 0})) == "b"


def test_arguments_move_by_software_descriptors_unless_the_kernel_asks_otherwise():
    trace = capture(weights_first, spec((128, 512)), spec((128, 512)), target="trn2", values=False)
    machine = load_machine("trn2")
    assert set(simulate(trace, machine).queues) == {"qGpSimdDynamic"}
    asked = simulate(trace, machine.replace(**{"compiler.software_arguments": 0}))
    assert set(asked.queues) == {"qSyncDynamicHW", "qScalarDynamicHW"}

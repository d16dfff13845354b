"""The schedule on random programs: nothing starts before what it needs, no engine is taken twice, bounds hold."""

import numpy as np
import pytest

from simcore import bounds, capture, load_machine, simulate
from simcore.dtypes import to_dtype
from simcore.errors import CapacityError
from simcore.frontend import TensorSpec
from simcore.machine.mechanisms import without
from simcore.timeline import CAUSES, ENGINES, Timeline


def spec(shape, dtype="float32"):
    return TensorSpec(tuple(shape), to_dtype(dtype))


def random_kernel(seed: int, steps: int = 120):
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        rng = np.random.default_rng(seed)
        out = nl.ndarray((128, 2048), dtype=nl.float32, buffer=nl.shared_hbm)
        tiles = [nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf) for _ in range(5)]
        banks = [nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum) for _ in range(3)]
        for t in tiles:
            nisa.dma_copy(dst=t, src=a[:, 0:512])
        for p in banks:
            nisa.nc_matmul(dst=p, stationary=tiles[0][:, 0:128], moving=tiles[1])

        def part(tile):
            lo = int(rng.integers(0, 4)) * 128
            return tile[:, lo:lo + 128]

        for _ in range(steps):
            x, y = (tiles[k] for k in rng.choice(len(tiles), 2, replace=False))
            p = banks[int(rng.integers(len(banks)))]
            kind = int(rng.integers(7))
            if kind == 0:
                nisa.dma_copy(dst=x, src=a[:, int(rng.integers(4)) * 512:][:, 0:512])
            elif kind == 1:
                nisa.nc_matmul(dst=p, stationary=part(x), moving=y)
            elif kind == 2:
                nisa.tensor_copy(dst=x, src=p, engine=nisa.engine.scalar if rng.integers(2) else nisa.engine.vector)
            elif kind == 3:
                nisa.tensor_tensor(dst=part(x), data1=part(y), data2=part(x), op=nl.add)
            elif kind == 4:
                nisa.activation(dst=part(x), op=nl.exp, data=part(y))
            elif kind == 5:
                nisa.tensor_copy(dst=part(x), src=part(y), engine=nisa.engine.gpsimd)
            else:
                nisa.dma_copy(dst=out[:, int(rng.integers(4)) * 512:][:, 0:512], src=x)
        return out

    return kernel


def run(seed, **kwargs):
    trace = capture(random_kernel(seed), spec((128, 2048)), target="trn2", values=False)
    machine = load_machine("trn2").replace(**kwargs) if kwargs else load_machine("trn2")
    return trace, simulate(trace, machine), machine


def touched(trace, i):
    """(storage, partitions, byte range within them, reads, writes) per operand: an oracle apart from the lowering's."""
    v = trace.variants[trace.variant[i]]
    for o, r in zip(v.operands, trace.regions(i), strict=True):
        s = int(trace.region_storage[r])
        storage, lay = trace.storages[s], o.layout
        cells = np.zeros(1, np.int64) + int(trace.region_offset[r])
        for n, stride in zip(lay.shape, lay.strides, strict=True):
            cells = (cells[:, None] + np.arange(n) * stride).reshape(-1)
        reads = "r" in o.access and not (o.name == "dst" and v.params.get("accumulate") is False)
        yield s, cells, reads, "w" in o.access, storage


@pytest.mark.parametrize("seed", range(4))
def test_nothing_starts_before_what_it_needs(seed):
    trace, t, _ = run(seed)
    start, done = np.zeros(len(trace), np.int64), np.zeros(len(trace), np.int64)
    i = t.instructions
    for row in range(len(i) - 1, -1, -1):
        k = i.source_row[row]
        start[k] = i.start_ps[row]
        done[k] = max(done[k], i.done_ps[row])
    engine = {int(k): int(e) for k, e in zip(i.source_row, i.engine, strict=True)}
    writer: dict[int, np.ndarray] = {}
    for k in range(len(trace)):
        for s, cells, reads, _, storage in touched(trace, k):
            last = writer.setdefault(s, np.full(storage.size, -1, np.int64))
            if reads:
                for p in np.unique(last[cells]):
                    both = engine.get(int(p)) == engine[k] == ENGINES.index("Tensor")
                    if p >= 0 and p != k and not both:
                        assert start[k] >= done[p], f"{k} reads at {start[k]} what {p} writes until {done[p]}"
        for s, cells, _, writes, _ in touched(trace, k):
            if writes:
                writer[s][cells] = k


@pytest.mark.parametrize("seed", range(4))
def test_engines_do_one_thing_after_the_other(seed):
    _, t, _ = run(seed)
    i = t.instructions
    for e in ("Vector", "Scalar", "GpSimd"):
        rows = [r for r in t.rows(e) if "DMA" not in t.opcode(r)]
        assert (np.diff(i.start_ps[rows]) > 0).all(), e
    for core in (0,):
        for e in range(16):
            mine = (t.dma.engine == e) & (t.dma.core == core)
            order = np.argsort(t.dma.start_ps[mine], kind="stable")
            start, end = t.dma.start_ps[mine][order], t.dma.end_ps[mine][order]
            assert (start[1:] >= end[:-1]).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [{}, {"compiler.reorder_window": 1}, {"compiler.reorder_window": 1000},
                                    {"dma.queue_bytes": 1}])
def test_never_faster_than_a_bound(seed, change):
    trace, t, machine = run(seed, **change)
    for name, ps in bounds(trace, machine).resources.items():
        assert t.end_ps >= ps, name
    assert t.bounds["resources"] == bounds(trace, machine).resources


def test_every_wait_names_what_it_waited_for():
    _, t, _ = run(1)
    i = t.instructions
    for row in range(len(i)):
        cause, on = CAUSES[i.wait_cause[row]], int(i.wait_on[row])
        assert (on >= 0) == (cause != "start"), (row, cause, on)
        if cause in ("data", "dma", "reuse"):
            assert i.done_ps[on] <= i.start_ps[row]
            assert i.wait_ps[row] > 0


def test_strict_order_is_program_order():
    trace, t, _ = run(2, **{"compiler.reorder_window": 1})
    i = t.instructions
    for e in ("Tensor", "Vector", "Scalar", "GpSimd"):
        rows = [int(i.source_row[r]) for r in t.rows(e) if "DMA" not in t.opcode(r)]
        assert rows == sorted(rows)


def test_same_input_same_bytes(tmp_path):
    for name in ("a", "b"):
        run(3)[1].save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len(Timeline.load(tmp_path / "a").instructions)


def test_a_faster_machine_is_not_slower():
    _, slow, _ = run(0)
    _, fast, _ = run(0, **{"vector.clock_hz": 4e9, "scalar.clock_hz": 4e9, "gpsimd.clock_hz": 4e9})
    assert fast.end_ps < slow.end_ps


def products(count, column_tiles):
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        out = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.shared_hbm)
        x = nl.ndarray((128, 512), dtype=a.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)
        p = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
        for k in range(count):
            at = 32 * (k % column_tiles)
            nisa.nc_matmul(dst=p[at:at + 4], stationary=x[:, 0:4], moving=x, tile_position=(0, at), tile_size=(128, 32))
        y = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=y, src=p)
        nisa.dma_copy(dst=out, src=y)
        return out

    return kernel


def test_products_in_different_parts_of_the_array_stream_at_the_same_time():
    """512 products of 512 columns: in one part of the array one after the other, in four at most four at a time."""
    took = {}
    for tiles in (1, 2, 4):
        trace = capture(products(512, tiles), spec((128, 512), "bfloat16"), target="trn2", values=False)
        machine = load_machine("trn2")
        t = simulate(trace, machine)
        assert bounds(trace, machine).ps <= t.end_ps
        rows = t.rows("Tensor")
        took[tiles] = int(t.instructions.end_ps[rows].max() - t.instructions.start_ps[rows].min())
    assert took[1] > 512 * 512 / 2.4e9 * 1e12
    assert 1.8 < took[1] / took[2] < 2.1
    assert 3.3 < took[1] / took[4] < 4.1
    off = load_machine("trn2").replace(**{"tensor.smallest_tile": 128})
    t = simulate(capture(products(512, 4), spec((128, 512), "bfloat16"), target="trn2", values=False), off)
    rows = t.rows("Tensor")
    assert int(t.instructions.end_ps[rows].max() - t.instructions.start_ps[rows].min()) >= took[1]


def tiles_in_a_loop(count, rows=2048):
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
        for k in range(count):
            x = nl.ndarray((128, rows), dtype=a.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=x, src=a[k])
            nisa.tensor_scalar(dst=x, data=x, op0=nl.multiply, operand0=2.0)
            nisa.dma_copy(dst=out[k], src=x)
        return out

    return kernel


def test_loads_run_ahead_and_streaming_is_near_the_dma_rate():
    """32 MiB in and out through one core: at least 80 % of 16 x 27.2 GB/s over the span."""
    a = spec((32, 128, 2048))
    trace = capture(tiles_in_a_loop(32), a, target="trn2", values=False)
    t = simulate(trace, load_machine("trn2"))
    rate = 2 * 32 * 128 * 2048 * 4 / (t.end_ps / 1e12)
    assert 0.8 * 435e9 < rate < 435e9


def test_memory_that_is_full_says_what_fills_it():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 40000), dtype=nl.float32, buffer=nl.sbuf)
        y = nl.ndarray((128, 40000), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=x, value=0.0)
        nisa.memset(dst=y, value=0.0)
        nisa.tensor_tensor(dst=x, data1=x, data2=y, op=nl.add)

    with pytest.raises(CapacityError, match="SBUF is full"):
        simulate(capture(kernel, spec((1, 1)), target="trn2", values=False), load_machine("trn2"))


def test_older_compiler_merges_and_renames():
    """A loop in the older dialect that overwrites one tile, loads the same rows again, and copies out of PSUM."""
    def kernel(a, b):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((4, nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.shared_hbm)
        for i in nl.affine_range(4):
            x = nl.load(a)                                       # the same rows every time
            y = nl.load(b[i])
            p = nisa.nc_matmul(x[:, 0:128], y)
            s = nisa.tensor_copy(p)
            m = nisa.tensor_reduce(nl.max, s, axis=1)
            r = nisa.tensor_scalar(s, nl.multiply, m)
            nl.store(out[i], r)
        return out

    import simcore.frontend.neuronxcc.nki as nki

    trace = capture(nki.jit(kernel), spec((128, 512)), spec((4, 128, 512)), target="trn2", values=False)
    t = simulate(trace, load_machine("trn2"))
    names = [t.opcode(r) for r in range(len(t.instructions))]
    loads = [r for r in range(len(t.instructions)) if "DMA" in names[r] and t.instructions.hbm_read_bytes[r]]
    assert len(loads) == 5                                       # a once, b four times
    assert "COPY" not in names                                   # read in PSUM instead
    assert t.totals["profiled_ps"] > t.totals["benchmark_ps"] > t.totals["kernel_ps"]


def copies(count: int, columns: int, machine):
    """Times of DMA engine 0 in as many loads in a row and a store: start and end per transfer, nanoseconds."""
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        out = nl.ndarray((128, columns), dtype=nl.float32, buffer=nl.shared_hbm)
        tiles = [nl.ndarray((128, columns), dtype=nl.float32, buffer=nl.sbuf) for _ in range(count)]
        for x in tiles:
            nisa.dma_copy(dst=x, src=a)
        nisa.dma_copy(dst=out, src=tiles[-1])
        return out

    t = simulate(capture(kernel, spec((128, columns)), target="trn2", values=False), machine)
    mine = t.dma.engine == 0
    return t, t.dma.start_ps[mine] / 1000, t.dma.end_ps[mine] / 1000


def test_only_a_load_on_engines_that_were_not_reading_waits_for_hbm():
    """The first of two long loads in a row takes longer than its packets, the second and a store do not."""
    machine = load_machine("trn2")
    _, start, end = copies(2, 4096, machine)
    first, second, store = end - start
    fill = machine.dma.read_latency_ns + machine.dma.read_ahead_bytes * 16 / machine.hbm.bytes_per_s * 1e9
    assert second == pytest.approx(store)
    assert first - second == pytest.approx(fill, abs=1)


@pytest.mark.parametrize(("columns", "moment", "waits"), [
    (4096, lambda took, fill, asked: took - 0.5 * asked, True),         # the first has nothing more to ask for
    (4096, lambda took, fill, asked: took - 1.2 * asked, False),        # it still asks: one stream of requests
    (512, lambda took, fill, asked: 0.5 * fill, False),                 # it waits for HBM itself
    (512, lambda took, fill, asked: 1.2 * fill, True),
])
def test_a_load_that_comes_after_the_last_request_of_another_waits_for_hbm(columns, moment, waits):
    machine = load_machine("trn2")
    d = machine.dma
    _, start, end = copies(1, columns, machine)
    first, store = end - start
    apart = moment(first, first - store, d.read_ahead_bytes / d.engine_bytes_per_s * 1e9)
    machine = machine.replace(**{"dma.issue_sw_ns": apart, "dma.issue_sw_ns_per_descriptor": 0.0})
    _, start, end = copies(2, columns, machine)
    assert start[1] == pytest.approx(end[0])
    assert (end - start)[1] == pytest.approx(first if waits else store, abs=0.01)


def test_a_queue_is_held_back_by_the_bytes_under_way():
    """Transfers of 32 KiB per engine: the fifth trigger waits for the first one's end.  Of 2 KiB: none waits."""
    machine = load_machine("trn2")
    for columns, held in ((1024, True), (64, False)):
        t, _, end = copies(6, columns, machine)
        triggers = np.sort(t.instructions.start_ps[t.dma.instruction[t.dma.engine == 0]])[:6] / 1000
        apart = np.diff(triggers)
        assert apart[:3] == pytest.approx(apart[0], abs=0.01)
        assert (apart[3] > apart[0] + 1) == held
        assert (triggers[4] == pytest.approx(end[0] + 150, abs=10)) == held


def test_what_is_ready_after_a_trigger_waits_until_its_engine_has_given_it():
    """A chain on Scalar and a store it triggers: the trigger overlaps with what ran before, not with what follows."""
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        out = nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.shared_hbm)
        x, y = (nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
        nisa.dma_copy(dst=x, src=a)
        nisa.activation(dst=y, op=nl.exp, data=x)
        nisa.dma_copy(dst=out, src=y, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar)
        for _ in range(6):
            nisa.activation(dst=x, op=nl.exp, data=x)
        return out

    trace = capture(kernel, spec((128, 128)), target="trn2", values=False)
    inside = {}
    for name, machine in (("on", load_machine("trn2")), ("off", without(load_machine("trn2"), "trigger-time"))):
        t = simulate(trace, machine)
        i = t.instructions
        trigger = next(r for r in t.rows("Scalar") if "DMA" in t.opcode(r))
        work = np.array([r for r in t.rows("Scalar") if t.opcode(r) == "ACTIVATE"])
        begin = i.start_ps[trigger]
        through = begin + round(load_machine("trn2").dma.trigger_hw_ns * 1000)
        inside[name] = int(((i.start_ps[work] > begin) & (i.start_ps[work] < through)).sum())
        if name == "on":
            held = work[i.start_ps[work] == through]
            assert len(held) == 1 and CAUSES[i.wait_cause[held[0]]] == "engine"
    assert inside == {"on": 0, "off": 1}


def test_two_cores_get_half_of_their_stack_each_whatever_was_asked_for_ahead():
    """Two that stream end together at what the stack gives; a small load does not wait for the other core's queue."""
    def kernel(a, small):
        import nki.isa as nisa
        import nki.language as nl

        core = nl.program_id(0)
        count, width = (2, 512) if small and core else (12, 8192)
        out = nl.ndarray((2, 128, 12), dtype=nl.float32, buffer=nl.shared_hbm)
        seen = nl.ndarray((128, 12), dtype=nl.float32, buffer=nl.sbuf)
        for i in range(count):
            tile = nl.ndarray((128, width), dtype=nl.float32, buffer=nl.sbuf)
            if small and core:
                nisa.memset(dst=tile, value=0.0)                # the load waits for it
            nisa.dma_copy(dst=tile, src=a[core, i, :, 0:width])
            nisa.tensor_copy(dst=seen[:, i:i + 1], src=tile[:, 0:1])
        nisa.dma_copy(dst=out[core], src=seen)
        return out

    machine = load_machine("trn2")
    apart = machine.replace(**{"hbm.cores_per_stack": 1})
    one = 128 * 8192 * 4 / machine.hbm.bytes_per_s * 1e12       # a load at the stack's rate

    def ends(small, machine):
        trace = capture(kernel, spec((2, 12, 128, 8192)), small, target="trn2", values=False, lnc=2)
        t = simulate(trace, machine).instructions
        return [int(t.start_ps[t.core == c].max()) for c in (0, 1)]

    both = ends(False, machine)
    assert abs(both[0] - both[1]) < 2 * one
    assert 23 * one < max(both) < 26 * one
    assert max(ends(False, apart)) < 0.9 * max(both)
    assert ends(True, machine)[1] < ends(True, apart)[1] + 0.5 * one


def test_what_one_core_leaves_of_hbm_the_other_has():
    """Where HBM is the limit, two cores with unequal work end when it has moved all of it, and not later."""
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        core = nl.program_id(0)
        out = nl.ndarray((2, 128, 8192), dtype=nl.float32, buffer=nl.shared_hbm)
        for i in range(2 if core else 10):
            tile = nl.ndarray((128, 8192), dtype=nl.float32, buffer=nl.sbuf)
            nisa.dma_copy(dst=tile, src=a[core, i])
        nisa.dma_copy(dst=out[core], src=tile)
        return out

    machine = load_machine("trn2").replace(**{"hbm.bytes_per_s": 100e9})
    one = 128 * 8192 * 4 / machine.hbm.bytes_per_s * 1e12
    t = simulate(capture(kernel, spec((2, 10, 128, 8192)), target="trn2", values=False, lnc=2), machine)
    assert 14 * one < t.end_ps < 14.2 * one                     # 12 loads and 2 stores

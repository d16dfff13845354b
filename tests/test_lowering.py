"""Dependences, regions, addresses and what the older compiler rewrites, on programs small enough to see."""

import numpy as np
import pytest

from simcore import capture, load_machine, simulate
from simcore.dtypes import to_dtype
from simcore.frontend import TensorSpec
from simcore.lowering.allocate import Apart, Arena
from simcore.lowering.coverage import outside_calibration
from simcore.lowering.dependences import DATA, REUSE, dependences
from simcore.lowering.program import lower
from simcore.lowering.regions import _intervals
from simcore.lowering.versions import privatize

TRN2 = load_machine("trn2")


def spec(shape, dtype="float32"):
    return TensorSpec(tuple(shape), to_dtype(dtype))


def edges(trace):
    return {(int(p), int(c)): int(why) for p, c, why in zip(*dependences(trace), strict=True)}


def test_read_after_write_write_after_read_write_after_write():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
        y = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=x, value=0.0)                    # 0
        nisa.tensor_copy(dst=y, src=x)                   # 1 reads x
        nisa.memset(dst=x, value=1.0)                    # 2 overwrites what 1 has read
        nisa.memset(dst=y, value=2.0)                    # 3 overwrites what 1 has written

    assert edges(capture(kernel, spec((1, 1)), target="trn2", values=False)) == {
        (0, 1): DATA, (0, 2): REUSE, (1, 2): REUSE, (1, 3): REUSE}


def test_working_in_place_reads_what_was_there():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=x, value=0.0)
        for _ in range(3):
            nisa.tensor_scalar(dst=x, data=x, op0=nl.add, operand0=1.0)

    assert edges(capture(kernel, spec((1, 1)), target="trn2", values=False)) == {
        (0, 1): DATA, (1, 2): DATA, (2, 3): DATA}


def test_neighbours_and_interleaved_pieces_are_independent():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=x[:, 0:32], value=0.0)           # 0
        nisa.memset(dst=x[:, 32:64], value=0.0)          # 1 beside it
        nisa.memset(dst=x[0:64, 0:64:2], value=0.0)      # 2 even columns
        nisa.memset(dst=x[0:64, 1:64:2], value=0.0)      # 3 odd columns
        nisa.memset(dst=x[64:128, 0:32], value=0.0)      # 4 other partitions

    found = edges(capture(kernel, spec((1, 1)), target="trn2", values=False))
    assert found == dict.fromkeys([(0, 2), (0, 3), (0, 4), (1, 2), (1, 3)], REUSE)


def test_accumulation_only_orders_products():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.sbuf)
        p = nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.psum)
        nisa.memset(dst=x, value=0.0)
        for _ in range(3):
            nisa.nc_matmul(dst=p, stationary=x, moving=x)
        nisa.tensor_copy(dst=x, src=p)

    program = lower(capture(kernel, spec((1, 1)), target="trn2", values=False), TRN2)
    soft = {(int(p), int(c)) for p, c, s in zip(program.producer, program.consumer, program.soft, strict=True) if s}
    assert {(1, 2), (2, 3)} <= soft and (3, 4) not in soft


def test_intervals_of_strided_patterns():
    assert _intervals(((4, 8),), 4).tolist() == [[0, 32]]
    assert _intervals(((8, 3),), 4).tolist() == [[0, 4], [8, 12], [16, 20]]
    assert _intervals(((100, 2), (4, 5)), 4).tolist() == [[0, 20], [100, 120]]
    assert _intervals(((8, 1000),), 4).tolist() == [[0, 7996]]


def test_places_are_taken_in_rotation():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        for _ in range(12):
            p = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
            nisa.memset(dst=p, value=0.0)

    placement = lower(capture(kernel, spec((1, 1)), target="trn2", values=False), TRN2).placement
    assert placement.address[placement.size > 0].tolist() == [2048 * (k % 8) for k in range(12)]
    assert len(placement.before) == 4                    # only the last four take a place that was used


def test_another_function_needs_another_table():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)
        for f in (nl.exp, nl.exp, nl.copy, nl.exp, nl.sigmoid, nl.exp):
            nisa.activation(dst=x, op=f, data=x)

    t = simulate(capture(kernel, spec((128, 64)), target="trn2", values=False), TRN2)
    rows = [t.opcode(r) for r in t.rows("Scalar")]
    assert rows == ["ACTIVATE"] * 4 + ["ACT_TABLE_LOAD", "ACTIVATE"] * 2      # the first table loads during start-up
    load = next(r for r in t.rows("Scalar") if t.opcode(r) == "ACT_TABLE_LOAD")
    assert t.instructions.end_ps[load] - t.instructions.start_ps[load] == 1_283_000


# ------------------------------------------------------------------------------------------------ the older compiler


def older(kernel, *specs):
    from simcore.frontend.neuronxcc import nki  # at the top it would make every function here an older kernel

    return capture(nki.jit(kernel), *specs, target="trn2", values=False)


def test_a_tile_overwritten_in_a_loop_is_another_tile_each_time():
    def kernel(a):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((4, nl.par_dim(128), 64), dtype=nl.float32, buffer=nl.shared_hbm)
        x = nl.ndarray((nl.par_dim(128), 64), dtype=nl.float32, buffer=nl.sbuf)
        for i in nl.sequential_range(4):
            nisa.dma_copy(dst=x, src=a[i])
            nl.store(out[i], x)
        return out

    trace = older(kernel, spec((4, 128, 64)))
    renamed = privatize(trace)
    assert len(renamed.storages) == len(trace.storages) + 3
    loads = [k for k in range(len(trace)) if trace.variants[trace.variant[k]]["dst"].on_chip]
    assert any(c in loads for _, c in edges(trace)) and not any(c in loads for _, c in edges(renamed))


def test_small_reductions_become_one_instruction():
    def kernel(a):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((4, nl.par_dim(128), 1), dtype=nl.float32, buffer=nl.shared_hbm)
        for i in nl.affine_range(4):
            x = nl.load(a[i])
            m = nisa.tensor_reduce(nl.max, x, axis=1)
            r = nisa.reciprocal(m)
            nl.store(out[i], r)
        return out

    program = lower(older(kernel, spec((4, 128, 256))), TRN2)
    times = [program.kind_ops[k][0].opcode for k in program.kind.tolist()]
    assert times.count("TENSOR_REDUCE") == 4 and times.count("RECIPROCAL") == 1


@pytest.mark.parametrize(("banks", "copies"), [(4, 0), (0, 4), (2, 2)])
def test_copies_out_of_psum_are_left_out_while_banks_last(banks, copies):
    def kernel(a):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((4, nl.par_dim(128), 1), dtype=nl.float32, buffer=nl.shared_hbm)
        x = nl.load(a)
        for i in nl.affine_range(4):
            s = nisa.tensor_copy(nisa.nc_matmul(x[:, i * 128:(i + 1) * 128], x))
            nl.store(out[i], nisa.tensor_reduce(nl.max, s, axis=1))
        return out

    program = lower(older(kernel, spec((128, 512))), TRN2.replace(**{"compiler.forward_banks": banks}))
    names = [program.kind_ops[k][0].opcode for k in program.kind.tolist()]
    assert names.count("COPY") == copies


def opcodes(program):
    return [program.kind_ops[k][0].opcode for k in program.kind.tolist()]


@pytest.mark.parametrize(("count", "products"), [(64, 1), (256, 32)])
def test_a_short_parallel_loop_becomes_one_instruction_per_line(count, products):
    """64 windows of 3 are 192 elements; 256 windows are more than an instruction takes: groups of 8."""
    def kernel(a, f):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((nl.par_dim(128), count), dtype=nl.float32, buffer=nl.shared_hbm)
        x, w = nl.load(a), nl.load(f)
        y = nl.ndarray((nl.par_dim(128), count), dtype=nl.float32, buffer=nl.sbuf)
        p, three = nl.arange(128)[:, None], nl.arange(3)[None, :]
        for i in nl.affine_range(count):
            y[p, i] = nisa.tensor_reduce(nl.add, nisa.tensor_tensor(x[p, three + i], w, nl.multiply), axis=[1])
        nl.store(out, y)
        return out

    program = lower(older(kernel, spec((128, 258)), spec((128, 3))), TRN2)
    assert opcodes(program).count("TENSOR_TENSOR") == products


@pytest.mark.parametrize(("room", "products"), [(180224, 2), (0, 4)])
def test_what_was_computed_before_is_not_computed_again_while_there_is_room(room, products):
    """Two tiles, each multiplied in both iterations of the outer loop: the same lines, other lines in between."""
    def kernel(a):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((2, 2, nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.shared_hbm)
        x = [nl.load(a[j]) for j in range(2)]
        for i in nl.static_range(2):
            for j in nl.static_range(2):
                nl.store(out[i, j], nisa.tensor_tensor(x[j], x[j], nl.multiply))
        return out

    program = lower(older(kernel, spec((2, 128, 512))), TRN2.replace(**{"compiler.duplicate_bytes": room}))
    assert opcodes(program).count("TENSOR_TENSOR") == products


@pytest.mark.parametrize(("written", "memsets"), [(512, 0), (256, 1)])
def test_a_constant_nobody_reads_is_not_written(written, memsets):
    def kernel(a):
        import neuronxcc.nki.language as nl

        out = nl.ndarray((nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.shared_hbm)
        x = nl.zeros((nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.sbuf)
        x[:, 0:written] = nl.load(a[:, 0:written])
        nl.store(out, x)
        return out

    assert opcodes(lower(older(kernel, spec((128, 512))), TRN2)).count("MEMSET") == memsets


def test_a_tile_of_two_banks_is_put_together_in_sbuf():
    """Vector reads one bank's result in PSUM; a tile of two needs copies, because an instruction reads one place."""
    def kernel(a, width):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((nl.par_dim(128), width), dtype=nl.float32, buffer=nl.shared_hbm)
        x = nl.load(a)
        y = nl.ndarray((nl.par_dim(128), width), dtype=nl.float32, buffer=nl.sbuf)
        for i in range(width // 512):
            y[:, i * 512:(i + 1) * 512] = nisa.tensor_copy(nisa.nc_matmul(x[:, 0:128], x[:, i * 512:(i + 1) * 512]))
        nl.store(out, nisa.tensor_tensor(y, x, nl.multiply))
        return out

    programs = [lower(older(lambda a, w=w: kernel(a, w), spec((128, w))), TRN2) for w in (512, 1024)]
    assert [opcodes(p).count("COPY") for p in programs] == [0, 2]


def test_nothing_is_lost_or_doubled():
    """Every instruction of the trace belongs to one unit; products are never merged."""
    def kernel(a):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((8, nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.shared_hbm)
        for i in nl.affine_range(8):
            x = nl.load(a)
            p = nisa.nc_matmul(x[:, 0:128], x)
            nl.store(out[i], nisa.tensor_scalar(p, nl.multiply, 2.0))
        return out

    trace = older(kernel, spec((128, 512)))
    program = lower(trace, TRN2)
    products = sum(trace.row_name(k) == "nc_matmul" for k in range(len(trace)))
    assert np.sum([o.opcode == "MATMUL" for o in np.array(program.ops, object)[program.op]]) == 2 * products
    written = int((program.hbm_write_bytes[program.op]).sum())
    assert written == 8 * 128 * 512 * 4


# ---------------------------------------------------------------------------------------------- what was never measured


def test_predictions_say_what_they_rest_on():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
        s = nl.ndarray((128, 6), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)
        nisa.tensor_tensor(dst=x, data1=x, data2=x, op=nl.add)
        nisa.bn_stats(dst=s, data=x)

    trace = capture(kernel, spec((128, 64)), target="trn2", values=False)
    assert [s.split(":")[0] for s in outside_calibration(trace, TRN2)] == ["nisa.bn_stats on Vector"]
    assert any("taken over from another generation" in s for s in outside_calibration(trace, load_machine("trn3")))
    chips = {chip: simulate(trace, load_machine(chip)) for chip in ("trn1", "trn2", "trn3")}
    assert [chip for chip, run in chips.items() if run.origin.endswith(" (extrapolated)")] == ["trn1", "trn3"]
    assert chips["trn1"].caveat.startswith("Extrapolated, compare with no other chip: ")


def test_each_core_loads_its_tables():
    def kernel(a):
        import nki.isa as nisa
        import nki.language as nl

        x = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=x, src=a)
        for f in (nl.exp, nl.sigmoid, nl.exp):
            nisa.activation(dst=x, op=f, data=x)

    trace = capture(kernel, spec((128, 64)), target="trn2", values=False, grid=2)
    program = lower(trace, TRN2)
    loads = [int(c) for c, o in zip(program.core, program.op, strict=True)
             if program.opcodes[o] == "ACT_TABLE_LOAD"]
    assert sorted(loads) == [0, 0, 1, 1]


# ---------------------------------------------------------------------------------------------- what does not fit


def test_small_tiles_that_stay_do_not_cut_up_the_room_for_large_ones():
    """Four times a tile of 16 bytes that stays and one of 240 that goes; then one of 512 in a memory of 1024."""
    born = np.array([0, 0, 1, 1, 2, 2, 3, 3, 9])
    died = np.array([10, 0, 10, 1, 10, 2, 10, 3, 10])
    need = np.array([16, 240] * 4 + [512])

    def place_for_the_last(arena):
        for _ in range(4):
            arena.take(16)
            arena.give(arena.take(240), 240)
        return arena.take(512)

    assert place_for_the_last(Arena(1024)) is None
    assert place_for_the_last(Apart(1024, 16, born, died, need)) is not None


def test_an_argument_that_does_not_stay_is_loaded_again_and_not_saved():
    def kernel(a):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((4, 8, nl.par_dim(128), 8192), dtype=nl.float32, buffer=nl.shared_hbm)
        x = [nl.load(a[j]) for j in range(8)]
        for i in range(4):
            for j in range(8):
                nl.store(out[i, j], nisa.tensor_scalar(x[j], nl.multiply, float(i)))
        return out

    program = lower(older(kernel, spec((8, 128, 8192))), TRN2)
    kept = sum(program.hbm_write_bytes[program.op].tolist())
    assert program.trace.info["spilled_bytes"] > 0 and kept == 4 * 8 * 128 * 8192 * 4


def test_fewer_iterations_are_done_at_once_where_psum_would_overflow():
    """Two products per iteration wait for its reciprocal: eight iterations at once would hold sixteen banks."""
    def kernel(a):
        import neuronxcc.nki.isa as nisa
        import neuronxcc.nki.language as nl

        out = nl.ndarray((8, 2, nl.par_dim(128), 512), dtype=nl.float32, buffer=nl.shared_hbm)
        for i in nl.affine_range(8):
            x = nl.load(a[i])
            p, q = nisa.nc_matmul(x[:, 0:128], x), nisa.nc_matmul(x[:, 128:256], x)
            r = nisa.reciprocal(nisa.tensor_reduce(nl.add, p, axis=1))
            nl.store(out[i, 0], nisa.tensor_scalar(p, nl.multiply, r))
            nl.store(out[i, 1], nisa.tensor_scalar(q, nl.multiply, r))
        return out

    assert opcodes(lower(older(kernel, spec((8, 128, 512))), TRN2)).count("RECIPROCAL") == 2


def pieces(seed: int):
    """Writes and reads of pieces of one tensor, some of them anywhere in it."""
    def kernel(a, index):
        import nki.isa as nisa
        import nki.language as nl

        rng = np.random.default_rng(seed)
        big = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.private_hbm)
        where = nl.ndarray((1, 1), dtype=nl.int32, buffer=nl.sbuf)
        nisa.dma_copy(dst=where, src=index)
        tiles = [nl.ndarray((1, 64), dtype=nl.float32, buffer=nl.sbuf) for _ in range(4)]
        for t in tiles:
            nisa.memset(dst=t, value=0.0)
        for _ in range(60):
            t = tiles[int(rng.integers(4))]
            row = int(rng.integers(128))
            anywhere = big.ap(pattern=[[64, 1], [1, 64]], scalar_offset=where, indirect_dim=0)
            here = anywhere if rng.random() < 0.8 else big[row:row + 1, :]
            nisa.dma_copy(dst=here, src=t) if rng.random() < 0.7 else nisa.dma_copy(dst=t, src=here)

    trace = capture(kernel, spec((1, 1)), spec((1, 1), "int32"), target="trn2", values=False)
    assert len(trace) == 65
    return trace


@pytest.mark.parametrize("seed", range(6))
def test_accesses_anywhere_depend_as_if_every_cell_were_looked_at(seed, monkeypatch):
    trace = pieces(seed)
    short = edges(trace)
    nothing = lambda storage, *_: np.zeros((3, len(storage)), bool)   # noqa: E731
    monkeypatch.setattr("simcore.lowering.dependences._wide", nothing)
    assert short == edges(trace)


@pytest.mark.parametrize("seed", range(3))
def test_merged_cells_keep_the_order(seed, monkeypatch):
    trace = pieces(seed)
    exact = edges(trace)
    monkeypatch.setattr("simcore.lowering.dependences.MAX_ENTRIES", 64)
    after = np.eye(len(trace), dtype=bool)
    for p, c in sorted(edges(trace), key=lambda e: e[1]):
        after[:, c] |= after[:, p]
    assert all(after[p, c] for p, c in exact)

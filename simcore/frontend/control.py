"""Registers, device loops, ordering scopes, and the two cores of a launch meeting each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from simcore.addresses import dynamic_value
from simcore.errors import KernelError, NkiValidationError
from simcore.frontend import state
from simcore.frontend.instructions import NkiInstruction, nisa
from simcore.isa.table import DmaEngine, Engine
from simcore.registers import Register
from simcore.tensor import Tensor

# ------------------------------------------------------------------------------------------------ registers


def register_alloc(x=None) -> Register:
    """A new 32-bit register; with an integer (or another register) its first value."""
    state.current("nisa.register_alloc")
    register = Register(None)
    if isinstance(x, Tensor):
        register_load(register, x)
    elif x is not None:
        register_move(register, x)
    else:
        register.known = 0 if state.recorder.values else None
    return register


def register_move(dst: Register, src=None, imm=None) -> NkiInstruction:
    """Register = an integer or another register (`imm` is the argument's name up to release 0.2)."""
    source = imm if src is None else src
    _check_register("register_move", dst)
    if isinstance(source, Tensor):
        raise NkiValidationError("nisa.register_move takes an integer or a register; read a tile "
                                 "with nisa.register_load", site=state.user_site())
    if isinstance(source, Register):
        dst.known, dst.sources = source.known, source.sources
    else:
        dst.known, dst.sources = wrap(int(source)), ()
    return nisa.register_move()


def register_load(dst: Register, src: Tensor) -> NkiInstruction:
    """Register = the one element of a tensor.  Its value is not known where only timing is computed."""
    _check_register("register_load", dst)
    instruction = nisa.register_load(src=src)
    value = dynamic_value(src)
    dst.known = value
    dst.origin = None
    dst.sources = (src,)
    return instruction


def register_store(dst: Tensor, src: Register) -> NkiInstruction:
    """The one element of a tensor = register."""
    instruction = nisa.register_store(dst=dst)
    known = src.known if isinstance(src, Register) else int(src)
    if dst.storage.data is not None and known is not None:
        dst.write(np.full(dst.shape, known, np.int32))
    return instruction


def wrap(value: int) -> int:
    """A signed 32-bit value."""
    return (value + 2**31) % 2**32 - 2**31 if not -(2**31) <= value < 2**32 else value


def _check_register(what: str, register) -> None:
    if not isinstance(register, Register):
        raise NkiValidationError(f"nisa.{what} needs a register from nisa.register_alloc, not "
                                 f"{type(register).__name__}", site=state.user_site(2))
    if register.frozen:
        raise NkiValidationError(f"nisa.{what}: a loop variable cannot be written", site=state.user_site(2))


# ------------------------------------------------------------------------------------------------ loops


def dynamic_range(start, stop=None, step=1):
    """Iterate as the device would; the variable is a register with its value (known where bounds are known)."""
    if stop is None:
        start, stop = 0, start
    if isinstance(step, Register) or int(step) < 1:
        raise KernelError(f"nl.dynamic_range: step must be a positive integer, not {step!r}", site=state.user_site())
    state.current("nl.dynamic_range")
    i, end, by = int(start), int(stop), int(step)
    while i < end:
        nisa._branch()
        variable = Register(i, "loop variable")
        variable.frozen = True
        yield variable
        i += by


def fori_loop(lower, upper, body_fun: Callable, step: int = 1) -> None:
    """body_fun(i) for each i; a loop on the device."""
    for i in dynamic_range(lower, upper, step):
        body_fun(i)


def while_loop(init, body_fun: Callable) -> None:
    """r = body_fun(r) while r is not zero; a loop on the device."""
    register = init
    while register:
        nisa._branch()
        following = body_fun(register)
        if following is None:
            raise KernelError("nl.while_loop: the body must return the register that the loop tests next",
                              site=state.user_site())
        register = following


@contextlib.contextmanager
def no_reorder():
    """Within the scope each instruction is ordered after the one before it."""
    rec = state.current("nl.no_reorder")
    first, core = len(rec), rec.core
    try:
        yield
    finally:
        own = rec.of_core(core, first)
        rec.order.extend(zip(own, own[1:], strict=False))


# ------------------------------------------------------------------------------------------------ two cores


def _meeting(what: str):
    """The launch's programs, and the programs that share the two cores with the one running now."""
    rec = state.current(f"nisa.{what}")
    programs = rec.programs
    if programs.cores < 2:
        raise KernelError(f"nisa.{what} needs the two cores of LNC=2; launch the kernel as kernel[2](...)",
                          site=state.user_site(2))
    return rec, programs, programs.current.number // programs.cores


def core_barrier(data: Tensor, cores, engine=Engine.gpsimd, name=None) -> None:
    """Both cores wait for each other: each says it is done with `data`, then waits for the other to say so."""
    rec, programs, pair = _meeting("core_barrier")
    here = (data, tuple(cores), engine, name, state.user_site())

    def meet(arrived: dict) -> None:
        signals, waits = [], []
        for number, (tensor, both, on, label, site) in sorted(arrived.items()):
            signals.append(_record(programs, number, site,
                                   lambda t=tensor, b=both, e=on, n=label: nisa.core_barrier(t, b, e, name=n)))
        for number, (tensor, _, on, _, site) in sorted(arrived.items()):
            waits.append(_record(programs, number, site, lambda t=tensor, e=on: nisa._core_barrier_wait(t, e)))
        rec.order.extend((s, w) for i, s in enumerate(signals) for j, w in enumerate(waits) if i != j)
        rec.meetings.append((min(signals), max(waits)))

    programs.meet(("core_barrier", pair), here, programs.cores, meet)


def sendrecv(src: Tensor, dst: Tensor, send_to_rank, recv_from_rank, pipe_id, dma_engine=DmaEngine.dma,
             use_gpsimd_dma=None, name=None) -> None:
    """Exchange tiles: src goes to the other core's dst, dst receives the other core's src."""
    rec, programs, pair = _meeting("sendrecv")
    if use_gpsimd_dma is not None:
        dma_engine = DmaEngine.gpsimd_dma if use_gpsimd_dma else DmaEngine.dma
    send, receive = int(send_to_rank), int(recv_from_rank)
    here = (src, dst, send, receive, dma_engine, name, state.user_site())

    def meet(arrived: dict) -> None:
        ranks = {number % programs.cores: given for number, given in arrived.items()}
        for rank, given in ranks.items():
            if ranks[given[2]][3] != rank:
                raise KernelError(f"nisa.sendrecv with pipe_id {pipe_id}: core {rank} sends to core {given[2]}, which "
                                  f"receives from core {ranks[given[2]][3]}",
                                  site=given[6])
        values = {rank: np.array(given[0].read()) for rank, given in ranks.items()} if rec.values else {}
        numbers = []
        for number in sorted(arrived):
            rank = number % programs.cores
            tile, _, to, back, by, label, site = ranks[rank]
            numbers.append(_record(programs, number, site,
                                   lambda s=tile, d=ranks[to][1], to=to, back=back, by=by, n=label:
                                   nisa.sendrecv(s, d, to, back, pipe_id, by, name=n)))
        for rank, given in ranks.items():
            if rec.values:
                ranks[given[2]][1].write(values[rank])
        rec.meetings.append((min(numbers), max(numbers)))

    programs.meet(("sendrecv", pair, pipe_id), here, programs.cores, meet)


def _record(programs, number: int, site, instruct: Callable) -> int:
    """Record an instruction for another program, without its values; returns its number in the trace."""
    rec = programs.rec
    core, values = rec.core, rec.values
    rec.core, rec.values = programs.programs[number].core, False
    try:
        done = instruct()
    finally:
        rec.core, rec.values = core, values
    if site is not None:
        rec.site_col[done.number] = rec.sites.index(site)
    return done.number

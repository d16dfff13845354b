"""What a profile implies without saying it: which trigger a DMA packet belongs to, what an instruction waited for."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from simcore.profile import vendor
from simcore.timeline import CAUSES, ENGINES, MEMORIES, Dependences

NOTICE_PS = 2_000        # times of a profile are whole nanoseconds: closer than this is "at once"


def infer_triggers(columns, names, texts, dma, fetch, queues, owners) -> None:
    """Give each DMA packet the trigger it belongs to.

    Profiles without DGE notifications do not say.  Inferred: triggers of a queue are served in order, and on
    each DMA engine the share of one trigger ends with one completion write of 4 bytes (16 engines, and the
    trigger's `sem_increment` is 16).  A queue whose segments do not number its triggers stays unlinked.
    """
    triggers: dict[tuple[int, str], list[int]] = defaultdict(list)
    for row, (opcode, text) in enumerate(zip(names, texts)):
        if vendor.is_dma(opcode):
            owner = owners.get(vendor.trigger_semaphore(text))
            engine = ENGINES[columns["engine"][row]]
            if owner not in queues:
                owner = next((q for q in (f"q{engine}DynamicHW", f"q{engine}Dynamic") if q in queues), None)
            if owner is not None:
                triggers[int(columns["core"][row]), owner].append(row)
    for (core, queue), rows in triggers.items():
        mine = (dma["core"] == core) & (dma["queue"] == queues.index(queue)) & ~fetch
        share: dict[int, int] = {}
        for engine in np.unique(dma["engine"][mine]):
            packets = np.flatnonzero(mine & (dma["engine"] == engine))
            last = (dma["read_bytes"][packets] <= 4) & (dma["write_bytes"][packets] <= 4)
            segment = np.cumsum(last) - last
            if segment.size and int(last.sum()) != len(rows):
                share = {}
                break
            share |= dict(zip(packets.tolist(), segment.tolist()))
        for packet, segment in share.items():
            dma["instruction"][packet] = rows[segment] if segment < len(rows) else -1


def finish_triggers(columns, dma) -> int:
    """What linked packets tell: their memories, and when a trigger's transfer is done.  Returns how many are linked."""
    has = np.flatnonzero(dma["instruction"] >= 0)
    trigger = dma["instruction"][has]
    for memory in ("SBUF", "PSUM", "HBM"):
        for side, way in (("source", "read"), ("dest", "write")):
            dma[side][has[columns[f"{memory.lower()}_{way}_bytes"][trigger] > 0]] = MEMORIES.index(memory)
    np.maximum.at(columns["done_ps"], trigger, dma["end_ps"][has])
    return len(has)


def find_waits(columns, names, texts, waited, edges: Dependences) -> None:
    """What each instruction waited for last: fills wait_cause, wait_on, wait_ps.

    The engine stood idle from the end of its previous row to the start of this one.  Where the profile says
    the row waited for a semaphore, the cause is that of the predecessor which was done last before the start.
    """
    cause = {c: i for i, c in enumerate(CAUSES)}
    start, done = columns["start_ps"], columns["done_ps"]
    n = len(start)
    best_on, best_cause = np.full(n, -1, np.int64), np.full(n, cause["unknown"], np.int64)
    # an EVENT_SEMAPHORE produces nothing: what it waited for is taken instead, see `held`
    real = np.array([name not in vendor.WAITING_OPCODES for name in names], bool)
    edges = edges.take(real[edges.producer])
    if len(edges):
        # a trigger's data may be used when the transfer is done; a compute row's when it ends
        ready = done[edges.producer]
        late = ready > start[edges.consumer] + NOTICE_PS
        ready = np.where(late, -1, ready)
        by = np.lexsort((ready, edges.consumer))
        last = np.r_[edges.consumer[by][1:] != edges.consumer[by][:-1], True] if len(by) else np.zeros(0, bool)
        pick = by[last]
        pick = pick[ready[pick] >= 0]
        best_on[edges.consumer[pick]] = edges.producer[pick]
        best_cause[edges.consumer[pick]] = edges.cause[pick]
    previous: dict[tuple[int, int], tuple[int, int]] = {}
    held: dict[tuple[int, int], tuple[int, int]] = {}    # what the EVENT_SEMAPHOREs just before were waiting for
    setup = [name in vendor.SETUP_OPCODES for name in names]
    for row in range(n):
        key = int(columns["core"][row]), int(columns["engine"][row])
        before = previous.get(key)
        idle = int(start[row]) - before[1] if before else int(start[row])
        because, on = int(best_cause[row]), int(best_on[row])
        if names[row] in vendor.WAITING_OPCODES:
            columns["wait_cause"][row], columns["wait_on"][row], columns["wait_ps"][row] = because, on, int(waited[row])
            if on >= 0:
                held[key] = because, on
            continue
        if before is None and on < 0 and key not in held:
            columns["wait_cause"][row] = cause["start"]
        elif before and (idle <= NOTICE_PS or setup[row]):
            columns["wait_cause"][row], columns["wait_on"][row] = cause["engine"], before[0]
        else:
            earlier = held.get(key)
            if earlier and (on < 0 or done[earlier[1]] > done[on]):
                because, on = earlier
            named = vendor.waits(texts[row])
            if on < 0 and named:
                because = cause["dma" if named[0][1].startswith("q") else "data"]
            elif on < 0 and before and waited[row] < idle // 2:
                because, on = cause["engine"], before[0]     # it was not a semaphore that held it: the issue interval
            columns["wait_cause"][row], columns["wait_on"][row], columns["wait_ps"][row] = because, on, idle
        held.pop(key, None)
        end = int(columns["end_ps"][row])
        if before is None or end >= before[1]:
            previous[key] = row, end

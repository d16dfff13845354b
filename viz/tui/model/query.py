"""Search and filter: a few words that choose instructions.

    matmul            opcodes whose name has "matmul" in it (else operands that have it)
    engine:vector     of an engine              op:ACTIVATE   of an opcode, by part of its name
    line:34           of a source line          line:30-40    of several; flash.py:34 names the file too
    text:scores       operands or function      cause:dma     that waited for a DMA last
    >100ns  <2us      by duration               !word         not that

Words are joined by "and"; a comma inside a word means "or": op:matmul,ldweights.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from simcore.errors import UsageError, nearest
from simcore.timeline import CAUSES, ENGINES, Timeline

_UNITS = {"ps": 1, "ns": 10**3, "us": 10**6, "µs": 10**6, "ms": 10**9, "s": 10**12}
_FIELDS = {
    "op": "op",
    "opcode": "op",
    "engine": "engine",
    "e": "engine",
    "line": "line",
    "l": "line",
    "text": "text",
    "cause": "cause",
    "wait": "cause",
}


@dataclass(frozen=True)
class Term:
    field: str  # "word", "op", "engine", "line", "text", "cause", "longer", "shorter"
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True)
class Query:
    text: str
    terms: tuple[Term, ...]


def parse(text: str) -> Query:
    """Raises UsageError, a sentence that says what would be understood."""
    return Query(text.strip(), tuple(_term(word) for word in text.split()))


def _term(word: str) -> Term:
    negated = word.startswith("!") and len(word) > 1
    word = word[1:] if negated else word
    if word[0] in "<>":
        match = re.fullmatch(r"[<>]=?(\d+(?:\.\d+)?)(ps|ns|us|µs|ms|s)", word)
        if not match:
            raise UsageError(f"{word!r} is not a duration; write for example >100ns or <2us")
        ps = round(float(match[1]) * _UNITS[match[2]])
        return Term("longer" if word[0] == ">" else "shorter", (str(ps),), negated)
    name, colon, rest = word.partition(":")
    if not colon:
        return Term("word", tuple(v.lower() for v in word.split(",") if v), negated)
    if name.lower() not in _FIELDS:
        if re.fullmatch(r"\d+(-\d+)?", rest):
            return Term("line", (f"{name}:{rest}",), negated)
        raise UsageError(
            f"{name!r} is not something to search in; there are op, engine, line, text, cause."
            + nearest(name.lower(), _FIELDS)
        )
    field = _FIELDS[name.lower()]
    values = tuple(v.lower() for v in rest.split(",") if v)
    if not values:
        raise UsageError(f"{word!r} has nothing after the colon")
    known = {"engine": [e.lower() for e in ENGINES], "cause": list(CAUSES)}.get(field, [])
    for value in values:
        if known and not any(k.startswith(value) for k in known):
            raise UsageError(f"{value!r} is not one of {', '.join(known)}." + nearest(value, known))
        if field == "line" and not re.fullmatch(r"(.*:)?\d+(-\d+)?", value):
            raise UsageError(f"{value!r} is not a line; write line:34, line:30-40 or file.py:34")
    return Term(field, values, negated)


def mask(query: Query, timeline: Timeline) -> np.ndarray:
    """Which of the timeline's instructions the query chooses."""
    chosen = np.ones(len(timeline.instructions), bool)
    for term in query.terms:
        found = _match(term, timeline)
        chosen &= ~found if term.negated else found
    return chosen


def transfers(chosen: np.ndarray, timeline: Timeline) -> np.ndarray:
    """Which DMA transfers go with chosen instructions: those they triggered."""
    trigger = timeline.dma.instruction
    if not len(chosen):
        return np.zeros(len(trigger), bool)
    return (trigger >= 0) & chosen[np.maximum(trigger, 0)]


def _match(term: Term, timeline: Timeline) -> np.ndarray:
    t = timeline.instructions
    if term.field in ("longer", "shorter"):
        took = t.end_ps - t.start_ps
        return took > int(term.values[0]) if term.field == "longer" else took < int(term.values[0])
    if term.field == "engine":
        return _gather([e.lower().startswith(term.values) for e in ENGINES], t.engine)
    if term.field == "cause":
        return _gather([c.startswith(term.values) for c in CAUSES], t.wait_cause)
    if term.field == "op":
        return _gather([_has(o, term.values) for o in timeline.opcodes], t.opcode)
    if term.field == "line":
        return _gather([any(_on_line(s.file, s.line, v) for v in term.values) for s in timeline.sites], t.site)
    in_text = _gather([_has(s, term.values) for s in timeline.strings], t.operands) | _gather(
        [_has(s.function, term.values) for s in timeline.sites], t.site
    )
    if term.field == "text":
        return in_text
    by_opcode = _gather([_has(o, term.values) for o in timeline.opcodes], t.opcode)
    return by_opcode if by_opcode.any() else in_text


def _gather(wanted: list[bool], index: np.ndarray) -> np.ndarray:
    """`wanted` of each row's entry; a row without an entry (-1) is not wanted."""
    return np.asarray([*wanted, False], bool)[index]


def _has(text: str, values: tuple[str, ...]) -> bool:
    text = text.lower()
    return any(v in text for v in values)


def _on_line(file: str, line: int, value: str) -> bool:
    name, _, lines = value.rpartition(":")
    first, _, last = lines.partition("-")
    return int(first) <= line <= int(last or first) and file.lower().endswith(name.lower())

"""What the solver and its worker processes say to each other: one line each, a word and hexadecimal numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from vault_solver.plan import Plan
from vault_solver.state import State


@dataclass(frozen=True, slots=True)
class Solve:
    """Order: compute base^(2^squarings) mod modulus, from `state` on if there is one, and prove it if the plan says so.

    It shows its number alone.
    """

    assignment: int
    squarings: int = field(repr=False)
    base: int = field(repr=False)
    modulus: int = field(repr=False)
    state: State | None = None
    plan: Plan | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Order: stop this one. Answered by `Dropped`, unless `Solved` is on its way already."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Suspend:
    """Order: verify how far this one is, say so, and stop. Answered as `Cancel`."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Ready:
    """Report: the process has started and waits."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """Report: `done` squarings are behind us; at most one a second."""

    assignment: int
    done: int


@dataclass(frozen=True, slots=True)
class Verified:
    """Report: the squarings up to `state` are checked; it can be gone on with from there."""

    assignment: int
    state: State


@dataclass(frozen=True, slots=True)
class Squared:
    """Report: all squarings are done. Where a proof follows it alone will check the last of them."""

    assignment: int
    state: State


@dataclass(frozen=True, slots=True)
class Proving:
    """Report: `done` of the proof's own `total` squarings are behind us; at most one a second."""

    assignment: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Misproved:
    """Report: a proof that was made does not hold; what does not follow from what it began with is done again."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Erred:
    """Report: a check has found an error; the squarings since the last state are done again."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Miscomputed:
    """Report: the same squarings came out wrong again and again, and are given up."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Solved:
    """Report: the y of this assignment, with its proof, verified, if one was planned."""

    assignment: int
    answer: int = field(repr=False)
    proof: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Report: stopped as ordered."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Crashed:
    """Report of the pool, not of a worker: every worker that tried this assignment died."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Suspended:
    """Report of the pool: stopped, and `Verified` has told the last state there is."""

    assignment: int


Report = Progressed | Verified | Squared | Proving | Misproved | Erred | Miscomputed | Solved | Crashed | Suspended
"""What the pool tells of an assignment."""

Order = Solve | Cancel | Suspend
Line = Order | Ready | Progressed | Verified | Squared | Proving | Misproved | Erred | Miscomputed | Solved | Dropped

_LINES: tuple[type[Line], ...] = (
    Solve, Cancel, Suspend, Ready, Progressed, Verified, Squared, Proving, Misproved, Erred, Miscomputed, Solved,
    Dropped,
)  # fmt: skip
_WORDS = {cls.__name__: cls for cls in _LINES}


def write_line(line: Line) -> bytes:
    """The bytes of one line, its line break included: the plain numbers, then each other field behind its name."""
    words, named = [type(line).__name__], list[str]()
    for part in dataclasses.fields(line):
        value = getattr(line, part.name)
        if isinstance(value, int):
            words.append(f"{value:x}")
        elif value:
            named += [part.name, *_words_of(value)]
    return " ".join([*words, *named]).encode() + b"\n"


def read_line(raw: bytes) -> Line:
    """What `write_line` wrote."""
    word, *words = raw.decode().split()
    cls = _WORDS[word]
    starts = [place for place, word in enumerate(words) if word in _NAMED] + [len(words)]
    fields: list[Any] = [int(word, 16) for word in words[: starts[0]]]
    named: dict[str, Any] = {
        words[start]: _NAMED[words[start]](words[start + 1 : end]) for start, end in pairwise(starts)
    }
    return cls(*fields, **named)


def _words_of(value: State | Plan | bytes) -> list[str]:
    match value:
        case bytes():
            return [value.hex()]
        case Plan(task, solver, depth, is_proved):
            return [task, solver, f"{depth:x}", f"{is_proved:x}"]
        case State(done, reached, kept):
            assert not value.proof, "what has its proof needs no worker"
            return [f"{number:x}" for number in (done, reached, *(number for pair in kept for number in pair))]


def _read_state(words: Sequence[str]) -> State:
    done, value, *kept = (int(word, 16) for word in words)
    return State(done, value, tuple(zip(kept[::2], kept[1::2], strict=True)))


def _read_plan(words: Sequence[str]) -> Plan:
    task, solver, depth, is_proved = words
    return Plan(task, solver, int(depth, 16), bool(int(is_proved)))


_NAMED: Mapping[str, Callable[[Sequence[str]], State | Plan | bytes]] = {
    "state": _read_state,
    "plan": _read_plan,
    "proof": lambda words: bytes.fromhex(words[0]),
}
"""How the fields that are no numbers are read; no hexadecimal number looks like their names."""

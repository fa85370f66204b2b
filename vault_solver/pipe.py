"""What the solver and its worker processes say to each other: one line each, a word and hexadecimal numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from vault_solver.state import State


@dataclass(frozen=True, slots=True)
class Solve:
    """Order: compute base^(2^squarings) mod modulus, from `state` on if there is one. It shows its number alone."""

    assignment: int
    squarings: int = field(repr=False)
    base: int = field(repr=False)
    modulus: int = field(repr=False)
    state: State | None = None


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
class Erred:
    """Report: a check has found an error; the squarings since the last state are done again."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Miscomputed:
    """Report: the same squarings came out wrong again and again, and are given up."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Solved:
    """Report: the y of this assignment."""

    assignment: int
    answer: int = field(repr=False)


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


Report = Progressed | Verified | Erred | Miscomputed | Solved | Crashed | Suspended
"""What the pool tells of an assignment."""

Order = Solve | Cancel | Suspend
Line = Order | Ready | Progressed | Verified | Erred | Miscomputed | Solved | Dropped

_LINES: tuple[type[Line], ...] = (
    Solve, Cancel, Suspend, Ready, Progressed, Verified, Erred, Miscomputed, Solved, Dropped,
)  # fmt: skip
_WORDS = {cls.__name__: cls for cls in _LINES}


def write_line(line: Line) -> bytes:
    """The bytes of one line, its line break included; a state comes last, as done, value, and what is kept in turn."""
    numbers: list[int] = []
    for part in dataclasses.fields(line):
        value = getattr(line, part.name)
        if isinstance(value, State):
            numbers += [value.done, value.value, *(number for kept in value.kept for number in kept)]
        elif value is not None:
            numbers.append(value)
    return " ".join([type(line).__name__, *(f"{number:x}" for number in numbers)]).encode() + b"\n"


def read_line(raw: bytes) -> Line:
    """What `write_line` wrote."""
    word, *rest = raw.decode().split()
    cls, numbers = _WORDS[word], [int(number, 16) for number in rest]
    plain = sum(part.name != "state" for part in dataclasses.fields(cls))
    fields: list[int | State] = [*numbers[:plain]]
    if len(numbers) > plain:
        done, value, *kept = numbers[plain:]
        fields.append(State(done, value, tuple(zip(kept[::2], kept[1::2], strict=True))))
    return cls(*fields)  # type: ignore[arg-type]

"""What the solver and its worker processes say to each other: one line each, a word and hexadecimal numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Solve:
    """Order: compute base^(2^squarings) mod modulus. Its repr shows the number alone."""

    assignment: int
    squarings: int = field(repr=False)
    base: int = field(repr=False)
    modulus: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Order: stop this one. Answered by `Dropped`, unless `Solved` is on its way already."""

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


Report = Progressed | Solved | Crashed
"""What the pool tells of an assignment."""

Line = Solve | Cancel | Ready | Progressed | Solved | Dropped

_WORDS: dict[str, type[Line]] = {cls.__name__: cls for cls in (Solve, Cancel, Ready, Progressed, Solved, Dropped)}


def write_line(line: Line) -> bytes:
    """The bytes of one line, its line break included."""
    numbers = [f"{getattr(line, part.name):x}" for part in dataclasses.fields(line)]
    return (" ".join([type(line).__name__, *numbers]) + "\n").encode()


def read_line(raw: bytes) -> Line:
    """What `write_line` wrote."""
    word, *numbers = raw.decode().split()
    return _WORDS[word](*(int(number, 16) for number in numbers))

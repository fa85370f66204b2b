"""How large a fleet is and what it is made of, and the puzzles it is given."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tests.acceptance.puzzles import BITS, Maker
from tests.simulation.conduct import Conduct, Honest, Shared
from tests.simulation.lies import KINDS
from tests.simulation.peers import Exercise

MODULI = 8
SQUARINGS_MIN, SQUARINGS_MAX = 5_000, 12_000
"""A little above what the server computes itself, so that proofs are needed."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A fleet and its load. `share` of the solvers are liars, of all `kinds` in turn; `seed` rules their chances."""

    share: float
    tasks: int = 2000
    solvers: int = 40
    clients: int = 8
    under_way: int = 2
    capacity: int = 4
    work_ms: int = 100
    kinds: Sequence[str] = tuple(KINDS)
    seed: int = 1
    proof: Literal["required", "none"] = "required"

    @property
    def liars(self) -> int:
        """How many of the solvers lie."""
        return round(self.share * self.solvers)


def conducts(shape: Shape, shared: Shared) -> list[Conduct]:
    """One for each solver, mixed. Liars that work in pairs come in pairs, as long as places are left."""
    places = _places(shape)
    counts = dict.fromkeys(KINDS, 0)
    made: list[Conduct] = [Honest(shared) for _ in range(shape.solvers - shape.liars)]
    for kind in places:
        made.append(KINDS[kind](shared, counts[kind]))
        counts[kind] += 1
    shared.chance.shuffle(made)
    return made


def _places(shape: Shape) -> list[str]:
    """The kinds of the liars: each kind in turn, colluders two by two."""
    places: list[str] = []
    while len(places) < shape.liars:
        for kind in shape.kinds:
            places += [kind] * (2 if kind == "colluding" else 1)
    return places[: shape.liars]


def exercises(shape: Shape, chance: random.Random) -> Iterator[Exercise]:
    """The tasks, each with the answer that the factors give."""
    makers = [Maker(BITS) for _ in range(MODULI)]
    for _ in range(shape.tasks):
        squarings = chance.randint(SQUARINGS_MIN, SQUARINGS_MAX)
        order, right = chance.choice(makers).order(squarings, committed=False)
        yield Exercise(replace(order, proof=shape.proof), right)

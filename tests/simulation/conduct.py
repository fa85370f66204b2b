"""How a solver of the fleet answers: what it is asked, what it may send, and the honest way. lies.py has the others.

A conduct knows no factor of any modulus, as no solver does. Honest ones take their time, liars none.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from protocol.proof import Proof, Statement
from protocol.puzzle import Puzzle
from tests.simulation.workshop import Checkpoint, Solution, Workshop

HANDED_BACK_SHARE = 0.03
"""Of honest solvers' assignments, those that are handed back with a checkpoint."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is sent: an answer, and the bytes of what is said to prove it."""

    answer: int
    proof: bytes | None


@dataclass(frozen=True, slots=True)
class HandBack:
    """The assignment is handed back, or left to expire, with a checkpoint for whoever takes over."""

    checkpoint: Checkpoint
    is_returned: bool = True


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a solver was asked: the statement with its own name in it, until when (ms), and whether with a proof."""

    statement: Statement
    deadline_ms: int
    wants_proof: bool
    offered: list[Checkpoint] = field(default_factory=list)
    """Checkpoints of others that the server has offered since."""

    @property
    def puzzle(self) -> Puzzle:
        """t, g and N."""
        return self.statement.puzzle

    def claim(self, answer: int, proof: Proof | bytes) -> Claim:
        """That answer, with the proof where one is asked for."""
        if not self.wants_proof:
            return Claim(answer, None)
        return Claim(answer, proof if isinstance(proof, bytes) else proof.encode(self.puzzle.modulus))


@dataclass(frozen=True, slots=True)
class Shared:
    """What all of the fleet have: threads that square, chance, how long honest work takes, and each other's answers."""

    workshop: Workshop
    chance: random.Random
    work_seconds: float
    overheard: dict[str, Claim]


class Conduct(ABC):
    """One solver's way to answer. `name` is the kind, as the report has it; who `renews` has a new key for each lie."""

    name: str
    renews = False

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @abstractmethod
    async def answer(self, asked: Assignment) -> Claim | HandBack | None:
        """What to send for this assignment, now; None for nothing at all."""

    async def _solve(self, asked: Assignment) -> Solution:
        given = asked.offered[-1] if asked.offered else None
        return await self._shared.workshop.solve(asked.statement, self.name, given)

    async def _honest(self, asked: Assignment) -> Claim:
        solution = await self._solve(asked)
        return asked.claim(solution.answer, solution.proof(asked.statement) if asked.wants_proof else b"")

    def _any_number(self, modulus: int) -> int:
        return self._shared.chance.randrange(1, modulus)


class Honest(Conduct):
    """Squares, proves, and takes as long as such work takes. Now and then it has to stop, and relays what it has."""

    name = "honest"

    async def answer(self, asked: Assignment) -> Claim | HandBack | None:
        await asyncio.sleep(self._shared.work_seconds * self._shared.chance.uniform(0.5, 1.5))
        if asked.wants_proof and self._shared.chance.random() < HANDED_BACK_SHARE:
            solution = await self._solve(asked)
            return HandBack(solution.checkpoint(self._shared.chance.randint(1, len(solution.kept))))
        claim = await self._honest(asked)
        self._shared.overheard.setdefault(asked.statement.task, claim)
        return claim

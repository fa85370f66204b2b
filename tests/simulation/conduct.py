"""How solvers of the fleet answer: the honest way, and each kind of lie.

A conduct is given an assignment and says what to send, or that it sends nothing. It knows no factor of any modulus, as
no solver does; honest ones take their time, liars none.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from protocol.proof import LAST_SQUARINGS, VERSION, Proof, Statement, proof_bytes
from protocol.prover import prove
from protocol.puzzle import Puzzle, square_repeatedly
from tests.simulation.workshop import Workshop

TRUSTED_AFTER = 8
"""Right answers that a liar gives to be trusted, before it begins."""
TOO_LATE_SECONDS = 0.2
LOOK_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Claim:
    """What is sent: an answer, and the bytes of what is said to prove it."""

    answer: int
    proof: bytes | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a solver was asked: the statement with its own name in it, until when (ms), and whether with a proof."""

    statement: Statement
    deadline_ms: int
    wants_proof: bool

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
    """One solver's way to answer. `name` is the kind, as the report has it."""

    name: str

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @abstractmethod
    async def answer(self, asked: Assignment) -> Claim | None:
        """What to send for this assignment, now; None for nothing at all."""

    async def _honest(self, asked: Assignment) -> Claim:
        solution = await self._shared.workshop.solve(asked.statement, self.name)
        return asked.claim(solution.answer, solution.proof(asked.statement) if asked.wants_proof else b"")

    def _any_number(self, modulus: int) -> int:
        return self._shared.chance.randrange(1, modulus)


class Honest(Conduct):
    """Squares, proves, and takes as long as such work takes."""

    name = "honest"

    async def answer(self, asked: Assignment) -> Claim | None:
        await asyncio.sleep(self._shared.work_seconds * self._shared.chance.uniform(0.5, 1.5))
        claim = await self._honest(asked)
        self._shared.overheard.setdefault(asked.statement.task, claim)
        return claim


class Guessing(Conduct):
    """A random answer, and no proof."""

    name = "guessing"

    async def answer(self, asked: Assignment) -> Claim | None:
        return Claim(self._any_number(asked.puzzle.modulus), None)


class Garbage(Conduct):
    """A random answer, with bytes that look like a proof: right version and length, numbers in range."""

    name = "garbage"

    async def answer(self, asked: Assignment) -> Claim | None:
        puzzle = asked.puzzle
        width = (puzzle.modulus.bit_length() + 7) // 8
        count = proof_bytes(puzzle.squarings, puzzle.modulus) // width
        numbers = (self._any_number(puzzle.modulus // 2) for _ in range(count))
        proof = bytes([VERSION]) + b"".join(number.to_bytes(width, "big") for number in numbers)
        return asked.claim(self._any_number(puzzle.modulus), proof)


class Negating(Conduct):
    """N - y, with the honest proof of y: proofs of repeated squaring are blind to signs."""

    name = "negating"

    async def answer(self, asked: Assignment) -> Claim | None:
        right = await self._honest(asked)
        return Claim(asked.puzzle.modulus - right.answer, right.proof)


class Copying(Conduct):
    """Another solver's answer and proof, as soon as they are overheard; a guess when nothing is in time."""

    name = "copying"

    async def answer(self, asked: Assignment) -> Claim | None:
        until = asked.deadline_ms / 1000 - TOO_LATE_SECONDS
        while time.time() < until:
            if (claim := self._shared.overheard.get(asked.statement.task)) is not None:
                return claim
            await asyncio.sleep(LOOK_SECONDS)
        return Claim(self._any_number(asked.puzzle.modulus), None)


class Breaking(Conduct):
    """The right answer, with a proof of which one number is wrong."""

    name = "breaking"

    async def answer(self, asked: Assignment) -> Claim | None:
        right = await self._honest(asked)
        if right.proof is None:
            return right
        last = right.proof[-1] ^ self._shared.chance.randrange(1, 256)
        return Claim(right.answer, right.proof[:-1] + bytes([last]))


class Silent(Conduct):
    """Accepts and never answers."""

    name = "silent"

    async def answer(self, asked: Assignment) -> Claim | None:
        return None


class Slow(Conduct):
    """Right, and always too late."""

    name = "slow"

    async def answer(self, asked: Assignment) -> Claim | None:
        await asyncio.sleep(asked.deadline_ms / 1000 - time.time() + TOO_LATE_SECONDS)
        return await self._honest(asked)


class Colluding(Conduct):
    """Two agree on a lie. Each proves it as well as can be: z is what they agreed on, the midpoints are true ones."""

    name = "colluding"

    def __init__(self, shared: Shared, secret: bytes) -> None:
        super().__init__(shared)
        self._secret = secret

    async def answer(self, asked: Assignment) -> Claim | None:
        statement, modulus = asked.statement, asked.puzzle.modulus
        z = self._agreed(statement.task, modulus)
        lie = square_repeatedly(z, LAST_SQUARINGS, modulus)
        if not asked.wants_proof:
            return Claim(lie, None)
        solution = await self._shared.workshop.solve(statement, self.name)
        return asked.claim(lie, prove(statement, [*solution.kept, (statement.exponent, z)]))

    def _agreed(self, task: str, modulus: int) -> int:
        seed = int.from_bytes(hashlib.sha512(self._secret + task.encode()).digest(), "big")
        return seed * seed % modulus


class Sleeping(Conduct):
    """Honest until it is trusted, then a liar of any kind, each time another one."""

    name = "sleeping"

    def __init__(self, shared: Shared, lies: Sequence[Conduct]) -> None:
        super().__init__(shared)
        self._honest_ones = 0
        self._lies = lies

    async def answer(self, asked: Assignment) -> Claim | None:
        if self._honest_ones < TRUSTED_AFTER:
            self._honest_ones += 1
            await asyncio.sleep(self._shared.work_seconds)
            return await self._honest(asked)
        return await self._shared.chance.choice(self._lies).answer(asked)


ALONE: Sequence[type[Conduct]] = (Guessing, Garbage, Negating, Copying, Breaking, Silent, Slow)
"""Liars that need nobody else."""


def _sleeping(shared: Shared, number: int) -> Conduct:
    return Sleeping(shared, [*(lie(shared) for lie in ALONE), _colluding(shared, number)])


def _colluding(shared: Shared, number: int) -> Conduct:
    return Colluding(shared, f"pair {number // 2}".encode())


Maker = Callable[[Shared, int], Conduct]
"""Makes the conduct of the liar that is the `number`th of its kind, from 0 on."""


def _alone(lie: type[Conduct]) -> Maker:
    return lambda shared, _number: lie(shared)


KINDS: Mapping[str, Maker] = MappingProxyType(
    {lie.name: _alone(lie) for lie in ALONE} | {Colluding.name: _colluding, Sleeping.name: _sleeping}
)
"""Every kind of liar, by name."""

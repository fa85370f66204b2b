"""The liars of the fleet: each kind sends something else that is wrong, late, another's, or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from protocol.proof import LAST_SQUARINGS, VERSION, proof_bytes
from protocol.prover import kept_indices, prove
from protocol.puzzle import square_repeatedly
from tests.simulation.conduct import Assignment, Claim, Conduct, HandBack, Shared
from tests.simulation.workshop import Checkpoint

TRUSTED_AFTER = 8
"""Right answers that a liar gives to be trusted, before it begins."""
TOO_LATE_SECONDS = 0.2
LOOK_SECONDS = 0.005


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


class Renewing(Garbage):
    """Garbage, each time by a key that nobody has seen before: keys are free."""

    name = "renewing"
    renews = True


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


class Relaying(Conduct):
    """Never answers, but relays a checkpoint that would lead its successor, and its proof, astray."""

    name = "relaying"

    async def answer(self, asked: Assignment) -> Claim | HandBack | None:
        if not asked.wants_proof:
            return None
        chance = self._shared.chance
        solution = await self._solve(asked)
        right = solution.checkpoint(chance.randint(2, len(solution.kept))).residues
        craft = chance.choice((self._one_wrong, self._wrong_from_one_on, self._errors_that_cancel))
        wrong = craft(list(right), kept_indices(asked.puzzle.squarings, solution.depth), asked.puzzle.modulus)
        return HandBack(Checkpoint(solution.depth, tuple(wrong)), is_returned=chance.random() < 0.5)

    def _one_wrong(self, residues: list[int], _places: Sequence[int], modulus: int) -> list[int]:
        residues[self._shared.chance.randrange(len(residues))] = self._any_number(modulus)
        return residues

    def _wrong_from_one_on(self, residues: list[int], places: Sequence[int], modulus: int) -> list[int]:
        """Each follows from the one before it, but for one."""
        first = self._shared.chance.randrange(len(residues))
        residues[first] = self._any_number(modulus)
        for index in range(first + 1, len(residues)):
            residues[index] = square_repeatedly(residues[index - 1], places[index] - places[index - 1], modulus)
        return residues

    def _errors_that_cancel(self, residues: list[int], _places: Sequence[int], modulus: int) -> list[int]:
        """The product of all is as it should be."""
        error = self._any_number(modulus)
        residues[0] = residues[0] * error % modulus
        residues[-1] = residues[-1] * pow(error, -1, modulus) % modulus
        return residues


class Sleeping(Conduct):
    """Honest until it is trusted, then a liar of any kind, each time another one."""

    name = "sleeping"

    def __init__(self, shared: Shared, lies: Sequence[Conduct]) -> None:
        super().__init__(shared)
        self._honest_ones = 0
        self._lies = lies

    async def answer(self, asked: Assignment) -> Claim | HandBack | None:
        if self._honest_ones < TRUSTED_AFTER:
            self._honest_ones += 1
            await asyncio.sleep(self._shared.work_seconds)
            return await self._honest(asked)
        return await self._shared.chance.choice(self._lies).answer(asked)


ALONE: Sequence[type[Conduct]] = (Guessing, Garbage, Negating, Copying, Breaking, Silent, Slow, Relaying)
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
    {lie.name: _alone(lie) for lie in ALONE}
    | {Renewing.name: _alone(Renewing), Colluding.name: _colluding, Sleeping.name: _sleeping}
)
"""Every kind of liar, by name."""

"""Proofs made by somebody who knows the factors of N: right ones at once, and forged ones.

The forger is stronger than any solver: he knows every true midpoint and elements of every order, and in each round he
tries many midpoints until a challenge suits him.
"""

from __future__ import annotations

import gmpy2

from protocol import proof as proofs
from protocol.proof import Proof, Statement, representative, rounds
from protocol.prover import prove
from protocol.puzzle import Puzzle, Trapdoor

TASK = "ab" * 16
SOLVER = "cd" * 16


def statement_of(squarings: int, trapdoor: Trapdoor, base: int = 3) -> Statement:
    return Statement(Puzzle(squarings, base, trapdoor.p * trapdoor.q), TASK, SOLVER)


def answer_of(statement: Statement, trapdoor: Trapdoor) -> int:
    return trapdoor.power(statement.puzzle.base, statement.puzzle.squarings)


def honest(statement: Statement, trapdoor: Trapdoor) -> Proof:
    z = trapdoor.power(statement.puzzle.base, statement.exponent)
    return prove(statement, [(statement.exponent, z)], lambda base, squarings, _: trapdoor.power(base, squarings))


def challenge_of(statement: Statement, z: int, midpoints: list[int]) -> int:
    """The last challenge of a proof as far as it goes, by the rules of the verifier of the moment."""
    drawing, drawn = proofs.Challenges(statement, z), 0
    for midpoint in midpoints:
        drawn = drawing.draw(midpoint)
    return drawn


class Forger:
    """Makes a proof whose z is wrong by `error`. It may hold where the order of `error` is a power of `prime`."""

    def __init__(self, statement: Statement, trapdoor: Trapdoor, error: int, prime: int = 2) -> None:
        self._statement, self._trapdoor, self._prime = statement, trapdoor, prime
        self._n = statement.puzzle.modulus
        self._x, self._exponent = statement.puzzle.base, statement.exponent
        true = trapdoor.power(self._x, self._exponent)
        self._z = self._claim = representative(true * error, self._n)
        self._midpoints: list[int] = []

    def forge(self, tries: int = 64) -> Proof:
        for _ in range(rounds(self._statement.puzzle.squarings)):
            self._play(tries)
        return Proof(self._z, tuple(self._midpoints))

    def _play(self, tries: int) -> None:
        """One round: midpoints wrong by powers of what the claim is wrong by; the one that leaves least of it."""
        if self._exponent % 2:
            self._x = self._x * self._x % self._n
        self._exponent //= 2
        true = self._trapdoor.power(self._x, self._exponent)
        wrong_by = self._claim * self._inverse(self._trapdoor.power(true, self._exponent)) % self._n
        candidates = (representative(true * pow(wrong_by, i, self._n), self._n) for i in range(tries))
        midpoint = min(candidates, key=self._order_left)
        self._x, self._claim = self._after(midpoint)
        self._midpoints.append(midpoint)

    def _after(self, midpoint: int) -> tuple[int, int]:
        challenge = challenge_of(self._statement, self._z, [*self._midpoints, midpoint])
        n = self._n
        return pow(self._x, challenge, n) * midpoint % n, pow(midpoint, challenge, n) * self._claim % n

    def _order_left(self, midpoint: int) -> int:
        """How often the error after this midpoint has to be raised to `prime` to vanish, signs aside."""
        x, claim = self._after(midpoint)
        error = claim * self._inverse(self._trapdoor.power(x, self._exponent)) % self._n
        return next((i for i in range(100) if representative(pow(error, self._prime**i, self._n), self._n) == 1), 100)

    def _inverse(self, value: int) -> int:
        return int(gmpy2.invert(value, self._n))


def prime_above(start: int, divisor: int) -> int:
    """The first prime that is 1 modulo `divisor` from about `start` * `divisor` on."""
    prime = start * divisor + 1
    while not gmpy2.is_prime(prime):
        prime += divisor
    return prime


def element(prime: int, order: int) -> int:
    """An element of exactly this order, itself a power of one prime, modulo `prime`."""
    [root] = {d for d in (2, 3, 5, 7) if order % d == 0}
    for candidate in range(2, 1000):
        found = pow(candidate, (prime - 1) // order, prime)
        if pow(found, order // root, prime) != 1:
            return found
    raise AssertionError("one in `root` candidates fails")


def joined(trapdoor: Trapdoor, at_p: int, at_q: int) -> int:
    """The number that is `at_p` modulo p and `at_q` modulo q."""
    p, q = trapdoor.p, trapdoor.q
    return int((at_p * q * gmpy2.invert(q, p) + at_q * p * gmpy2.invert(p, q)) % (p * q))

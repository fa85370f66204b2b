"""Check a proof that z = g^(2^(t-64)) mod N, in milliseconds, and draw the answer y = z^(2^64) from it.

Pietrzak's halving proof (Simple Verifiable Delay Functions, 2018, eprint 2018/627), made non-interactive by hashing.
It is blind to factors of small order (Hoffmann, Hubáček, Kamath, Pietrzak: Certifying Giant Nonprimes, PKC 2023), so
it stops 64 squarings short of the answer: they turn every factor whose order is a power of two, up to 2^64, into 1.
What is left, docs/threat-model.md says. prover.py makes these proofs; docs/protocol.md §14 has every byte.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import gmpy2

from protocol.errors import ProtocolError
from protocol.identity import FINGERPRINT_BYTES
from protocol.puzzle import Puzzle

VERSION = 1
LABEL = b"vault proof v1"
CHALLENGE_BYTES = 16

LAST_SQUARINGS = 64
"""What the verifier squares itself, after the proof."""

FINAL_BITS = 10
"""Halving stops when the exponent has this many bits.

One more round costs the verifier two 128-bit powers, some 330 squarings, and saves it half of what is left: 256 to 511
squarings. So either choice costs the same within a tenth, and the earlier stop has the shorter proof.
"""


class BadProof(ProtocolError):
    """A proof that proves nothing. The message says why, in words without numbers."""


def rounds(squarings: int) -> int:
    """How often the exponent of a proof is halved: bits of t - 64 above `FINAL_BITS`."""
    return max(0, (squarings - LAST_SQUARINGS).bit_length() - FINAL_BITS)


def proof_bytes(squarings: int, modulus: int) -> int:
    """The exact size of a proof in bytes: 2,817 for t = 10^6 and 5,377 for 10^9 at 2048 bits."""
    return 1 + (1 + rounds(squarings)) * _width(modulus)


def _width(modulus: int) -> int:
    return (modulus.bit_length() + 7) // 8


def representative(value: int, modulus: int) -> int:
    """Of `value` and -`value` modulo N the one in 0..(N-1)/2: how an element of the group modulo ±1 is written."""
    value %= modulus
    return min(value, modulus - value)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a proof is of, and whose: `task` and `solver` are fingerprints, 32 hex digits.

    The puzzle has passed the checks of puzzle.py: N is odd, composite and the base coprime to it.
    """

    puzzle: Puzzle
    task: str
    solver: str

    @property
    def exponent(self) -> int:
        """The squarings that are proved, t - 64. There is nothing to prove when it is below 1."""
        return self.puzzle.squarings - LAST_SQUARINGS

    def to_bytes(self) -> bytes:
        """What every challenge hashes first: label, task, solver, bytes of N (4), N, g, t - 64 (8)."""
        width = _width(self.puzzle.modulus)
        names = bytes.fromhex(self.task), bytes.fromhex(self.solver)
        assert all(len(name) == FINGERPRINT_BYTES for name in names), "fingerprints have one length"
        numbers = ((width, 4), (self.puzzle.modulus, width), (self.puzzle.base, width), (self.exponent, 8))
        return LABEL + b"".join(names) + b"".join(number.to_bytes(size, "big") for number, size in numbers)


@dataclass(frozen=True, slots=True)
class Proof:
    """z and a midpoint for each round, each the `representative` of itself. Its repr shows nothing of them."""

    z: int = field(repr=False)
    midpoints: tuple[int, ...] = field(repr=False)

    def encode(self, modulus: int) -> bytes:
        """Version byte, z, the midpoints in the order of their rounds, each big-endian at the length of N."""
        width = _width(modulus)
        return bytes([VERSION]) + b"".join(number.to_bytes(width, "big") for number in (self.z, *self.midpoints))

    @classmethod
    def decode(cls, raw: bytes, puzzle: Puzzle) -> Proof:
        """Read what `encode` wrote for this t and N. Raises BadProof for another version or length."""
        if raw[:1] != bytes([VERSION]):
            raise BadProof("the proof is not of version 1")
        if len(raw) != proof_bytes(puzzle.squarings, puzzle.modulus):
            raise BadProof("the proof does not have the length that t and product ask for")
        width = _width(puzzle.modulus)
        numbers = [int.from_bytes(raw[start : start + width], "big") for start in range(1, len(raw), width)]
        return cls(numbers[0], tuple(numbers[1:]))


class Challenges:
    """The verifier's 128-bit random numbers, each a hash of the statement, z and all midpoints so far."""

    def __init__(self, statement: Statement, z: int) -> None:
        self._width = _width(statement.puzzle.modulus)
        self._hash = hashlib.sha256(statement.to_bytes() + z.to_bytes(self._width, "big"))

    def draw(self, midpoint: int) -> int:
        """The challenge of the round that has this midpoint."""
        self._hash.update(midpoint.to_bytes(self._width, "big"))
        return int.from_bytes(self._hash.digest()[:CHALLENGE_BYTES], "big")


def verify(statement: Statement, proof: Proof) -> int:
    """The answer y in 1..N-1 that the proof proves. Raises BadProof.

    Each round turns "x^(2^e) = z" into "x'^(2^(e/2)) = z'" with x' = x^r·m and z' = m^r·z, up to sign; an odd e
    squares x first, never z: squaring z would forget which root of it was claimed.

    Bounded work, whatever the proof holds: `rounds(t)` times two 128-bit powers, then at most 1,023 squarings and the
    last 64; at 2048 bits 4.6 ms for t = 10^6 and 8 ms for 10^9. It lets go of the interpreter's lock during each power,
    in threads that have set `gmpy2.get_context().allow_release_gil`.
    """
    _check_form(statement, proof)
    _check_coprime(proof, statement.puzzle.modulus)
    n, x, z = (gmpy2.mpz(number) for number in (statement.puzzle.modulus, statement.puzzle.base, proof.z))
    challenges, exponent = Challenges(statement, proof.z), statement.exponent
    for midpoint in proof.midpoints:
        challenge = challenges.draw(midpoint)
        if exponent % 2:
            x = x * x % n
        x = gmpy2.powmod(x, challenge, n) * midpoint % n
        z = gmpy2.powmod(midpoint, challenge, n) * z % n
        exponent //= 2
    if representative(gmpy2.powmod(x, gmpy2.mpz(1) << exponent, n), n) != representative(z, n):
        raise BadProof("the proof does not hold for this task, solver, t, baseg and product")
    return int(gmpy2.powmod(proof.z, 1 << LAST_SQUARINGS, n))


def _check_form(statement: Statement, proof: Proof) -> None:
    if statement.exponent < 1:
        raise BadProof(f"nothing is proved where t is {LAST_SQUARINGS} or less")
    if len(proof.midpoints) != rounds(statement.puzzle.squarings):
        raise BadProof("the proof does not have the number of midpoints that t asks for")
    largest = (statement.puzzle.modulus - 1) // 2
    if not 1 <= proof.z <= largest:
        raise BadProof("z is not in 1..(product-1)/2")
    if not all(1 <= midpoint <= largest for midpoint in proof.midpoints):
        raise BadProof("a midpoint is not in 1..(product-1)/2")


def _check_coprime(proof: Proof, modulus: int) -> None:
    """What shares a factor with N is 0 modulo that factor, where every equation of the proof then holds."""
    product = gmpy2.mpz(proof.z)
    for midpoint in proof.midpoints:
        product = product * midpoint % modulus
    if gmpy2.gcd(product, modulus) != 1:
        raise BadProof("z or a midpoint shares a factor with product")

"""Checkpoints that solvers relay through the server: which residues, as which bytes, and what shows them right.

A checkpoint is the residues g^(2^i) mod N at the first places i of a proof's plan (prover.py). That is all a successor
needs to go on and to prove the whole; the last residue alone would leave it unable to prove what came before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import gmpy2
from gmpy2 import mpz

from protocol.errors import ProtocolError
from protocol.proof import LAST_SQUARINGS, representative, rounds
from protocol.prover import POWER_SQUARINGS, kept_indices
from protocol.puzzle import Puzzle, effort_seconds
from protocol.vault import CHECKPOINT_BYTES_MAX, CHECKPOINT_DEPTH_MAX, CHECKPOINT_PART_BYTES_MAX

SPACING_SECONDS_MAX = 1_200.0
"""From one place to the next, on the reference machine: what a check costs at most. Enough for t = 2^40 at 2048 bits
with 1,024 residues; it keeps out depths that would have the server do the solver's work."""

PART_SHARE = 0.5
"""Of a message's room that the places of one interval fill on the reference machine: a faster one fits too."""

EXPONENT_BYTES = 16
"""Of each random exponent."""

TURN_SECONDS = 0.5
"""On the reference machine: what `Check.advance` does at once."""


class BadCheckpoint(ProtocolError):
    """Bytes that are no checkpoint. The message says why, in words without numbers of a puzzle."""


def residue_bytes(modulus: int) -> int:
    """The length of each residue: that of N."""
    return (modulus.bit_length() + 7) // 8


def encode(residues: Sequence[int], modulus: int) -> bytes:
    """The residues one after the other, each big-endian at the length of N."""
    width = residue_bytes(modulus)
    return b"".join(residue.to_bytes(width, "big") for residue in residues)


def decode(raw: bytes, modulus: int) -> tuple[int, ...]:
    """What `encode` wrote. Raises BadCheckpoint for a length that does not fit and a residue that is not in 1..N-1."""
    width = residue_bytes(modulus)
    if len(raw) % width:
        raise BadCheckpoint("the residues do not all have the length of product")
    residues = tuple(int.from_bytes(raw[at : at + width], "big") for at in range(0, len(raw), width))
    if not all(0 < residue < modulus for residue in residues):
        raise BadCheckpoint("a residue is not in 1..product-1")
    return residues


def may_have_depth(squarings: int, modulus_bits: int, depth: int) -> bool:
    """Whether there is such a plan, its residues are no more than a checkpoint can hold, and its places no farther
    apart than a check may cost. Whoever lists the places of a plan has to know this first."""
    if squarings <= LAST_SQUARINGS or depth > min(rounds(squarings), CHECKPOINT_DEPTH_MAX):
        return False
    if (modulus_bits + 7) // 8 << depth > CHECKPOINT_BYTES_MAX:
        return False
    return effort_seconds((squarings - LAST_SQUARINGS) >> depth, modulus_bits) <= SPACING_SECONDS_MAX


def relay_depth(squarings: int, modulus_bits: int, deepest: int, *, interval_ms: int, bytes_max: int) -> int | None:
    """The depth a solver relays at that keeps the residues of depth `deepest`; None where relaying is not worth it.

    It is not for a task shorter than one interval. A plan holds every shallower one, so the deepest is taken whose
    residues fit `bytes_max` and, those of one interval, a message. It does not depend on the machine.
    """
    seconds, width = effort_seconds(squarings, modulus_bits), (modulus_bits + 7) // 8
    if squarings <= LAST_SQUARINGS or seconds * 1000 <= interval_ms:
        return None
    for depth in range(deepest, -1, -1):
        in_one_interval = (width << depth) * interval_ms / (seconds * 1000)
        fits = width << depth <= bytes_max and in_one_interval <= PART_SHARE * CHECKPOINT_PART_BYTES_MAX
        if fits and may_have_depth(squarings, modulus_bits, depth):
            return depth
    return None


@dataclass(frozen=True, slots=True)
class Chain:
    """What is claimed: from `start` each residue follows by squaring as often as its gap says, modulo N."""

    start: int = field(repr=False)
    residues: tuple[int, ...] = field(repr=False)
    gaps: tuple[int, ...] = field(repr=False)
    modulus: int = field(repr=False)

    @classmethod
    def of(cls, puzzle: Puzzle, depth: int, residues: Sequence[int], *, checked: int = 0) -> Chain:
        """The claim of a checkpoint whose first `checked` residues are known to be right."""
        places = (0, *kept_indices(puzzle.squarings, depth)[: len(residues)])
        gaps = tuple(after - before for before, after in pairwise(places))
        start = residues[checked - 1] if checked else puzzle.base
        return cls(start, tuple(residues[checked:]), gaps[checked:], puzzle.modulus)


class Check:
    """Whether a chain holds, with random exponents of 128 bits that were drawn after its residues were fixed.

    Let d_k = r_k / r_{k-1}^(2^gap_k), so that all d_k are 1 in a right chain. One equation is computed,

        r_1^e_1 · r_2^e_2 · …  =  ± (r_0^e_1)^(2^gap_1) · (r_1^e_2)^(2^gap_2) · …   mod N,

    whose sides differ by the product of all d_k^e_k. The powers of one gap are multiplied before they are squared, and
    gaps of several lengths folded, the longest first: the cost is the squarings of one gap, and two powers a residue.

    Bellare, Garay, Rabin (Fast Batch Verification, 1998). Whatever the other exponents are, if d_k has order m modulo
    ±1, at most one in m of the values of e_k, rounded up, lets the equation hold. So a wrong chain passes with
    probability 2^-128 where that order is huge, which holds of every error that is not made with N's factors in hand;
    and with probability 1/m where m is small. Plain Gerbicz has no exponents: two crafted errors d and 1/d pass it.
    A wrong sign (m = 1) always passes and does no harm: the next squaring removes it, and proofs do not see signs.
    A residue that shares a factor with N would make both sides 0 modulo it, so they are asked to be coprime to N.

    It can be pickled between two turns, and gone on with in another process.
    """

    def __init__(self, chain: Chain, randomness: bytes) -> None:
        assert len(randomness) == EXPONENT_BYTES * len(chain.residues), "one exponent a residue"
        drawn = (randomness[at : at + EXPONENT_BYTES] for at in range(0, len(randomness), EXPONENT_BYTES))
        exponents = (int.from_bytes(exponent, "big") for exponent in drawn)
        self._claims = list(zip(chain.residues, chain.gaps, exponents, strict=True))[::-1]
        self._before = mpz(chain.start)
        self._modulus = mpz(chain.modulus)
        self._reached = mpz(1)
        self._products: dict[int, mpz] = {}
        """What is still to be squared, and multiplied then, by how often; by 0 what is squared to the end."""
        self._holds: bool | None = None

    def advance(self) -> bool | None:
        """Compute for `TURN_SECONDS`: whether the chain holds, None while that is not known."""
        if self._holds is None:
            room = max(1, int(TURN_SECONDS / effort_seconds(1, self._modulus.bit_length())))
            room = self._take_in(room)
            if not self._claims and self._square(room):
                self._holds = self._is_equal()
        return self._holds

    def _take_in(self, room: int) -> int:
        """Multiply residues into both sides, one at least; how many squarings are left of the turn."""
        n = self._modulus
        while self._claims:
            residue, gap, exponent = self._claims.pop()
            self._reached = self._reached * gmpy2.powmod(residue, exponent, n) % n
            self._multiply(gap, gmpy2.powmod(self._before, exponent, n))
            self._before = mpz(residue)
            room -= 2 * POWER_SQUARINGS
            if room <= 0:
                break
        return room

    def _square(self, room: int) -> bool:
        """The right side's squarings, the longest gap first; whether that was all of them."""
        while (longest := max(self._products, default=0)) and room > 0:
            shorter = max((gap for gap in self._products if gap < longest), default=0)
            step = min(longest - shorter, room)
            squared = gmpy2.powmod(self._products.pop(longest), mpz(1) << step, self._modulus)
            self._multiply(longest - step, squared)
            room -= step
        return longest == 0

    def _multiply(self, squarings: int, factor: mpz) -> None:
        self._products[squarings] = self._products.get(squarings, mpz(1)) * factor % self._modulus

    def _is_equal(self) -> bool:
        n, right = self._modulus, self._products.get(0, mpz(1))
        is_same = representative(self._reached, n) == representative(right, n)
        return is_same and bool(gmpy2.gcd(self._reached, n) == 1)

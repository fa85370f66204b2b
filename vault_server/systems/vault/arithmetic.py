"""What worker processes compute for the vault: each function takes one value and returns one.

It imports protocol/ alone, never the server: its imports are what a worker process costs. What is passed is pickled.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import gmpy2

from protocol import relay
from protocol.proof import BadProof, Proof, Statement, verify
from protocol.puzzle import Puzzle, answer_bytes, commit, is_prime, make_locked, square_repeatedly

# answers

FEW_SQUARINGS = 8
"""So few cost less one by one: GMP's exponentiation spends as much on bringing its numbers into a form of its own."""


@dataclass(frozen=True, slots=True)
class Given:
    """A puzzle, and the bytes of what is said to be its answer."""

    puzzle: Puzzle
    answer: bytes = field(repr=False)


def is_right(given: Given) -> bool:
    """Whether the answer is the one that all the squarings lead to."""
    puzzle = given.puzzle
    square = _square if puzzle.squarings <= FEW_SQUARINGS else square_repeatedly
    return given.answer == answer_bytes(square(puzzle.base, puzzle.squarings, puzzle.modulus), puzzle.modulus)


def _square(base: int, squarings: int, modulus: int) -> int:
    number, product = gmpy2.mpz(base), gmpy2.mpz(modulus)
    for _ in range(squarings):
        number = number * number % product
    return int(number)


# proofs


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement, the bytes that are said to prove it, and the answer that came with them."""

    statement: Statement = field(repr=False)
    proof: bytes = field(repr=False)
    answer: int = field(repr=False)


def holds(claim: Claim) -> bool:
    """Whether the proof holds, and for this answer."""
    try:
        return verify(claim.statement, Proof.decode(claim.proof, claim.statement.puzzle)) == claim.answer
    except BadProof:
        return False


# a factor, and what it says of the answers


@dataclass(frozen=True, slots=True)
class Answers:
    """A puzzle, a prime factor of its product, and what solvers answered, by assignment."""

    puzzle: Puzzle
    factor: int = field(repr=False)
    answers: dict[int, int] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a factor of N says of the answers: which are wrong and which agree, by assignment. `is_whole`: N was split
    into two primes, so that agreeing is being right."""

    wrong: tuple[int, ...]
    right: tuple[int, ...]
    is_whole: bool


def compare(work: Answers) -> Comparison | None:
    """Each answer beside g^(2^t) modulo the factor, and modulo the cofactor when that is another prime; None when the
    factor turns out not to be prime.

    2^t is reduced modulo p-1 (Fermat), so this costs one exponentiation whatever t is.
    """
    if not is_prime(work.factor):
        return None
    cofactor = work.puzzle.modulus // work.factor
    primes = [work.factor]
    if cofactor != work.factor and is_prime(cofactor):
        primes.append(cofactor)
    right = {prime: _answer_modulo(work.puzzle, prime) for prime in primes}
    wrong = [key for key, answer in work.answers.items() if any(answer % prime != right[prime] for prime in primes)]
    return Comparison(tuple(wrong), tuple(key for key in work.answers if key not in wrong), is_whole=len(primes) == 2)


def _answer_modulo(puzzle: Puzzle, prime: int) -> int:
    if puzzle.base % prime == 0:
        return 0
    exponent = gmpy2.powmod(2, puzzle.squarings, prime - 1)
    return int(gmpy2.powmod(puzzle.base, exponent, prime))


# relayed checkpoints


@dataclass(frozen=True, slots=True)
class Checking:
    """A check under way, of the residues `first` to `end` - 1 of a checkpoint."""

    check: relay.Check = field(repr=False)
    depth: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Checked:
    """Where a check stands after a turn; `holds` is None as long as it goes on."""

    checking: Checking
    holds: bool | None


def advance(checking: Checking) -> Checked:
    """One turn of half a second; who has many checks or long ones waits for its next turn like everybody else."""
    return Checked(checking, checking.check.advance())


# puzzles of the server's own


@dataclass(frozen=True, slots=True)
class Model:
    """What a trap has in common with a real task."""

    squarings: int = field(repr=False)
    modulus_bits: int
    wants_proof: bool


@dataclass(frozen=True, slots=True)
class Trap:
    """A fresh puzzle and the hash of its answer."""

    puzzle: Puzzle = field(repr=False)
    commitment: bytes = field(repr=False)
    wants_proof: bool


def make(model: Model) -> Trap:
    """A trap: a tenth of a second for its primes, whatever t is."""
    puzzle, answer, _ = make_locked(model.squarings, model.modulus_bits + model.modulus_bits % 2)
    return Trap(puzzle, commit(answer, puzzle.modulus), model.wants_proof)

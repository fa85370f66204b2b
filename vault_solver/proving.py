"""Proofs as a worker makes them: in pieces that can be stopped, verified before they are sent, mended when wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gmpy2 import mpz, powmod

from protocol.proof import BadProof, Statement, verify
from protocol.prover import Power, prove
from vault_solver.blocks import BLOCK_MAX, LOOK_SECONDS, between_checks
from vault_solver.gerbicz import Segment, Square
from vault_solver.state import State


class InPieces:
    """Squares like `square`, and calls `look` with the squarings of each piece behind it; what that raises, passes."""

    def __init__(self, square: Square, look: Callable[[int], None]) -> None:
        self._square = square
        self._look = look

    def __call__(self, value: mpz, squarings: int, modulus: mpz) -> mpz:
        """value^(2^squarings) mod modulus."""
        longest = min(BLOCK_MAX, between_checks(modulus.bit_length(), LOOK_SECONDS))
        while squarings:
            piece = min(squarings, longest)
            value, squarings = self._square(value, piece, modulus), squarings - piece
            self._look(piece)
        return value


@dataclass(frozen=True, slots=True)
class Proved:
    """A proof's bytes, and the answer that its verifier has drawn from it."""

    proof: bytes
    answer: int


def prove_and_verify(statement: Statement, end: State, square: Square, power: Power = powmod) -> Proved:
    """The proof of a finished squaring, made and verified. Raises protocol.proof.BadProof when it does not hold, or
    not for the answer at this end."""

    def square_integers(value: int, squarings: int, modulus: int) -> int:
        return int(square(mpz(value), squarings, mpz(modulus)))

    proof = prove(statement, end.kept, square_integers, power)
    answer = verify(statement, proof)
    if answer != end.value:
        raise BadProof("the proof holds for another answer than was computed")
    return Proved(proof.encode(statement.puzzle.modulus), answer)


def last_sound(base: int, modulus: int, kept: Sequence[tuple[int, int]], square: Square) -> State:
    """The last residue that follows from the base over those before it, with all of those; the base if none does.

    Gerbicz's check with a kept residue as the end of each block: one gap's squarings each time, and a search by halves.
    """

    def holds(count: int) -> bool:
        segment, before = Segment(mpz(base), mpz(modulus), square), 0
        for mark, residue in kept[:count]:
            segment.add(mark - before, mpz(residue))
            before = mark
        return segment.holds()

    sound, unsound = 0, len(kept) + 1
    while unsound - sound > 1:
        middle = unsound - 1 if unsound > len(kept) else (sound + unsound) // 2
        sound, unsound = (middle, unsound) if holds(middle) else (sound, middle)
    return State(*kept[sound - 1], tuple(kept[:sound])) if sound else State(0, base)

"""Puzzles of 512 bits whose maker knows the answers."""

from __future__ import annotations

import secrets

from protocol.puzzle import Puzzle, Trapdoor, commit, make_modulus, square_repeatedly
from protocol.vault import PuzzleOffered, SubmitPuzzle

BITS = 512
COMPUTED = 1000
"""Squarings that the server computes itself, to judge an answer."""
LONG = 10**10
"""Squarings that nobody waits for."""


class Maker:
    """One modulus and its trapdoor."""

    def __init__(self, bits: int = BITS) -> None:
        self.modulus: int
        self.trapdoor: Trapdoor
        self.modulus, self.trapdoor = make_modulus(bits)

    def order(
        self,
        squarings: int = LONG,
        *,
        base: int | None = None,
        committed: bool = True,
        key: str | None = None,
        proof: str = "none",
    ) -> tuple[SubmitPuzzle, int]:
        """A good order and its answer; a fresh base unless one is given. Nobody is asked to prove anything."""
        puzzle = Puzzle(squarings, secrets.randbits(256) | 2 if base is None else base, self.modulus)
        answer = self.trapdoor.power(puzzle.base, squarings)
        commitment = commit(answer, self.modulus) if committed else None
        order = SubmitPuzzle(
            t=squarings,
            baseg=puzzle.base,
            product=self.modulus,
            commitment=commitment,
            proof=proof,
            idempotency_key=key,
        )
        return order, answer


def solve(offer: PuzzleOffered) -> int:
    """What an honest solver computes, the long way."""
    return square_repeatedly(offer.baseg, offer.t, offer.product)

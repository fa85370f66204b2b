"""The fleet's arithmetic: squarings with their proofs, in threads, and how many squarings were done by whom."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import gmpy2

from protocol.proof import LAST_SQUARINGS, Proof, Statement
from protocol.prover import best_depth, kept_indices, prove
from protocol.puzzle import square_repeatedly

THREADS = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The first residues of a proof's plan of that depth (protocol/relay.py)."""

    depth: int
    residues: tuple[int, ...]

    def done(self, statement: Statement) -> int:
        """The squarings that are behind it."""
        return kept_indices(statement.puzzle.squarings, self.depth)[len(self.residues) - 1] if self.residues else 0


@dataclass(frozen=True, slots=True)
class Solution:
    """What somebody who has done the work holds: y, and the residues of a plan of that depth, by their places."""

    answer: int
    depth: int
    kept: tuple[tuple[int, int], ...]

    def checkpoint(self, count: int) -> Checkpoint:
        """Its first residues, as they stood somewhere on the way."""
        return Checkpoint(self.depth, tuple(residue for _, residue in self.kept[:count]))

    def proof(self, statement: Statement) -> Proof:
        """The honest proof."""
        return prove(statement, self.kept)


class Workshop:
    """Threads that square for everybody; `squarings` counts by who asked."""

    def __init__(self) -> None:
        self.squarings: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(THREADS, "squaring", initializer=_release_the_lock)

    async def solve(self, statement: Statement, who: str, given: Checkpoint | None = None) -> Solution:
        """Do the squarings of a puzzle, the long way; from a checkpoint on where one is given."""
        known = given or Checkpoint(best_depth(statement.puzzle.squarings, statement.puzzle.modulus.bit_length()), ())
        self.squarings[who] += statement.puzzle.squarings - known.done(statement)
        return await asyncio.get_running_loop().run_in_executor(self._threads, _solve, statement, known)

    def close(self) -> None:
        """Nobody asks any more."""
        self._threads.shutdown(cancel_futures=True)


def _release_the_lock() -> None:
    gmpy2.get_context().allow_release_gil = True


def _solve(statement: Statement, known: Checkpoint) -> Solution:
    puzzle = statement.puzzle
    places = kept_indices(puzzle.squarings, known.depth)
    kept = list(zip(places, known.residues, strict=False))
    done, residue = kept[-1] if kept else (0, puzzle.base)
    for place in places[len(kept) :]:
        residue, done = square_repeatedly(residue, place - done, puzzle.modulus), place
        kept.append((place, residue))
    return Solution(square_repeatedly(residue, LAST_SQUARINGS, puzzle.modulus), known.depth, tuple(kept))

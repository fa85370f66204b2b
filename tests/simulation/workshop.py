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
class Solution:
    """What somebody who has done the work holds: y, and z with the residues that a proof is made of."""

    answer: int
    z: int
    kept: tuple[tuple[int, int], ...]

    def proof(self, statement: Statement) -> Proof:
        """The honest proof."""
        return prove(statement, self.kept)


class Workshop:
    """Threads that square for everybody; `squarings` counts by who asked."""

    def __init__(self) -> None:
        self.squarings: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(THREADS, "squaring", initializer=_release_the_lock)

    async def solve(self, statement: Statement, who: str) -> Solution:
        """Do all the squarings of a puzzle, the long way."""
        self.squarings[who] += statement.puzzle.squarings
        return await asyncio.get_running_loop().run_in_executor(self._threads, _solve, statement)

    def close(self) -> None:
        """Nobody asks any more."""
        self._threads.shutdown(cancel_futures=True)


def _release_the_lock() -> None:
    gmpy2.get_context().allow_release_gil = True


def _solve(statement: Statement) -> Solution:
    puzzle = statement.puzzle
    depth = best_depth(puzzle.squarings, puzzle.modulus.bit_length())
    residue, done, kept = puzzle.base, 0, list[tuple[int, int]]()
    for index in kept_indices(puzzle.squarings, depth):
        residue, done = square_repeatedly(residue, index - done, puzzle.modulus), index
        kept.append((index, residue))
    return Solution(square_repeatedly(residue, LAST_SQUARINGS, puzzle.modulus), residue, tuple(kept))

"""The solver's whole loop beside one bare call of GMP on the same puzzle, in the same run, turn about.

"Whole" means: blocks, Gerbicz's check, and a checkpoint on disk of every state that it verifies. Both are measured in
processor time of this process, and of several turns the quickest counts: what else the machine does disturbs less.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import process_time

from gmpy2 import mpz

from vault_solver.calibration import measure, random_puzzle
from vault_solver.checkpoint import bind
from vault_solver.options import DISK_MIB
from vault_solver.pipe import Solve
from vault_solver.squaring import Squaring, gmp_square
from vault_solver.store import Store

SIZES = (1024, 2048, 3072, 4096)

_SPEED_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """Squarings a second: of one bare call, and of the solver with everything on."""

    modulus_bits: int
    squarings: int
    bare: float
    solver: float
    agree: bool

    @property
    def ratio(self) -> float:
        """What the solver reaches of the bare call."""
        return self.solver / self.bare


def squarings_in(bits: int, seconds: float) -> int:
    """About how many this machine does in so many seconds, to two digits."""
    count = max(1, int(measure(bits, _SPEED_SECONDS) * seconds))
    scale: int = 10 ** max(0, len(str(count)) - 2)
    return count // scale * scale


def compare(bits: int, squarings: int, turns: int, check_seconds: float) -> Result:
    """One random puzzle, solved both ways so many times."""
    base, _, modulus = random_puzzle(bits, squarings)
    bare = whole = float("inf")
    answers: set[int] = set()
    for _ in range(turns):
        bare = min(bare, _timed(lambda: _solve_bare(base, squarings, modulus), answers))
        whole = min(whole, _timed(lambda: _solve_whole(base, squarings, modulus, check_seconds), answers))
    return Result(bits, squarings, squarings / bare, squarings / whole, len(answers) == 1)


def _timed(solve: Callable[[], int], answers: set[int]) -> float:
    started = process_time()
    answers.add(solve())
    return max(process_time() - started, 1e-9)


def _solve_bare(base: int, squarings: int, modulus: int) -> int:
    return int(gmp_square(mpz(base), squarings, mpz(modulus)))


def _solve_whole(base: int, squarings: int, modulus: int, check_seconds: float) -> int:
    with tempfile.TemporaryDirectory(prefix="vault-solver-bench-") as folder:
        store = Store(Path(folder), DISK_MIB * 2**20)
        bound = bind("bench", "bench", "bench", Solve(1, squarings, base, modulus))
        squaring = Squaring(base, squarings, modulus, check_seconds=check_seconds)
        written = squaring.verified
        while not squaring.finished:
            squaring.advance()
            if squaring.verified is not written:
                written = squaring.verified
                store.save(bound, written)
        return squaring.answer

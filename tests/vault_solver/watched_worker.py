"""A worker process of the tests: the real one with a squaring that writes down what it does, and errs when told to.

Run as `python watched_worker.py TALLY WRONG SECONDS`: one line in the file TALLY for each call, the squarings done in
it; a bit is flipped in every call whose number WRONG divides (0: in none). While there is a file TALLY.held with a
number in it, it does not go on once it has done so many squarings.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gmpy2 import mpz

from vault_solver import worker
from vault_solver.squaring import gmp_square


def command(tally: Path, wrong: int = 0) -> Sequence[str]:
    """What a pool is to start instead of its own worker."""
    return (sys.executable, __file__, str(tally), str(wrong))


def squarings_done(tally: Path) -> int:
    """By all workers with this tally, those that were killed included."""
    return sum(map(int, tally.read_text().split())) if tally.exists() else 0


def held_by(tally: Path) -> Path:
    """The file that holds the workers with this tally."""
    return tally.with_suffix(".held")


class Watched:
    def __init__(self, tally: Path, wrong: int) -> None:
        self._tally = os.open(tally, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._held_by = held_by(tally)
        self._wrong = wrong
        self._calls = self._done = 0

    def __call__(self, value: mpz, squarings: int, modulus: mpz) -> mpz:
        self._calls += 1
        right = gmp_square(value, squarings, modulus)
        os.write(self._tally, f"{squarings}\n".encode())
        self._done += squarings
        while self._is_held():
            time.sleep(0.01)
        return right ^ mpz(1) if self._wrong and self._calls % self._wrong == 0 else right

    def _is_held(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return self._done >= int(self._held_by.read_text())
        return False


if __name__ == "__main__":
    tally, wrong, seconds, _ = sys.argv[1:]  # its arithmetic is GMP, whatever the kernel
    worker.ignore_signals()
    worker.Worker(sys.stdin.fileno(), sys.stdout.fileno(), float(seconds), Watched(Path(tally), int(wrong))).serve()

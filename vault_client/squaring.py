"""Squares on this machine: how fast it is, and a puzzle solved in chunks so that somebody can look in between."""

from __future__ import annotations

import time
from collections.abc import Iterator

from protocol.puzzle import Puzzle, square_repeatedly

CHUNK_SECONDS = 0.1
"""Between two looks: short enough for a progress bar and ctrl-C, long enough to cost nothing."""


def squarings_per_second(base: int, modulus: int, *, seconds: float = 0.4) -> float:
    """Measured now, on one core, for about `seconds`: the best of several rounds, since noise only ever slows down."""
    chunk, best = 64, 0.0
    until = time.perf_counter() + seconds
    while (started := time.perf_counter()) < until:
        square_repeatedly(base, chunk, modulus)
        took = time.perf_counter() - started
        best = max(best, chunk / took)
        if took < seconds / 8:
            chunk *= 2
    return best


def solve_in_chunks(puzzle: Puzzle) -> Iterator[tuple[int, int]]:
    """Pairs (squarings done, base^(2^done)) until all are done; the last pair holds the answer."""
    value, done, chunk = puzzle.base, 0, 256
    while done < puzzle.squarings:
        chunk = min(chunk, puzzle.squarings - done)
        started = time.perf_counter()
        value = square_repeatedly(value, chunk, puzzle.modulus)
        took = time.perf_counter() - started
        done += chunk
        yield done, value
        chunk = max(1, int(chunk * min(2.0, CHUNK_SECONDS / max(took, 1e-9))))

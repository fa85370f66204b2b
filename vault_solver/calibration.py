"""How fast this machine squares, by modulus size. Measures the same loop that solves, nothing else."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from time import perf_counter

from vault_solver.gerbicz import Square
from vault_solver.squaring import Squaring, gmp_square

SIZES = (512, 1024, 2048, 3072, 4096)
"""Modulus sizes in bits that are measured and announced; the largest is the largest this solver takes."""

SECONDS_PER_SIZE = 0.2

_SQUARINGS = 1_000_000
"""Of the puzzle whose loop is measured: what a longer one needs is a little less."""


def random_puzzle(bits: int, squarings: int) -> tuple[int, int, int]:
    """base, squarings and modulus of a puzzle that nobody asked for; the modulus is odd, of `bits` bits, and
    coprime to the base."""
    modulus = secrets.randbits(bits) | 1 << (bits - 1) | 1
    while math.gcd(base := secrets.randbelow(modulus - 2) + 2, modulus) != 1:
        pass
    return base, squarings, modulus


def measure(bits: int, seconds: float, square: Square = gmp_square) -> int:
    """Squarings a second modulo a random odd number of `bits` bits, measured for about `seconds`."""
    started, done = perf_counter(), 0
    squaring = Squaring(*random_puzzle(bits, _SQUARINGS), square=square)
    while (elapsed := perf_counter() - started) < seconds:
        before = squaring.done
        squaring.advance()
        done += squaring.done - before
        if squaring.finished:
            squaring = Squaring(*random_puzzle(bits, _SQUARINGS), square=square)
    return int(done / elapsed)


def calibrate(
    seconds_per_size: float = SECONDS_PER_SIZE, sizes: Iterable[int] = SIZES, square: Square = gmp_square
) -> dict[str, int]:
    """Squarings a second by modulus bits, as `status_update` announces them: {"2048": 1000000, …}."""
    return {str(bits): measure(bits, seconds_per_size, square) for bits in sizes}

"""How fast this machine squares, by modulus size. Measures the same loop that solves, nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from time import perf_counter

from vault_solver.squaring import square_in_chunks

SIZES = (512, 1024, 2048, 3072, 4096)
"""Modulus sizes in bits that are measured and announced; the largest is the largest this solver takes."""

SECONDS_PER_SIZE = 0.2

_CHUNK_SECONDS = 0.02
_WITHOUT_END = 1 << 62


def measure(bits: int, seconds: float) -> int:
    """Squarings a second modulo a random odd number of `bits` bits, measured for about `seconds`."""
    modulus = secrets.randbits(bits) | 1 << (bits - 1) | 1
    chunks = square_in_chunks(secrets.randbelow(modulus), _WITHOUT_END, modulus, chunk_seconds=_CHUNK_SECONDS)
    started = perf_counter()
    while True:
        done, _ = next(chunks)
        elapsed = perf_counter() - started
        if elapsed >= seconds:
            return int(done / elapsed)


def calibrate(seconds_per_size: float = SECONDS_PER_SIZE, sizes: Iterable[int] = SIZES) -> dict[str, int]:
    """Squarings a second by modulus bits, as `status_update` announces them: {"2048": 1000000, …}."""
    return {str(bits): measure(bits, seconds_per_size) for bits in sizes}

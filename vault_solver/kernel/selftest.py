"""A kernel against GMP, in some milliseconds: run before every use, so that a wrong kernel is never used."""

from __future__ import annotations

import random
from collections.abc import Iterator

from gmpy2 import mpz, powmod

from vault_solver.kernel.arithmetic import Kernel

SIZES = (512, 1024, 2048, 3072, 4096)
CHAIN = 200
EXPONENT_BITS = 128


class Differs(Exception):
    """A kernel's result is not GMP's. The message says at which size, not at which numbers."""


def check(kernel: Kernel) -> None:
    """Compare squares, chains, products and powers at every size. Raises Differs."""
    draw = random.Random(20190418)  # noqa: S311 - the same numbers each time: a failure can be repeated
    for bits in SIZES:
        for modulus in _moduli(bits, draw):
            if not all(_agrees(kernel, value, modulus, draw) for value in _values(modulus, draw)):
                raise Differs(f"computes wrongly at {bits} bits on this machine")


def _moduli(bits: int, draw: random.Random) -> Iterator[mpz]:
    yield mpz(draw.getrandbits(bits) | 1 << (bits - 1) | 1)
    yield mpz((1 << bits) - 1)


def _values(modulus: mpz, draw: random.Random) -> Iterator[mpz]:
    yield from (mpz(0), mpz(1), modulus - 1, mpz(draw.randrange(int(modulus))))


def _agrees(kernel: Kernel, value: mpz, modulus: mpz, draw: random.Random) -> bool:
    factor, exponent = mpz(draw.randrange(int(modulus))), draw.getrandbits(EXPONENT_BITS)
    return bool(
        kernel.square(value, 1, modulus) == value * value % modulus
        and kernel.square(value, CHAIN, modulus) == powmod(value, mpz(1) << CHAIN, modulus)
        and kernel.multiply(value, factor, modulus) == value * factor % modulus
        and kernel.power(value, exponent, modulus) == powmod(value, exponent, modulus)
    )

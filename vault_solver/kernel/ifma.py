"""The compiled kernel: AVX-512 IFMA, for odd moduli of 512 to 4096 bits."""

from __future__ import annotations

from functools import lru_cache

from gmpy2 import mpz

from vault_solver.kernel.arithmetic import Cancel, Cancelled, OutOfRange
from vault_solver.kernel.library import Library, Missing

BITS_MIN, BITS_MAX = 512, 4096
SQUARINGS_MAX = 2**64 - 1
EXPONENT_BITS_MAX = 8 * 1024

PREPARED_KEPT = 16
"""Moduli whose derived numbers are kept, three kilobytes each: deriving takes as long as a thousand squarings."""


class Ifma:
    """The library's arithmetic on numbers of gmpy2. Each call goes into Montgomery's form and out of it again."""

    name = "ifma"

    def __init__(self, library: Library | None = None) -> None:
        """Raises Missing where this machine has no library, or a processor without the instructions."""
        self._library = library or Library()
        if not self._library.supported:
            raise Missing("this processor, or its system, does not offer AVX-512 IFMA")
        self._prepare = lru_cache(PREPARED_KEPT)(self._library.prepare)

    def takes(self, modulus: int) -> bool:
        """Odd moduli of 512 to 4096 bits."""
        return modulus > 0 and modulus % 2 == 1 and BITS_MIN <= modulus.bit_length() <= BITS_MAX

    def square(self, value: mpz, squarings: int, modulus: mpz, cancel: Cancel | None = None) -> mpz:
        """value^(2^squarings) mod modulus. Raises OutOfRange and Cancelled."""
        prepared, number = self._enter(modulus, value)
        if not 0 <= squarings <= SQUARINGS_MAX:
            raise OutOfRange(f"the number of squarings is in 0..{SQUARINGS_MAX}")
        reached = self._library.square(prepared, number, squarings, None if cancel is None else cancel.flag)
        if reached is None:
            raise Cancelled
        return mpz.from_bytes(reached, "little")

    def multiply(self, value: mpz, factor: mpz, modulus: mpz) -> mpz:
        """value·factor mod modulus. Raises OutOfRange."""
        prepared, number = self._enter(modulus, value)
        _, other = self._enter(modulus, factor)
        return mpz.from_bytes(self._library.multiply(prepared, number, other), "little")

    def power(self, value: mpz, exponent: int, modulus: mpz) -> mpz:
        """value^exponent mod modulus. Raises OutOfRange."""
        prepared, number = self._enter(modulus, value)
        if exponent < 0 or exponent.bit_length() > EXPONENT_BITS_MAX:
            raise OutOfRange(f"an exponent is 0 or more and has at most {EXPONENT_BITS_MAX} bits")
        digits = int(exponent).to_bytes((exponent.bit_length() + 7) // 8, "little")
        return mpz.from_bytes(self._library.power(prepared, number, digits), "little")

    def _enter(self, modulus: mpz, value: mpz) -> tuple[bytes, bytes]:
        if not self.takes(modulus):
            raise OutOfRange(f"a modulus is odd and has {BITS_MIN} to {BITS_MAX} bits")
        if not 0 <= value < modulus:
            raise OutOfRange("a value is in 0..modulus-1")
        width = (modulus.bit_length() + 7) // 8
        return self._prepare(int(modulus).to_bytes(width, "little")), int(value).to_bytes(width, "little")

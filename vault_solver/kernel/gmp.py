"""GMP as a kernel: takes every size, on every processor."""

from __future__ import annotations

import gmpy2
from gmpy2 import mpz

from vault_solver.kernel.arithmetic import Cancel, Cancelled, OutOfRange

SQUARINGS_PER_LOOK = 11_520
"""Between two looks at the flag, where there is one: 12 ms at 2048 bits, 42 at 4096. Each call builds a table."""


class Gmp:
    """gmpy2.powmod, which needs one call for any number of squarings: the exponent is 2^squarings."""

    name = "gmpy2"

    def takes(self, modulus: int) -> bool:
        """Every modulus above 1."""
        return modulus > 1

    def square(self, value: mpz, squarings: int, modulus: mpz, cancel: Cancel | None = None) -> mpz:
        """value^(2^squarings) mod modulus. Raises OutOfRange and Cancelled."""
        if squarings < 0 or not self.takes(modulus):
            raise OutOfRange("a modulus is above 1, and the number of squarings 0 or more")
        gmpy2.get_context().allow_release_gil = True
        longest = SQUARINGS_PER_LOOK if cancel is not None else max(1, squarings)
        left, reached = squarings, value
        while left > 0:
            if cancel is not None and cancel.is_set:
                raise Cancelled
            block = min(left, longest)
            reached = gmpy2.powmod(reached, mpz(1) << block, modulus)
            left -= block
        return reached % modulus if squarings == 0 else reached

    def multiply(self, value: mpz, factor: mpz, modulus: mpz) -> mpz:
        """value·factor mod modulus."""
        return value * factor % modulus

    def power(self, value: mpz, exponent: int, modulus: mpz) -> mpz:
        """value^exponent mod modulus. Raises OutOfRange for an exponent below 0."""
        if exponent < 0:
            raise OutOfRange("an exponent is 0 or more")
        return gmpy2.powmod(value, exponent, modulus)

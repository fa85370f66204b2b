"""What a kernel does, how one is stopped, and a kernel completed by GMP for the sizes that it does not take."""

from __future__ import annotations

import ctypes
from typing import Protocol

from gmpy2 import mpz


class OutOfRange(ValueError):
    """A modulus, value or exponent that a kernel does not take. The message names the limit, never the number."""


class Cancelled(Exception):
    """The call was stopped by its `Cancel`; nothing of it is left."""


class Cancel:
    """A flag that another thread sets to stop a call of `square` within a few milliseconds."""

    def __init__(self) -> None:
        self.flag = ctypes.c_uint8(0)

    def set(self) -> None:
        """Stop, now and in every later call that has this flag."""
        self.flag.value = 1

    @property
    def is_set(self) -> bool:
        """Whether `set` was called."""
        return bool(self.flag.value)


class Kernel(Protocol):
    """One way of computing modulo N. Values are in 0..N-1; whatever is not raises OutOfRange."""

    @property
    def name(self) -> str:
        """As it is chosen and announced."""
        ...

    def takes(self, modulus: int) -> bool:
        """Whether it computes modulo this number."""
        ...

    def square(self, value: mpz, squarings: int, modulus: mpz, cancel: Cancel | None = None) -> mpz:
        """value^(2^squarings) mod modulus. Raises OutOfRange and Cancelled."""
        ...

    def multiply(self, value: mpz, factor: mpz, modulus: mpz) -> mpz:
        """value·factor mod modulus. Raises OutOfRange."""
        ...

    def power(self, value: mpz, exponent: int, modulus: mpz) -> mpz:
        """value^exponent mod modulus, for an exponent of 0 or more. Raises OutOfRange."""
        ...


class Arithmetic:
    """A kernel for the moduli that it takes, and another for all others. Values of any size are reduced first."""

    def __init__(self, kernel: Kernel, otherwise: Kernel) -> None:
        self._kernel, self._otherwise = kernel, otherwise

    @property
    def name(self) -> str:
        """Of the kernel proper."""
        return self._kernel.name

    def kernel_for(self, modulus: int) -> Kernel:
        """Which of the two computes modulo this number."""
        return self._kernel if self._kernel.takes(modulus) else self._otherwise

    def square(self, value: mpz, squarings: int, modulus: mpz, cancel: Cancel | None = None) -> mpz:
        """value^(2^squarings) mod modulus. Raises OutOfRange and Cancelled."""
        return self.kernel_for(modulus).square(value % modulus, squarings, modulus, cancel)

    def multiply(self, value: mpz, factor: mpz, modulus: mpz) -> mpz:
        """value·factor mod modulus. Raises OutOfRange."""
        return self.kernel_for(modulus).multiply(value % modulus, factor % modulus, modulus)

    def power(self, value: mpz, exponent: int, modulus: mpz) -> mpz:
        """value^exponent mod modulus, for an exponent of 0 or more. Raises OutOfRange."""
        return self.kernel_for(modulus).power(value % modulus, exponent, modulus)

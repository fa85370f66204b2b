"""Gerbicz's check: whether blocks of repeated squaring were computed rightly, for the price of one block.

Let block j lead from c_j to c_(j+1) by L squarings. If all are right, the product of what the blocks led to is the
product of what they began with, squared L times, since raising to 2^L goes through the product:

    c_1·c_2·…·c_k  =  (c_0·c_1·…·c_(k-1))^(2^L)  mod N

One product a block keeps P = c_0·…·c_(k-1); the left side is P·c_k/c_0, so what is compared is P·c_k = c_0·P^(2^L).
Blocks of several lengths keep a product for each: from the longest, squared down to the next length, multiplied with
the product of that one, and so on, which again costs the squarings of the longest block alone.

An error e in block j leaves e on the left and nothing on the right, unless e^(2^L) = e, or two errors cancel: nothing
that a flipped bit does. It says nothing against residues that somebody has made up, which is why it convicts nobody.
A value that has lost its inverse (0 above all) would make both sides 0, so both are asked to be coprime to N.

Source: Robert Gerbicz, MersenneForum, August 2017 (for Proth and Mersenne numbers, where it is called "Gerbicz error
checking"; nothing in it needs a special N). The lengths and their cost: `vault_solver.blocks`.
"""

from __future__ import annotations

from collections.abc import Callable

import gmpy2
from gmpy2 import mpz

Square = Callable[[mpz, int, mpz], mpz]
"""(value, squarings, modulus) to value^(2^squarings) mod modulus."""


class Segment:
    """The blocks since a value that is known to be right."""

    def __init__(self, start: mpz, modulus: mpz, square: Square) -> None:
        self._start = self._last = start
        self._modulus = modulus
        self._square = square
        self._products: dict[int, mpz] = {}

    def add(self, squarings: int, reached: mpz) -> None:
        """A block of so many squarings has led to this value."""
        product = self._products.get(squarings)
        self._products[squarings] = self._last if product is None else product * self._last % self._modulus
        self._last = reached

    def holds(self) -> bool:
        """Whether every block of it was computed rightly."""
        n = self._modulus
        begun, folded = mpz(1), mpz(1)
        lengths = sorted(self._products, reverse=True)
        for squarings, shorter in zip(lengths, [*lengths[1:], 0], strict=True):
            begun = begun * self._products[squarings] % n
            folded = self._square(folded * self._products[squarings] % n, squarings - shorter, n)
        reached = begun * self._last % n
        return bool(reached == self._start * folded % n and gmpy2.gcd(reached, n) == 1)

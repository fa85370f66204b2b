"""Make, blind, commit and check a time-lock puzzle; its difficulty and effort.

A time-lock puzzle (Rivest, Shamir, Wagner: Time-lock puzzles and timed-release crypto, 1996) asks for
y = g^(2^t) mod N: t squarings that nobody can do in parallel. Who made N = p·q knows a short cut.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from functools import cache

import gmpy2

from protocol.errors import Code, MessageError

SMALL_FACTOR_BOUND = 2**16
PRIME_ROUNDS = 32
BLINDING_EXTRA_BITS = 128

REFERENCE_BITS = 2048
REFERENCE_SQUARING_SECONDS = 1.04e-6
"""The reference machine squares modulo 2048 bits once in 1,040 ns (GMP's powm on one core of a 2023 server)."""


@dataclass(frozen=True, slots=True)
class Puzzle:
    """What is published: y = base^(2^squarings) mod modulus. Its repr shows sizes only."""

    squarings: int
    base: int = field(repr=False)
    modulus: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trapdoor:
    """What a maker knows and throws away: the two primes."""

    p: int = field(repr=False)
    q: int = field(repr=False)

    def power(self, base: int, squarings: int) -> int:
        """base^(2^squarings) mod p·q in milliseconds: the exponent is reduced modulo p-1 and q-1, then CRT."""
        p, q = gmpy2.mpz(self.p), gmpy2.mpz(self.q)
        at_p = gmpy2.powmod(base, gmpy2.powmod(2, squarings, p - 1), p)
        at_q = gmpy2.powmod(base, gmpy2.powmod(2, squarings, q - 1), q)
        return int(at_q + q * ((at_p - at_q) * gmpy2.invert(q, p) % p))


def make_modulus(bits: int) -> tuple[int, Trapdoor]:
    """A fresh N of exactly `bits` bits, product of two primes of equal size with p = q = 3 mod 4, and its trapdoor.

    Both primes being 3 mod 4, no element has an order divisible by 4.
    Raises ValueError below 64 bits or for an odd number of bits.
    """
    if bits < 64 or bits % 2:
        raise ValueError("a modulus has an even number of bits, 64 or more")
    while True:
        p, q = _prime(bits // 2), _prime(bits // 2)
        if p != q and (p * q).bit_length() == bits:
            return p * q, Trapdoor(p, q)


def _prime(bits: int) -> int:
    # The two top bits are set, so that the product of two has its full length; the two low ones make it 3 mod 4.
    while True:
        candidate = secrets.randbits(bits) | (0b11 << (bits - 2)) | 0b11
        if gmpy2.gcd(candidate, _primorial()) == 1 and is_prime(candidate):
            return candidate


@dataclass(frozen=True, slots=True)
class Ticket:
    """What lets somebody have a puzzle solved without anybody learning its answer (design §8).

    `base_root` is u with base = u^s for a forgotten s, `base_root_inverse_power` is u^(-2^t) mod N.
    """

    base_root: int = field(repr=False)
    base_root_inverse_power: int = field(repr=False)


def make_locked(squarings: int, bits: int) -> tuple[Puzzle, int, Ticket]:
    """A fresh puzzle, its answer, and the ticket for having it solved blindly. The trapdoor is gone on return."""
    modulus, trapdoor = make_modulus(bits)
    while True:
        root = 2 + secrets.randbelow(modulus - 3)
        base = int(gmpy2.powmod(root, 2 + secrets.randbelow(modulus << BLINDING_EXTRA_BITS), modulus))
        if gmpy2.gcd(root, modulus) == 1 and 1 < base < modulus - 1:
            break
    inverse = int(gmpy2.invert(trapdoor.power(root, squarings), modulus))
    return Puzzle(squarings, base, modulus), trapdoor.power(base, squarings), Ticket(root, inverse)


def draw_blinding(modulus: int) -> int:
    """A fresh exponent a, uniform below N·2^128: u^a then says nothing of a."""
    return secrets.randbelow(modulus << BLINDING_EXTRA_BITS)


def blind(puzzle: Puzzle, ticket: Ticket, blinding: int) -> Puzzle:
    """The puzzle with base g·u^a: what a stranger is given to solve."""
    factor = gmpy2.powmod(ticket.base_root, blinding, puzzle.modulus)
    return Puzzle(puzzle.squarings, int(puzzle.base * factor % puzzle.modulus), puzzle.modulus)


def unblind(answer: int, puzzle: Puzzle, ticket: Ticket, blinding: int) -> int:
    """The answer of `puzzle` from the answer of `blind(puzzle, ticket, blinding)`."""
    factor = gmpy2.powmod(ticket.base_root_inverse_power, blinding, puzzle.modulus)
    return int(answer * factor % puzzle.modulus)


def square_repeatedly(base: int, squarings: int, modulus: int) -> int:
    """base^(2^squarings) mod modulus, the long way. One call of GMP: no way to look in between."""
    return int(gmpy2.powmod(base, gmpy2.mpz(1) << squarings, modulus))


def answer_bytes(answer: int, modulus: int) -> bytes:
    """An answer as it is hashed: big-endian, at exactly ⌈bits(N)/8⌉ bytes."""
    return answer.to_bytes((modulus.bit_length() + 7) // 8, "big")


def commit(answer: int, modulus: int) -> bytes:
    """SHA-256 of `answer_bytes`: 32 bytes by which a right answer is known without being told."""
    return hashlib.sha256(answer_bytes(answer, modulus)).digest()


def difficulty(squarings: int, modulus: int) -> float:
    """The seed's formula (000 §7), as written: (floor(log2 product) + 1) / t. It falls as t grows; see `effort`."""
    return modulus.bit_length() / squarings


def effort_seconds(squarings: int, modulus_bits: int) -> float:
    """Estimated seconds on the reference machine: t squarings, each costing the square of the modulus's length."""
    return squarings * REFERENCE_SQUARING_SECONDS * (modulus_bits / REFERENCE_BITS) ** 2


def check_sizes(puzzle: Puzzle, *, squarings_max: int, modulus_bits_min: int, modulus_bits_max: int) -> None:
    """The checks that cost nothing: ranges of t and N, and N odd. Raises MessageError."""
    bits = puzzle.modulus.bit_length()
    if not 1 <= puzzle.squarings <= squarings_max:
        raise MessageError(
            Code.SQUARINGS_OUT_OF_RANGE,
            "The number of squarings t is out of range.",
            f"Choose t from 1 to {squarings_max} (squarings_max).",
        )
    if bits < modulus_bits_min:
        raise MessageError(
            Code.PRODUCT_TOO_SMALL,
            f"The product has {bits} bits.",
            f"Use a modulus of at least {modulus_bits_min} bits (modulus_bits_min).",
        )
    if bits > modulus_bits_max:
        raise MessageError(
            Code.PRODUCT_TOO_LARGE,
            f"The product has {bits} bits.",
            f"Use a modulus of at most {modulus_bits_max} bits (modulus_bits_max).",
        )
    if puzzle.modulus % 2 == 0:
        raise MessageError(Code.PRODUCT_EVEN, "The product is even.", "Multiply two large odd primes.")


def check_modulus(modulus: int) -> None:
    """The checks that cost milliseconds: no small factor, no perfect power, not prime. Raises MessageError."""
    n = gmpy2.mpz(modulus)
    if gmpy2.gcd(n, _primorial() % n) != 1:
        raise MessageError(
            Code.PRODUCT_SMALL_FACTOR,
            f"The product has a prime factor below {SMALL_FACTOR_BOUND}.",
            "Multiply two large random primes.",
        )
    if gmpy2.is_power(n):
        raise MessageError(
            Code.PRODUCT_PERFECT_POWER, "The product is a perfect power.", "Multiply two different primes."
        )
    # Fermat's test first: powmod can release the interpreter's lock, is_prime holds it for all its milliseconds.
    if gmpy2.powmod(2, n - 1, n) == 1 and gmpy2.is_prime(n, 25):
        raise MessageError(
            Code.PRODUCT_PRIME, "The product is prime: everybody could take the short cut.", "Multiply two primes."
        )


def may_be_prime(number: int) -> bool:
    """Fermat's test to the base 2: one exponentiation, false for nearly everything that is not prime."""
    return number == 2 or (number > 2 and gmpy2.powmod(2, number - 1, number) == 1)


def is_prime(number: int) -> bool:
    """Whether `number` is prime: PRIME_ROUNDS rounds of Miller-Rabin with bases that nobody can foresee.

    Milliseconds at a thousand bits, half a second at four thousand. Unlike `gmpy2.is_prime` it lets go of the
    interpreter's lock, where the thread allows that.
    """
    if number < 4 or number % 2 == 0:
        return number in (2, 3)
    if not may_be_prime(number):
        return False
    twos = gmpy2.bit_scan1(number - 1)
    assert twos is not None, "number - 1 is not 0"
    return all(_is_strong(number, 2 + secrets.randbelow(number - 3), twos) for _ in range(PRIME_ROUNDS))


def _is_strong(number: int, base: int, twos: int) -> bool:
    """One round of Miller-Rabin; `twos` is how often 2 divides number - 1."""
    power = gmpy2.powmod(base, (number - 1) >> twos, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def check_base(base: int, modulus: int) -> None:
    """The base is in 2..N-2 (so neither 0 nor ±1) and coprime to N. Raises MessageError."""
    if not 2 <= base <= modulus - 2:
        raise MessageError(
            Code.BASE_OUT_OF_RANGE, "baseg is not in 2..product-2.", "Draw baseg at random in that range."
        )
    if gmpy2.gcd(base, modulus) != 1:
        raise MessageError(
            Code.BASE_NOT_COPRIME, "baseg shares a factor with product.", "Draw another baseg; keep that factor secret."
        )


@cache
def _primorial() -> gmpy2.mpz:
    return gmpy2.primorial(SMALL_FACTOR_BOUND)

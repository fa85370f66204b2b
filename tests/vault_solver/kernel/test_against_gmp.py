"""The compiled kernel computes what GMP computes, bit for bit."""

from __future__ import annotations

import random

import gmpy2
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vault_solver.kernel.numbers import SIZES, moduli, values
from vault_solver.kernel import Gmp, Ifma

KINDS = tuple(moduli(512))


@pytest.mark.parametrize("bits", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_squares_products_and_powers_of_extreme_numbers(ifma: Ifma, bits: int, kind: str) -> None:
    n = mpz(moduli(bits)[kind])
    assert n.bit_length() == bits
    of_n = {name: mpz(value) for name, value in values(int(n)).items()}
    for name, value in of_n.items():
        for squarings in (0, 1, 2, 17):
            assert ifma.square(value, squarings, n) == gmpy2.powmod(value, mpz(1) << squarings, n), name
        for other, factor in of_n.items():
            assert ifma.multiply(value, factor, n) == value * factor % n, (name, other)
        for exponent in (0, 1, 2, 15, 16, 255, 256, 2**128 - 1, int(of_n["random"]) % 2**128):
            assert ifma.power(value, exponent, n) == gmpy2.powmod(value, exponent, n), (name, exponent)


@st.composite
def drawn(draw: st.DrawFn) -> tuple[mpz, mpz, mpz]:
    """A modulus and two values below it, made of runs of equal bits, which random numbers have none of."""
    bits = draw(st.integers(512, 4096))
    runs = draw(st.lists(st.tuples(st.integers(1, 200), st.integers(0, 1)), min_size=1, max_size=40))
    pattern = 0
    for length, bit in runs:
        pattern = pattern << length | ((1 << length) - 1) * bit
    n = (pattern | 1) % (1 << bits) | 1 << (bits - 1) | 1
    value = draw(st.one_of(st.integers(0, n - 1), st.sampled_from((pattern % n, n - 1 - pattern % n))))
    return mpz(n), mpz(value), mpz(draw(st.integers(0, n - 1)))


@settings(max_examples=250, deadline=None)
@given(drawn(), st.integers(0, 40), st.integers(0, 2**200))
def test_whatever_is_drawn(ifma: Ifma, numbers: tuple[mpz, mpz, mpz], squarings: int, exponent: int) -> None:
    n, value, factor = numbers
    assert ifma.square(value, squarings, n) == gmpy2.powmod(value, mpz(1) << squarings, n)
    assert ifma.multiply(value, factor, n) == value * factor % n
    assert ifma.power(value, exponent, n) == gmpy2.powmod(value, exponent, n)


@pytest.mark.parametrize("bits", [512, 1024, 2048, 3072, 4096])
def test_long_random_chains(ifma: Ifma, bits: int) -> None:
    """Each step of the chain is another random number: so many squarings are so many cases."""
    draw = random.Random(bits)
    n = mpz(draw.getrandbits(bits) | 1 << (bits - 1) | 1)
    value = mpz(draw.randrange(int(n)))
    squarings = 40_000_000 // bits
    assert ifma.square(value, squarings, n) == gmpy2.powmod(value, mpz(1) << squarings, n)


def test_many_short_chains_of_many_moduli(ifma: Ifma) -> None:
    draw = random.Random(1)
    for _ in range(300):
        n = mpz(draw.getrandbits(draw.randrange(512, 2400)) | 1 << draw.randrange(511, 2400) | 1)
        value = mpz(draw.randrange(int(n)))
        assert ifma.square(value, 3, n) == gmpy2.powmod(value, 8, n)


def test_a_chain_in_pieces_is_the_chain(ifma: Ifma) -> None:
    n = mpz(moduli(2048)["random"])
    piecewise = mpz(5)
    for piece in (1, 1023, 1024, 1025, 0, 4000):
        piecewise = ifma.square(piecewise, piece, n)
    assert piecewise == Gmp().square(mpz(5), 7073, n)

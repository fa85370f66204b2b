"""What a kernel does not take, it refuses: at the limit it works, one beyond it raises."""

from __future__ import annotations

import ctypes
import threading
import time

import gmpy2
import pytest
from gmpy2 import mpz

from tests.vault_solver.kernel.numbers import moduli
from vault_solver.kernel import Arithmetic, Cancel, Cancelled, Gmp, Ifma, OutOfRange
from vault_solver.kernel.ifma import EXPONENT_BITS_MAX, SQUARINGS_MAX
from vault_solver.kernel.library import Library

N = mpz(moduli(2048)["random"])
WIDTH = 256


@pytest.mark.parametrize("bits", [512, 4096])
def test_moduli_at_the_limits_are_taken(ifma: Ifma, bits: int) -> None:
    n = mpz((1 << bits) - 1)
    assert ifma.takes(n)
    assert ifma.square(mpz(3), 600, n) == gmpy2.powmod(3, mpz(1) << 600, n)


@pytest.mark.parametrize("modulus", [(1 << 511) - 1, 1 << 4096 | 1, 1 << 1024, -((1 << 512) - 1), 0])
def test_moduli_beyond_them_are_refused(ifma: Ifma, modulus: int) -> None:
    assert not ifma.takes(modulus)
    n, one = mpz(modulus), mpz(1)
    with pytest.raises(OutOfRange):
        ifma.square(one, 1, n)
    with pytest.raises(OutOfRange):
        ifma.multiply(one, one, n)
    with pytest.raises(OutOfRange):
        ifma.power(one, 1, n)


@pytest.mark.parametrize("bits", [64, 511, 4097])
def test_where_the_kernel_does_not_reach_gmp_computes(ifma: Ifma, bits: int) -> None:
    n = mpz((1 << bits) - 59)
    both = Arithmetic(ifma, Gmp())
    assert both.kernel_for(n).name == "gmpy2"
    assert both.square(mpz(7), 50, n) == gmpy2.powmod(7, mpz(1) << 50, n)
    assert both.multiply(n - 1, n - 1, n) == 1
    assert both.power(mpz(7), 99, n) == gmpy2.powmod(7, 99, n)


def test_values_are_below_the_modulus(ifma: Ifma) -> None:
    assert ifma.square(N - 1, 1, N) == 1
    for value in (N, N + 1, mpz(-1), mpz(1) << 5000):
        with pytest.raises(OutOfRange):
            ifma.square(value, 1, N)
        with pytest.raises(OutOfRange):
            ifma.multiply(mpz(1), value, N)
        with pytest.raises(OutOfRange):
            ifma.power(value, 1, N)


def test_exponents_have_a_longest(ifma: Ifma) -> None:
    longest = (1 << EXPONENT_BITS_MAX) - 1
    assert ifma.power(mpz(3), longest, N) == gmpy2.powmod(3, longest, N)
    for exponent in (longest + 1, -1):
        with pytest.raises(OutOfRange):
            ifma.power(mpz(3), exponent, N)


def test_the_number_of_squarings_has_a_largest(ifma: Ifma) -> None:
    stopped = Cancel()
    stopped.set()
    with pytest.raises(Cancelled):
        ifma.square(mpz(3), SQUARINGS_MAX, N, stopped)
    for squarings in (SQUARINGS_MAX + 1, -1):
        with pytest.raises(OutOfRange):
            ifma.square(mpz(3), squarings, N, stopped)


@pytest.mark.parametrize("bits", [512, 4096])
def test_a_call_of_years_stops_when_it_is_told_to(ifma: Ifma, bits: int) -> None:
    """Also shows that the call leaves the interpreter to others: the timer's thread would never run."""
    cancel = Cancel()
    started = time.monotonic()
    threading.Timer(0.05, cancel.set).start()
    with pytest.raises(Cancelled):
        ifma.square(mpz(3), SQUARINGS_MAX, mpz((1 << bits) - 1), cancel)
    assert time.monotonic() - started < 30


def test_gmp_stops_too() -> None:
    cancel = Cancel()
    threading.Timer(0.05, cancel.set).start()
    with pytest.raises(Cancelled):
        Gmp().square(mpz(3), SQUARINGS_MAX, N, cancel)


def test_gmp_in_pieces_and_its_own_limits() -> None:
    assert Gmp().square(mpz(3), 30_000, N, Cancel()) == gmpy2.powmod(3, mpz(1) << 30_000, N)
    assert Gmp().square(N + 5, 0, N) == 5
    for squarings, modulus in ((-1, N), (1, mpz(1))):
        with pytest.raises(OutOfRange):
            Gmp().square(mpz(3), squarings, modulus)
    with pytest.raises(OutOfRange):
        Gmp().power(mpz(3), -1, N)


def test_the_library_checks_again_what_it_is_given(ifma: Ifma) -> None:
    library, n = Library(), int(N).to_bytes(WIDTH, "little")
    prepared, one = library.prepare(n), (1).to_bytes(WIDTH, "little")
    assert library.square(prepared, one, 5, ctypes.c_uint8(0)) == one
    for modulus in (b"", n + b"\0", n[:63], b"\2" + n[1:], n + n + b"\1"):
        with pytest.raises(ValueError, match="BAD_MODULUS"):
            library.prepare(modulus)
    for value in (one[:-1], one + b"\0", b"", n):
        with pytest.raises(ValueError, match="BAD_VALUE"):
            library.square(prepared, value, 1, None)
    for memory in (prepared[:-1], prepared + b"\0", b"", bytes(len(prepared))):
        with pytest.raises(ValueError, match="BAD_MEMORY"):
            library.square(memory, one, 1, None)
    for place in (4, 8, 12):  # bytes, limbs and vectors of a modulus that somebody has overwritten
        with pytest.raises(ValueError, match="BAD_"):
            library.square(prepared[:place] + b"\xff\xff\0\0" + prepared[place + 4 :], one, 1, None)
        with pytest.raises(ValueError, match="BAD_"):
            library.square(prepared[:place] + bytes(4) + prepared[place + 4 :], one, 1, None)
    with pytest.raises(ValueError, match="BAD_EXPONENT"):
        library.power(prepared, one, bytes(1025))
    with pytest.raises(ValueError, match="one length"):
        library.multiply(prepared, one, one[:-1])

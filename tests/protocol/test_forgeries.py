"""What a forger who knows the factors can and cannot have: whatever passes gives the right answer, but for factors of
small odd order, and of orders above 2^64 in primes made for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count

import pytest
from gmpy2 import is_prime

from protocol import proof as proofs
from protocol.proof import BadProof, Challenges, Proof, Statement, representative, rounds, verify
from protocol.puzzle import Puzzle, Trapdoor
from tests.protocol.forging import (
    SOLVER,
    TASK,
    Forger,
    answer_of,
    challenge_of,
    element,
    honest,
    joined,
    prime_above,
    statement_of,
)


def safe_prime_above(start: int) -> int:
    """A prime p, with p // 2 prime too: but for 1 and -1, every element has an order of p // 2 at least."""
    return next(p for p in count(start + 3, 4) if is_prime(p) and is_prime(p // 2))


BLUM = Trapdoor(safe_prime_above(2**62), safe_prime_above(2**80))
"""The only elements of small order are the four roots of 1."""

SMOOTH = Trapdoor(prime_above(2**30, 2**20), prime_above(2**31, 2**20))
"""Elements of order 2^20 modulo both primes."""

EDGE = Trapdoor(prime_above(2**20 + 1, 2**64), prime_above(2**21 + 1, 2**64))
"""Elements of order 2^64: the most that the last squarings remove."""

BEYOND = Trapdoor(prime_above(2**20 + 1, 2**65), prime_above(2**21 + 1, 2**65))
"""Elements of order 2^65."""

CUBIC = Trapdoor(prime_above(2**60, 6), 2**61 - 1)
"""Elements of order 3."""


# roots of unity may pass, and change nothing


@pytest.mark.parametrize(
    ("trapdoor", "error"),
    [
        (BLUM, joined(BLUM, 1, -1)),
        (SMOOTH, joined(SMOOTH, element(SMOOTH.p, 2**20), 1)),
        (SMOOTH, joined(SMOOTH, element(SMOOTH.p, 2**20), element(SMOOTH.q, 2**20))),
        (SMOOTH, joined(SMOOTH, element(SMOOTH.p, 2), element(SMOOTH.q, 2**7))),
        (EDGE, joined(EDGE, element(EDGE.p, 2**64), 1)),
        (EDGE, joined(EDGE, element(EDGE.p, 2**64), element(EDGE.q, 2**64))),
    ],
    ids=["order-2", "order-2^20", "order-2^20-twice", "orders-2-and-2^7", "order-2^64", "order-2^64-twice"],
)
@pytest.mark.parametrize("squarings", [10**9, 10**9 + 321])
def test_z_off_by_a_root_of_unity_may_pass_and_the_answer_is_right(
    trapdoor: Trapdoor, error: int, squarings: int
) -> None:
    statement = statement_of(squarings, trapdoor)
    forged = Forger(statement, trapdoor, error).forge()
    assert forged.z != honest(statement, trapdoor).z
    assert verify(statement, forged) == answer_of(statement, trapdoor)


def test_the_negative_of_z_is_no_other_claim() -> None:
    statement = statement_of(10_000, BLUM)
    assert Forger(statement, BLUM, -1).forge() == honest(statement, BLUM)


@pytest.mark.parametrize(("p", "q"), [(7, 11), (11, 19), (5, 17), (13, 31)])
@pytest.mark.parametrize("squarings", [64 + 1024, 64 + 1111])
def test_of_all_proofs_of_one_round_only_factors_of_odd_order_pass(p: int, q: int, squarings: int) -> None:
    """Tiny moduli, every z, every midpoint: never -y, nor y times a root of unity."""
    n, base = p * q, next(base for base in count(2) if math.gcd(base, p * q) == 1)
    statement = Statement(Puzzle(squarings, base, n), TASK, SOLVER)
    right = pow(base, 2**squarings, n)
    answers = set(passing(statement))
    assert right in answers
    for answer in answers - {right}:
        wrong_by = answer * pow(right, -1, n) % n
        order = next(i for i in count(1) if pow(wrong_by, i, n) == 1)
        assert order % 2 == 1


def passing(statement: Statement) -> Iterator[int]:
    """The answers of all proofs of one round that pass."""
    numbers = range(1, statement.puzzle.modulus // 2 + 1)
    for proof in (Proof(z, (midpoint,)) for z in numbers for midpoint in numbers):
        try:
            yield verify(statement, proof)
        except BadProof:
            continue


# what only N's maker can forge


def test_an_element_of_small_odd_order_passes_and_spoils_the_answer() -> None:
    """Nobody who does not know the factors is believed able to find one; N's maker is not stopped from it."""
    statement = statement_of(10**9, CUBIC)
    error = joined(CUBIC, element(CUBIC.p, 3), 1)
    got = verify(statement, Forger(statement, CUBIC, error, prime=3).forge())
    assert got == answer_of(statement, CUBIC) * pow(error, 2**64, CUBIC.p * CUBIC.q) % (CUBIC.p * CUBIC.q)
    assert got != answer_of(statement, CUBIC)


def test_order_two_to_the_65_passes_and_makes_the_answer_its_negative() -> None:
    """One more factor of 2 than the last squarings remove; one needs primes that are 1 modulo 2^65."""
    statement = statement_of(10**9, BEYOND)
    error = joined(BEYOND, element(BEYOND.p, 2**65), element(BEYOND.q, 2**65))
    got = verify(statement, Forger(statement, BEYOND, error).forge())
    assert got == BEYOND.p * BEYOND.q - answer_of(statement, BEYOND)


def test_a_modulus_of_special_form_gives_everybody_an_element_of_small_order() -> None:
    """Modulo 2^101 - 1, a product of two large primes, 2 has order 101."""
    mersenne = Trapdoor(7_432_339_208_719, 341_117_531_003_194_129)
    assert mersenne.p * mersenne.q == 2**101 - 1
    statement = statement_of(10**9, mersenne)
    got = verify(statement, Forger(statement, mersenne, 2, prime=101).forge())
    assert got != answer_of(statement, mersenne)


# what nobody can


@pytest.mark.parametrize("error", [2, joined(BLUM, 4, 1), joined(BLUM, 1, 4)], ids=["N", "p", "q"])
def test_an_element_of_large_order_does_not_pass(error: int) -> None:
    statement = statement_of(10_000, BLUM)
    with pytest.raises(BadProof, match="does not hold"):
        verify(statement, Forger(statement, BLUM, error).forge())


class WithoutZ(Challenges):
    """A verifier that forgets to hash z."""

    def __init__(self, statement: Statement, z: int) -> None:
        super().__init__(statement, 0)


class WithoutMidpoints(Challenges):
    """A verifier that forgets to hash midpoints."""

    def draw(self, midpoint: int) -> int:
        return super().draw(0)


def forged_without_work(statement: Statement) -> Proof:
    """Midpoints out of thin air, and the z that they ask for: works where challenges do not depend on z."""
    n, x, exponent = statement.puzzle.modulus, statement.puzzle.base, statement.exponent
    midpoints: list[int] = []
    factor = 1
    for number in range(rounds(statement.puzzle.squarings)):
        midpoints.append(7 + number)
        challenge = challenge_of(statement, 0, midpoints)
        x = pow(x * x if exponent % 2 else x, challenge, n) * midpoints[-1] % n
        factor = factor * pow(midpoints[-1], challenge, n) % n
        exponent //= 2
    z = pow(x, 1 << exponent, n) * pow(factor, -1, n)
    return Proof(representative(z, n), tuple(midpoints))


def test_challenges_that_do_not_hash_z_would_prove_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    statement = statement_of(5000, BLUM)
    with monkeypatch.context() as patched:
        patched.setattr(proofs, "Challenges", WithoutZ)
        forged = forged_without_work(statement)
        assert verify(statement, forged) != answer_of(statement, BLUM)
    with pytest.raises(BadProof, match="does not hold"):
        verify(statement, forged)


def forged_with_foresight(statement: Statement, trapdoor: Trapdoor, error: int, order: int) -> Proof:
    """A first midpoint that swallows any error of odd order: works where its challenge is known before it."""
    n, exponent = statement.puzzle.modulus, statement.exponent
    true = honest(statement, trapdoor)
    z = representative(true.z * error, n)
    challenge = challenge_of(statement, z, [true.midpoints[0]])
    swallows = pow((1 << exponent // 2) - challenge, -1, order)
    x = pow(statement.puzzle.base, 2 if exponent % 2 else 1, n)
    first = representative(trapdoor.power(x, exponent // 2) * pow(error, swallows, n), n)
    midpoints = [first]
    for _ in range(rounds(statement.puzzle.squarings) - 1):
        x = pow(x, challenge_of(statement, z, midpoints), n) * midpoints[-1] % n
        exponent //= 2
        x = x * x % n if exponent % 2 else x
        midpoints.append(representative(trapdoor.power(x, exponent // 2), n))
    return Proof(z, tuple(midpoints))


def test_challenges_that_do_not_hash_midpoints_would_prove_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    statement = statement_of(5000, BLUM)
    order = BLUM.p // 2
    error = joined(BLUM, pow(5, 2, BLUM.p), 1)
    with monkeypatch.context() as patched:
        patched.setattr(proofs, "Challenges", WithoutMidpoints)
        forged = forged_with_foresight(statement, BLUM, error, order)
        assert verify(statement, forged) != answer_of(statement, BLUM)
    with pytest.raises(BadProof, match="does not hold"):
        verify(statement, forged)


def test_midpoints_of_0_would_prove_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    statement = statement_of(5000, BLUM)
    forged = Proof(12_345, (0, 0, 0))
    with monkeypatch.context() as patched:
        patched.setattr(proofs, "_check_form", lambda statement, proof: None)
        patched.setattr(proofs, "_check_coprime", lambda proof, modulus: None)
        assert verify(statement, forged) != answer_of(statement, BLUM)
    with pytest.raises(BadProof, match="a midpoint is not in"):
        verify(statement, forged)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_midpoints_that_are_multiples_of_a_prime_would_prove_anything_modulo_it(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """From round `first` on both sides are 0 modulo p. Modulo q nothing is wrong."""
    statement = statement_of(5000, BLUM)
    n, true = statement.puzzle.modulus, honest(statement, BLUM)
    z = representative(joined(BLUM, 12_345, true.z), n)
    x, exponent, midpoints = statement.puzzle.base, statement.exponent, list[int]()
    for number in range(3):
        x, exponent = (x * x % n if exponent % 2 else x), exponent // 2
        midpoint = BLUM.power(x, exponent)
        midpoints.append(representative(joined(BLUM, 0, midpoint) if number >= first else midpoint, n))
        x = pow(x, challenge_of(statement, z, midpoints), n) * midpoints[-1] % n
    forged = Proof(z, tuple(midpoints))
    with monkeypatch.context() as patched:
        patched.setattr(proofs, "_check_coprime", lambda proof, modulus: None)
        assert verify(statement, forged) != answer_of(statement, BLUM)
    with pytest.raises(BadProof, match="shares a factor"):
        verify(statement, forged)


@pytest.mark.parametrize("prime", [BLUM.p, BLUM.q], ids=["p", "q"])
def test_a_z_that_shares_a_factor_is_refused(prime: int) -> None:
    statement = statement_of(5000, BLUM)
    with pytest.raises(BadProof, match="shares a factor"):
        verify(statement, Proof(7 * prime, honest(statement, BLUM).midpoints))

"""Puzzles: what is made can be solved, blinded and committed to; what cannot be judged is refused by name."""

from __future__ import annotations

import hashlib
import math

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Code, MessageError
from protocol.puzzle import (
    BLINDING_EXTRA_BITS,
    Puzzle,
    Ticket,
    Trapdoor,
    answer_bytes,
    blind,
    check_base,
    check_modulus,
    check_sizes,
    commit,
    difficulty,
    draw_blinding,
    effort_seconds,
    is_prime,
    make_locked,
    make_modulus,
    may_be_prime,
    square_repeatedly,
    unblind,
)

MODULUS, TRAPDOOR = make_modulus(128)
P, Q = TRAPDOOR.p, TRAPDOOR.q
LIMITS = {"squarings_max": 1000, "modulus_bits_min": 96, "modulus_bits_max": 128}


def squared_one_by_one(base: int, squarings: int, modulus: int) -> int:
    value = base
    for _ in range(squarings):
        value = value * value % modulus
    return value


# making


@pytest.mark.parametrize("bits", [64, 66, 128, 512, 1024])
def test_a_modulus_has_exactly_its_size_and_two_primes_that_are_3_mod_4(bits: int) -> None:
    modulus, trapdoor = make_modulus(bits)
    assert modulus.bit_length() == bits
    assert trapdoor.p * trapdoor.q == modulus
    assert trapdoor.p != trapdoor.q
    for prime in (trapdoor.p, trapdoor.q):
        assert prime.bit_length() == bits // 2
        assert prime % 4 == 3
        assert gmpy2.is_prime(prime)


def test_a_modulus_of_full_size_passes_the_servers_checks() -> None:
    modulus, _ = make_modulus(2048)
    assert modulus.bit_length() == 2048
    check_modulus(modulus)


@pytest.mark.parametrize("bits", [-2, 0, 62, 63, 65, 127])
def test_sizes_that_make_no_modulus_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="even number of bits, 64 or more"):
        make_modulus(bits)


def test_no_modulus_is_made_twice() -> None:
    assert make_modulus(64)[0] != make_modulus(64)[0]


def test_secrets_stay_out_of_what_is_printed() -> None:
    puzzle, answer, ticket = make_locked(9, 64)
    shown = repr((puzzle, ticket, TRAPDOOR))
    secrets = [puzzle.base, puzzle.modulus, answer, ticket.base_root, ticket.base_root_inverse_power, P, Q]
    assert not [number for number in secrets if str(number) in shown]


# the power


@settings(max_examples=50)
@given(base=st.integers(0, MODULUS - 1), squarings=st.integers(0, 60))
def test_the_short_cut_and_the_long_way_meet(base: int, squarings: int) -> None:
    expected = squared_one_by_one(base, squarings, MODULUS)
    assert TRAPDOOR.power(base, squarings) == expected
    assert square_repeatedly(base, squarings, MODULUS) == expected


@pytest.mark.parametrize("base", [0, 1, P, Q, MODULUS - 1, MODULUS - P], ids=["0", "1", "p", "q", "-1", "-p"])
def test_the_short_cut_holds_for_bases_that_are_not_coprime(base: int) -> None:
    for squarings in (0, 1, 2, 77):
        assert TRAPDOOR.power(base, squarings) == squared_one_by_one(base, squarings, MODULUS)


def test_the_short_cut_works_where_the_long_way_does_not() -> None:
    one, two = TRAPDOOR.power(3, 2**40), TRAPDOOR.power(3, 2**40 + 1)
    assert two == one * one % MODULUS


def test_the_primes_may_come_in_either_order() -> None:
    assert Trapdoor(Q, P).power(5, 100) == TRAPDOOR.power(5, 100)


# blinding


@settings(max_examples=30)
@given(squarings=st.integers(1, 40), blinding=st.integers(0, 2**200), root=st.integers(2, MODULUS - 2))
def test_a_blinded_answer_gives_the_answer(squarings: int, blinding: int, root: int) -> None:
    if math.gcd(root, MODULUS) != 1:
        return
    base = pow(root, 12_345, MODULUS)
    puzzle = Puzzle(squarings, base, MODULUS)
    ticket = Ticket(root, pow(squared_one_by_one(root, squarings, MODULUS), -1, MODULUS))
    asked = blind(puzzle, ticket, blinding)
    assert (asked.squarings, asked.modulus) == (squarings, MODULUS)
    solved = squared_one_by_one(asked.base, squarings, MODULUS)
    assert unblind(solved, puzzle, ticket, blinding) == squared_one_by_one(base, squarings, MODULUS)


def test_a_locked_puzzle_opens_with_and_without_its_ticket() -> None:
    puzzle, answer, ticket = make_locked(300, 512)
    assert squared_one_by_one(puzzle.base, 300, puzzle.modulus) == answer
    blinding = draw_blinding(puzzle.modulus)
    asked = blind(puzzle, ticket, blinding)
    assert asked.base != puzzle.base
    solved = squared_one_by_one(asked.base, 300, asked.modulus)
    assert solved != answer
    assert unblind(solved, puzzle, ticket, blinding) == answer
    check_modulus(puzzle.modulus)
    check_base(puzzle.base, puzzle.modulus)
    check_base(asked.base, puzzle.modulus)


def test_a_wrong_blinded_answer_gives_a_wrong_answer() -> None:
    puzzle, answer, ticket = make_locked(20, 128)
    blinding = draw_blinding(puzzle.modulus)
    solved = squared_one_by_one(blind(puzzle, ticket, blinding).base, 20, puzzle.modulus)
    assert unblind(solved + 1, puzzle, ticket, blinding) != answer


def test_blindings_are_fresh_and_below_their_bound() -> None:
    drawn = {draw_blinding(MODULUS) for _ in range(50)}
    assert len(drawn) == 50
    assert all(0 <= a < MODULUS << BLINDING_EXTRA_BITS for a in drawn)
    assert max(drawn).bit_length() > 128 + BLINDING_EXTRA_BITS - 16


# commitment, difficulty, effort


@pytest.mark.parametrize("bits", [120, 121, 127, 128])
def test_an_answer_is_hashed_at_exactly_the_length_of_the_modulus(bits: int) -> None:
    modulus = (1 << (bits - 1)) | 1
    length = math.ceil(bits / 8)
    for answer in (1, 255, modulus - 1):
        raw = answer_bytes(answer, modulus)
        assert len(raw) == length
        assert int.from_bytes(raw, "big") == answer
        assert commit(answer, modulus) == hashlib.sha256(raw).digest()


def test_a_commitment_tells_an_answer_from_its_negative() -> None:
    assert commit(5, MODULUS) != commit(MODULUS - 5, MODULUS)


@pytest.mark.parametrize("product", [2**127, 2**127 + 1, 2**128 - 1, 3, 2**2047 + 9])
def test_difficulty_is_the_seeds_formula(product: int) -> None:
    """Seed 000 §7: floor(log2(product) + 1) / t."""
    floor_log2 = max(exponent for exponent in range(product.bit_length() + 1) if 2**exponent <= product)
    assert difficulty(7, product) == (floor_log2 + 1) / 7
    assert difficulty(14, product) < difficulty(7, product)


def test_effort_grows_with_t_and_with_the_square_of_the_size() -> None:
    assert effort_seconds(1_000_000, 2048) == pytest.approx(1.04)
    assert effort_seconds(2_000_000, 2048) == pytest.approx(2.08)
    assert effort_seconds(1_000_000, 4096) == pytest.approx(4.16)


# what is refused


def refused_sizes(squarings: int, modulus: int) -> Code:
    with pytest.raises(MessageError) as caught:
        check_sizes(Puzzle(squarings, 2, modulus), **LIMITS)
    assert caught.value.suggestion
    return caught.value.code


def test_the_number_of_squarings_is_bounded() -> None:
    for squarings in (1, 1000):
        check_sizes(Puzzle(squarings, 2, MODULUS), **LIMITS)
    for squarings in (0, -1, 1001, 2**60):
        assert refused_sizes(squarings, MODULUS) is Code.SQUARINGS_OUT_OF_RANGE


def test_the_size_of_the_product_is_bounded() -> None:
    for modulus in (2**95 + 1, 2**96 - 1, 2**127 + 1, 2**128 - 1):
        check_sizes(Puzzle(1, 2, modulus), **LIMITS)
    for modulus in (0, 1, 2**95 - 1):
        assert refused_sizes(1, modulus) is Code.PRODUCT_TOO_SMALL
    for modulus in (2**128 + 1, 2**200 + 1):
        assert refused_sizes(1, modulus) is Code.PRODUCT_TOO_LARGE


def test_an_even_product_is_refused() -> None:
    assert refused_sizes(1, 2**127) is Code.PRODUCT_EVEN
    assert refused_sizes(1, MODULUS - 1) is Code.PRODUCT_EVEN


def refused_modulus(modulus: int) -> Code:
    with pytest.raises(MessageError) as caught:
        check_modulus(modulus)
    assert str(modulus) not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("factor", [3, 5, 257, 65_519, 65_521])
def test_every_prime_below_two_to_the_sixteen_is_a_small_factor(factor: int) -> None:
    assert refused_modulus(factor * P * Q) is Code.PRODUCT_SMALL_FACTOR


@pytest.mark.parametrize("factor", [65_537, 65_539])
def test_a_prime_above_two_to_the_sixteen_is_none(factor: int) -> None:
    check_modulus(factor * P * Q)


@pytest.mark.parametrize("exponent", [2, 3, 5])
def test_a_perfect_power_is_refused(exponent: int) -> None:
    assert refused_modulus(P**exponent) is Code.PRODUCT_PERFECT_POWER
    assert refused_modulus((P * Q) ** exponent) is Code.PRODUCT_PERFECT_POWER


@pytest.mark.parametrize("prime", [P, 2**127 - 1, 2**521 - 1], ids=["p", "2^127-1", "2^521-1"])
def test_a_prime_is_refused(prime: int) -> None:
    assert refused_modulus(prime) is Code.PRODUCT_PRIME


def test_a_product_of_several_primes_is_taken() -> None:
    check_modulus(MODULUS)
    check_modulus(P * P * Q)


def test_a_composite_never_reaches_the_test_that_holds_the_interpreters_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    is_prime = gmpy2.is_prime

    def look(n: int, rounds: int) -> bool:
        asked.append(int(n))
        return bool(is_prime(n, rounds))

    monkeypatch.setattr(gmpy2, "is_prime", look)
    check_modulus(MODULUS)
    check_modulus(65_537 * P)
    assert asked == []
    assert refused_modulus(P) is Code.PRODUCT_PRIME
    assert asked == [P]


def test_a_carmichael_number_does_not_pass_for_a_prime() -> None:
    # (6k+1)(12k+1)(18k+1), all prime, fools Fermat's test; no factor is below 2^16
    k = next(k for k in range(20_000, 10**6) if all(gmpy2.is_prime(c * k + 1) for c in (6, 12, 18)))
    carmichael = (6 * k + 1) * (12 * k + 1) * (18 * k + 1)
    assert pow(2, carmichael - 1, carmichael) == 1
    check_modulus(carmichael)


@given(st.integers(-5, 100_000))
def test_small_numbers_are_prime_or_not(number: int) -> None:
    assert is_prime(number) == (number > 1 and bool(gmpy2.is_prime(number)))


@pytest.mark.parametrize(
    "number",
    [P, Q, 2**521 - 1, 2**521 + 1, P * Q, P * P, 2**64, 561, 3_215_031_751],
    ids=["p", "q", "2^521-1", "2^521+1", "pq", "pp", "2^64", "561", "3215031751"],
)
def test_large_numbers_are_prime_or_not(number: int) -> None:
    assert is_prime(number) == bool(gmpy2.is_prime(number, 40))
    assert may_be_prime(number) or not is_prime(number)


@pytest.mark.parametrize("pseudoprime", [341, 561, 2047, 3_215_031_751])
def test_what_fools_one_base_does_not_fool_all(pseudoprime: int) -> None:
    assert may_be_prime(pseudoprime)
    assert not is_prime(pseudoprime)


def test_bases_are_in_range() -> None:
    for base in (2, MODULUS - 2):
        check_base(base, MODULUS)
    for base in (-1, 0, 1, MODULUS - 1, MODULUS, MODULUS + 2):
        with pytest.raises(MessageError) as caught:
            check_base(base, MODULUS)
        assert caught.value.code is Code.BASE_OUT_OF_RANGE


@pytest.mark.parametrize("base", [P, Q, 7 * P, MODULUS - Q], ids=["p", "q", "7p", "-q"])
def test_a_base_that_shares_a_factor_is_refused_and_the_factor_not_told(base: int) -> None:
    with pytest.raises(MessageError) as caught:
        check_base(base, MODULUS)
    assert caught.value.code is Code.BASE_NOT_COPRIME
    assert str(math.gcd(base, MODULUS)) not in str(caught.value)

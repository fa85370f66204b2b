"""Checked squaring gives what Python's own pow gives, however the blocks fall, and wherever a bit flips."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.puzzle import make_modulus, square_repeatedly
from vault_solver import blocks
from vault_solver.blocks import CHECKED_MIN, block_squarings, next_block
from vault_solver.calibration import SIZES, calibrate
from vault_solver.gerbicz import Segment
from vault_solver.squaring import REPEATS_MAX, MachineErrs, Squaring, gmp_square
from vault_solver.state import State

MODULUS, TRAPDOOR = make_modulus(512)
LONG = 300_000
"""Squarings that are checked: some thirty milliseconds."""


def solve(squaring: Squaring) -> int:
    while not squaring.finished:
        squaring.advance()
    return squaring.answer


class Flips:
    """Squares rightly but for the calls in `wrong`, whose result has one bit turned. Counts what it does."""

    def __init__(self, wrong: Callable[[int], bool], bit: int = 7) -> None:
        self.calls = self.squarings = 0
        self._wrong = wrong
        self._bit = bit

    def __call__(self, value: mpz, squarings: int, modulus: mpz) -> mpz:
        self.calls += 1
        self.squarings += squarings
        right = gmp_square(value, squarings, modulus)
        return right ^ (mpz(1) << self._bit) if self._wrong(self.calls) else right


class Clock:
    """Goes on by one second each time it is looked at."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


# the answer


@given(base=st.integers(2, 2**128), squarings=st.integers(1, 400), modulus=st.integers(3, 2**128).map(lambda n: n | 1))
def test_a_short_puzzle_gives_what_pow_gives(base: int, squarings: int, modulus: int) -> None:
    squaring = Squaring(base, squarings, modulus)
    assert not squaring.checked
    assert solve(squaring) == pow(base, 1 << squarings, modulus)


@pytest.mark.parametrize("squarings", [CHECKED_MIN - 1, CHECKED_MIN, CHECKED_MIN + 1, LONG])
def test_a_long_puzzle_is_checked_and_right(squarings: int) -> None:
    squaring = Squaring(3, squarings, MODULUS)
    assert squaring.checked == (squarings >= CHECKED_MIN)
    assert solve(squaring) == TRAPDOOR.power(3, squarings)
    assert squaring.errors == 0


@pytest.mark.parametrize("base", [0, 1, 15])
def test_a_base_that_the_check_cannot_tell_anything_of_is_squared_all_the_same(base: int) -> None:
    modulus = 15 * MODULUS
    assert solve(Squaring(base, CHECKED_MIN, modulus)) == square_repeatedly(base, CHECKED_MIN, modulus)


def test_a_modulus_of_one_is_no_trouble() -> None:
    assert solve(Squaring(3, 10, 1)) == 0


# blocks


@given(done=st.integers(0, 10**9), left=st.integers(1, 10**9), longest=st.integers(1, 10**6))
def test_what_is_left_is_shared_out_evenly(done: int, left: int, longest: int) -> None:
    end = done + left
    lengths: list[int] = []
    while done < end and len(lengths) < 50:
        lengths.append(next_block(done, end, longest))
        done += lengths[-1]
    assert done <= end
    assert max(lengths) <= longest
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(("squarings", "most"), [(10**5, 0.036), (10**6, 0.022), (10**7, 0.014), (3 * 10**7, 0.0092)])
def test_blocks_cost_what_the_table_says(squarings: int, most: float) -> None:
    length = block_squarings(squarings, 2048, 30.0)
    products = next((count for largest, count in blocks._TABLES if length <= largest), blocks._LARGEST_TABLE)
    assert length / squarings < 0.01, "the check alone"
    assert blocks.PRODUCT * products / length + length / squarings <= most


@pytest.mark.parametrize("bits", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("squarings", [CHECKED_MIN, 10**7, 10**12])
def test_no_block_keeps_a_worker_from_its_orders_for_long(bits: int, squarings: int) -> None:
    per_second = blocks.between_checks(bits, 1.0)
    assert block_squarings(squarings, bits, 30.0) / per_second < 0.2
    assert block_squarings(squarings, 4, 30.0) <= blocks.BLOCK_MAX


# errors


@pytest.mark.parametrize("call", [1, 2, 10, 40])
@pytest.mark.parametrize("bit", [0, 200, 511])
def test_a_flipped_bit_is_found_rolled_back_and_counted(call: int, bit: int) -> None:
    clean = Flips(lambda _: False)
    solve(Squaring(3, LONG, MODULUS, square=clean))
    flips = Flips(lambda number: number == call, bit)
    squaring = Squaring(3, LONG, MODULUS, square=flips)
    assert solve(squaring) == TRAPDOOR.power(3, LONG)
    assert squaring.errors == 1
    assert flips.calls <= 2 * clean.calls


def test_a_flip_in_the_check_itself_is_only_a_false_alarm() -> None:
    clean = Flips(lambda _: False)
    solve(Squaring(3, LONG, MODULUS, square=clean))
    squaring = Squaring(3, LONG, MODULUS, square=Flips(lambda number: number == clean.calls))
    assert solve(squaring) == TRAPDOOR.power(3, LONG)
    assert squaring.errors == 1


def test_it_goes_back_to_the_last_good_state_and_not_to_the_start() -> None:
    clock, flips = Clock(), Flips(lambda number: number == 120)
    squaring = Squaring(3, LONG, MODULUS, square=flips, check_seconds=20.0, now=clock)
    while not squaring.errors:
        squaring.advance()
    assert squaring.verified.done == squaring.done > LONG // 3
    assert solve(squaring) == TRAPDOOR.power(3, LONG)
    assert flips.squarings < LONG * 1.25


def test_a_value_that_became_zero_is_found() -> None:
    def zero(value: mpz, squarings: int, modulus: mpz) -> mpz:
        zero.calls += 1  # type: ignore[attr-defined]
        return mpz(0) if zero.calls == 5 else gmp_square(value, squarings, modulus)  # type: ignore[attr-defined]

    zero.calls = 0  # type: ignore[attr-defined]
    squaring = Squaring(3, LONG, MODULUS, square=zero)
    assert solve(squaring) == TRAPDOOR.power(3, LONG)
    assert squaring.errors == 1


def test_a_sign_that_turned_is_found() -> None:
    segment = Segment(mpz(3), mpz(MODULUS), gmp_square)
    turned = MODULUS - gmp_square(mpz(3), 100, mpz(MODULUS))
    segment.add(100, turned)
    segment.add(100, gmp_square(turned, 100, mpz(MODULUS)))
    assert not segment.holds()


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12), data=st.data())
def test_blocks_of_any_lengths_hold_unless_one_is_wrong(lengths: list[int], data: st.DataObject) -> None:
    n = mpz(MODULUS)
    wrong = data.draw(st.sampled_from([None, *range(len(lengths))]))
    segment, value = Segment(mpz(5), n, gmp_square), mpz(5)
    for number, length in enumerate(lengths):
        value = gmp_square(value, length, n)
        if number == wrong:
            value ^= 1 << data.draw(st.integers(0, 500))
        segment.add(length, value)
    assert segment.holds() == (wrong is None)


def test_a_machine_that_goes_on_erring_is_given_up() -> None:
    squaring = Squaring(3, LONG, MODULUS, square=Flips(lambda number: number % 3 == 0))
    with pytest.raises(MachineErrs):
        solve(squaring)
    assert squaring.errors == REPEATS_MAX + 1


def test_errors_at_different_places_give_nothing_up() -> None:
    flips = Flips(lambda number: number % 30 == 0)
    squaring = Squaring(3, LONG, MODULUS, square=flips, check_seconds=20.0, now=Clock())
    assert solve(squaring) == TRAPDOOR.power(3, LONG)
    assert squaring.errors > REPEATS_MAX + 1


# states


def test_every_state_is_right_and_can_be_gone_on_with() -> None:
    squaring = Squaring(3, LONG, MODULUS, check_seconds=50.0, now=Clock())
    states: list[State] = []
    while not squaring.finished:
        squaring.advance()
        if not states or squaring.verified is not states[-1]:
            states.append(squaring.verified)
    assert len(states) > 4
    for state in states[::3]:
        assert state.value == TRAPDOOR.power(3, state.done)
        flips = Flips(lambda _: False)
        assert solve(Squaring(3, LONG, MODULUS, start=state, square=flips)) == squaring.answer
        assert flips.squarings <= (LONG - state.done) + block_squarings(LONG, 512, 30.0)


@settings(max_examples=20)
@given(marks=st.lists(st.integers(1, LONG - 1), max_size=8, unique=True).map(sorted), wrong=st.integers(1, 60))
def test_residues_at_marks_are_kept_through_errors_and_restarts(marks: list[int], wrong: int) -> None:
    flips = Flips(lambda number: number == wrong)
    first = Squaring(3, LONG, MODULUS, marks=marks, square=flips, check_seconds=20.0, now=Clock())
    while first.verified.done < LONG // 2:
        first.advance()
    second = Squaring(3, LONG, MODULUS, marks=marks, start=first.verified)
    assert solve(second) == TRAPDOOR.power(3, LONG)
    assert second.verified.kept == tuple((mark, TRAPDOOR.power(3, mark)) for mark in marks)


def test_a_state_shows_nothing_of_a_puzzle() -> None:
    assert repr(State(123_456, 987_654, ((3, 4),))) == "State()"


def test_calibration_names_every_size_and_larger_ones_are_slower() -> None:
    speeds = calibrate(0.03)
    assert list(speeds) == [str(bits) for bits in SIZES]
    assert speeds["512"] > speeds["1024"] > speeds["2048"] > speeds["4096"] > 0

"""How long things take: speeds, deadlines, promises, blame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_server.systems.vault.timing import (
    FASTEST,
    OBSERVABLE_MS,
    SLOWEST,
    DeadlineBounds,
    deadline_ms,
    fastest_ms,
    is_blamed,
    is_credible,
    observe,
    promise_ms,
    squarings_per_second,
)


@pytest.mark.parametrize(
    ("speeds", "bits", "expected"),
    [
        ({}, 2048, None),
        ({"2048": 0}, 2048, None),
        ({"2048": 1000}, 2048, 1000),
        ({"2048": 1000}, 1024, 4000),
        ({"2048": 1000}, 4096, 250),
        ({"1024": 9000, "2048": 1000, "4096": 300}, 2048, 1000),
        ({"1024": 9000, "2048": 1000, "4096": 300}, 1025, 1000 * (2048 / 1025) ** 2),
        ({"1024": 9000, "2048": 1000}, 3072, 1000 * (2048 / 3072) ** 2),
        ({"512": 9000, "2048": 0}, 1024, 2250),
        ({"512": 7, "4096": 3}, 4096, 3),
    ],
)
def test_speed_at_a_size_that_was_not_measured(speeds: dict[str, int], bits: int, expected: float | None) -> None:
    assert squarings_per_second(speeds, bits) == (None if expected is None else pytest.approx(expected))


def deadline_of(
    squarings: int, bits: int, speeds: dict[str, int], observed_speed: float, bounds: DeadlineBounds
) -> int:
    """The deadline of a solver that has announced these speeds."""
    return deadline_ms(squarings, bits, squarings_per_second(speeds, bits), observed_speed, bounds)


BOUNDS = DeadlineBounds(unknown_ms=28_800_000, min_ms=60_000, max_ms=86_400_000, slack=3.0)


@pytest.mark.parametrize(
    ("squarings", "speeds", "expected"),
    [
        (1_000_000, {"2048": 1000}, 3_000_000),
        (1, {"2048": 1000}, 60_000),
        (20_000, {"2048": 1000}, 60_000),
        (20_001, {"2048": 1000}, 60_003),
        (9_600_000, {"2048": 1000}, 28_800_000),
        (9_600_001, {"2048": 1000}, 28_800_000),  # a crawl gets what an unknown speed gets
        (28_800_000, {"2048": 1000}, 28_800_000),
        (1_000_000_000, {"2048": 40_000}, 52_000_000),  # fifty times the reference's 1,040 seconds
        (2**53 - 1, {"2048": 1}, 86_400_000),
        (1, {}, 28_800_000),
        (2**53 - 1, {"2048": 0}, 86_400_000),  # nobody is given less than the work takes
        (20_000_000_000, {}, 62_400_000),
    ],
)
def test_deadlines_have_slack_and_bounds(squarings: int, speeds: dict[str, int], expected: int) -> None:
    assert deadline_of(squarings, 2048, speeds, 0.0, BOUNDS) == expected


def test_an_unknown_speed_is_bounded_too() -> None:
    assert deadline_of(1, 2048, {}, 0.0, DeadlineBounds(1, 60_000, 90_000, 3.0)) == 60_000
    assert deadline_of(1, 2048, {}, 0.0, DeadlineBounds(100_000, 60_000, 90_000, 3.0)) == 90_000


@given(
    st.integers(1, 2**53 - 1),
    st.integers(64, 8192),
    st.dictionaries(st.integers(1, 99_999).map(str), st.integers(0, 2**53 - 1), max_size=16),
)
def test_every_announced_speed_gives_a_deadline_within_bounds(t: int, bits: int, speeds: dict[str, int]) -> None:
    assert BOUNDS.min_ms <= deadline_of(t, bits, speeds, 0.0, BOUNDS) <= BOUNDS.max_ms


def test_what_was_observed_counts_before_what_was_announced() -> None:
    assert deadline_of(1_000_000, 2048, {"2048": 1000}, 10_000.0, BOUNDS) == 300_000
    assert deadline_of(1_000_000, 4096, {"4096": 1000}, 10_000.0, BOUNDS) == 1_200_000  # a quarter of the speed
    assert deadline_of(1_000_000, 2048, {}, 10_000.0, BOUNDS) == 300_000


def test_nobody_gets_less_than_the_fastest_kernel_needs() -> None:
    t = 10**10
    assert deadline_of(t, 2048, {"2048": 2**53 - 1}, 0.0, BOUNDS) == int(3 * fastest_ms(t, 2048))
    assert fastest_ms(t, 2048) == pytest.approx(10_400_000 / FASTEST)


def test_a_promise_without_a_solver_is_that_of_an_unknown_one() -> None:
    assert promise_ms(1, 2048, BOUNDS) == BOUNDS.unknown_ms
    assert promise_ms(20_000_000_000, 2048, BOUNDS) == 62_400_000  # three times the reference's 20,800 seconds
    assert promise_ms(2**53 - 1, 2048, BOUNDS) == BOUNDS.max_ms


@pytest.mark.parametrize(
    ("given_ms", "excused", "blamed"),
    [(52, False, True), (51, False, False), (10**9, False, True), (10**9, True, False)],
)
def test_who_is_blamed_for_a_deadline(given_ms: int, excused: bool, blamed: bool) -> None:
    assert fastest_ms(1_000_000, 2048) == pytest.approx(52)
    assert is_blamed(given_ms=given_ms, squarings=1_000_000, modulus_bits=2048, excused=excused) is blamed


@pytest.mark.parametrize(("taken_ms", "credible"), [(50, False), (51, True), (1000, True)])
def test_an_answer_faster_than_any_kernel_shows_no_work(taken_ms: int, credible: bool) -> None:
    assert is_credible(taken_ms=taken_ms, squarings=1_000_000, modulus_bits=2048) is credible


def test_observing_moves_towards_what_was_seen_and_starts_with_it() -> None:
    assert observe(0.0, taken_ms=2000, squarings=10_000, modulus_bits=2048) == 5000
    assert observe(1000.0, taken_ms=2000, squarings=10_000, modulus_bits=2048) == pytest.approx(2200)
    assert observe(0.0, taken_ms=2000, squarings=10_000, modulus_bits=4096) == 20_000
    assert observe(7.0, taken_ms=OBSERVABLE_MS - 1, squarings=10_000, modulus_bits=2048) == 7.0
    assert observe(7.0, taken_ms=OBSERVABLE_MS, squarings=10_000, modulus_bits=2048) > 7.0


def test_slow_machines_are_waited_for_and_fast_ones_believed_within_reason() -> None:
    assert SLOWEST > 1 < FASTEST

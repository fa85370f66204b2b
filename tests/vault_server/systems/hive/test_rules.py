"""Fees and reputation, by their formulas and at their edges."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from vault_server.systems.hive import rules
from vault_server.systems.hive.rules import Record


def record(completed: int = 5, ratings: tuple[int, ...] = (), **counts: int) -> Record:
    values = {
        "lost": 0,
        "abandoned": 0,
        "ratings": len(ratings),
        "rating_sum": sum(ratings),
        "rating_squares": sum(each * each for each in ratings),
        "quality_sum": sum(ratings),
        "speeds": 0,
        "speed_sum": 0,
        **counts,
    }
    return Record(completed=completed, **values)


@pytest.mark.parametrize(
    ("base", "payment", "fee"),
    [
        (200, 180, 20),
        (10, 9, 1),
        (15, 14, 1),
        (19, 18, 1),
        (20, 18, 2),
        (1, 1, 0),
        (9, 9, 0),
        (10**9, 9 * 10**8, 10**8),
    ],
)
def test_the_fee_is_a_tenth_rounded_down(base: int, payment: int, fee: int) -> None:
    assert rules.settle(base) == rules.Settlement(payment, fee)


@given(st.integers(1, 10**9))
def test_nothing_is_lost_between_payment_and_fee(base: int) -> None:
    settlement = rules.settle(base)
    assert settlement.payment + settlement.fee == base
    assert 0 <= settlement.fee <= base / 10


def test_the_worked_example() -> None:
    assert rules.reputation(record(5, (5, 5, 4, 5, 5), speeds=5, speed_sum=23)) == 94.0


@pytest.mark.parametrize(("completed", "counted"), [(0, False), (4, False), (5, True), (6, True)])
def test_too_little_is_known_below_five_tasks(completed: int, counted: bool) -> None:
    assert (rules.reputation(record(completed, (1, 1), lost=3)) != 50.0) is counted


def test_signals_without_data_count_half() -> None:
    assert rules.reputation(record(5)) == 70.0  # 40 for completing everything, half of the other 60


@pytest.mark.parametrize(
    ("ratings", "consistency"), [((3,), 1.0), ((4, 4, 4), 1.0), ((1, 5), 0.0), ((5, 5, 1, 1), 0.0), ((4, 5), 0.75)]
)
def test_consistency_is_what_stars_do_not_spread(ratings: tuple[int, ...], consistency: float) -> None:
    found = rules.reputation(record(5, ratings))
    quality = (sum(ratings) / len(ratings) - 1) / 4
    assert found == pytest.approx(100 * (0.4 + 0.3 * quality + 0.15 * 0.5 + 0.15 * consistency), abs=0.005)


def test_what_was_lost_or_given_up_counts_against_completion() -> None:
    assert rules.reputation(record(5, lost=3, abandoned=2)) == 50.0
    assert rules.reputation(record(5, lost=5)) == rules.reputation(record(5, abandoned=5))


@given(
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 50),
    st.lists(st.integers(1, 5), max_size=30),
    st.lists(st.integers(1, 5), max_size=30),
)
def test_reputation_stays_within_its_bounds(
    completed: int, lost: int, abandoned: int, ratings: list[int], speeds: list[int]
) -> None:
    counted = record(
        completed, tuple(ratings), lost=lost, abandoned=abandoned, speeds=len(speeds), speed_sum=sum(speeds)
    )
    found = rules.reputation(counted)
    assert 0.0 <= found <= 100.0
    assert found == round(found, 2)


@pytest.mark.parametrize(("ratings", "average"), [((), None), ((5,), 5.0), ((4, 5), 4.5)])
def test_the_average_is_the_mean(ratings: tuple[int, ...], average: float | None) -> None:
    assert rules.average_rating(record(5, ratings)) == average


@pytest.mark.parametrize(("at", "deadline", "late"), [(10, None, False), (10, 10, False), (11, 10, True)])
def test_work_is_late_behind_its_deadline(at: int, deadline: int | None, late: bool) -> None:
    assert rules.is_late(at, deadline) is late


def test_categories_and_their_addresses() -> None:
    assert [rules.slug(name) for name in rules.CATEGORIES] == [
        "coding", "writing", "research", "data-processing", "design", "translation", "general",
    ]  # fmt: skip

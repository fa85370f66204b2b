"""No window of the server's ever holds more than its limit, whatever the network does in between."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.closing import REASONS, reason_of, retry_after
from protocol.errors import CLOSES
from protocol.pacing import CLIENT_LIMIT, SOLVER_LIMIT, WINDOW, Pacer


def pacer(limit: int = 20, window: int = 10) -> Pacer:
    paced = Pacer(SOLVER_LIMIT)
    paced.learn({SOLVER_LIMIT: limit, CLIENT_LIMIT: 7, WINDOW: window})
    return paced


def send(paced: Pacer, count: int, now: float) -> list[int]:
    numbers = []
    for _ in range(count):
        assert paced.wait(now) == 0
        numbers.append(paced.sent())
    return numbers


def test_four_fifths_of_the_limit_may_go_at_once_and_one_more_waits() -> None:
    paced = pacer()
    numbers = send(paced, 16, 100.0)
    assert paced.wait(100.0) == math.inf
    paced.arrived(numbers[0], 101.0)
    assert paced.wait(101.0) == 10.0
    assert paced.wait(110.9) == pytest.approx(0.1)
    assert paced.wait(111.0) == 0


@pytest.mark.parametrize("limits", [{}, {SOLVER_LIMIT: 20}, {WINDOW: 10}, {CLIENT_LIMIT: 20, WINDOW: 10}])
def test_a_server_that_names_no_limit_sets_no_pace(limits: dict[str, int]) -> None:
    paced = Pacer(SOLVER_LIMIT)
    paced.learn(limits)
    send(paced, 1_000, 0.0)
    assert paced.interval(0.4) == 0


def test_a_limit_of_one_lets_one_go() -> None:
    paced = pacer(limit=1)
    [number] = send(paced, 1, 0.0)
    paced.arrived(number, 0.5)
    assert paced.wait(1.0) == pytest.approx(9.5)


def test_a_smaller_share_leaves_room_for_others() -> None:
    paced = pacer()
    send(paced, 8, 0.0)
    assert paced.wait(0.0, share=0.5) == math.inf
    assert paced.wait(0.0) == 0


def test_messages_at_the_interval_of_a_share_stay_within_it() -> None:
    paced = pacer()
    assert paced.interval(0.4) == pytest.approx(1.25)
    assert 10 / paced.interval(0.4) <= 0.4 * 20


def test_what_is_held_waits_even_where_no_limit_is_known() -> None:
    paced = Pacer(SOLVER_LIMIT)
    paced.hold(3.0, 10.0)
    paced.hold(1.0, 10.0)
    assert paced.wait(11.0) == 2.0
    assert paced.wait(13.0) == 0


def test_a_lost_connection_frees_nothing_at_once_and_everything_in_a_window() -> None:
    paced = pacer()
    send(paced, 16, 0.0)
    paced.lost(5.0)
    assert paced.wait(5.0) == 10.0
    assert paced.wait(15.0) == 0
    paced.arrived(1, 15.0)  # a reply that comes after all changes nothing
    send(paced, 16, 15.0)


def test_another_server_may_allow_less() -> None:
    paced = pacer()
    numbers = send(paced, 10, 0.0)
    for number in numbers:
        paced.arrived(number, 1.0)
    paced.learn({SOLVER_LIMIT: 5, WINDOW: 10})
    assert paced.wait(2.0) == pytest.approx(9.0)


@given(st.integers(1, 30), st.integers(1, 20), st.randoms(use_true_random=False))
def test_no_window_of_the_server_holds_more_than_its_limit(limit: int, window: int, chance: random.Random) -> None:
    paced = pacer(limit, window)
    now, last_arrival = 0.0, 0.0
    arrivals: list[float] = []
    replies: list[tuple[float, int]] = []
    for _ in range(150):
        if (wait := paced.wait(now)) == 0:
            # What is sent on one connection arrives in its order, after any delay; so do the replies.
            last_arrival = max(last_arrival, now + chance.choice([0.0, 0.01, 3.0 * window * chance.random()]))
            arrivals.append(last_arrival)
            replies.append((max(last_arrival, replies[-1][0] if replies else 0.0), paced.sent()))
            now += chance.choice([0.0, 0.001, chance.random()])
        else:
            now = min(now + wait, min((at for at, _ in replies), default=math.inf))
        while replies and replies[0][0] <= now:
            _, number = replies.pop(0)
            paced.arrived(number, now)
    for first in range(len(arrivals)):
        within = [at for at in arrivals[first:] if at < arrivals[first] + window]
        assert len(within) <= limit


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0), ("", 0), ("7", 7), ("601", 600), ("9" * 500, 600), ("-1", 0), ("1.5", 0), ("Wed, 21 Oct", 0), ("²", 0)],
)
def test_an_http_answer_may_ask_for_patience_within_bounds(header: str | None, seconds: float) -> None:
    assert retry_after(header) == seconds


def test_every_close_code_has_words() -> None:
    assert set(CLOSES) <= set(REASONS)
    assert {reason_of(code) for code in (None, 4999)} == {
        "the network or the server is gone",
        "the server closed it (4999)",
    }

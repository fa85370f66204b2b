"""What an end keeps between connections: which pushes it is done with, and how long it waits."""

from __future__ import annotations

import pytest

from protocol.errors import CLOSES, ERRORS, Close, Code
from protocol.peer import LASTING, Acknowledged, reconnect_delay


def test_a_higher_number_says_nothing_of_lower_ones() -> None:
    done = Acknowledged()
    done.add(9)
    assert 9 in done
    assert 8 not in done
    done.add(8)
    done.add(8)
    assert 8 in done


def test_only_the_latest_are_kept() -> None:
    done = Acknowledged(kept_max=3)
    for seq in (5, 1, 7):
        done.add(seq)
    assert all(seq in done for seq in (5, 1, 7))
    done.add(2)
    assert 5 not in done
    assert all(seq in done for seq in (1, 7, 2))


@pytest.mark.parametrize("attempt", [1, 2, 5, 8, 9, 20, 10_000])
def test_the_wait_lies_between_half_and_all_of_a_doubling_bound(attempt: int) -> None:
    bound = min(30.0, 0.2 * 2 ** min(attempt - 1, 50))
    assert reconnect_delay(attempt, lambda: 0.0) == pytest.approx(bound / 2)
    assert reconnect_delay(attempt, lambda: 1.0) == pytest.approx(bound)
    assert bound / 2 <= reconnect_delay(attempt) <= bound


def test_waits_differ_between_peers() -> None:
    assert len({reconnect_delay(5) for _ in range(20)}) > 1


def test_every_code_has_its_meaning() -> None:
    assert set(ERRORS) == set(Code)
    assert set(CLOSES) == set(Close)
    assert all(code.value == code.name for code in Code)
    assert all(4000 <= code <= 4999 for code in Close)
    assert set(CLOSES) > LASTING

"""Values counted by size: each falls into the first step that holds it."""

from __future__ import annotations

from vault_server.core.tally import Spread


def test_a_value_falls_into_the_first_step_that_holds_it() -> None:
    spread = Spread([1, 2, 4])
    for value in (0, 1, 1.001, 2, 4, 4.001, 1000):
        spread.add(value)
    assert list(spread.cumulated()) == [("1.0", 2), ("2.0", 4), ("4.0", 5), ("+Inf", 7)]
    assert spread.total == 1012.002


def test_nothing_counted_is_shown_as_such() -> None:
    spread = Spread([0.5])
    assert list(spread.cumulated()) == [("0.5", 0), ("+Inf", 0)]
    assert spread.total == 0

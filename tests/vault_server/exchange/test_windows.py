"""A sliding window at its limit, one above, and at the edge of its span; and how many windows are remembered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vault_server.exchange.windows import Window, Windows


def filled(limit: int, span_ms: int, *times: int) -> Window:
    window = Window(limit, span_ms)
    for time in times:
        assert window.wait_ms(time) == 0
        window.add(time)
    return window


def test_so_many_fit_and_one_more_waits_for_the_oldest() -> None:
    window = filled(3, 10_000, 0, 4_000, 9_000)
    assert window.wait_ms(9_000) == 1_000
    assert window.wait_ms(9_999) == 1
    assert window.wait_ms(10_000) == 0


def test_it_slides() -> None:
    window = filled(2, 1_000, 0, 600, 1_000)
    assert window.wait_ms(1_000) == 600
    assert window.wait_ms(1_600) == 0


def test_what_was_not_let_in_does_not_count() -> None:
    window = filled(1, 1_000, 0)
    assert [window.wait_ms(now) for now in (1, 500, 999, 1_000)] == [999, 500, 1, 0]


@given(st.integers(1, 5), st.integers(1, 50), st.lists(st.integers(0, 30), max_size=60))
def test_no_span_ever_holds_more_than_the_limit_and_none_waits_without_need(
    limit: int, span_ms: int, gaps: list[int]
) -> None:
    window, now, taken = Window(limit, span_ms), 0, list[int]()
    for gap in gaps:
        now += gap
        within = [time for time in taken if now - time < span_ms]
        assert (window.wait_ms(now) == 0) is (len(within) < limit)
        if window.wait_ms(now) == 0:
            window.add(now)
            taken.append(now)


def test_an_idle_window_is_forgotten_when_another_key_comes() -> None:
    windows = Windows(limit=2, span_ms=1_000, keys_max=10)
    windows.of("ann", 0).add(0)
    windows.of("bob", 500).add(500)
    assert windows.of("ann", 999).wait_ms(999) == 0
    windows.of("cid", 1_499)
    assert len(windows) == 3, "bob's has not been silent for a whole span, and ann's stands behind it"
    windows.of("dan", 1_500)
    assert len(windows) == 1, "all that nobody has used for a span are gone"


def test_so_many_keys_are_remembered_and_not_one_more() -> None:
    windows = Windows(limit=1, span_ms=1_000, keys_max=3)
    for name in ("ann", "bob", "cid"):
        windows.of(name, 0).add(0)
    assert windows.of("ann", 1).wait_ms(1) == 999, "all three are remembered"
    windows.of("dan", 1).add(1)
    assert len(windows) == 3
    assert windows.of("ann", 2).wait_ms(2) == 998, "the least recently used one gave way"
    assert windows.of("bob", 2).wait_ms(2) == 0

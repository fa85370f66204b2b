"""Times and spans as operators read and write them."""

from __future__ import annotations

import pytest

from vault_server.operator.times import clock, moment, parse_span, second, span


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h", 3600),
        ("7d", 604_800),
        ("1d12h", 129_600),
        (" 1H30M ", 5400),
        ("0s", 0),
        ("999999999s", 999_999_999),
    ],
)
def test_spans_are_read(text: str, seconds: int) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5", "1.5h", "-1h", "1h1d", "1 h", "١h", "1h" + "0" * 40, "1000000000d"])
def test_what_is_no_span_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 90s, 15m, 1h or 1d12h"):
        parse_span(text)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.00 s"),
        (59_990, "59.99 s"),
        (60_000, "1 min"),
        (200_400, "3 min 20 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (86_400_000, "1 d"),
        (100_000_000, "1 d 3 h"),
        (-5, "-5 ms"),
    ],
)
def test_spans_are_written(ms: int, text: str) -> None:
    assert span(ms) == text


def test_times_are_utc() -> None:
    assert moment(1_700_000_000_123) == "2023-11-14 22:13:20.123"
    assert second(1_700_000_000_123) == "2023-11-14 22:13:20"
    assert clock(1_700_000_000_007) == "22:13:20.007"
    assert moment(None) == second(None) == "-"

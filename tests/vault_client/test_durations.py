"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_client.durations import SECONDS_MAX, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("15s", 15),
        ("10m", 600),
        ("2h", 7_200),
        ("1d12h", 129_600),
        ("1d1h1m1s", 90_061),
        ("90m", 5_400),
        (" 2H ", 7_200),
        (f"{SECONDS_MAX}s", SECONDS_MAX),
    ],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "0s", "10", "3x", "1h1d", "1h 1m", "-1s", "1.5h", "1s1s", f"{SECONDS_MAX + 1}s", "9" * 40 + "s", "٣s"],
)
def test_anything_else_is_refused_and_says_how(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(1, SECONDS_MAX))
def test_what_is_shown_is_read_back_within_its_two_units(seconds: int) -> None:
    shown = format_duration(seconds)
    assert len([letter for letter in shown if letter.isalpha()]) <= 2
    assert seconds * (1 - 1 / 24) < parse_duration(shown) <= seconds


def test_less_than_a_second_is_shown() -> None:
    assert format_duration(0.2) == "0s"

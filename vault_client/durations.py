"""Spans of time as people write them: `15s`, `10m`, `2h`, `1d12h`."""

from __future__ import annotations

import re

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SHAPE = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)

SECONDS_MAX = 100 * 365 * 86_400
"""A hundred years; what is longer is a slip of the keyboard."""


def parse_duration(text: str) -> int:
    """Whole seconds, 1 to SECONDS_MAX. Raises ValueError that says how to write it."""
    match = _SHAPE.fullmatch(text.strip().lower())
    if match is None or len(text) > 32:
        raise ValueError("a duration is written like 15s, 10m, 2h or 1d12h")
    seconds = sum(int(digits) * unit for digits, unit in zip(match.groups("0"), _UNITS.values(), strict=True))
    if not 1 <= seconds <= SECONDS_MAX:
        raise ValueError("a duration is at least one second and at most a hundred years")
    return seconds


def format_duration(seconds: float) -> str:
    """The two largest units, in the form that `parse_duration` reads; less than a second is `0s`."""
    left = round(seconds)
    words: list[tuple[int, str]] = []
    for letter, unit in _UNITS.items():
        count, left = divmod(left, unit)
        if count or words:
            words.append((count, letter))
    return "".join(f"{count}{letter}" for count, letter in words[:2] if count) or "0s"

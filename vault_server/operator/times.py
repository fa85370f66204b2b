"""Times and spans as operators read and write them. Always UTC, as in the log."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SHAPE = re.compile(r"(?=\d)(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_TEXT_MAX = 32


def parse_span(text: str) -> int:
    """Seconds of `90s`, `15m`, `1h`, `1d12h`. Raises ValueError that says how to write it."""
    match = _SHAPE.fullmatch(text.strip().lower())
    if match is None or len(text) > _TEXT_MAX:
        raise ValueError(f"{text[:_TEXT_MAX]!r} is no span of time; write it like 90s, 15m, 1h or 1d12h")
    return sum(int(digits) * unit for digits, unit in zip(match.groups("0"), _UNITS.values(), strict=True))


def span(ms: float) -> str:
    """`350 ms`, `1.25 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if ms < 0:
        return f"-{span(-ms)}"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.2f} s"
    seconds = round(ms / 1000)
    for size, name, part, part_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {name}" + (f" {rest} {part_name}" if rest else "")
    raise AssertionError("a minute or more has one of these units")


def moment(ms: int | None) -> str:
    """`2026-11-21 13:40:02.123`, or a dash."""
    return "-" if ms is None else f"{_utc(ms):%Y-%m-%d %H:%M:%S}.{ms % 1000:03}"


def second(ms: int | None) -> str:
    """`2026-11-21 13:40:02`, or a dash: for times to come, which nobody needs to the millisecond."""
    return "-" if ms is None else f"{_utc(ms):%Y-%m-%d %H:%M:%S}"


def clock(ms: int) -> str:
    """`13:40:02.123`."""
    return f"{_utc(ms):%H:%M:%S}.{ms % 1000:03}"


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC)

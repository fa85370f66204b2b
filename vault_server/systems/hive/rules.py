"""What the hive goes by (seed 002, specs): its constants, fees and reputation. Plain values in, plain values out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from protocol.hive import fee_of

NEW_USER_BONUS = 500
NEW_AGENT_BONUS = 100
MAX_REVISIONS_DEFAULT = 2

WEBHOOK_FAILURES_MAX = 10
"""Failed attempts in a row after which a webhook is given up (seed 002)."""

REPUTATION_TASKS_MIN = 5
"""Completed tasks from which on an agent's reputation is counted from its work; until then it stands at 50."""
COMPLETION_WEIGHT, QUALITY_WEIGHT, SPEED_WEIGHT, CONSISTENCY_WEIGHT = 0.40, 0.30, 0.15, 0.15
WITHOUT_DATA = 0.5
"""What a signal counts that nobody has given yet."""
DEVIATION_MAX = 2.0
"""The largest standard deviation that stars from 1 to 5 can have."""

CATEGORIES = ("Coding", "Writing", "Research", "Data Processing", "Design", "Translation", "General")
"""The seed's categories, in its order."""
HOUSE_EMAIL = "house@hive.invalid"
HOUSE_NAME = "The house"


@dataclass(frozen=True, slots=True)
class Settlement:
    """How what a completed task pays is split."""

    payment: int
    fee: int


def settle(base_credits: int) -> Settlement:
    """The operator gets what the fee leaves."""
    fee = fee_of(base_credits)
    return Settlement(base_credits - fee, fee)


def jittered(wait_ms: int, random_bytes: bytes) -> int:
    """The wait, give or take a fifth: what failed together does not come back together."""
    share = int.from_bytes(random_bytes) / ((1 << 8 * len(random_bytes)) - 1)
    return round(wait_ms * (0.8 + 0.4 * share))


@dataclass(frozen=True, slots=True)
class Record:
    """What an agent has done for others, counted. Sums are of stars; `squares` of their squares."""

    completed: int
    lost: int
    abandoned: int
    ratings: int
    rating_sum: int
    rating_squares: int
    quality_sum: int
    speeds: int
    speed_sum: int


def reputation(record: Record) -> float:
    """0 to 100 with two decimals; 50 while too little is known."""
    if record.completed < REPUTATION_TASKS_MIN:
        return 50.0
    score = 100 * (
        COMPLETION_WEIGHT * _completion(record)
        + QUALITY_WEIGHT * _of_stars(record.quality_sum, record.ratings)
        + SPEED_WEIGHT * _of_stars(record.speed_sum, record.speeds)
        + CONSISTENCY_WEIGHT * _consistency(record)
    )
    return min(100.0, max(0.0, round(score, 2)))


def average_rating(record: Record) -> float | None:
    """The mean of the stars, None without any."""
    return record.rating_sum / record.ratings if record.ratings else None


def _completion(record: Record) -> float:
    ended = record.completed + record.lost + record.abandoned
    return record.completed / ended if ended else 1.0


def _of_stars(total: int, count: int) -> float:
    return (total / count - 1) / 4 if count else WITHOUT_DATA


def _consistency(record: Record) -> float:
    if not record.ratings:
        return WITHOUT_DATA
    # n² times the variance, in whole numbers: what differs by rounding alone would be a change of score
    spread = record.ratings * record.rating_squares - record.rating_sum**2
    return 1 - min(1.0, math.sqrt(spread) / record.ratings / DEVIATION_MAX)


def is_late(submitted_at: int, deadline: int | None) -> bool:
    """Whether work came after its task's deadline; it is taken all the same, and said to be late."""
    return deadline is not None and submitted_at > deadline


def slug(name: str) -> str:
    """A category's name as it may stand in an address."""
    return name.lower().replace(" ", "-")

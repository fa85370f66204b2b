"""How long things take (design §7): speeds, deadlines, promises, and who is blamed when one passes. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from protocol.puzzle import effort_seconds

SLOWEST = 50
"""A solver this many times slower than the reference machine is still waited for."""
FASTEST = 20
"""No kernel is this many times faster than the reference machine: 52 ns for a 2048-bit squaring, about what dedicated
hardware reached."""
OBSERVED_BITS = 2048
OBSERVABLE_MS = 1000
"""An answer that took less says little of its solver's speed: most of it was the way."""
OBSERVED_WEIGHT = 0.3


def squarings_per_second(speeds: Mapping[str, int], modulus_bits: int) -> float | None:
    """What a solver says it does at this size: its nearest larger size, else its largest, scaled by the square."""
    sizes = sorted(int(size) for size, speed in speeds.items() if speed > 0)
    if not sizes:
        return None
    at = bisect_left(sizes, modulus_bits)
    size = sizes[at] if at < len(sizes) else sizes[-1]
    return speeds[str(size)] * (size / modulus_bits) ** 2


@dataclass(frozen=True, slots=True)
class DeadlineBounds:
    """How deadlines are made: milliseconds, and a factor on the solver's own estimate."""

    unknown_ms: int
    min_ms: int
    max_ms: int
    slack: float


def deadline_ms(
    squarings: int, modulus_bits: int, announced: float | None, observed_speed: float, bounds: DeadlineBounds
) -> int:
    """Time a solver gets: what its speed asks for, with slack, within bounds; `promise_ms` when nothing is known of it.

    What was observed counts before what was `announced` for this size (`squarings_per_second`). Who announces more than
    any kernel can do gets what the fastest needs; who announces a crawl gets `unknown_ms`, or what a machine SLOWEST
    times slower than the reference needs: a speed that was only announced must not hold a task for a year.
    """
    rate = observed_speed * (OBSERVED_BITS / modulus_bits) ** 2 if observed_speed else announced
    if rate is None:
        return promise_ms(squarings, modulus_bits, bounds)
    effort_ms = 1000 * effort_seconds(squarings, modulus_bits)
    wanted = int(bounds.slack * max(1000 * squarings / rate, effort_ms / FASTEST))
    patience = max(bounds.unknown_ms, int(SLOWEST * effort_ms))
    return max(bounds.min_ms, min(bounds.max_ms, patience, wanted))


def promise_ms(squarings: int, modulus_bits: int, bounds: DeadlineBounds) -> int:
    """What a solver gets whose speed nobody knows, and what a client is promised while nobody is there."""
    reference_ms = int(1000 * bounds.slack * effort_seconds(squarings, modulus_bits))
    return max(bounds.min_ms, min(bounds.max_ms, max(bounds.unknown_ms, reference_ms)))


def fastest_ms(squarings: int, modulus_bits: int) -> float:
    """Time that the fastest known kernel needs."""
    return 1000 * effort_seconds(squarings, modulus_bits) / FASTEST


def is_blamed(*, given_ms: int, squarings: int, modulus_bits: int, excused: bool) -> bool:
    """Whether an expired assignment counts against its solver: not when the server was down, nor when nobody could have
    done it in the time given."""
    return not excused and given_ms >= fastest_ms(squarings, modulus_bits)


def is_credible(*, taken_ms: int, squarings: int, modulus_bits: int) -> bool:
    """Whether an answer can have been computed in that time; one that cannot shows no work, and earns nothing."""
    return taken_ms + 1 >= fastest_ms(squarings, modulus_bits)


def observe(observed_speed: float, *, taken_ms: int, squarings: int, modulus_bits: int) -> float:
    """A solver's speed at 2048 bits in the light of one more answer; one that took too little time tells nothing."""
    if taken_ms < OBSERVABLE_MS:
        return observed_speed
    seen = 1000 * squarings / taken_ms * (modulus_bits / OBSERVED_BITS) ** 2
    return seen if not observed_speed else observed_speed + OBSERVED_WEIGHT * (seen - observed_speed)

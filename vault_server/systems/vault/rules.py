"""The vault's rules (design §7): plain values in, plain values out. Knows no rows, no time, no randomness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import MappingProxyType

import orjson

from protocol.puzzle import effort_seconds

NEWCOMER_ANSWERS = 5
"""Valid answers before a key ranks by its own reputation."""
NEWCOMER_BAND = 2
"""Until then it ranks as 25, whatever its score."""
NEWCOMER_TURN = 10
"""One second slot in so many goes to a newcomer."""
BAND_WIDTH = 10.0
SLOWEST = 50
"""A solver this many times slower than the reference machine is still waited for."""
SLOTS = 2

INLINE_EFFORT_SECONDS = 1e-4
"""An answer that costs less than this to compute is judged where it arrives; above, in the judges' threads."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A solver that could take a task, as it stood when the choice was made."""

    solver_id: str
    band: int
    reputation: float
    in_hand: int
    last_assigned_ms: int
    address: str
    valid_answers: int
    speeds_text: str

    @property
    def speeds(self) -> Mapping[str, int]:
        """Squarings a second by modulus bits, as the solver announced them."""
        return _parse_speeds(self.speeds_text)

    @property
    def is_newcomer(self) -> bool:
        """Whether it still ranks as a new key."""
        return self.valid_answers < NEWCOMER_ANSWERS


def band(reputation: float, valid_answers: int) -> int:
    """The band of ten points a solver ranks in, 0 to 10."""
    return NEWCOMER_BAND if valid_answers < NEWCOMER_ANSWERS else int(reputation // BAND_WIDTH)


def rank(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Best first (seed 000 §3.2): bands of ten points, then fewest in hand, then longest unserved.

    Strict order by score would give the best few everything and the others nothing.
    """
    return sorted(candidates, key=lambda c: (-c.band, c.in_hand, c.last_assigned_ms, c.solver_id))


def choose(
    ranked: Sequence[Candidate], *, count: int, taken_address: str | None, newcomer: Candidate | None
) -> list[Candidate]:
    """The solvers to ask, at most `count`, from a ranking.

    The second of a task comes from another address than the first where possible (`taken_address` when the first is
    there already), and is `newcomer` when it is a newcomer's turn.
    """
    chosen: list[Candidate] = []
    left = list(ranked)
    if count == SLOTS and left:
        chosen.append(left.pop(0))
        taken_address = chosen[0].address
    if len(chosen) < count:
        others = [c for c in left if all(c.solver_id != taken.solver_id for taken in chosen)]
        if newcomer is not None and all(newcomer.solver_id != taken.solver_id for taken in chosen):
            chosen.append(newcomer)
        elif others:
            chosen.append(next((c for c in others if c.address != taken_address), others[0]))
    return chosen


@lru_cache(4096)
def _parse_speeds(text: str) -> Mapping[str, int]:
    speeds: dict[str, int] = orjson.loads(text)
    return MappingProxyType(speeds)  # shared by all who announce the same


def squarings_per_second(speeds: Mapping[str, int], modulus_bits: int) -> float | None:
    """What a solver says it does at this size: its nearest larger size, else its largest, scaled by the square."""
    sizes = sorted(int(size) for size, speed in speeds.items() if speed > 0)
    if not sizes:
        return None
    size = next((s for s in sizes if s >= modulus_bits), sizes[-1])
    return speeds[str(size)] * (size / modulus_bits) ** 2


@dataclass(frozen=True, slots=True)
class DeadlineBounds:
    """How deadlines are made: milliseconds, and a factor on the solver's own estimate."""

    unknown_ms: int
    min_ms: int
    max_ms: int
    slack: float


def deadline_ms(squarings: int, modulus_bits: int, speeds: Mapping[str, int], bounds: DeadlineBounds) -> int:
    """Time a solver gets: its own estimate with slack, within bounds; `unknown_ms` when nothing is known of it.

    Who announces a crawl gets `unknown_ms`, or what a machine SLOWEST times slower than the reference needs: a speed
    that was only announced must not hold a task for a year.
    """
    rate = squarings_per_second(speeds, modulus_bits)
    wanted = bounds.unknown_ms if rate is None else int(1000 * bounds.slack * squarings / rate)
    patience = max(bounds.unknown_ms, int(1000 * SLOWEST * effort_seconds(squarings, modulus_bits)))
    return max(bounds.min_ms, min(bounds.max_ms, patience, wanted))


class Judgement(Enum):
    """How an answer to a task can be judged; the value is what the client is told."""

    COMPUTED = "computed"
    COMMITMENT = "commitment"
    AGREED = "agreed"


def judgement_for(squarings: int, has_commitment: bool, computed_squarings_max: int) -> Judgement:
    """Computing settles most, a commitment only a right answer; without either, two solvers have to agree."""
    if squarings <= computed_squarings_max:
        return Judgement.COMPUTED
    return Judgement.COMMITMENT if has_commitment else Judgement.AGREED


def is_computed_inline(squarings: int, modulus_bits: int) -> bool:
    """Whether computing the answer is cheap enough for the transaction."""
    return effort_seconds(squarings, modulus_bits) <= INLINE_EFFORT_SECONDS


def slots_to_open(empty_slots: int, num_assignments: int, assignments_max: int) -> int:
    """How many empty slots may still be filled."""
    return max(0, min(empty_slots, assignments_max - num_assignments))

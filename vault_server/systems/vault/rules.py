"""The vault's rules (design §7): plain values in, plain values out. Knows no rows, no time, no randomness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import orjson

from protocol.proof import LAST_SQUARINGS
from protocol.puzzle import effort_seconds
from vault_server.systems.vault.timing import squarings_per_second

NEWCOMER_ANSWERS = 5
"""Valid answers before a key ranks by its own reputation."""
NEWCOMER_BAND = 2
"""Until then it ranks as 25, whatever its score."""
NEWCOMER_TURN = 10
"""One second slot in so many goes to a newcomer."""
BAND_WIDTH = 10.0
TRUSTED_MAX = 1024
SLOTS = 2

INLINE_EFFORT_SECONDS = 1e-4
"""An answer that costs less than this to compute is judged where it arrives; above, by a worker process."""


class Candidate(NamedTuple):
    """A solver that could take a task, as it stood when the choice was made. A tuple: up to sixteen are made a task."""

    solver_id: str
    band: int
    reputation: float
    in_hand: int
    last_assigned_ms: int
    address: str
    speeds_text: str
    observed_speed: float

    def announced_speed(self, modulus_bits: int) -> float | None:
        """Squarings a second at this size, by what the solver announced; None when that is nothing."""
        return _announced_speed(self.speeds_text, modulus_bits)


def band(reputation: float, valid_answers: int) -> int:
    """The band of ten points a solver ranks in, 0 to 10; a newcomer that has failed does not rank above its score.

    Band 0 is distrusted: a client's task goes there only when nobody better is left to wait for (queries.sql). Else
    liars, who are done at once, would use up the assignments of every task while the others are at work.
    """
    own = int(reputation // BAND_WIDTH)
    return min(NEWCOMER_BAND, own) if valid_answers < NEWCOMER_ANSWERS else own


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
    chosen = list(ranked[:1]) if count == SLOTS else []
    if chosen:
        taken_address = chosen[0].address
    if len(chosen) < count:
        taken = {solver.solver_id for solver in chosen}
        others = [solver for solver in ranked if solver.solver_id not in taken]
        if newcomer is not None and newcomer.solver_id not in taken:
            others.insert(0, newcomer)
        if others:
            chosen.append(next((solver for solver in others if solver.address != taken_address), others[0]))
    return chosen


@lru_cache(4096)
def _announced_speed(speeds_text: str, modulus_bits: int) -> float | None:
    return squarings_per_second(orjson.loads(speeds_text), modulus_bits)


def trusted_more(trusted: int) -> int:
    """Tasks at once that one more valid answer earns: a new key starts with one."""
    return min(TRUSTED_MAX, 2 * trusted)


def trusted_less(trusted: int) -> int:
    """What is left after a missed deadline or a wrong answer."""
    return max(1, trusted // 2)


class Judgement(Enum):
    """How an answer to a task can be judged; the value is what the client is told."""

    COMPUTED = "computed"
    COMMITMENT = "commitment"
    PROOF = "proof"
    AGREED = "agreed"
    KNOWN = "known"
    """The puzzle is the server's own, and it knows the answer."""


def judgement_for(squarings: int, *, has_commitment: bool, wants_proof: bool, computed_squarings_max: int) -> Judgement:
    """Computing settles most, then a proof; a commitment settles only a right answer. Without any of them, two solvers
    have to agree. Nothing is proved where t is LAST_SQUARINGS or less: that is always computed."""
    if squarings <= max(computed_squarings_max, LAST_SQUARINGS):
        return Judgement.COMPUTED
    if has_commitment:
        return Judgement.COMMITMENT
    return Judgement.PROOF if wants_proof else Judgement.AGREED


def trap_budget(clients_effort: float, traps_effort: float, share: float) -> float:
    """Effort that one more trap may cost: all of them together stay below `share` of what clients asked for."""
    return share * clients_effort - traps_effort


def late_ms(first_taken_ms: int) -> int:
    """How long after the first answer another one, proved, still counts as good: a tenth of the first one's time."""
    return first_taken_ms // 10


def is_computed_inline(squarings: int, modulus_bits: int) -> bool:
    """Whether computing the answer is cheap enough for the transaction."""
    return effort_seconds(squarings, modulus_bits) <= INLINE_EFFORT_SECONDS


def slots_to_open(empty_slots: int, num_assignments: int, assignments_max: int) -> int:
    """How many empty slots may still be filled."""
    return max(0, min(empty_slots, assignments_max - num_assignments))


# complaints


def rule_wrong_answer(judged_by: str, *, has_factor: bool) -> str | None:
    """Why a complaint of a wrong answer is rejected without more ado, or None when there is more to hear or compute."""
    if judged_by == Judgement.COMPUTED.value:
        return "the server computed this answer itself"
    if judged_by == Judgement.COMMITMENT.value and not has_factor:
        return "the answer matches the commitment given at submission"
    if judged_by == Judgement.PROOF.value and not has_factor:
        return "the server checked a proof of this answer, which was given to you with it"
    return None


def rule_by_record(
    kind: str, *, status: str, promised_by_ms: int, answered_ms: int | None, missed: int
) -> tuple[str, str]:
    """The event and the reason for a complaint of `late` or `no_answer`, from what is written down.

    `missed` counts the task's assignments that expired. Asked once the promised time has passed, or the task has ended.
    A task that failed after it was answered has lost its answer to a complaint.
    """
    if kind == "no_answer":
        if answered_ms is not None and status != "failed":
            return "reject", "the task has an answer"
        return "uphold", f"no answer in the promised time; {missed} of its solvers missed their deadline"
    if answered_ms is not None and answered_ms <= promised_by_ms:
        return "reject", "the answer came before the promised time"
    when = "and there is none yet" if answered_ms is None else f"by {(answered_ms - promised_by_ms) / 1000:.0f} s"
    return "uphold", f"the promised time was missed {when}"


# standing


class Evidence(StrEnum):
    """What moves a score; the value is the reason that stands in `score_history`."""

    VALID_ANSWER = "valid answer"
    ANSWER_REFUTED = "answer proved wrong"
    PROOF_MISSING = "required proof not supplied"
    CHECKPOINT_REFUTED = "relayed checkpoint proved wrong"
    ANSWER_WITHDRAWN = "answer withdrawn after a complaint"
    DEADLINE_MISSED = "deadline missed"
    COMPLAINT_UPHELD = "complaint upheld"
    COMPLAINT_REJECTED = "complaint rejected"
    REPEATED_VIOLATIONS = "repeated violations of the rate limit"


class Weight(NamedTuple):
    """How much one piece of evidence says."""

    good: float
    bad: float


WEIGHTS: Mapping[Evidence, Weight] = MappingProxyType(
    {
        Evidence.VALID_ANSWER: Weight(1, 0),
        Evidence.ANSWER_REFUTED: Weight(0, 20),
        Evidence.PROOF_MISSING: Weight(0, 20),
        Evidence.CHECKPOINT_REFUTED: Weight(0, 20),
        Evidence.ANSWER_WITHDRAWN: Weight(0, 5),
        Evidence.DEADLINE_MISSED: Weight(0, 2),
        Evidence.COMPLAINT_UPHELD: Weight(0, 1),
        Evidence.COMPLAINT_REJECTED: Weight(0, 2),
        Evidence.REPEATED_VIOLATIONS: Weight(0, 3),
    }
)
"""All of them. A missed deadline weighs before any complaint; `late` and `no_answer` add what they cost the client."""

COSTS_TRUST = frozenset(
    {
        Evidence.ANSWER_REFUTED,
        Evidence.PROOF_MISSING,
        Evidence.CHECKPOINT_REFUTED,
        Evidence.ANSWER_WITHDRAWN,
        Evidence.DEADLINE_MISSED,
    }
)
"""After these a solver is trusted with half as many tasks at once."""

HALF_LIFE_MS = 60 * 24 * 3600 * 1000
"""Evidence weighs half as much after this."""


@dataclass(frozen=True, slots=True)
class Record:
    """The weighed evidence on one key, as it was worth at `at_ms`."""

    good: float
    bad: float
    at_ms: int

    def with_evidence(self, weight: Weight, now_ms: int) -> Record:
        """The record after one more piece of evidence; what was there has faded since."""
        faded = 0.5 ** (max(0, now_ms - self.at_ms) / HALF_LIFE_MS)
        return Record(self.good * faded + weight.good, self.bad * faded + weight.bad, now_ms)

    @property
    def score(self) -> float:
        """0 to 100; 50 when nothing is known."""
        return 100 * (self.good + 1) / (self.good + self.bad + 2)

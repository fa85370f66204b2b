"""What the subnet goes by (seed 001, specs): plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from protocol import json_text
from protocol.subnet import NEGATIVE_COMPLETION, SIDES
from vault_server.exchange.standing import DECIMALS

WEIGHT_MIN = 0.05
TRAP_COST = 0.4
"""What a vote for a completion that is known to be bad costs, in shares of the scale."""
EXPIRY_COST = 1.0
VIOLATION_COST = 1.0
"""Points for repeated violations of the rate limit (seed 000 §3.4)."""
CANDIDATES_MAX = 64
"""Miners looked at for one task."""


class Reason(StrEnum):
    """Why a reputation moved, as `score_history.reason` says."""

    GENERATOR_VOTES = "generator_votes"
    AGREED_REFERENCE = "discriminator_agreed_reference"
    FELL_FOR_TRAP = "discriminator_chose_negative"
    NO_VOTE = "discriminator_did_not_vote"
    TASK_EXPIRED = "task_expired"
    VIOLATIONS = "repeated_violations"


@dataclass(frozen=True, slots=True)
class CountedVote:
    """One vote as it is counted: whose, how heavy, for whose completion (`validator` or `miner`)."""

    hotkey: str
    weight: float
    chosen: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a reputation is to move by, before it is kept within 0 and 100."""

    hotkey: str
    amount: float
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A miner who is there, as the choice sees him."""

    hotkey: str
    open_tasks: int
    reputation: float


def weight(reputation: float) -> float:
    """What a vote weighs: a hundredth of the reputation, never nothing. The schema's triggers say the same."""
    return max(WEIGHT_MIN, reputation / 100)


def choose_miner(candidates: Sequence[Candidate], draw: Callable[[int], int]) -> Candidate | None:
    """Fewest open assignments, then highest reputation, then by lot: `draw(count)` gives a number below `count`."""
    if not candidates:
        return None
    best = min((each.open_tasks, -each.reputation) for each in candidates)
    equals = [each for each in candidates if (each.open_tasks, -each.reputation) == best]
    return equals[draw(len(equals))]


def settle(
    votes: Sequence[CountedVote],
    *,
    miner: str,
    author: str,
    negative: str | None,
    scale: float,
    votes_min: int,
    silent: Sequence[str] = (),
    no_vote_total: float = 0.0,
) -> list[Change]:
    """What the votes on one task change, in the order in which it is to be written: by hotkey.

    `author` submitted for the `miner`; `negative` is the side known to be bad; `silent` were asked and did not vote.
    Nothing below `votes_min` votes.
    """
    if len(votes) < votes_min:
        return []
    if negative is not None:
        changes = [Change(v.hotkey, -TRAP_COST * scale, Reason.FELL_FOR_TRAP) for v in votes if v.chosen == negative]
    else:
        changes = _shares(votes, miner, author, scale)
    if silent and no_vote_total:
        changes += [Change(hotkey, -no_vote_total / len(silent), Reason.NO_VOTE) for hotkey in silent]
    rounded = [Change(each.hotkey, round(each.amount, DECIMALS), each.reason) for each in changes]
    return sorted((each for each in rounded if each.amount), key=lambda each: (each.hotkey, each.reason))


def _shares(votes: Sequence[CountedVote], miner: str, author: str, scale: float) -> list[Change]:
    """The scale is split: the miner gets the weight that he convinced, who recognised the reference his own."""
    total = sum(vote.weight for vote in votes)
    convinced = sum(vote.weight for vote in votes if vote.chosen == "miner")
    reason = Reason.GENERATOR_VOTES.value if author == miner else f"{Reason.GENERATOR_VOTES}, by contributor {author}"
    agreed = [
        Change(vote.hotkey, scale * vote.weight / total, Reason.AGREED_REFERENCE)
        for vote in votes
        if vote.chosen == "validator"
    ]
    return [Change(miner, scale * convinced / total, reason), *agreed]


def blames_miner(*, has_mined: bool, given_ms: int, fair_ms: int) -> bool:
    """Whether an expiry will count against the miner: not when it never said that it mines, nor in next to no time.

    Else anybody could cost a rival its reputation by naming it in tasks that end at once.
    """
    return has_mined and given_ms >= fair_ms


def is_late(now_ms: int, expire_at: int) -> bool:
    """Whether a submission comes too late: at `expire_at` it does."""
    return now_ms >= expire_at


def status_now(status: str, expire_at: int, now_ms: int) -> str:
    """The status as it is shown: a task is over at `expire_at`, whether or not that was written down yet."""
    return "expired" if status == "assigned" and is_late(now_ms, expire_at) else status


def negative_of(metadata: Mapping[str, Any]) -> str | None:
    """Which completion the validator knows to be bad; None: neither. Raises ValueError for any other word."""
    negative = metadata.get(NEGATIVE_COMPLETION)
    if negative is None and NEGATIVE_COMPLETION not in metadata:
        return None
    if negative not in SIDES:
        raise ValueError(f"{NEGATIVE_COMPLETION} is {' or '.join(SIDES)}")
    return str(negative)


def public_metadata(text: str) -> str:
    """A task's metadata without what only its validator may know before the task is scored; canonical JSON both."""
    metadata = json_text.read(text)
    if NEGATIVE_COMPLETION not in metadata:
        return text
    return json_text.canonical({key: value for key, value in metadata.items() if key != NEGATIVE_COMPLETION})


def prompt_of(text: str) -> str:
    """What voters see of a task's metadata: its `prompt`, or all that is public where it has none; canonical JSON."""
    prompt = json_text.read(text).get("prompt")
    return public_metadata(text) if prompt is None else json_text.canonical(prompt)


def reference_label(draw: bytes) -> str:
    """Under which label one voter sees the validator's completion; `draw` is random for him and the task."""
    return "ab"[draw[0] & 1]


def other(label: str) -> str:
    """The other of the two labels."""
    return "b" if label == "a" else "a"

"""What a push lets a participant send beside its rate limit, once each: an answer, a vote."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from protocol import subnet as wire


def of_assignment(push: wire.TaskAssigned) -> Iterable[Hashable]:
    """Answer it; look at it first where it was too large for the push."""
    answer: Hashable = ("submit_completion", push.task_id)
    return (answer,) if push.task_metadata is not None else (answer, ("get_task", push.task_id))


def of_vote(push: wire.VoteRequested) -> Iterable[Hashable]:
    """Judge it; look at it first where it was too large for the push."""
    vote: Hashable = ("vote", push.task_id)
    return (vote,) if push.a is not None else (vote, ("get_task", push.task_id))


USES: Mapping[type, Callable[[Any], Hashable]] = {
    wire.SubmitCompletion: lambda order: ("submit_completion", order.task_id),
    wire.Vote: lambda order: ("vote", order.task_id),
    wire.GetTask: lambda order: ("get_task", order.task_id),
}
"""What an order uses up."""

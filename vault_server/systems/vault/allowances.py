"""What a push lets a solver send beside its rate limit, once each: an acceptance, an answer, a word on a complaint."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from protocol import vault as wire


def of_offer(push: wire.PuzzleOffered) -> Iterable[Hashable]:
    """Accept it and answer it."""
    return ("accept", push.assignment), ("tlp_response", push.assignment)


def of_complaint(push: wire.ComplaintRaised) -> Iterable[Hashable]:
    """Respond to it."""
    return (("complaint_response", push.complaint, push.assignment),)


def of_ended(push: wire.AssignmentEnded) -> Iterable[Hashable]:
    """There is nothing left to accept, nor to answer unless a late answer still counts."""
    accepting, answering = ("accept", push.assignment), ("tlp_response", push.assignment)
    return (accepting,) if push.late_until is not None else (accepting, answering)


USES: Mapping[type, Callable[[Any], Hashable]] = {
    wire.AcceptAssignment: lambda order: ("accept", order.assignment),
    wire.SubmitAnswer: lambda order: ("tlp_response", order.assignment),
    wire.ReturnAssignment: lambda order: ("tlp_response", order.assignment),  # instead of an answer
    wire.RespondToComplaint: lambda order: ("complaint_response", order.complaint, order.assignment),
}
"""What an order uses up."""

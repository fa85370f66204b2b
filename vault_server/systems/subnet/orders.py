"""Orders that the server gives itself: it starts, a key has gone, time has passed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartServing:
    """The server starts: nobody is here yet."""


@dataclass(frozen=True, slots=True)
class ExcuseParticipants:
    """The server was not there for a while, so nobody could answer or vote."""


@dataclass(frozen=True, slots=True)
class LeaveParticipant:
    """The participant's last connection is gone; the caller is the participant."""


@dataclass(frozen=True, slots=True)
class ExpireTask:
    """A task's `expire_at` has passed."""

    task_id: int


@dataclass(frozen=True, slots=True)
class CloseVoting:
    """A task's `voting_closes_at` has passed."""

    task_id: int

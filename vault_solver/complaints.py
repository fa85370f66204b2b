"""What this solver does about complaints, rulings and its standing: it responds by itself, and says so in the log."""

from __future__ import annotations

from typing import Any

from protocol.envelope import Message
from protocol.vault import ComplaintHeard, ComplaintRaised, ComplaintRuled, RespondToComplaint, StandingChanged
from vault_solver.effects import Acknowledge, Effect, Note, Request

STANDS_BY = "stands_by"
"""Nothing is kept that an answer could be compared with, and the squarings were checked as they were done."""


class Complaints:
    """Those whose response the server has not confirmed. Their pushes are acknowledged after that, not before."""

    def __init__(self) -> None:
        self._seqs: dict[int, int] = {}

    def opened(self) -> None:
        """A new connection brings again what was not acknowledged."""
        self._seqs.clear()

    def raised(self, raised: ComplaintRaised, seq: int) -> list[Effect]:
        """Respond."""
        self._seqs[raised.complaint] = seq
        fields = {"complaint": raised.complaint, "assignment": raised.assignment, "kind": raised.kind}
        response = RespondToComplaint(complaint=raised.complaint, assignment=raised.assignment, response=STANDS_BY)
        return [Note("complaint.raised", fields, "warning"), Request(response)]

    def due(self, response: RespondToComplaint) -> list[Effect]:
        """A refused response's time has come."""
        return [Request(response)] if response.complaint in self._seqs else []

    def heard(self, heard: ComplaintHeard) -> list[Effect]:
        """The response is on the server's disk."""
        note = Note("complaint.heard", {"complaint": heard.complaint, "response": heard.response})
        return [note, *self.put_aside(heard.complaint)]

    def put_aside(self, complaint: int) -> list[Effect]:
        """There is nothing more to say to this one."""
        seq = self._seqs.pop(complaint, None)
        return [] if seq is None else [Acknowledge(seq)]


def note_of(push: Message) -> Note:
    """The line of the log for a push that needs nothing but to be known."""
    match push:
        case ComplaintRuled():
            names = ("complaint", "assignment", "task", "kind", "ruling", "reason")
            return Note("complaint.ruled", _fields(push, names), "warning" if push.ruling == "upheld" else "info")
        case StandingChanged():
            return Note("standing.changed", _fields(push, ("reputation_score", "score_change", "reason", "task")))
        case other:
            return Note("message.unexpected", {"type": other.SHAPE.wire_type}, "warning")


def _fields(push: Message, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(push, name)) is not None}

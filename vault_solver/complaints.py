"""What this solver does about complaints, rulings and its standing: it responds by itself, and says so in the log.

Where a proof can still be made of an answer that went out without one, that proof decides: with it the solver stands by
its answer, or withdraws it when it proves another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from protocol.envelope import Message
from protocol.vault import ComplaintHeard, ComplaintRaised, ComplaintRuled, RespondToComplaint, StandingChanged
from vault_solver.effects import Acknowledge, Effect, Examine, Note, Request

STANDS_BY, WITHDRAWS = "stands_by", "withdraws"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of looking into an answer. Without a proof the solver stands by it: its squarings were checked as they
    were done. `reason` is for the log."""

    complaint: int
    assignment: int
    response: str
    reason: str
    proof: bytes = field(default=b"", repr=False)


class Complaints:
    """Those whose response the server has not confirmed. Their pushes are acknowledged after that, not before."""

    def __init__(self) -> None:
        self._seqs: dict[int, int] = {}
        self._responses: dict[int, RespondToComplaint] = {}
        self._asked: set[int] = set()

    def opened(self) -> None:
        """A new connection brings again what was not acknowledged."""
        self._seqs.clear()

    def raised(self, raised: ComplaintRaised, seq: int) -> list[Effect]:
        """Look into it, once, and respond."""
        number = raised.complaint
        self._seqs[number] = seq
        fields = {"complaint": number, "assignment": raised.assignment, "kind": raised.kind}
        note = Note("complaint.raised", fields, "warning")
        if raised.kind != "wrong_answer":
            self._responses[number] = _response(Finding(number, raised.assignment, STANDS_BY, ""))
        if number in self._responses:
            return [note, Request(self._responses[number])]
        if number in self._asked:
            return [note]
        self._asked.add(number)
        return [note, Examine(number, raised.assignment, raised.respond_by)]

    def examined(self, finding: Finding) -> list[Effect]:
        """It has been looked into: respond, now or when the push comes again."""
        number = finding.complaint
        self._asked.discard(number)
        response = self._responses[number] = _response(finding)
        fields = {
            "complaint": number,
            "assignment": finding.assignment,
            "response": finding.response,
            "proved": bool(finding.proof),
            "reason": finding.reason,
        }
        note = Note("complaint.examined", fields, "warning" if finding.response == WITHDRAWS else "info")
        return [note, *self.due(response)]

    def due(self, response: RespondToComplaint) -> list[Effect]:
        """A response may go out, or a refused one again."""
        return [Request(response)] if response.complaint in self._seqs else []

    def heard(self, heard: ComplaintHeard) -> list[Effect]:
        """The response is on the server's disk."""
        note = Note("complaint.heard", {"complaint": heard.complaint, "response": heard.response})
        return [note, *self.put_aside(heard.complaint)]

    def put_aside(self, complaint: int) -> list[Effect]:
        """There is nothing more to say to this one."""
        self._responses.pop(complaint, None)
        seq = self._seqs.pop(complaint, None)
        return [] if seq is None else [Acknowledge(seq)]


def _response(finding: Finding) -> RespondToComplaint:
    return RespondToComplaint(
        complaint=finding.complaint,
        assignment=finding.assignment,
        response=finding.response,
        proof=finding.proof or None,
    )


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

"""A complaint is responded to, a ruling and a change of standing are logged; each push ends when it is safe."""

from __future__ import annotations

import pytest

from protocol.envelope import Envelope
from protocol.errors import Code
from protocol.vault import ComplaintHeard, ComplaintRaised, ComplaintRuled, RespondToComplaint, StandingChanged
from tests.vault_solver.test_agent import acts, ready_agent, refusal
from vault_solver.complaints import STANDS_BY, WITHDRAWS, Finding
from vault_solver.effects import Acknowledge, Examine, Note, Request, Retry

TASK = "ab" * 16
RAISED = ComplaintRaised(complaint=4, assignment=7, kind="wrong_answer", respond_by=99)
RESPONSE = RespondToComplaint(complaint=4, assignment=7, response="stands_by")
UNPROVED = Finding(4, 7, STANDS_BY, "nothing is kept")
PROVED = Finding(4, 7, STANDS_BY, "a proof shows it to be right", b"proof")
WRONG = Finding(4, 7, WITHDRAWS, "a proof shows another answer")


@pytest.mark.parametrize(
    ("finding", "response", "proof"),
    [(UNPROVED, "stands_by", None), (PROVED, "stands_by", b"proof"), (WRONG, "withdraws", None)],
    ids=["unproved", "proved", "wrong"],
)
def test_an_answer_that_is_called_wrong_is_looked_into_once_and_responded_to(
    finding: Finding, response: str, proof: bytes | None
) -> None:
    agent = ready_agent()
    assert acts(agent.pushed(Envelope(RAISED, seq=50))) == [Examine(4, 7, 99)]
    agent.opened()
    assert acts(agent.pushed(Envelope(RAISED, seq=50))) == [], "it is being looked into"
    expected = Request(RespondToComplaint(complaint=4, assignment=7, response=response, proof=proof))
    note, request = agent.examined(finding)
    assert request == expected
    assert isinstance(note, Note)
    assert (note.event, note.fields["proved"]) == ("complaint.examined", proof is not None)
    agent.opened()
    assert acts(agent.pushed(Envelope(RAISED, seq=50))) == [expected], "and not looked into again"


def test_what_is_found_out_while_away_is_said_when_the_push_comes_again() -> None:
    agent = ready_agent()
    agent.pushed(Envelope(RAISED, seq=50))
    agent.opened()
    assert acts(agent.examined(UNPROVED)) == []
    assert acts(agent.pushed(Envelope(RAISED, seq=50))) == [Request(RESPONSE)]


@pytest.mark.parametrize("kind", ["late", "no_answer"])
def test_what_no_proof_can_settle_is_responded_to_at_once(kind: str) -> None:
    raised = ComplaintRaised(complaint=4, assignment=7, kind=kind, respond_by=99)
    assert acts(ready_agent().pushed(Envelope(raised, seq=50))) == [Request(RESPONSE)]


def test_a_complaint_is_responded_to_and_acknowledged_once_that_is_heard() -> None:
    agent = ready_agent()
    agent.pushed(Envelope(RAISED, seq=50))
    assert acts(agent.examined(UNPROVED)) == [Request(RESPONSE)]
    heard = ComplaintHeard(complaint=4, response="stands_by")
    assert acts(agent.replied(RESPONSE, heard)) == [Acknowledge(50)]
    assert acts(agent.replied(RESPONSE, heard)) == []


def test_a_response_that_is_lost_is_sent_again_when_the_push_comes_again() -> None:
    agent = ready_agent()
    agent.pushed(Envelope(RAISED, seq=50))
    agent.examined(UNPROVED)
    assert len(agent.opened()) == 1, "the status alone"
    assert agent.due(RESPONSE) == []
    assert acts(agent.pushed(Envelope(RAISED, seq=50))) == [Request(RESPONSE)]


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.TOO_MANY_PROOFS])
def test_a_response_refused_for_now_goes_again_and_one_refused_for_good_ends_the_push(code: Code) -> None:
    agent = ready_agent()
    agent.pushed(Envelope(RAISED, seq=50))
    agent.examined(UNPROVED)
    assert acts(agent.replied(RESPONSE, refusal(code, 70))) == [Retry(RESPONSE, 0.07)]
    assert agent.due(RESPONSE) == [Request(RESPONSE)]
    assert acts(agent.replied(RESPONSE, refusal(Code.COMPLAINT_ENDED))) == [Acknowledge(50)]
    assert agent.due(RESPONSE) == []


@pytest.mark.parametrize(("ruling", "level"), [("upheld", "warning"), ("rejected", "info"), ("undecided", "info")])
def test_a_ruling_is_logged_and_acknowledged(ruling: str, level: str) -> None:
    ruled = ComplaintRuled(complaint=4, task=TASK, kind="late", ruling=ruling, reason="It was late.", assignment=7)
    note, end = ready_agent().pushed(Envelope(ruled, seq=51))
    assert isinstance(note, Note)
    assert (note.event, note.level, note.fields["ruling"], note.fields["reason"]) == (
        "complaint.ruled",
        level,
        ruling,
        "It was late.",
    )
    assert end == Acknowledge(51)


def test_a_change_of_standing_is_logged_and_acknowledged() -> None:
    changed = StandingChanged(standing="solver", reputation_score=48.5, score_change=-1.5, reason="Late.")
    fields = {"reputation_score": 48.5, "score_change": -1.5, "reason": "Late."}
    assert ready_agent().pushed(Envelope(changed, seq=52)) == [Note("standing.changed", fields), Acknowledge(52)]

"""A complaint is responded to, a ruling and a change of standing are logged; each push ends when it is safe."""

from __future__ import annotations

import pytest

from protocol.envelope import Envelope
from protocol.errors import Code
from protocol.vault import ComplaintHeard, ComplaintRaised, ComplaintRuled, RespondToComplaint, StandingChanged
from tests.vault_solver.test_agent import acts, ready_agent, refusal
from vault_solver.effects import Acknowledge, Note, Request, Retry

TASK = "ab" * 16
RAISED = ComplaintRaised(complaint=4, assignment=7, kind="wrong_answer", respond_by=99)
RESPONSE = RespondToComplaint(complaint=4, assignment=7, response="stands_by")


def test_a_complaint_is_responded_to_and_acknowledged_once_that_is_heard() -> None:
    agent = ready_agent()
    assert acts(agent.pushed(Envelope(RAISED, seq=50))) == [Request(RESPONSE)]
    heard = ComplaintHeard(complaint=4, response="stands_by")
    assert acts(agent.replied(RESPONSE, heard)) == [Acknowledge(50)]
    assert acts(agent.replied(RESPONSE, heard)) == []


def test_a_response_that_is_lost_is_sent_again_when_the_push_comes_again() -> None:
    agent = ready_agent()
    agent.pushed(Envelope(RAISED, seq=50))
    assert len(agent.opened()) == 1, "the status alone"
    assert agent.due(RESPONSE) == []
    assert acts(agent.pushed(Envelope(RAISED, seq=50))) == [Request(RESPONSE)]


def test_a_response_refused_for_now_goes_again_and_one_refused_for_good_ends_the_push() -> None:
    agent = ready_agent()
    agent.pushed(Envelope(RAISED, seq=50))
    assert acts(agent.replied(RESPONSE, refusal(Code.UNAVAILABLE, 70))) == [Retry(RESPONSE, 0.07)]
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

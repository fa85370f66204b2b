"""What is done for work that another solver was first with, and for answers an earlier process has left."""

from __future__ import annotations

import pytest

from protocol.envelope import Envelope
from protocol.errors import Code
from protocol.vault import AnswerTaken, AssignmentEnded, PuzzleOffered, SubmitAnswer
from tests.vault_solver.test_agent import SPEEDS, N, accept, acts, refusal
from vault_solver.agent import Agent
from vault_solver.blocks import CHECKED_MIN
from vault_solver.effects import Acknowledge, Archive, Forget, Look, Note, Request, Retry, Start, Stop, Suspend
from vault_solver.hands import ASKED_SQUARINGS_MIN, COMPLAINT_MS
from vault_solver.pipe import Progressed, Proving, Solve, Solved, Squared
from vault_solver.plan import Planner, proof_squarings
from vault_solver.state import State

NOW = 1_700_000_000.0
PLANNER = Planner("cd" * 16)
LONG = 90_000_000
"""Squarings: ten seconds at 512 bits, and a little for the proof."""
SPEED = SPEEDS["512"]


class Clock:
    def __init__(self) -> None:
        self.seconds = NOW

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def agent(clock: Clock) -> Agent:
    ready = Agent(capacity=2, workers=1, speeds=SPEEDS, planner=PLANNER, now=clock)
    ready.opened()
    return ready


def offer(number: int, squarings: int = LONG, *, proof: str = "required", seconds: float = 1000.0) -> PuzzleOffered:
    deadline = int((NOW + seconds) * 1000)
    return PuzzleOffered(
        assignment=number, task=f"{number:032x}", t=squarings, baseg=3, product=N, deadline=deadline, proof=proof
    )


def push(agent: Agent, message: PuzzleOffered) -> list[object]:
    return list(acts(agent.pushed(Envelope(message, seq=100 + message.assignment))))


def job(wanted: PuzzleOffered) -> Solve:
    plan = PLANNER.plan(wanted.task, wanted.t, 512, is_proved=wanted.proof == "required")
    return Solve(wanted.assignment, wanted.t, wanted.baseg, wanted.product, plan=plan)


def end(agent: Agent, number: int, seconds: float | None) -> list[object]:
    late_until = None if seconds is None else round((NOW + seconds) * 1000)
    ended = AssignmentEnded(assignment=number, outcome="released", late_until=late_until)
    return list(acts(agent.pushed(Envelope(ended, seq=300))))


def answer(number: int, proof: bytes | None = b"proof") -> Request:
    return Request(SubmitAnswer(assignment=number, answer=9, proof=proof))


DROPPED = [Stop(1), Forget(101), Acknowledge(300)]
GOES_ON: list[object] = []
"""The push is acknowledged when that is over."""
OVER = [Forget(101), Acknowledge(300)]


def left(done: int) -> float:
    plan = PLANNER.plan("", LONG, 512, is_proved=True)
    assert plan is not None
    return (LONG - done + proof_squarings(LONG, plan.depth)) / SPEED


# late


def test_what_still_fits_is_gone_on_with_and_what_does_not_is_stopped(agent: Agent) -> None:
    push(agent, offer(1))
    agent.reported(Progressed(1, LONG * 9 // 10))
    assert end(agent, 1, left(LONG * 9 // 10) + 0.01) == GOES_ON
    assert acts(agent.reported(Solved(1, 9, b"proof"))) == [answer(1)]


def test_what_does_not_fit_any_more_is_stopped(agent: Agent) -> None:
    push(agent, offer(1))
    agent.reported(Progressed(1, LONG * 9 // 10))
    assert end(agent, 1, left(LONG * 9 // 10) - 0.01) == DROPPED


def test_the_proof_counts_as_well(agent: Agent) -> None:
    push(agent, offer(1))
    agent.reported(Squared(1, State(LONG, 5)))
    assert end(agent, 1, left(LONG) - 0.001) == DROPPED


def test_what_of_the_proof_is_made_is_not_left(agent: Agent) -> None:
    push(agent, offer(1))
    agent.reported(Proving(1, 90, 100))
    assert end(agent, 1, left(LONG) / 5) == GOES_ON


@pytest.mark.parametrize("how", ["old server", "not begun", "no proof", "draining"])
def test_what_cannot_count_is_stopped(agent: Agent, how: str) -> None:
    if how == "not begun":
        push(agent, offer(2))
    push(agent, offer(1, proof="none" if how == "no proof" else "required"))
    if how == "draining":
        agent.drain(100.0)
    effects = end(agent, 1, None if how == "old server" else 500.0)
    assert Forget(101) in effects
    assert agent.holding == (how == "not begun")


def test_an_answer_that_waits_to_be_sent_again_still_counts(agent: Agent) -> None:
    push(agent, offer(1))
    agent.reported(Solved(1, 9, b"proof"))
    retry = acts(agent.replied(answer(1).message, refusal(Code.TOO_MANY_PROOFS, 20)))
    assert retry == [Retry(answer(1).message, 0.02)]
    assert end(agent, 1, 5.0) == GOES_ON
    assert agent.due(answer(1).message) == [answer(1)]
    taken = agent.replied(answer(1).message, AnswerTaken(assignment=1, verdict="pending"))
    assert acts(taken) == OVER
    assert agent.holding == 0


def test_the_push_that_comes_again_changes_nothing(agent: Agent) -> None:
    push(agent, offer(1))
    agent.reported(Progressed(1, LONG * 9 // 10))
    assert end(agent, 1, 500.0) == GOES_ON
    agent.opened()
    assert end(agent, 1, 500.0) == GOES_ON
    assert acts(agent.reported(Solved(1, 9, b"proof"))) == [answer(1)]


def test_it_is_given_up_as_soon_as_it_turns_out_too_slow(agent: Agent, clock: Clock) -> None:
    push(agent, offer(1))
    agent.reported(Progressed(1, LONG // 2))
    assert end(agent, 1, left(LONG // 2) + 3) == GOES_ON
    clock.seconds += 1
    assert acts(agent.reported(Progressed(1, LONG // 2 + 1))) == [], "nobody wants to hear its progress"
    clock.seconds += 4
    assert acts(agent.reported(Progressed(1, LONG // 2 + 2))) == [Stop(1), *OVER]


def test_work_goes_on_between_two_reports(agent: Agent, clock: Clock) -> None:
    push(agent, offer(1))
    agent.reported(Progressed(1, LONG // 2))
    clock.seconds += 0.9
    assert end(agent, 1, left(LONG // 2) + 0.01) == GOES_ON


def test_an_answer_after_the_time_is_not_sent(agent: Agent, clock: Clock) -> None:
    push(agent, offer(1))
    agent.reported(Squared(1, State(LONG, 5)))
    assert end(agent, 1, 2.0) == GOES_ON
    clock.seconds += 2.001
    assert acts(agent.reported(Solved(1, 9, b"proof"))) == OVER


def test_it_is_in_nobodys_count_and_new_work_waits_only_while_it_can(agent: Agent) -> None:
    push(agent, offer(1))
    agent.reported(Progressed(1, LONG * 9 // 10))
    assert end(agent, 1, 5.0) == GOES_ON
    patient, urgent = offer(2, seconds=60.0), offer(3, seconds=left(0) + 0.5)
    assert push(agent, patient) == [accept(2), Look(job(patient), patient.task)]
    begun = [Stop(1), *OVER, Start(job(patient), patient.task)]
    assert push(agent, urgent) == [accept(3), *begun, Look(job(urgent), urgent.task)], "the capacity is two"


def test_new_work_is_begun_in_its_place_when_its_deadline_would_pass(agent: Agent) -> None:
    push(agent, offer(1))
    agent.reported(Progressed(1, LONG * 9 // 10))
    assert end(agent, 1, 5.0) == GOES_ON
    urgent = offer(2, seconds=left(0) + 0.5)
    assert push(agent, urgent) == [accept(2), Stop(1), *OVER, Start(job(urgent), urgent.task)]


def test_a_speed_that_is_lower_than_announced_counts(agent: Agent, clock: Clock) -> None:
    push(agent, offer(1))
    agent.reported(Progressed(1, 0))
    clock.seconds += 10
    agent.reported(Progressed(1, LONG // 2))
    assert end(agent, 1, 10 + left(LONG // 2) + 1) == DROPPED


def test_stopping_drops_it_without_a_word(agent: Agent) -> None:
    push(agent, offer(1))
    agent.reported(Progressed(1, LONG * 9 // 10))
    assert end(agent, 1, 5.0) == GOES_ON
    agent.drain(100.0)
    assert acts(agent.give_up()) == [Stop(1), *OVER]
    assert agent.finished


# answers on disk


def test_what_waits_for_a_worker_is_looked_for_on_disk_and_answered_from_there(agent: Agent) -> None:
    first, second = offer(1), offer(2)
    assert push(agent, first) == [accept(1), Start(job(first), first.task)], "beginning it looks as well"
    assert push(agent, second) == [accept(2), Look(job(second), second.task)]
    assert acts(agent.reported(Solved(2, 9, b"proof"))) == [answer(2)]
    assert acts(agent.reported(Solved(2, 9, b"proof"))) == [], "found twice"


@pytest.mark.parametrize(("squarings", "is_looked_for"), [(CHECKED_MIN - 1, False), (CHECKED_MIN, True)])
def test_what_is_never_written_down_is_not_looked_for(agent: Agent, squarings: int, is_looked_for: bool) -> None:
    push(agent, offer(1))
    assert any(isinstance(effect, Look) for effect in push(agent, offer(2, squarings))) == is_looked_for


def test_the_time_a_proof_takes_counts_when_it_is_to_stop(clock: Clock) -> None:
    agent = Agent(capacity=1, workers=1, speeds=SPEEDS, planner=PLANNER, kept_on_stop=True, now=clock)
    push(agent, offer(1))
    agent.reported(Squared(1, State(LONG, 5)))
    assert [held.stage for held in agent.in_hand] == ["proving"]
    assert acts(agent.drain(0.0))[1:] == [Suspend(1)]


# answers without a proof


@pytest.mark.parametrize(
    ("squarings", "proof", "verdict", "is_kept"),
    [
        (ASKED_SQUARINGS_MIN, "none", "pending", True),
        (ASKED_SQUARINGS_MIN, "none", "unproved", True),
        (ASKED_SQUARINGS_MIN - 1, "none", "pending", False),
        (ASKED_SQUARINGS_MIN, "none", "valid", False),
        (ASKED_SQUARINGS_MIN, "none", "invalid", False),
        (ASKED_SQUARINGS_MIN, "required", "pending", False),
    ],
)
def test_what_somebody_may_ask_about_is_kept_until_nobody_complains(
    agent: Agent, squarings: int, proof: str, verdict: str, is_kept: bool
) -> None:
    wanted = offer(1, squarings, proof=proof)
    push(agent, wanted)
    agent.reported(Solved(1, 9, b"proof" if proof == "required" else b""))
    effects = agent.replied(answer(1, None).message, AnswerTaken(assignment=1, verdict=verdict))
    kept = [effect for effect in effects if isinstance(effect, Archive)]
    assert kept == ([Archive(job(wanted), wanted.task, 9, wanted.deadline + COMPLAINT_MS)] if is_kept else [])
    assert not kept or repr(9) not in repr(kept[0]).replace("kept_until_ms", "")[:60]


def test_an_answer_without_the_proof_it_needs_is_never_sent(agent: Agent) -> None:
    push(agent, offer(1))
    with pytest.raises(AssertionError, match="count against us"):
        agent.reported(Solved(1, 9))


def test_too_little_memory_is_said(clock: Clock) -> None:
    small = Agent(capacity=2, workers=1, speeds=SPEEDS, planner=Planner("cd" * 16, 1024), now=clock)
    notes = [effect.event for effect in small.pushed(Envelope(offer(1), seq=9)) if isinstance(effect, Note)]
    assert notes == ["assignment.offered", "proof.short_of_memory"]
    notes = [effect.event for effect in small.pushed(Envelope(offer(2, 1000), seq=9)) if isinstance(effect, Note)]
    assert notes == ["assignment.offered"]

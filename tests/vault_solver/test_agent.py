"""What the agent decides: every message, every refusal, every order in which they can come."""

from __future__ import annotations

import pytest

from protocol.envelope import Envelope, Message
from protocol.errors import ERRORS, Code, MessageError
from protocol.session import Error
from protocol.vault import (
    AcceptAssignment,
    AnswerTaken,
    AssignmentAccepted,
    AssignmentEnded,
    AssignmentReturned,
    PuzzleOffered,
    ReportProgress,
    ReturnAssignment,
    StatusUpdated,
    SubmitAnswer,
    UpdateStatus,
)
from vault_solver.agent import OVER, Agent
from vault_solver.effects import (
    Acknowledge,
    Discard,
    Effect,
    Forget,
    Note,
    Request,
    Retry,
    Signal,
    Start,
    Stop,
    Suspend,
)
from vault_solver.errors import Refused
from vault_solver.pipe import Crashed, Erred, Miscomputed, Progressed, Solve, Solved, Suspended, Verified
from vault_solver.state import State

SPEEDS = {"512": 9_000_000, "1024": 3_000_000}
N = (1 << 511) + 1


def offer(number: int, *, seq: int | None = None, product: int = N) -> Envelope:
    message = PuzzleOffered(
        assignment=number, task=f"{number:032x}", t=1000, baseg=3, product=product, deadline=1, proof="none"
    )
    return Envelope(message, seq=seq or 100 + number)


def refusal(code: Code, retry_after_ms: int | None = None) -> Error:
    return Error.of(MessageError(code, "It was refused.", "Do something else.", retry_after_ms=retry_after_ms))


def ready_agent(capacity: int = 2, workers: int = 1) -> Agent:
    agent = Agent(capacity=capacity, workers=workers, speeds=SPEEDS)
    agent.opened()
    return agent


def acts(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Note | Discard)]


def accept(number: int) -> Request:
    return Request(AcceptAssignment(assignment=number))


def give_back(number: int) -> Request:
    return Request(ReturnAssignment(assignment=number))


def answer(number: int, value: int = 9) -> Request:
    return Request(SubmitAnswer(assignment=number, answer=value))


def start(number: int) -> Start:
    return Start(Solve(number, 1000, 3, N), f"{number:032x}")


# the plain course


def test_a_connection_begins_with_what_it_can_do() -> None:
    agent = Agent(capacity=2, workers=1, speeds=SPEEDS)
    assert agent.opened() == [Request(UpdateStatus(state="ready", capacity=2, speeds=SPEEDS))]


def test_an_offer_is_accepted_and_begun_in_that_order() -> None:
    agent = ready_agent()
    assert acts(agent.pushed(offer(1))) == [accept(1), start(1)]


def test_an_offer_above_the_workers_waits_until_one_is_free() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    assert acts(agent.pushed(offer(2))) == [accept(2)]
    assert acts(agent.reported(Solved(1, 9))) == [answer(1), start(2)]


def test_progress_is_passed_on() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    assert agent.reported(Progressed(1, 500)) == [Signal(ReportProgress(assignment=1, done=500))]


@pytest.mark.parametrize("verdict", ["valid", "invalid", "unproved", "pending"])
def test_a_taken_answer_is_forgotten_with_its_push(verdict: str) -> None:
    agent = ready_agent()
    agent.pushed(offer(1, seq=77))
    agent.reported(Solved(1, 9))
    taken = AnswerTaken(assignment=1, verdict=verdict)
    effects = agent.replied(SubmitAnswer(assignment=1, answer=9), taken)
    assert effects == [Note("assignment.verdict", {"assignment": 1, "verdict": verdict}), Discard(1), Forget(77)]
    assert agent.holding == 0


def test_an_ended_assignment_is_stopped_before_it_is_acknowledged() -> None:
    agent = ready_agent()
    agent.pushed(offer(1, seq=77))
    agent.pushed(offer(2))
    ended = Envelope(AssignmentEnded(assignment=1, outcome="released"), seq=300)
    assert acts(agent.pushed(ended)) == [Stop(1), Forget(77), start(2), Acknowledge(300)]
    assert agent.reported(Solved(1, 9)) == []


def test_the_end_of_an_unknown_assignment_is_acknowledged() -> None:
    ended = Envelope(AssignmentEnded(assignment=5, outcome="valid"), seq=300)
    assert acts(ready_agent().pushed(ended)) == [Acknowledge(300)]


# what is handed back


@pytest.mark.parametrize("product", [(1 << 1024) + 1, N + 1, 1])
def test_a_modulus_it_cannot_take_is_handed_back_unbegun(product: int) -> None:
    agent = ready_agent()
    assert acts(agent.pushed(offer(1, product=product))) == [give_back(1)]
    assert acts(agent.replied(ReturnAssignment(assignment=1), AssignmentReturned(assignment=1))) == [Forget(101)]
    assert agent.holding == 0


def test_the_largest_modulus_it_announced_is_taken() -> None:
    assert accept(1) in ready_agent().pushed(offer(1, product=(1 << 1024) - 1))


def test_an_offer_above_capacity_is_handed_back_and_one_at_capacity_is_not() -> None:
    agent = ready_agent(capacity=2)
    agent.pushed(offer(1))
    assert acts(agent.pushed(offer(2))) == [accept(2)]
    assert acts(agent.pushed(offer(3))) == [give_back(3)]
    assert acts(agent.pushed(offer(4))) == [give_back(4)]


def test_what_is_answered_takes_no_place_though_the_reply_is_under_way() -> None:
    agent = ready_agent(capacity=1)
    agent.pushed(offer(1))
    agent.reported(Solved(1, 9))
    assert acts(agent.pushed(offer(2))) == [accept(2), start(2)]
    assert acts(agent.pushed(offer(3))) == [give_back(3)]


def test_what_kills_every_worker_is_handed_back_and_the_next_begun() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    agent.pushed(offer(2))
    effects = agent.reported(Crashed(1))
    assert give_back(1) in effects
    assert start(2) in effects


# reconnecting


def test_an_offer_that_comes_again_is_accepted_again_and_not_begun_twice() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    agent.opened()
    assert acts(agent.pushed(offer(1))) == [accept(1)]


def test_an_offer_that_comes_again_after_its_acceptance_was_confirmed_needs_no_word() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    agent.replied(accept(1).message, AssignmentAccepted(assignment=1, deadline=5))
    agent.opened()
    assert acts(agent.pushed(offer(1))) == []


def test_a_paused_solver_says_so_goes_on_with_what_it_holds_and_says_when_it_is_ready_again() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    paused = Request(UpdateStatus(state="paused", capacity=2, speeds=SPEEDS))
    assert agent.pause(True) == [paused]
    assert agent.opened()[0] == paused
    assert acts(agent.reported(Solved(1, 9)))[0] == answer(1)
    assert agent.pause(False) == [Request(UpdateStatus(state="ready", capacity=2, speeds=SPEEDS))]


def test_a_solver_that_drains_is_neither_paused_nor_resumed() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    agent.drain(30.0)
    assert agent.pause(True) == agent.pause(False) == []
    assert agent.opened()[0] == Request(UpdateStatus(state="draining", capacity=2, speeds=SPEEDS))


def test_answers_and_returns_without_a_reply_are_sent_again() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    agent.reported(Solved(1, 9))
    agent.pushed(offer(2, product=N + 1))
    assert agent.opened()[1:] == [answer(1), give_back(2)]
    assert acts(agent.pushed(offer(1))) == [], "its answer is on its way already"
    assert acts(agent.pushed(offer(2))) == [], "its return is on its way already"


def test_an_answer_found_while_away_goes_out_with_the_next_connection() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    agent.reported(Solved(1, 9))
    assert answer(1) in agent.opened()


# refusals

RETRYABLE = [code for code, meaning in ERRORS.items() if meaning.retryable]


@pytest.mark.parametrize("code", RETRYABLE)
def test_a_request_refused_for_now_goes_again_after_a_while(code: Code) -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    agent.reported(Solved(1, 9))
    request = SubmitAnswer(assignment=1, answer=9)
    (retry,) = acts(agent.replied(request, refusal(code)))
    assert isinstance(retry, Retry)
    assert 0 < retry.seconds <= 0.2
    assert agent.due(retry.request) == [answer(1)]
    (later,) = acts(agent.replied(request, refusal(code)))
    assert isinstance(later, Retry)
    assert later.seconds > 0.2 * 0.9, "the bound doubles, jitter takes at most half of it"


@pytest.mark.parametrize("request_", [UpdateStatus(state="ready", capacity=2, speeds=SPEEDS), accept(1).message])
def test_the_server_says_when(request_: Message) -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    assert acts(agent.replied(request_, refusal(Code.UNAVAILABLE, 1500))) == [Retry(request_, 1.5)]
    assert agent.due(request_) == [Request(request_)]


@pytest.mark.parametrize("code", sorted(OVER))
@pytest.mark.parametrize("request_", [accept(1).message, answer(1).message, give_back(1).message])
def test_an_assignment_that_is_over_is_dropped(code: Code, request_: Message) -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    assert acts(agent.replied(request_, refusal(code))) == [Stop(1), Forget(101)]
    assert agent.holding == 0
    assert agent.due(request_) == []


def test_an_answer_refused_for_good_is_not_sent_again_but_handed_back() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    agent.reported(Solved(1, 9))
    effects = agent.replied(SubmitAnswer(assignment=1, answer=9), refusal(Code.ANSWER_OUT_OF_RANGE))
    assert acts(effects) == [give_back(1)]


def test_a_server_that_will_not_have_this_solver_ends_it() -> None:
    with pytest.raises(Refused, match="Do something else"):
        ready_agent().replied(UpdateStatus(state="ready", capacity=2, speeds=SPEEDS), refusal(Code.BAD_FIELD))


def test_a_code_of_a_newer_server_is_judged_by_its_own_word() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    error = Error(code="RATE_LIMITED", message="Too fast.", suggestion="Wait.", retryable=True, retry_after_ms=70)
    assert acts(agent.replied(accept(1).message, error)) == [Retry(accept(1).message, 0.07)]


# leaving


def test_draining_finishes_what_is_begun_and_hands_back_the_rest() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    agent.pushed(offer(2))
    status = Request(UpdateStatus(state="draining", capacity=2, speeds=SPEEDS))
    assert acts(agent.drain(30.0)) == [status, give_back(2)]
    assert acts(agent.pushed(offer(3))) == [give_back(3)]
    assert acts(agent.reported(Solved(1, 9))) == [answer(1)]
    for number in (2, 3):
        assert not agent.finished
        agent.replied(ReturnAssignment(assignment=number), AssignmentReturned(assignment=number))
    assert not agent.finished
    agent.replied(SubmitAnswer(assignment=1, answer=9), AnswerTaken(assignment=1, verdict="valid"))
    assert agent.finished


def test_giving_up_hands_back_what_is_begun_and_keeps_answers() -> None:
    agent = ready_agent(capacity=3, workers=2)
    agent.pushed(offer(1))
    agent.pushed(offer(2))
    agent.reported(Solved(1, 9))
    agent.drain(30.0)
    assert acts(agent.give_up()) == [Stop(2), give_back(2)]
    assert agent.opened()[1:] == [answer(1), give_back(2)]
    assert agent.give_up() == []


def test_a_solver_with_nothing_in_hand_is_finished_at_once() -> None:
    agent = ready_agent()
    assert not agent.finished
    agent.drain(30.0)
    assert agent.finished


# what is written down


def test_no_parameter_and_no_answer_is_noted_or_shown() -> None:
    agent = ready_agent(capacity=1)
    big = (0xDEADBEEF << 480) | 1
    effects = [
        *agent.pushed(offer(1, product=big)),
        *agent.replied(accept(1).message, AssignmentAccepted(assignment=1, deadline=5)),
        *agent.pushed(offer(2)),
        *agent.reported(Solved(1, big - 2)),
        *agent.replied(answer(1).message, refusal(Code.UNAVAILABLE)),
        *agent.replied(answer(1).message, AnswerTaken(assignment=1, verdict="valid")),
        *agent.replied(UpdateStatus(state="ready", capacity=1, speeds=SPEEDS), StatusUpdated(capacity=1, holding=0)),
        *agent.pushed(Envelope(refusal(Code.INTERNAL))),
    ]
    notes = [effect for effect in effects if isinstance(effect, Note)]
    assert [note.event for note in notes] == [
        "assignment.offered", "assignment.accepted", "assignment.offered", "assignment.handed_back",
        "assignment.solved", "request.refused", "assignment.verdict", "solver.ready", "server.complained",
    ]  # fmt: skip
    shown = repr(notes) + repr([effect for effect in effects if isinstance(effect, Start)])
    for secret in (big, big - 2, 1000):
        assert str(secret) not in shown
        assert f"{secret:x}" not in shown


# what a worker finds out, and what is kept


def test_an_error_that_was_found_is_told_and_nothing_else_happens() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    [note] = agent.reported(Erred(1))
    assert isinstance(note, Note)
    assert (note.event, note.level) == ("squarings.erred", "warning")
    assert acts(agent.reported(Solved(1, 9))) == [answer(1)]


def test_a_machine_that_computes_wrongly_hands_back_and_tells_its_operator() -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    agent.pushed(offer(2))
    effects = agent.reported(Miscomputed(1))
    assert next(effect for effect in effects if isinstance(effect, Note)).event == "machine.errs"
    assert acts(effects) == [Stop(1), give_back(1), start(2)]


@pytest.mark.parametrize("end", ["answered", "returned", "ended"])
def test_every_end_discards_what_was_kept(end: str) -> None:
    agent = ready_agent()
    agent.pushed(offer(1))
    if end == "answered":
        agent.reported(Solved(1, 9))
        effects = agent.replied(SubmitAnswer(assignment=1, answer=9), AnswerTaken(assignment=1, verdict="valid"))
    elif end == "returned":
        effects = agent.reported(Crashed(1))
    else:
        effects = agent.pushed(Envelope(AssignmentEnded(assignment=1, outcome="expired"), seq=300))
    assert Discard(1) in effects


def test_the_end_of_what_an_earlier_process_held_discards_it_too() -> None:
    effects = ready_agent().pushed(Envelope(AssignmentEnded(assignment=5, outcome="released"), seq=300))
    assert effects[0] == Discard(5)
    assert effects[-1] == Acknowledge(300)


def keeping_agent() -> Agent:
    agent = Agent(capacity=3, workers=2, speeds=SPEEDS, kept_on_stop=True)
    agent.opened()
    return agent


def long_offer(number: int) -> Envelope:
    message = PuzzleOffered(
        assignment=number, task=f"{number:032x}", t=10**9, baseg=3, product=N, deadline=1, proof="none"
    )
    return Envelope(message, seq=100 + number)


def test_what_is_kept_on_stop_is_suspended_when_it_takes_longer_than_there_is_time() -> None:
    agent = keeping_agent()
    for pushed in (offer(1), long_offer(2), offer(3)):
        agent.pushed(pushed)
    draining = Request(UpdateStatus(state="draining", capacity=3, speeds=SPEEDS))
    assert acts(agent.drain(30.0)) == [draining, Suspend(2), give_back(3)], "3 was not begun"
    agent.replied(ReturnAssignment(assignment=3), AssignmentReturned(assignment=3))
    agent.reported(Verified(2, State(250_000_000, 5)))
    [note] = agent.reported(Suspended(2))
    assert note == Note("assignment.suspended", {"assignment": 2, "percent": 25.0})
    assert [agent.finished] == [False]
    assert acts(agent.reported(Solved(1, 9))) == [answer(1)]
    agent.replied(SubmitAnswer(assignment=1, answer=9), AnswerTaken(assignment=1, verdict="valid"))
    assert agent.finished
    assert agent.holding == 1


def test_what_is_nearly_done_is_finished_and_suspended_only_when_time_is_over() -> None:
    agent = keeping_agent()
    agent.pushed(long_offer(1))
    agent.reported(Progressed(1, 10**9 - 1000))
    assert acts(agent.drain(30.0))[1:] == []
    assert agent.give_up() == [Suspend(1)]
    agent.reported(Suspended(1))
    assert agent.finished


def test_what_ends_while_it_is_suspended_is_not_begun_again() -> None:
    agent = keeping_agent()
    agent.pushed(long_offer(1))
    agent.drain(0.0)
    agent.reported(Suspended(1))
    assert acts(agent.pushed(long_offer(1))) == [accept(1)]
    ended = Envelope(AssignmentEnded(assignment=1, outcome="released"), seq=300)
    assert acts(agent.pushed(ended)) == [Forget(101), Acknowledge(300)]
    assert agent.finished

"""In which order, and how soon, a solver says what it has to say."""

from __future__ import annotations

import math

import pytest

from protocol.envelope import Message
from protocol.pacing import SOLVER_LIMIT, WINDOW
from protocol.vault import (
    AcceptAssignment,
    ComplaintRaised,
    PuzzleOffered,
    RelayCheckpoint,
    ReportProgress,
    RespondToComplaint,
    ReturnAssignment,
    SubmitAnswer,
    UpdateStatus,
)
from vault_solver.outgoing import PROGRESS_ROOM, Outgoing

LIMITS = {SOLVER_LIMIT: 20, WINDOW: 10}


def opened(limits: dict[str, int] | None = None) -> Outgoing:
    outgoing = Outgoing()
    outgoing.opened(LIMITS if limits is None else limits, 0.0)
    return outgoing


def offer(number: int) -> PuzzleOffered:
    return PuzzleOffered(assignment=number, task="ab" * 16, t=1, baseg=3, product=35, deadline=1, proof="none")


def accept(number: int) -> AcceptAssignment:
    return AcceptAssignment(assignment=number)


def give_back(number: int) -> ReturnAssignment:
    return ReturnAssignment(assignment=number)


def progress(number: int, done: int) -> ReportProgress:
    return ReportProgress(assignment=number, done=done)


def status(capacity: int) -> UpdateStatus:
    return UpdateStatus(state="ready", capacity=capacity, speeds={"2048": 1})


def taken(outgoing: Outgoing, now: float, *, answered: bool = True) -> list[Message]:
    left = []
    while (departure := outgoing.take(now)) is not None:
        left.append(departure.message)
        if answered:
            outgoing.arrived(departure.numbers, now)
    return left


def test_one_accept_and_one_answer_for_each_push_are_free() -> None:
    outgoing = opened()
    for number in range(1, 101):
        outgoing.grant(offer(number))
    free = [m for n in range(1, 101) for m in (accept(n), SubmitAnswer(assignment=n, answer=5))]
    for message in free:
        outgoing.put(message)
    assert taken(outgoing, 0.0) == free
    for message in free:
        outgoing.put(message)
    assert taken(outgoing, 0.0) == free[:12], "the second time they count"


def test_an_answer_that_goes_out_before_its_push_has_come_again_counts() -> None:
    outgoing = opened()
    outgoing.grant(offer(1))
    outgoing.opened(LIMITS, 0.0)
    answers: list[Message] = [SubmitAnswer(assignment=n, answer=5) for n in range(1, 31)]
    for message in answers:
        outgoing.put(message)
    assert taken(outgoing, 0.0) == answers[:12]
    for number in range(1, 31):
        outgoing.grant(offer(number))
    assert taken(outgoing, 0.0) == answers[12:], "free now, those that wait"


def test_the_word_on_a_complaint_is_free() -> None:
    outgoing = opened()
    outgoing.hold(100.0, 0.0)
    outgoing.grant(ComplaintRaised(complaint=3, assignment=7, kind="late", respond_by=9))
    for complaint in (3, 7):
        outgoing.put(RespondToComplaint(complaint=complaint, assignment=7, response="stands_by"))
    assert taken(outgoing, 0.0) == [RespondToComplaint(complaint=3, assignment=7, response="stands_by")]


def test_what_counts_waits_for_its_window_and_leaves_room_for_the_status() -> None:
    outgoing = opened()
    for number in range(1, 21):
        outgoing.put(give_back(number))
    assert taken(outgoing, 0.0) == [give_back(n) for n in range(1, 13)]
    assert outgoing.wait(0.0) == pytest.approx(10.0)
    outgoing.put(status(1))
    outgoing.put(status(2))
    assert taken(outgoing, 1.0) == [status(2)], "a newer status replaces one that waits, and goes first"
    assert taken(outgoing, 9.9) == []
    assert taken(outgoing, 10.0) == [give_back(n) for n in range(13, 21)]
    assert outgoing.wait(10.0) == math.inf


def test_nothing_counted_goes_before_a_refusal_is_over_and_what_is_free_does() -> None:
    outgoing = opened()
    outgoing.hold(4.0, 1.0)
    outgoing.grant(offer(2))
    outgoing.put(give_back(1))
    outgoing.put(accept(2))
    assert taken(outgoing, 4.9) == [accept(2)]
    assert outgoing.wait(4.0) == pytest.approx(1.0)
    assert taken(outgoing, 5.0) == [give_back(1)]


def test_a_hundred_assignments_share_one_message_of_progress_in_turn() -> None:
    outgoing = opened()
    said: list[ReportProgress] = []
    for tenth in range(2_000):
        now = tenth / 10
        if tenth % 10 == 0:
            for number in range(1, 101):
                outgoing.put_progress(progress(number, tenth))
        said += [m for m in taken(outgoing, now) if isinstance(m, ReportProgress)]
    assert 70 <= len(said) <= 81  # one in 2.5 s, since the ping behind it counts as well
    assert [m.assignment for m in said] == list(range(1, len(said) + 1))
    assert said[69].done > said[0].done, "the newest is said, not what was put first"


def test_without_a_limit_progress_goes_once_a_second_at_most() -> None:
    outgoing = opened({})
    for number in (1, 2):
        outgoing.put_progress(progress(number, 1))
    assert taken(outgoing, 0.0) == [progress(1, 1)]
    assert taken(outgoing, 0.9) == []
    assert taken(outgoing, 1.0) == [progress(2, 1)]


def test_progress_that_nobody_confirms_stops() -> None:
    outgoing = opened()
    for second in range(0, 100, 2):
        outgoing.put_progress(progress(1, second))
        taken(outgoing, float(second), answered=False)
    outgoing.put_progress(progress(1, 100))
    assert outgoing.wait(1_000.0) == math.inf
    outgoing.put(status(1))
    assert taken(outgoing, 1_000.0, answered=False) == [status(1)]


def test_what_is_over_is_not_reported() -> None:
    outgoing = opened()
    outgoing.put_progress(progress(1, 1))
    outgoing.forget(1)
    assert taken(outgoing, 0.0) == []


def test_a_new_connection_starts_empty_but_remembers_what_was_sent() -> None:
    outgoing = opened()
    for number in range(1, 15):
        outgoing.put(give_back(number))
    taken(outgoing, 0.0, answered=False)
    outgoing.opened(LIMITS, 5.0)
    outgoing.put(give_back(99))
    assert taken(outgoing, 5.0) == []
    assert taken(outgoing, 15.0) == [give_back(99)]


def test_it_says_how_long_the_queue_takes() -> None:
    outgoing = opened()
    assert outgoing.seconds_to_empty(0.0) == 0
    for number in range(1, 41):
        outgoing.put(give_back(number))
    assert outgoing.seconds_to_empty(0.0) >= 20


# checkpoints


def checkpoint(number: int, first: int) -> RelayCheckpoint:
    return RelayCheckpoint(assignment=number, depth=3, first=first, residues=b"5")


def test_checkpoints_wait_behind_other_requests_the_newest_of_each_assignment() -> None:
    outgoing = opened()
    for message in (checkpoint(1, 0), checkpoint(2, 0), checkpoint(1, 3), give_back(3)):
        outgoing.put(message)
    assert taken(outgoing, 0.0) == [give_back(3), checkpoint(1, 3), checkpoint(2, 0)]


def test_checkpoints_leave_room_for_requests() -> None:
    outgoing = opened()
    for number in range(1, 30):
        outgoing.put(checkpoint(number, 0))
    sent = taken(outgoing, 0.0, answered=False)
    assert 0 < len(sent) <= 20 * PROGRESS_ROOM
    assert outgoing.wait(0.0) == math.inf  # until some of them are answered
    outgoing.put(give_back(3))
    assert taken(outgoing, 0.0, answered=False) == [give_back(3)]


def test_a_checkpoint_of_what_has_ended_is_not_sent() -> None:
    outgoing = opened()
    outgoing.put(checkpoint(1, 0))
    outgoing.forget(1)
    assert taken(outgoing, 0.0) == []
    assert outgoing.wait(0.0) == math.inf

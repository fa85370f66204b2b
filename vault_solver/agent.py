"""What this solver holds, and what to do about everything that happens to it. Touches no socket and no process.

Each method takes one event and returns the effects it asks for, in order. What is sent with no connection is lost, and
need not be kept: `opened` says everything again that the server may not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from protocol.envelope import Envelope, Message
from protocol.errors import Code
from protocol.peer import reconnect_delay
from protocol.session import Error
from protocol.vault import (
    AcceptAssignment,
    AnswerTaken,
    AssignmentAccepted,
    AssignmentEnded,
    AssignmentReturned,
    ComplaintHeard,
    ComplaintRaised,
    PuzzleOffered,
    ReportProgress,
    RespondToComplaint,
    ReturnAssignment,
    StatusUpdated,
    SubmitAnswer,
    UpdateStatus,
)
from vault_solver.complaints import Complaints, note_of
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
from vault_solver.held import Held
from vault_solver.pipe import Crashed, Erred, Miscomputed, Progressed, Report, Solve, Solved, Suspended, Verified

OVER = frozenset({Code.ASSIGNMENT_ENDED, Code.ASSIGNMENT_NOT_FOUND, Code.ALREADY_ANSWERED})
"""Refusals after which nothing more is to be done for an assignment."""

DONE_AGAIN = "a check has found it; the squarings since the last verified state are done again"
MISCOMPUTES = Note(
    "machine.errs",
    {
        "message": "This machine computes wrongly: the same squarings came out wrong several times.",
        "suggestion": "Test its memory, cooling and power supply, undo overclocking; until then let it solve nothing.",
    },
    "error",
)


class Agent:
    """Takes up to `capacity` assignments and has `workers` of them solved at once.

    `speeds`: squarings a second by modulus bits, as announced; a modulus above the largest size is handed back.
    `kept_on_stop`: what is not finished when it stops is suspended instead of handed back, for a restart of this key.
    """

    def __init__(self, *, capacity: int, workers: int, speeds: Mapping[str, int], kept_on_stop: bool = False) -> None:
        self._capacity = capacity
        self._workers = workers
        self._speeds = dict(speeds)
        self._bits_max = max(int(bits) for bits in speeds)
        self._held: dict[int, Held] = {}
        self._refusals: Counter[tuple[type[Message], int]] = Counter()
        self._kept_on_stop = kept_on_stop
        self._draining = False
        self._paused = False
        self._complaints = Complaints()

    @property
    def holding(self) -> int:
        """Assignments in hand."""
        return len(self._held)

    @property
    def finished(self) -> bool:
        """Whether it drains and has nothing left, or nothing that goes on before a restart."""
        return self._draining and all(held.suspended for held in self._held.values())

    @property
    def state(self) -> str:
        """What this solver says it is: ready, paused or draining."""
        return "draining" if self._draining else "paused" if self._paused else "ready"

    @property
    def in_hand(self) -> list[Held]:
        """What it holds, oldest first, to be looked at alone."""
        return list(self._held.values())

    # the connection

    def opened(self) -> list[Effect]:
        """A conversation is open: say what the server may not know. What it thinks is ours it offers again."""
        self._refusals.clear()
        self._complaints.opened()
        effects: list[Effect] = [Request(self._status())]
        for number, held in self._held.items():
            held.answer_sent = False
            effects += [Request(ReturnAssignment(assignment=number))] if held.returning else self._answer(held)
        return effects

    def due(self, request: Message) -> list[Effect]:
        """A refused request's time has come: send it again if it still means something."""
        match request:
            case UpdateStatus():
                return [Request(self._status())]
            case AcceptAssignment(assignment=number) if (held := self._held.get(number)) is not None:
                return self._accept(held)
            case SubmitAnswer(assignment=number) if (held := self._held.get(number)) is not None:
                return self._answer(held)
            case ReturnAssignment(assignment=number) if number in self._held:
                return [Request(request)]
            case RespondToComplaint() as response:
                return self._complaints.due(response)
        return []

    # what the server says

    def pushed(self, envelope: Envelope) -> list[Effect]:
        """A message that answers no request of ours."""
        match envelope.message:
            case PuzzleOffered() as offer:
                assert envelope.seq is not None, "the codec reads no push without its number"
                return self._offered(offer, envelope.seq)
            case AssignmentEnded() as ended:
                assert envelope.seq is not None, "the codec reads no push without its number"
                note = Note("assignment.ended", {"assignment": ended.assignment, "outcome": ended.outcome})
                return [*self._drop(ended.assignment), note, Acknowledge(envelope.seq)]
            case ComplaintRaised() as raised:
                assert envelope.seq is not None, "the codec reads no push without its number"
                return self._complaints.raised(raised, envelope.seq)
            case Error() as error:
                return [Note("server.complained", _shown(error), "warning")]
            case other:
                note = note_of(other)
                return [note] if envelope.seq is None else [note, Acknowledge(envelope.seq)]

    def replied(self, request: Message, reply: Message) -> list[Effect]:
        """The answer to a request of ours. Raises Refused when the server will have none of this solver."""
        match reply:
            case Error() as error:
                return self._refused(request, error)
            case StatusUpdated() as status:
                return [Note("solver.ready", {"capacity": status.capacity, "holding": status.holding})]
            case ComplaintHeard() as heard:
                return self._complaints.heard(heard)
            case AssignmentAccepted(assignment=number):
                if (held := self._held.get(number)) is not None:
                    held.accepted = True
                return [Note("assignment.accepted", {"assignment": number})]
            case AnswerTaken(assignment=number, verdict=verdict):
                note = Note("assignment.verdict", {"assignment": number, "verdict": verdict})
                return [note, *self._drop(number)]
            case AssignmentReturned(assignment=number):
                return [Note("assignment.returned", {"assignment": number}), *self._drop(number)]
        return []

    # what the workers say

    def reported(self, report: Report) -> list[Effect]:
        """Progress, an answer, errors, or that no worker survives this puzzle."""
        held = self._held.get(report.assignment)
        if held is None or held.returning:
            return []
        match report:
            case Verified(state=state):
                held.done = state.done
                return []
            case Suspended(assignment=number):
                held.solving, held.suspended = False, True
                percent = round(100 * held.done / held.offer.t, 1)
                return [Note("assignment.suspended", {"assignment": number, "percent": percent})]
            case Progressed(assignment=number, done=done):
                held.done = done
                return [Signal(ReportProgress(assignment=number, done=done))]
            case Solved(assignment=number, answer=answer):
                held.answer, held.solving, held.done = answer, False, held.offer.t
                note = Note("assignment.solved", {"assignment": number, "task": held.offer.task})
                return [note, *self._answer(held), *self._start_next()]
            case Erred(assignment=number):
                return [Note("squarings.erred", {"assignment": number, "consequence": DONE_AGAIN}, "warning")]
            case Miscomputed():
                return [MISCOMPUTES, *self._hand_back(held, "machine_errs", "error"), *self._start_next()]
            case Crashed():
                return [*self._hand_back(held, "worker_died", "error"), *self._start_next()]

    # what the operator says

    def pause(self, paused: bool) -> list[Effect]:
        """Take nothing new for a while, or go on."""
        self._paused = paused
        return [] if self._draining else [Request(self._status())]

    def drain(self, seconds: float) -> list[Effect]:
        """Take nothing new, hand back what has not been begun, finish the rest.

        What is kept on stopping and will not be finished in so many seconds is suspended at once.
        """
        self._draining = True
        effects: list[Effect] = [Request(self._status())]
        for number, held in self._held.items():
            if held.answer is None and not held.solving:
                effects += self._hand_back(held, "draining")
            elif held.solving and self._kept_on_stop and self._seconds_left(held) > seconds:
                effects.append(Suspend(number))
        return effects

    def give_up(self) -> list[Effect]:
        """Hand back everything that has no answer, or suspend it."""
        if self._kept_on_stop:
            return [Suspend(number) for number, held in self._held.items() if held.solving]
        unsolved = [held for held in self._held.values() if held.answer is None]
        return [effect for held in unsolved for effect in self._hand_back(held, "draining")]

    # how

    def _status(self) -> UpdateStatus:
        return UpdateStatus(state=self.state, capacity=self._capacity, speeds=self._speeds)

    def _seconds_left(self, held: Held) -> float:
        bits = held.offer.product.bit_length()
        speed = next(speed for size, speed in self._speeds.items() if int(size) >= bits)
        return (held.offer.t - held.done) / max(speed, 1)

    def _offered(self, offer: PuzzleOffered, seq: int) -> list[Effect]:
        known = self._held.get(offer.assignment)
        if known is not None:  # pushed again: repeated, or after a reconnect
            known.seq = seq
            return self._accept(known)
        held = self._held[offer.assignment] = Held(offer, seq)
        bits = offer.product.bit_length()
        note = Note("assignment.offered", {"assignment": offer.assignment, "task": offer.task, "modulus_bits": bits})
        if (reason := self._objection(offer)) is not None:
            return [note, *self._hand_back(held, reason)]
        return [note, *self._accept(held), *self._start_next()]

    def _objection(self, offer: PuzzleOffered) -> str | None:
        if self._draining:
            return "draining"
        if offer.product.bit_length() > self._bits_max or offer.product < 3 or offer.product % 2 == 0:
            return "unsupported_modulus"
        working = sum(not held.returning for held in self._held.values())  # this one included
        return "over_capacity" if working > self._capacity else None

    def _start_next(self) -> list[Effect]:
        effects: list[Effect] = []
        solving = sum(held.solving for held in self._held.values())
        for number, held in self._held.items():
            if solving >= self._workers:
                break
            if not (held.solving or held.suspended or held.returning) and held.answer is None:
                held.solving = True
                solving += 1
                job = Solve(number, held.offer.t, held.offer.baseg, held.offer.product)
                effects.append(Start(job, held.offer.task))
        return effects

    def _accept(self, held: Held) -> list[Effect]:
        if held.accepted or held.returning or held.answer_sent:  # known, or another request says more
            return []
        return [Request(AcceptAssignment(assignment=held.offer.assignment))]

    def _answer(self, held: Held) -> list[Effect]:
        """Send the answer, once on each connection. It need not wait until the acceptance is confirmed."""
        if held.answer is None or held.answer_sent or held.returning:
            return []
        held.answer_sent = True
        return [Request(SubmitAnswer(assignment=held.offer.assignment, answer=held.answer))]

    def _hand_back(self, held: Held, reason: str, level: str = "info") -> list[Effect]:
        if held.returning:
            return []
        held.returning = True
        number = held.offer.assignment
        stop: list[Effect] = [Stop(number)] if held.solving else []
        held.solving = False
        note = Note("assignment.handed_back", {"assignment": number, "reason": reason}, level)
        return [*stop, Discard(number), note, Request(ReturnAssignment(assignment=number))]

    def _drop(self, number: int) -> list[Effect]:
        held = self._held.pop(number, None)
        if held is None:
            return [Discard(number)]  # one of an earlier process of ours
        for kind in (AcceptAssignment, SubmitAnswer, ReturnAssignment):
            self._refusals.pop((kind, number), None)
        stop: list[Effect] = [Stop(number)] if held.solving else []
        return [*stop, Discard(number), Forget(held.seq), *([] if self._draining else self._start_next())]

    def _refused(self, request: Message, error: Error) -> list[Effect]:
        number = getattr(request, "assignment", 0)
        note = Note("request.refused", {"request": request.SHAPE.wire_type, "assignment": number, **_shown(error)})
        held = self._held.get(number)
        if isinstance(request, SubmitAnswer) and held is not None:
            held.answer_sent = False
        if error.retryable:
            return [note, self._retry(request, number, error.retry_after_ms)]
        if isinstance(request, RespondToComplaint):
            return [note, *self._complaints.put_aside(request.complaint)]
        if isinstance(request, UpdateStatus):
            raise Refused(f"The server refuses this solver: {error.message}", error.suggestion)
        if held is None or error.code in OVER or isinstance(request, ReturnAssignment):
            return [note, *self._drop(number)]
        return [note, *self._hand_back(held, "refused", "error")]

    def _retry(self, request: Message, number: int, retry_after_ms: int | None) -> Retry:
        self._refusals[type(request), number] += 1
        if retry_after_ms is not None:
            return Retry(request, retry_after_ms / 1000)
        return Retry(request, reconnect_delay(self._refusals[type(request), number]))


def _shown(error: Error) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "suggestion": error.suggestion}

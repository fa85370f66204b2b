"""What this solver holds, and what to do about everything that happens to it. Touches no socket and no process.

Each method takes one event and returns the effects it asks for, in order. What is sent with no connection is lost, and
need not be kept: `opened` says everything again that the server may not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from time import time
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
    CheckpointOffered,
    CheckpointTaken,
    ComplaintHeard,
    ComplaintRaised,
    PuzzleOffered,
    RelayCheckpoint,
    ReportProgress,
    RespondToComplaint,
    ReturnAssignment,
    StatusUpdated,
    SubmitAnswer,
    UpdateStatus,
)
from vault_solver.complaints import Complaints, Finding, note_of
from vault_solver.effects import Acknowledge, Effect, Note, Request, Retry, Signal, Suspend
from vault_solver.errors import Refused
from vault_solver.hands import Hands
from vault_solver.held import Held
from vault_solver.pipe import (
    Crashed,
    Erred,
    Miscomputed,
    Misproved,
    Progressed,
    Proving,
    Report,
    Solved,
    Squared,
    Suspended,
    Verified,
)
from vault_solver.plan import Planner
from vault_solver.relaying import Relaying

OVER = frozenset({Code.ASSIGNMENT_ENDED, Code.ASSIGNMENT_NOT_FOUND, Code.ALREADY_ANSWERED})
"""Refusals after which nothing more is to be done for an assignment."""

DONE_AGAIN = "a check has found it; the squarings since the last verified state are done again"
PROVED_AGAIN = "it is not sent; what does not follow from the base is done again, and proved again"
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
    `planner` says how each is proved. `kept_on_stop`: what is not finished when it stops is suspended instead of handed
    back, for a restart of this key. `relay`: whether it relays checkpoints. `now`: seconds since 1970, which deadlines
    are compared with.
    """

    def __init__(
        self,
        *,
        capacity: int,
        workers: int,
        speeds: Mapping[str, int],
        kept_on_stop: bool = False,
        planner: Planner | None = None,
        relay: bool = True,
        now: Callable[[], float] = time,
    ) -> None:
        self._hands = Hands(capacity, workers, speeds, planner or Planner(), now)
        self._held = self._hands.held
        self._refusals: Counter[tuple[type[Message], int]] = Counter()
        self._kept_on_stop = kept_on_stop
        self._paused = False
        self._complaints = Complaints()
        self._relaying = Relaying(relay)

    @property
    def holding(self) -> int:
        """Assignments in hand."""
        return len(self._held)

    @property
    def finished(self) -> bool:
        """Whether it drains and has nothing left, or nothing that goes on before a restart."""
        return self._hands.draining and all(held.suspended for held in self._held.values())

    @property
    def state(self) -> str:
        """What this solver says it is: ready, paused or draining."""
        return "draining" if self._hands.draining else "paused" if self._paused else "ready"

    @property
    def in_hand(self) -> list[Held]:
        """What it holds, oldest first, to be looked at alone."""
        return list(self._held.values())

    # the connection

    def opened(self, limits: Mapping[str, int] | None = None) -> list[Effect]:
        """A conversation is open, under these limits of the server's: say what it may not know. What it thinks is ours
        it offers again."""
        self._refusals.clear()
        self._complaints.opened()
        effects: list[Effect] = [Request(self._status())]
        for number, held in self._held.items():
            held.answer_sent = False
            effects += [Request(ReturnAssignment(assignment=number))] if held.returning else self._hands.answer(held)
        return [*effects, *self._relaying.opened(limits or {})]

    def due(self, request: Message) -> list[Effect]:
        """A refused request's time has come: send it again if it still means something."""
        match request:
            case UpdateStatus():
                return [Request(self._status())]
            case AcceptAssignment(assignment=number) if (held := self._held.get(number)) is not None:
                return self._hands.accept(held)
            case SubmitAnswer(assignment=number) if (held := self._held.get(number)) is not None:
                return self._hands.answer(held)
            case ReturnAssignment(assignment=number) if number in self._held:
                return [Request(request)]
            case RespondToComplaint() as response:
                return self._complaints.due(response)
            case RelayCheckpoint(assignment=number):
                return self._relaying.due(number)
        return []

    # what the server says

    def pushed(self, envelope: Envelope) -> list[Effect]:
        """A message that answers no request of ours."""
        match envelope.message:
            case PuzzleOffered() as offer:
                assert envelope.seq is not None, "the codec reads no push without its number"
                return self._hands.take(offer, envelope.seq)
            case AssignmentEnded() as ended:
                assert envelope.seq is not None, "the codec reads no push without its number"
                return self._ended(ended, envelope.seq)
            case CheckpointOffered() as offered:
                assert envelope.seq is not None, "the codec reads no push without its number"
                return [*self._go_on_from(offered), Acknowledge(envelope.seq)]
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
                self._forget_refusals(number)
                return [note, *self._hands.taken(number, verdict)]
            case CheckpointTaken() as taken:
                return self._relaying.taken(taken)
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
                held.done, held.proving, held.proved_share = state.done, False, 0.0
                return [] if held.late_until_ms else self._relaying.verified(held.offer, held.plan, state)
            case Squared():
                held.progressed(held.offer.t, self._hands.now())
                held.proving = held.is_proof_due
                return []
            case Suspended(assignment=number):
                held.solving, held.suspended = False, True
                percent = round(100 * held.done / held.offer.t, 1)
                return [Note("assignment.suspended", {"assignment": number, "percent": percent})]
            case Progressed(assignment=number, done=done):
                held.progressed(done, self._hands.now())
                if held.late_until_ms is not None:  # nobody waits for it any more
                    return self._late_drop(held)
                return [Signal(ReportProgress(assignment=number, done=done))]
            case Proving(done=done, total=total):
                held.progressed(held.offer.t, self._hands.now())
                held.proving, held.proved_share = True, done / total
                return self._late_drop(held)
            case Solved():
                return self._solved(held, report)
            case Erred(assignment=number):
                return [Note("squarings.erred", {"assignment": number, "consequence": DONE_AGAIN}, "warning")]
            case Misproved(assignment=number):
                held.proving = False
                return [Note("proof.erred", {"assignment": number, "consequence": PROVED_AGAIN}, "warning")]
            case Miscomputed():
                return [MISCOMPUTES, *self._hands.hand_back(held, "machine_errs", "error"), *self._hands.start_next()]
            case Crashed():
                return [*self._hands.hand_back(held, "worker_died", "error"), *self._hands.start_next()]

    def examined(self, finding: Finding) -> list[Effect]:
        """An answer that somebody complains of has been looked into."""
        return self._complaints.examined(finding)

    # what the operator says

    def pause(self, paused: bool) -> list[Effect]:
        """Take nothing new for a while, or go on."""
        self._paused = paused
        return [] if self._hands.draining else [Request(self._status())]

    def drain(self, seconds: float) -> list[Effect]:
        """Take nothing new, hand back what has not been begun, finish the rest.

        What is kept on stopping and will not be finished in so many seconds is suspended at once.
        """
        self._hands.draining = True
        effects: list[Effect] = [Request(self._status())]
        for number, held in self._held.items():
            if held.answer is None and not held.solving:
                effects += self._hands.hand_back(held, "draining")
            elif (
                held.solving
                and self._kept_on_stop
                and held.seconds_left(self._hands.speeds, self._hands.now()) > seconds
            ):
                effects.append(Suspend(number))
        return effects

    def give_up(self) -> list[Effect]:
        """Hand back everything that has no answer, or suspend it."""
        if self._kept_on_stop:
            return [Suspend(number) for number, held in self._held.items() if held.solving]
        unsolved = [held for held in self._held.values() if held.answer is None]
        return [effect for held in unsolved for effect in self._hands.hand_back(held, "draining")]

    # how

    def _status(self) -> UpdateStatus:
        return UpdateStatus(state=self.state, capacity=self._hands.capacity, speeds=self._hands.speeds)

    def _go_on_from(self, offered: CheckpointOffered) -> list[Effect]:
        """Another solver's checkpoint, which the server has checked."""
        held = self._held.get(offered.assignment)
        if held is None or not held.is_under_way:
            return []
        state = self._relaying.offered(held.offer, held.plan, held.done, offered)
        if state is None:
            return []
        percent = round(100 * state.done / held.offer.t, 1)
        note = Note("checkpoint.taken_over", {"assignment": offered.assignment, "percent": percent})
        return [note, *self._hands.go_on_from(held, state)]

    def _ended(self, ended: AssignmentEnded, seq: int) -> list[Effect]:
        number = ended.assignment
        note = Note("assignment.ended", {"assignment": number, "outcome": ended.outcome})
        if self._hands.go_on_late(ended, seq):
            return [note, Note("assignment.late", {"assignment": number})]
        return [*self._drop(number), note, Acknowledge(seq)]

    def _late_drop(self, held: Held) -> list[Effect]:
        """What came too late for the first place is dropped as soon as its proof would come too late as well."""
        if held.late_until_ms is None or self._hands.is_in_time(held):
            return []
        number = held.offer.assignment
        return [Note("assignment.late_dropped", {"assignment": number}), *self._drop(number)]

    def _solved(self, held: Held, solved: Solved) -> list[Effect]:
        if held.answer is not None:
            return []  # found on disk, and by a worker as well
        held.answer, held.proof, held.done = solved.answer, solved.proof, held.offer.t
        held.solving = held.proving = False
        self._relaying.forget(solved.assignment)
        fields = {"assignment": solved.assignment, "task": held.offer.task, "proved": bool(solved.proof)}
        note = Note("assignment.solved", fields)
        return [note, *(self._late_drop(held) or self._hands.answer(held)), *self._hands.start_next()]

    def _drop(self, number: int) -> list[Effect]:
        self._forget_refusals(number)
        self._relaying.forget(number)
        return self._hands.drop(number)

    def _forget_refusals(self, number: int) -> None:
        for kind in (AcceptAssignment, SubmitAnswer, ReturnAssignment, RelayCheckpoint):
            self._refusals.pop((kind, number), None)

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
        if isinstance(request, RelayCheckpoint):
            self._relaying.refused(number)
            return [note]
        if isinstance(request, UpdateStatus):
            raise Refused(f"The server refuses this solver: {error.message}", error.suggestion)
        if held is None or error.code in OVER or isinstance(request, ReturnAssignment):
            return [note, *self._drop(number)]
        return [note, *self._hands.hand_back(held, "refused", "error")]

    def _retry(self, request: Message, number: int, retry_after_ms: int | None) -> Retry:
        self._refusals[type(request), number] += 1
        if retry_after_ms is not None:
            return Retry(request, retry_after_ms / 1000)
        return Retry(request, reconnect_delay(self._refusals[type(request), number]))


def _shown(error: Error) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "suggestion": error.suggestion}

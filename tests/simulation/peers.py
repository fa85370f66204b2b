"""Clients and solvers of the fleet: real WebSocket peers with keys, proved and sealed as anybody's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from protocol import vault as wire
from protocol.envelope import Envelope
from protocol.errors import Code
from protocol.proof import BadProof, Proof, Statement, verify
from protocol.puzzle import Puzzle
from protocol.relay import decode, encode
from protocol.session import Error
from scripts.load import Conversation
from tests.simulation.conduct import Assignment, Conduct, HandBack
from tests.simulation.workshop import Checkpoint

EXPECTED_REFUSALS = frozenset({Code.ASSIGNMENT_ENDED, Code.ALREADY_ANSWERED, Code.CHECKPOINT_REFUSED})
"""What a solver hears whose task ended while its answer was on the way; or that was given another's checkpoint."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """An order and its right answer."""

    order: wire.SubmitPuzzle
    right: int


@dataclass(slots=True)
class Tally:
    """What the clients have been told so far, and what nobody should have been told."""

    right: int = 0
    wrong: int = 0
    failed: int = 0
    ways: dict[str, int] = field(default_factory=dict)
    useful_squarings: int = 0
    surprises: dict[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """Tasks that have come to an end."""
        return self.right + self.wrong + self.failed

    def surprised_by(self, what: str) -> None:
        """Count what should not happen."""
        self.surprises[what] = self.surprises.get(what, 0) + 1


class FleetSolver(Conversation):
    """Accepts whatever it is offered, and answers as its conduct says. `is_spent`: it gives up its key, with a lie."""

    def __init__(self, port: int, conduct: Conduct, capacity: int, tally: Tally) -> None:
        super().__init__(port, wire.SOLVER_PATH)
        self.conduct = conduct
        self._capacity = capacity
        self._tally = tally
        self._asked: dict[int, Assignment] = {}
        self._working: dict[int, asyncio.Task[None]] = {}
        self.is_spent = False

    def begin(self, speeds: dict[str, int]) -> None:
        """Say that it is ready."""
        self.request(wire.UpdateStatus(state="ready", capacity=self._capacity, speeds=speeds))

    def heard(self, envelope: Envelope) -> None:
        message = envelope.message
        if isinstance(message, wire.PuzzleOffered):
            self._take(message)
        elif isinstance(message, wire.CheckpointOffered):
            asked = self._asked[message.assignment]
            asked.offered.append(Checkpoint(message.depth, decode(message.residues, asked.puzzle.modulus)))
        elif isinstance(message, Error) and message.code not in EXPECTED_REFUSALS:
            self._tally.surprised_by(f"solver: {message.code}")
        elif envelope.seq is not None:
            if isinstance(message, wire.AssignmentEnded) and message.late_until is None:
                self._drop(message.assignment)
            self.send(bytes_of(self.peer.acknowledge(envelope.seq)))

    def _take(self, offer: wire.PuzzleOffered) -> None:
        if offer.assignment in self._working:
            return  # sent again
        self.request(wire.AcceptAssignment(assignment=offer.assignment))
        puzzle = Puzzle(offer.t, offer.baseg, offer.product)
        statement = Statement(puzzle, offer.task, self.identity.fingerprint)
        self._asked[offer.assignment] = asked = Assignment(statement, offer.deadline, offer.proof == "required")
        self._working[offer.assignment] = working = asyncio.create_task(self._work(offer.assignment, asked))
        working.add_done_callback(self._look_at)

    async def _work(self, assignment: int, asked: Assignment) -> None:
        answered = await self.conduct.answer(asked)
        if self.is_lost or answered is None:
            return
        self.is_spent = self.conduct.renews
        if isinstance(answered, HandBack):
            self._hand_back(assignment, asked, answered)
        else:
            self.request(wire.SubmitAnswer(assignment=assignment, answer=answered.answer, proof=answered.proof))

    def _hand_back(self, assignment: int, asked: Assignment, what: HandBack) -> None:
        depth, residues = what.checkpoint.depth, encode(what.checkpoint.residues, asked.puzzle.modulus)
        self.request(wire.RelayCheckpoint(assignment=assignment, depth=depth, first=0, residues=residues))
        if what.is_returned:
            self.request(wire.ReturnAssignment(assignment=assignment))

    def _look_at(self, worked: asyncio.Task[None]) -> None:
        if not worked.cancelled() and (error := worked.exception()) is not None:
            self._tally.surprised_by(f"solver: {error!r}")

    def _drop(self, assignment: int) -> None:
        """Whoever answers late on purpose goes on."""
        if self.conduct.name != "slow" and (task := self._working.get(assignment)) is not None:
            task.cancel()

    def close(self) -> None:
        for task in self._working.values():
            task.cancel()
        super().close()


class FleetClient(Conversation):
    """Keeps `under_way` exercises under way, and compares every answer."""

    def __init__(self, port: int, exercises: Iterator[Exercise], under_way: int, tally: Tally) -> None:
        super().__init__(port, wire.CLIENT_PATH)
        self._exercises = exercises
        self._under_way = under_way
        self._tally = tally
        self._submitted: dict[int, Exercise] = {}
        self._expected: dict[str, Exercise] = {}

    def begin(self) -> None:
        """Submit the first ones."""
        for _ in range(self._under_way):
            self._submit()

    @property
    def is_done(self) -> bool:
        """Whether nothing is awaited."""
        return not self._submitted and not self._expected

    def _submit(self) -> None:
        exercise = next(self._exercises, None)
        if exercise is not None:
            number, frame = self.peer.request(exercise.order)
            self._submitted[number] = exercise
            self.send(bytes_of(frame))

    def heard(self, envelope: Envelope) -> None:
        message = envelope.message
        if isinstance(message, wire.PuzzleAccepted):
            assert envelope.re is not None, "a reply names its request"
            self._expected[message.task] = self._submitted.pop(envelope.re)
        elif isinstance(message, Error):
            self._tally.surprised_by(f"client: {message.code}")
        elif envelope.seq is not None:
            self.send(bytes_of(self.peer.acknowledge(envelope.seq)))
            if isinstance(message, wire.PuzzleAnswered):
                self._count(message)
            elif isinstance(message, wire.TaskFailed):
                self._fail(message)

    def _count(self, told: wire.PuzzleAnswered) -> None:
        exercise = self._expected.pop(told.task)
        is_right = told.answer == exercise.right
        self._tally.right += is_right
        self._tally.wrong += not is_right
        self._tally.useful_squarings += exercise.order.t * is_right
        self._tally.ways[told.judged_by] = self._tally.ways.get(told.judged_by, 0) + 1
        if told.judged_by == "proof" and not _is_proved(told, exercise.order):
            self._tally.surprised_by("client: a proof that does not hold")
        self._submit()

    def _fail(self, told: wire.TaskFailed) -> None:
        del self._expected[told.task]
        self._tally.failed += 1
        self._submit()


def _is_proved(told: wire.PuzzleAnswered, order: wire.SubmitPuzzle) -> bool:
    """Whether the proof that came with an answer holds, as a client checks it for itself."""
    if told.proof is None or told.solver is None:
        return False
    puzzle = Puzzle(order.t, order.baseg, order.product)
    try:
        return verify(Statement(puzzle, told.task, told.solver), Proof.decode(told.proof, puzzle)) == told.answer
    except BadProof:
        return False


def bytes_of(frame: bytes | str) -> bytes:
    """A sealed frame, which is binary."""
    assert isinstance(frame, bytes), "sealed frames are binary"
    return frame

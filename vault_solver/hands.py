"""The assignments in hand: which are taken, begun, answered, handed back, gone on with though another was first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time

from protocol.vault import AcceptAssignment, AssignmentEnded, PuzzleOffered, ReturnAssignment, SubmitAnswer
from vault_solver.blocks import CHECKED_MIN
from vault_solver.effects import Acknowledge, Archive, Discard, Effect, Forget, Look, Note, Request, Start, Stop
from vault_solver.held import Held
from vault_solver.plan import Plan, Planner
from vault_solver.state import State

COMPLAINT_MS = 24 * 3_600_000
"""An answer may be complained of for 16 hours after its deadline, unless the server's operator has said otherwise."""

ASKED_SQUARINGS_MIN = 4097
"""Below, a server computes the answer itself, and asks no solver about it."""


class Hands:
    """Up to `capacity` assignments, of which `workers` are solved at once. `now` gives seconds since 1970."""

    def __init__(
        self,
        capacity: int,
        workers: int,
        speeds: Mapping[str, int],
        planner: Planner,
        now: Callable[[], float] = time,
    ) -> None:
        self.capacity = capacity
        self.speeds = dict(speeds)
        self.held: dict[int, Held] = {}
        self.draining = False
        self.now = now
        self._workers = workers
        self._planner = planner
        self._bits_max = max(int(bits) for bits in speeds)

    def take(self, offer: PuzzleOffered, seq: int) -> list[Effect]:
        """An offer: accepted and begun as soon as there is a worker, or handed back; one that is known is not begun
        twice."""
        known = self.held.get(offer.assignment)
        if known is not None:  # pushed again: repeated, or after a reconnect
            known.seq = seq
            return self.accept(known)
        held = self.held[offer.assignment] = Held(offer, seq)
        bits = offer.product.bit_length()
        note = Note("assignment.offered", {"assignment": offer.assignment, "task": offer.task, "modulus_bits": bits})
        if (reason := self._objection(offer)) is not None:
            return [note, *self.hand_back(held, reason)]
        held.plan = self._plan(offer)
        return [note, *self._warn_of_memory(held), *self.accept(held), *self.start_next(), *self._look(held)]

    def accept(self, held: Held) -> list[Effect]:
        """Say that it is taken."""
        if held.accepted or held.returning or held.answer_sent:  # known, or another request says more
            return []
        return [Request(AcceptAssignment(assignment=held.offer.assignment))]

    def start_next(self) -> list[Effect]:
        """Begin what waits, while there are workers."""
        effects = self._make_way()
        solving = sum(held.solving for held in self.held.values())
        for held in self._waiting():
            if solving >= self._workers:
                break
            held.solving = True
            held.progressed(held.done, self.now())
            solving += 1
            effects.append(Start(held.job, held.offer.task))
        return effects

    def go_on_from(self, held: Held, state: State) -> list[Effect]:
        """This state lies farther on than it has come: from there, at once if it has begun."""
        held.begin_at(state)
        if not held.solving:
            return []
        return [Stop(held.offer.assignment), Start(held.job, held.offer.task)]

    def answer(self, held: Held) -> list[Effect]:
        """Send the answer, once on each connection. It need not wait until the acceptance is confirmed."""
        if held.answer is None or held.answer_sent or held.returning:
            return []
        assert held.proof or not held.is_proof_due, "an answer without the proof it needs would count against us"
        held.answer_sent = True
        number = held.offer.assignment
        return [Request(SubmitAnswer(assignment=number, answer=held.answer, proof=held.proof or None))]

    def hand_back(self, held: Held, reason: str, level: str = "info") -> list[Effect]:
        """Return it to the server, which has others; what the server has released needs no word."""
        if held.returning:
            return []
        number = held.offer.assignment
        note = Note("assignment.handed_back", {"assignment": number, "reason": reason}, level)
        if held.late_until_ms is not None:
            return [note, *self.drop(number)]
        held.returning = True
        stop: list[Effect] = [Stop(number)] if held.solving else []
        held.solving = False
        return [*stop, Discard(number), note, Request(ReturnAssignment(assignment=number))]

    def drop(self, number: int) -> list[Effect]:
        """It has ended, and the next one is begun."""
        held = self.held.pop(number, None)
        if held is None:
            return [Discard(number)]  # one of an earlier process of ours
        stop: list[Effect] = [Stop(number)] if held.solving else []
        ended: list[Effect] = [] if held.ended_seq is None else [Acknowledge(held.ended_seq)]
        return [*stop, Discard(number), Forget(held.seq), *ended, *([] if self.draining else self.start_next())]

    def taken(self, number: int, verdict: str) -> list[Effect]:
        """The server has the answer. One that no arithmetic has judged may have to be proved one day."""
        held = self.held.get(number)
        effects: list[Effect] = []
        is_open = verdict in ("pending", "unproved")
        if held is not None and held.answer is not None and is_open and self._may_be_asked(held):
            until_ms = held.offer.deadline + COMPLAINT_MS
            effects.append(Archive(held.job, held.offer.task, held.answer, until_ms))
        return [*effects, *self.drop(number)]

    # late

    def go_on_late(self, ended: AssignmentEnded, seq: int) -> bool:
        """Whether it is gone on with, though another solver was first: its proved answer may still come in time.

        The push is acknowledged when that is over: after a crash it comes again, and what is left is cleared away.
        """
        held = self.held.get(ended.assignment)
        if held is None or ended.late_until is None or not held.is_proof_due or held.returning or held.suspended:
            return False
        is_begun = held.solving or held.answer is not None
        held.late_until_ms = ended.late_until
        goes_on = is_begun and not self.draining and self.is_in_time(held)
        held.ended_seq = seq if goes_on else None
        return goes_on

    def is_in_time(self, held: Held) -> bool:
        """Whether what is left of a late one fits."""
        assert held.late_until_ms is not None, "asked of late ones alone"
        left = 0.0 if held.answer is not None else held.seconds_left(self.speeds, self.now())
        return self.now() + left <= held.late_until_ms / 1000

    def _make_way(self) -> list[Effect]:
        """Work that came too late for the first place is dropped where waiting for it would miss a deadline."""
        late = [held for held in self.held.values() if held.late_until_ms is not None and held.solving]
        free = self._workers - sum(held.solving for held in self.held.values())
        hindered = self._waiting()[max(0, free) :]
        for hindering in late:
            begun = self.now() + hindering.seconds_left(self.speeds, self.now())
            if any(
                begun + held.seconds_left(self.speeds, self.now()) > held.offer.deadline / 1000 for held in hindered
            ):
                number = hindering.offer.assignment
                return [Note("assignment.late_dropped", {"assignment": number}), *self.drop(number)]
        return []

    # how

    def _waiting(self) -> list[Held]:
        return [
            held
            for held in self.held.values()
            if not (held.solving or held.suspended or held.returning) and held.answer is None
        ]

    def _objection(self, offer: PuzzleOffered) -> str | None:
        if self.draining:
            return "draining"
        if offer.product.bit_length() > self._bits_max or offer.product < 3 or offer.product % 2 == 0:
            return "unsupported_modulus"
        # This one included; what came too late for the first place is in nobody's count, and what is answered may have
        # left the server's before its reply is read.
        working = sum(
            not (held.returning or held.answer_sent) and held.late_until_ms is None for held in self.held.values()
        )
        return "over_capacity" if working > self.capacity else None

    def _look(self, held: Held) -> list[Effect]:
        """An answer that an earlier process has left on disk need not wait for a worker."""
        if held.solving or held.offer.t < CHECKED_MIN:
            return []
        return [Look(held.job, held.offer.task)]

    def _plan(self, offer: PuzzleOffered) -> Plan | None:
        return self._planner.plan(offer.task, offer.t, offer.product.bit_length(), is_proved=offer.proof == "required")

    def _warn_of_memory(self, held: Held) -> list[Effect]:
        offer = held.offer
        if held.plan is None or not self._planner.is_short(offer.t, offer.product.bit_length()):
            return []
        fields = {"assignment": offer.assignment, "suggestion": "Allow more with --proof-memory: it is proved quicker."}
        return [Note("proof.short_of_memory", fields)]

    def _may_be_asked(self, held: Held) -> bool:
        return not held.is_proof_due and held.offer.t >= ASKED_SQUARINGS_MIN

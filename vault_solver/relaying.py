"""What this solver relays to the server for whoever has to go on in its place, and what it is given to go on from.

Of each assignment the residues that its proof needs are sent at the server's pace, none of them before the server has
those in front of it: what it holds is compared with ours, so that we never vouch for somebody else's residues.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.prover import kept_indices
from protocol.relay import BadCheckpoint, decode, encode, may_have_depth, relay_depth, residue_bytes
from protocol.vault import CHECKPOINT_PART_BYTES_MAX, CheckpointOffered, CheckpointTaken, PuzzleOffered, RelayCheckpoint
from vault_solver.effects import Effect, Note, Request, Retry
from vault_solver.plan import Plan
from vault_solver.state import State

REST_BYTES = 1024
"""Of a frame, for what stands around the residues."""


@dataclass(slots=True)
class _Line:
    """What is relayed of one assignment: the server has compared or taken the first `matched` of `residues`."""

    offer: PuzzleOffered
    depth: int
    residues: list[int] = field(default_factory=list, repr=False)
    matched: int = 0
    sent: int = 0
    busy: bool = False
    over: bool = False


class Relaying:
    """Touches no socket and no clock. Nothing is sent to a server whose limits do not name these messages' own."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._limits: Mapping[str, int] = {}
        self._lines: dict[int, _Line] = {}

    def opened(self, limits: Mapping[str, int]) -> list[Effect]:
        """A conversation is open: what was on its way may be lost, and is sent again."""
        self._limits = limits
        for line in self._lines.values():
            line.busy = False
        return [effect for number in self._lines for effect in self._send(number)]

    def verified(self, offer: PuzzleOffered, plan: Plan | None, state: State) -> list[Effect]:
        """An assignment has come so far, and its check has found nothing."""
        line = self._line(offer, plan)
        if line is None:
            return []
        kept, places = dict(state.kept), kept_indices(offer.t, line.depth)
        line.residues = []
        for place in places:
            if place not in kept:
                break
            line.residues.append(kept[place])
        line.matched = min(line.matched, len(line.residues))  # it may have had to go back
        return self._send(offer.assignment)

    def taken(self, reply: CheckpointTaken) -> list[Effect]:
        """The server has what was sent; the next may follow when an interval has passed."""
        line = self._lines.get(reply.assignment)
        if line is None:
            return []
        is_first, line.matched = line.matched == 0, line.sent
        note = Note("checkpoint.relayed", {"assignment": reply.assignment, "residues": reply.count})
        next_one = RelayCheckpoint(assignment=reply.assignment, depth=line.depth, first=line.matched, residues=b"")
        seconds = self._limits.get("relay_interval_ms", 0) / 1000
        return [*([note] if is_first else []), Retry(next_one, seconds)]  # filled when its time has come

    def due(self, number: int) -> list[Effect]:
        """The time of the next one has come."""
        if (line := self._lines.get(number)) is not None:
            line.busy = False
        return self._send(number)

    def refused(self, number: int) -> None:
        """The server keeps nothing more of this assignment; work on it goes on."""
        if (line := self._lines.get(number)) is not None:
            line.over = True

    def forget(self, number: int) -> None:
        """It has ended, or has its answer."""
        self._lines.pop(number, None)

    def offered(self, offer: PuzzleOffered, plan: Plan | None, done: int, push: CheckpointOffered) -> State | None:
        """The state to go on from, if it lies farther on than `done` and is of use to a proof."""
        state = _state_of(offer, push)
        if plan is None or not plan.is_proved or state is None:
            return None
        is_farther = state.done > done
        if push.depth <= plan.depth:  # what the server holds as ours from now on
            matched = len(state.kept) if is_farther else 0
            residues = [residue for _, residue in state.kept]
            line = _Line(offer, push.depth, residues, matched, sent=matched, over=not self._enabled)
            self._lines[offer.assignment] = line
        return state if is_farther else None

    def _line(self, offer: PuzzleOffered, plan: Plan | None) -> _Line | None:
        known = self._lines.get(offer.assignment)
        if known is not None or plan is None or not plan.is_proved or not self._enabled:
            return known
        depth = relay_depth(
            offer.t,
            offer.product.bit_length(),
            plan.depth,
            interval_ms=self._limits.get("relay_interval_ms", 0),
            bytes_max=self._limits.get("relay_bytes_max", 0),
        )
        if depth is None:
            return None
        return self._lines.setdefault(offer.assignment, _Line(offer, depth))

    def _send(self, number: int) -> list[Effect]:
        line = self._lines.get(number)
        if line is None or line.busy or line.over or len(line.residues) <= line.matched:
            return []
        line.busy = True
        return [Request(self._part(number, line))]

    def _part(self, number: int, line: _Line) -> RelayCheckpoint:
        modulus = line.offer.product
        room = min(CHECKPOINT_PART_BYTES_MAX, (self._limits.get("frame_bytes_max", 0) - REST_BYTES) // 2)
        line.sent = min(len(line.residues), line.matched + max(1, room // residue_bytes(modulus)))
        residues = encode(line.residues[line.matched : line.sent], modulus)
        return RelayCheckpoint(assignment=number, depth=line.depth, first=line.matched, residues=residues)


def _state_of(offer: PuzzleOffered, push: CheckpointOffered) -> State | None:
    try:
        residues = decode(push.residues, offer.product)
    except BadCheckpoint:
        return None
    if not may_have_depth(offer.t, offer.product.bit_length(), push.depth) or not 0 < len(residues) <= 1 << push.depth:
        return None
    kept = tuple(zip(kept_indices(offer.t, push.depth), residues, strict=False))
    return State(*kept[-1], kept)

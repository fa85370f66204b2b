"""One assignment in the solver's hands. Changed by `vault_solver.agent` and `vault_solver.hands` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.vault import PuzzleOffered
from vault_solver.pipe import Solve
from vault_solver.plan import Plan, proof_squarings, seconds_for
from vault_solver.state import State

SPEED_SECONDS_MIN = 2.0
"""Two reports that lie so far apart show a speed."""


@dataclass(slots=True)
class Held:
    """One assignment in hand. `answer_sent` speaks of this connection alone; `late_until_ms` is there once another
    solver was first and a proved answer still counts until then, with `ended_seq`, the push that said so; `start` is
    what the server has given to go on from."""

    offer: PuzzleOffered
    seq: int
    plan: Plan | None = None
    start: State | None = None
    solving: bool = False
    accepted: bool = False
    answer: int | None = None
    proof: bytes = b""
    answer_sent: bool = False
    returning: bool = False
    suspended: bool = False
    proving: bool = False
    late_until_ms: int | None = None
    ended_seq: int | None = None
    done: int = 0
    proved_share: float = 0.0
    _seen: tuple[int, float] | None = None
    _observed: float | None = None
    _told_at: float = 0.0

    @property
    def stage(self) -> str:
        """Where it is on its way, in a word."""
        for stage in ("returning", "suspended", "proving", "solving"):
            if getattr(self, stage):
                return stage
        return "waiting" if self.answer is None else "answered"

    @property
    def is_under_way(self) -> bool:
        """Whether its squarings are being done, or will be, for an answer that is waited for."""
        is_ending = self.returning or self.suspended or self.proving or self.late_until_ms is not None
        return self.answer is None and not is_ending

    @property
    def is_proof_due(self) -> bool:
        """Whether its answer goes with a proof."""
        return self.plan is not None and self.plan.is_proved

    @property
    def share(self) -> float:
        """How much of what it is doing now is done, 0 to 1."""
        return self.proved_share if self.proving else self.done / self.offer.t

    @property
    def job(self) -> Solve:
        """The order to a worker."""
        offer = self.offer
        return Solve(offer.assignment, offer.t, offer.baseg, offer.product, self.start, self.plan)

    def begin_at(self, state: State) -> None:
        """It goes on from this state, which somebody else has reached."""
        self.start, self.done, self._seen = state, state.done, None

    def progressed(self, done: int, now: float) -> None:
        """So many squarings are behind it, at this time in seconds."""
        if self._seen is None or done < self._seen[0]:
            self._seen = done, now
        elif now - self._seen[1] >= SPEED_SECONDS_MIN:
            self._observed = (done - self._seen[0]) / (now - self._seen[1])
        self.done, self._told_at = done, now

    def seconds_left(self, speeds: Mapping[str, int], now: float) -> float:
        """About how long it takes from now to the end of its proof, at these speeds or the slower one it shows.

        Work goes on between two reports of it.
        """
        squarings: float = self.offer.t - self.done
        if self.is_proof_due and self.plan is not None:
            squarings += proof_squarings(self.offer.t, self.plan.depth) * (1 - self.proved_share)
        seconds = seconds_for(squarings, self.offer.product.bit_length(), speeds)
        if self._observed:
            seconds = max(seconds, squarings / self._observed)
        return max(0.0, seconds - (now - self._told_at)) if self.solving else seconds

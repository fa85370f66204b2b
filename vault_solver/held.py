"""One assignment in the solver's hands. Changed by `vault_solver.agent` alone."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.vault import PuzzleOffered


@dataclass(slots=True)
class Held:
    """One assignment in hand. `answer_sent` speaks of this connection alone."""

    offer: PuzzleOffered
    seq: int
    solving: bool = False
    accepted: bool = False
    answer: int | None = None
    answer_sent: bool = False
    returning: bool = False
    suspended: bool = False
    done: int = 0

    @property
    def stage(self) -> str:
        """Where it is on its way, in a word."""
        for stage in ("returning", "suspended", "solving"):
            if getattr(self, stage):
                return stage
        return "waiting" if self.answer is None else "answered"

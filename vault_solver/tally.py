"""What has happened since the start, counted for the screen and the summary. Decides nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from vault_solver.effects import Note
from vault_solver.pipe import Erred, Misproved, Progressed, Report, Solved

RATE_SECONDS_MAX = 5.0
"""A rate that nothing has confirmed for so long is over."""


@dataclass(slots=True)
class _Pace:
    done: int
    at: float
    per_second: float = 0.0


@dataclass(slots=True)
class Tally:
    """Feed it what the workers report and what is logged; read its fields. Times are seconds of one steady clock."""

    errors: int = 0
    proofs: int = 0
    proofs_erred: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    score: float | None = None
    score_reason: str = ""
    _paces: dict[int, _Pace] = field(default_factory=dict)

    def reported(self, report: Report, now: float) -> None:
        """A worker has said this."""
        if isinstance(report, Erred):
            self.errors += 1
        elif isinstance(report, Misproved):
            self.proofs_erred += 1
        elif isinstance(report, Solved) and report.proof:
            self.proofs += 1
        if not isinstance(report, Progressed):
            self._paces.pop(report.assignment, None)
            return
        before = self._paces.get(report.assignment)
        pace = self._paces[report.assignment] = _Pace(report.done, now)
        if before is not None and now > before.at:
            pace.per_second = max(0.0, (report.done - before.done) / (now - before.at))

    def noted(self, note: Note) -> None:
        """This was logged."""
        match note.event:
            case "assignment.verdict":
                self.verdicts[note.fields["verdict"]] += 1
            case "assignment.ended":
                self.verdicts[note.fields["outcome"]] += 1
            case "standing.changed":
                self.score, self.score_reason = note.fields["reputation_score"], note.fields["reason"]

    def squarings_a_second(self, assignment: int, now: float) -> float:
        """Of one assignment, as its last two reports show."""
        pace = self._paces.get(assignment)
        return pace.per_second if pace is not None and now - pace.at <= RATE_SECONDS_MAX else 0.0

    def squarings_a_second_of_all(self, now: float) -> float:
        """Of everything that is being solved."""
        return sum(self.squarings_a_second(assignment, now) for assignment in self._paces)

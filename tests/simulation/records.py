"""What the database says of the fleet, during a run and at its end: scores, blame, and what became of assignments."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance import rows


@dataclass(frozen=True, slots=True)
class Standing:
    """How honest solvers and liars stand after `ended` tasks: mean, and the worst honest and the best liar.

    `liars_share` is the liars' part of the assignments made so far; None where there is nobody or nothing yet.
    """

    ended: int
    honest_mean: float | None
    honest_lowest: float | None
    liars_mean: float | None
    liars_highest: float | None
    liars_share: float | None


@dataclass(frozen=True, slots=True)
class Blamed:
    """A solver whose score was lowered."""

    solver: str
    change: float
    reason: str


@dataclass(frozen=True, slots=True)
class KindOfSolver:
    """What became of one kind of solver: how many there are, their mean score, their assignments by status, and how
    often their scores were lowered for which reason."""

    solvers: int
    score: float
    assignments: Mapping[str, int]
    lowered: Mapping[str, int]


def standing(database: Path, kind_of: Mapping[str, str], ended: int) -> Standing:
    """Look at the scores now. `kind_of` names the kind of each solver."""
    found = rows.look(database, "SELECT solver_id, reputation_score, tasks_taken FROM solvers")
    mine = [(kind_of[str(name)] == "honest", _number(score), _number(taken)) for name, score, taken in found]
    honest = [score for is_honest, score, _ in mine if is_honest]
    liars = [score for is_honest, score, _ in mine if not is_honest]
    taken = sum(number for _, _, number in mine)
    by_liars = sum(number for is_honest, _, number in mine if not is_honest)
    return Standing(
        ended,
        statistics.fmean(honest) if honest else None,
        min(honest, default=None),
        statistics.fmean(liars) if liars else None,
        max(liars, default=None),
        by_liars / taken if taken else None,
    )


def blamed(database: Path) -> list[Blamed]:
    """Every lowering of a solver's score, as `score_history` has it."""
    found = rows.look(
        database,
        "SELECT p.fingerprint, h.score_change, h.reason FROM score_history h JOIN participants p USING (hotkey)"
        " WHERE h.standing = 'solver' AND h.score_change < 0 ORDER BY h.id",
    )
    return [Blamed(str(name), _number(change), str(reason)) for name, change, reason in found]


def by_kind(database: Path, kind_of: Mapping[str, str]) -> dict[str, KindOfSolver]:
    """Each kind's end, the honest first."""
    lowered = blamed(database)
    score_of = {str(n): _number(s) for n, s in rows.look(database, "SELECT solver_id, reputation_score FROM solvers")}
    ended = rows.look(database, "SELECT solver_id, status, count(*) FROM task_assignments GROUP BY solver_id, status")
    table = {}
    for kind in sorted(set(kind_of.values()), key=lambda kind: (kind != "honest", kind)):
        names = {name for name, its_kind in kind_of.items() if its_kind == kind}
        statuses: dict[str, int] = {}
        for name, status, number in ended:
            if name in names:
                statuses[str(status)] = statuses.get(str(status), 0) + int(_number(number))
        scores = [score_of[name] for name in names if name in score_of]
        reasons = Counter(each.reason for each in lowered if each.solver in names)
        table[kind] = KindOfSolver(len(names), statistics.fmean(scores) if scores else 50.0, statuses, dict(reasons))
    return table


def assignments_per_task(database: Path, clients: Sequence[str]) -> tuple[float, int]:
    """Mean and most, over these clients' tasks."""
    found = rows.look(database, "SELECT client_id, num_assignments FROM tasks")
    numbers = [int(_number(number)) for client, number in found if client in clients]
    return (statistics.fmean(numbers), max(numbers)) if numbers else (0.0, 0)


def _number(value: object) -> float:
    assert isinstance(value, int | float), "a column of numbers"
    return value

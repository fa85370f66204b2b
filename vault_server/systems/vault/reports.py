"""What operators can ask of the vault: rows in, plain values out; the same with and without a running server."""

from __future__ import annotations

from typing import Any

from vault_server.core.operation import Reader, Report, Row
from vault_server.systems.vault.explanation import explain, q
from vault_server.systems.vault.states import TASK

SOLVERS_MAX = 100_000
"""Rows of one answer, when the question names no number."""
COUNT_DIGITS_MAX = 18


def solvers(reader: Reader, about: str, _now_ms: int) -> list[dict[str, Any]] | None:
    """Solvers by standing, best first; `about` may say how many."""
    if about and not (about.isdecimal() and len(about) <= COUNT_DIGITS_MAX):
        return None
    count = min(int(about or SOLVERS_MAX), SOLVERS_MAX)
    return [_solver(row) for row in reader.all(q.solvers_by_standing, count=count)]


def _solver(row: Row) -> dict[str, Any]:
    return {
        "solver": row["solver_id"],
        "is_online": bool(row["is_online"]),
        "state": row["state"],
        "score": row["reputation_score"],
        "band": row["band"],
        "capacity": row["capacity"],
        "announced": row["announced"],
        "in_hand": row["in_hand"],
        "tasks_taken": row["tasks_taken"],
        "valid_answers": row["valid_answers"],
        "modulus_bits_max": row["modulus_bits_max"],
        "last_served_at": row["last_assigned_at"] or None,
    }


def counts(reader: Reader, _about: str, _now_ms: int) -> dict[str, Any]:
    """How many of what there are. Counting tasks looks at each of them: who asks again and again takes breaks."""
    tasks = dict.fromkeys(TASK.states, 0) | {row["status"]: row["tasks"] for row in reader.all(q.tasks_by_status)}
    solvers_row = reader.one(q.solvers_counted)
    complaints = reader.one(q.complaints_unruled)
    assert solvers_row is not None, "an aggregate has a row"
    assert complaints is not None, "an aggregate has a row"
    return {
        "tasks": tasks,
        "solvers": {name: int(solvers_row[name]) for name in ("known", "online", "capacity", "in_hand")},
        "complaints": complaints["complaints"],
    }


REPORTS = [Report("explain", explain), Report("solvers", solvers), Report("counts", counts)]

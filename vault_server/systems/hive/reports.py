"""What operators can ask of the hive: rows in, plain values out; the same with and without a running server."""

from __future__ import annotations

from typing import Any

from vault_server.core.operation import Reader, Report, Row
from vault_server.storage.queries import load
from vault_server.systems.hive import gauges

q = load(__package__, "reports.sql")

ID_DIGITS_MAX = 18


def explain_hive(reader: Reader, about: str, _now_ms: int) -> dict[str, Any] | None:
    """Everything that happened to a task, by its id: claims, work, dispute, review, credits, scores."""
    if not (about.isdecimal() and about.isascii() and len(about) <= ID_DIGITS_MAX):
        return None
    task = reader.one(q.explained_task, task_id=int(about))
    if task is None:
        return None
    return {
        **_plain(task),
        "claims": [_plain(row) for row in reader.all(q.explained_claims, task_id=task["id"])],
        "deliverables": [_plain(row) for row in reader.all(q.explained_deliverables, task_id=task["id"])],
        "dispute": _plain(reader.one(q.explained_dispute, task_id=task["id"])),
        "review": _plain(reader.one(q.explained_review, task_id=task["id"])),
        "credits": [_plain(row) for row in reader.all(q.explained_credits, task_id=task["id"])],
        "scores": [_plain(row) for row in reader.all(q.explained_scores, subject=str(task["id"]))],
    }


def _plain(row: Row | None) -> dict[str, Any]:
    return {} if row is None else dict(row)


def hive_counts(reader: Reader, _about: str, now_ms: int) -> dict[str, Any]:
    """How many of what there are."""
    return {
        "tasks": dict(gauges.tasks_by_status(reader, now_ms)),
        "agents": dict(gauges.agents_by_status(reader, now_ms)),
    }


REPORTS = [Report("explain_hive", explain_hive), Report("hive_counts", hive_counts)]

"""What operators can ask of the subnet: rows in, plain values out; the same with and without a running server."""

from __future__ import annotations

from typing import Any

from vault_server.core.operation import Reader, Report, Row
from vault_server.storage.queries import load
from vault_server.systems.subnet import gauges

q = load(__package__, "reports.sql")

ID_DIGITS_MAX = 18


def explain_subnet(reader: Reader, about: str, _now_ms: int) -> dict[str, Any] | None:
    """Everything that happened to a task, by its id: who asked, who answered, who judged, whose score moved."""
    if not (about.isdecimal() and about.isascii() and len(about) <= ID_DIGITS_MAX):
        return None
    task = reader.one(q.explained_task, task_id=int(about))
    if task is None:
        return None
    asked = reader.one(q.explained_asks, subject=about)
    assert asked is not None, "an aggregate has a row"
    return {
        "task": task["id"],
        "task_type": task["task_type"],
        "status": task["status"],
        "validator": task["validator_hotkey"],
        "miner": task["assigned_miner_hotkey"],
        "blames_miner": bool(task["blames_miner"]),
        **{name: task[name] for name in ("created_at", "expire_at", "submitted_at", "voting_closes_at", "scored_at")},
        "updated_at": task["updated_at"],
        "completions": [_completion(task, row) for row in reader.all(q.explained_completions, task_id=task["id"])],
        "votes": [_vote(task, row) for row in reader.all(q.explained_votes, task_id=task["id"])],
        "asked": asked["asked"],
        "scores": [_score(row) for row in reader.all(q.explained_scores, subject=str(task["id"]))],
    }


def _completion(task: Row, row: Row) -> dict[str, Any]:
    is_reference = row["id"] == task["validator_completion_id"]
    return {
        "completion": row["id"],
        "by": row["hotkey"],
        "side": "validator" if is_reference else "miner",
        "json_characters": row["json_characters"],
        "at": row["created_at"],
    }


def _vote(task: Row, row: Row) -> dict[str, Any]:
    is_reference = row["chosen_completion_id"] == task["validator_completion_id"]
    return {
        "voter": row["voter_hotkey"],
        "chosen": "validator" if is_reference else "miner",
        "weight": row["weight"],
        "at": row["created_at"],
        "changed_at": row["updated_at"] if row["updated_at"] != row["created_at"] else None,
    }


def _score(row: Row) -> dict[str, Any]:
    return {
        "hotkey": row["hotkey"],
        "change": row["score_change"],
        "after": row["score_after"],
        "reason": row["reason"],
        "at": row["created_at"],
    }


def subnet_counts(reader: Reader, _about: str, now_ms: int) -> dict[str, Any]:
    """How many of what there are."""
    return {
        "tasks": dict(gauges.tasks_by_status(reader, now_ms)),
        "online": dict(gauges.online(reader, now_ms)),
    }


REPORTS = [Report("explain_subnet", explain_subnet), Report("subnet_counts", subnet_counts)]

"""Disputes: a poster opens one about what was delivered; it is one to a task, and ends when an admin has decided."""

from __future__ import annotations

from vault_server.core.operation import Row, Transaction, log
from vault_server.systems.hive import events
from vault_server.systems.hive.records import Task, move_task, q


def begin(tx: Transaction, task: Task, deliverable: Row, kind: str, reason: str, now_ms: int) -> None:
    """Write it down, and tell both sides; `kind` is the task's event, `reject` or `dispute`."""
    tx.run(q.insert_dispute, task_id=task.id, deliverable_id=deliverable["id"], kind=kind, reason=reason, now=now_ms)
    moved = move_task(tx, task, kind, now_ms)
    told = {"deliverable_id": deliverable["id"], "agent_id": task.worker_id}
    events.tell_both(tx, "task.disputed", moved, now_ms, **told)
    log(tx, "hive.dispute_opened", hive_task=task.id, kind=kind, agent=task.worker_id)

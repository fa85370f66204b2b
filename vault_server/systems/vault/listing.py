"""A client's own tasks, page by page, the newest first."""

from __future__ import annotations

from protocol import vault as wire
from vault_server.core.operation import Caller, Row, Transaction
from vault_server.systems.vault.records import Parts, q, task_of_client

LINES_UNASKED = 50
"""Lines of a page when the client does not say."""
SCANNED_MAX = 1_000
"""Tasks looked at for one page: a rare status must not hold up the writer. The page then ends early, with a `next`."""
KEY_MAX = 2**63 - 1


def list_tasks(_parts: Parts, tx: Transaction, caller: Caller, order: wire.ListTasks, _now_ms: int) -> wire.TaskList:
    """One page of the caller's tasks."""
    before = KEY_MAX if order.before is None else task_of_client(tx, caller, order.before)["db_key"]
    count = LINES_UNASKED if order.limit is None else order.limit
    scanned = count if order.status is None else SCANNED_MAX
    rows = tx.all(
        q.tasks_of_client,
        client_id=caller.fingerprint,
        before=before,
        scanned=scanned,
        status=order.status,
        count=count,
    )
    lines = tuple(_line(row) for row in rows)
    if len(lines) == count:
        return wire.TaskList(tasks=lines, next=lines[-1].task)
    last = tx.one(q.task_of_client_after, client_id=caller.fingerprint, before=before, skipped=scanned - 1)
    return wire.TaskList(tasks=lines, next=None if last is None else last["fingerprint"])


def _line(row: Row) -> wire.TaskLine:
    return wire.TaskLine(
        task=row["fingerprint"],
        status=row["status"],
        created=row["created_at"],
        num_assignments=row["num_assignments"],
        promised_by=row["promised_by"],
        judged_by=row["judged_by"],
        complaint_deadline=row["complaint_deadline"],
    )

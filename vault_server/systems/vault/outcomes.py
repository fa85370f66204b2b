"""What follows for a task: it is answered, asks further solvers, or fails; and its other solvers are let go."""

from __future__ import annotations

from collections.abc import Sequence

from vault_server.core.operation import Endpoint, Row, Transaction, log
from vault_server.exchange import deadlines, outbox
from vault_server.systems.vault import rules
from vault_server.systems.vault.assigning import assign, empty_slots, end_assignment, offer_open_tasks, write_slots
from vault_server.systems.vault.records import Parts, Task, q, seal_task_answer
from vault_server.systems.vault.rules import Judgement
from vault_server.systems.vault.states import IN_HAND, OPEN, TASK

SETTLE = "settle_task"
"""The deadline that the trigger `on_task_end` sets once a task is answered."""


def answer_task(
    parts: Parts, tx: Transaction, task: Task, assignment: Row, raw: bytes, way: Judgement, now_ms: int
) -> None:
    """The task has its answer: release who is still at it without blame. They are among `task.freed` from then on, and
    what waits is theirs to be offered.

    Its client is told, and the answer settles, by the trigger `on_task_end`.
    """
    expected, task.status = task.status, TASK.after(task.status, "answer")
    judged_by = way.value
    changed = tx.run(
        q.answer_task,
        db_key=task.key,
        status=task.status,
        answer=seal_task_answer(parts.cipher, raw, task),
        judged_by=judged_by,
        updated_at=now_ms,
        complaint_deadline=assignment["complain_until"],
        expected=expected,
    )
    assert changed == 1, f"task {task.fingerprint} is no longer {expected}"
    if way is Judgement.PROOF:
        tx.run(q.set_proved, fingerprint=task.fingerprint, judged_by=judged_by, proved_by=assignment["db_key"])
    log(tx, "task.answered", task=task.fingerprint, judged_by=judged_by, solver=assignment["solver_id"])
    _release_others(tx, task, assignment, now_ms)


def _release_others(tx: Transaction, task: Task, first: Row, now_ms: int) -> None:
    """Release without blame who is still working, and let a proved answer that is nearly there count; an answer that
    waits for its judge keeps waiting, one that waits for another to agree does not."""
    late_ms = rules.late_ms(first["delivered_at"] - first["assigned_at"])
    for row in tx.all(q.other_live_assignments, task_id=task.fingerprint, db_key=first["db_key"]):
        if row["status"] in IN_HAND:
            end_assignment(tx, row, "release", now_ms, tell=True)
            if late_ms and task.needs_proof:  # where nothing is proved, nothing can come late
                tx.run(q.allow_late, db_key=row["db_key"], late_until=now_ms + late_ms)
            log(tx, "assignment.released", task=task.fingerprint, assignment=row["db_key"], solver=row["solver_id"])
            task.freed.append(row["solver_id"])
        elif not is_being_judged(task, row):
            end_assignment(tx, row, "leave_unproved", now_ms, tell=True)


def is_being_judged(task: Task, live: Row) -> bool:
    """Whether a judge will say what a delivered answer is worth; `live` is a row of `other_live_assignments`."""
    return task.judging is Judgement.COMPUTED or bool(live["has_proof_waiting"])


def look_further(parts: Parts, tx: Transaction, task: Task, ended: Sequence[int], now_ms: int) -> None:
    """These assignments ended without an answer: free their slots, ask others, or fail when nobody may be asked."""
    expected = task.status
    empty_slots(task, ended)
    write_slots(parts, tx, task, expected, now_ms)
    if assign(parts, tx, task, now_ms):
        return
    if task.slots_to_open(parts.settings.assignments_max):
        return  # a slot stays open for a solver that comes online
    waiting = list(tx.all(q.other_live_assignments, task_id=task.fingerprint, db_key=0))
    if any(row["status"] in IN_HAND for row in waiting):
        return
    if any(is_being_judged(task, row) for row in waiting):
        return
    for row in waiting:
        end_assignment(tx, row, "leave_unproved", now_ms, tell=True)
    reason = f"no answer could be judged right after {task.num_assignments} assignments"
    fail_task(tx, task, "fail", reason, now_ms)


def ask_others(parts: Parts, tx: Transaction, row: Row, now_ms: int, *, returned: int = 0) -> None:
    """A solver gave a task up: others are asked for the task, and the solver gets what waits.

    A returned assignment does not count against `assignments_max`: handing back costs a solver nothing, so it must not
    cost the client its task.
    """
    task = Task.of(row, parts.cipher)
    task.num_returned += returned
    assert task.status in OPEN, f"task {task.fingerprint} has ended with a live assignment"
    look_further(parts, tx, task, [row["assignment_key"]], now_ms)
    offer_open_tasks(parts, tx, [row["solver_id"]], now_ms)


def fail_task(tx: Transaction, task: Task, event: str, reason: str, now_ms: int) -> None:
    """The task ends without an answer that stands; its client is told why."""
    expected, task.status = task.status, TASK.after(task.status, event)
    changed = tx.run(
        q.fail_task,
        fingerprint=task.fingerprint,
        status=task.status,
        reason=reason,
        updated_at=now_ms,
        expected=expected,
    )
    assert changed == 1, f"task {task.fingerprint} is no longer {expected}"
    deadlines.clear(tx, SETTLE, task.fingerprint)
    if not task.is_trap:
        outbox.withdraw(tx, task.client_id, Endpoint.CLIENT, "tlp_response", task.fingerprint)
        outbox.push(tx, task.client_id, Endpoint.CLIENT, "task_failed", task.fingerprint, now_ms)
    log(tx, "task.failed", task=task.fingerprint, reason=reason)

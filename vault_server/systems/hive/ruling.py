"""Opening a dispute, and an admin's ruling on it: for the agent, who is paid, or for the poster."""

from __future__ import annotations

from protocol import hive as wire
from protocol import hive_replies as reply
from vault_server.core.operation import Caller, Reader, Row, Transaction, log
from vault_server.exchange import deadlines
from vault_server.systems.hive import access, credits, disputes, events, pages, reputation, showing
from vault_server.systems.hive.access import Actor
from vault_server.systems.hive.deliverables import ACCEPT, complete
from vault_server.systems.hive.records import (
    Parts,
    Task,
    check_status,
    deliverable_of,
    move_deliverable,
    move_task,
    q,
    task_to_decide,
)


def dispute(_parts: Parts, tx: Transaction, caller: Caller, order: wire.DisputeTask, now_ms: int) -> reply.TaskShown:
    """The poster disputes what is under review; it stays submitted until an admin decides."""
    actor = access.actor_of(tx, caller)
    task = task_to_decide(tx, order.task_id)
    access.need_poster(actor, task)
    check_status(task, "dispute", "What is delivered and not decided yet can be disputed.")
    deliverable = tx.one(q.submitted_deliverable, task_id=task.id)
    assert deliverable is not None, f"task {task.id} is delivered"
    deadlines.clear(tx, ACCEPT, str(task.id))
    disputes.begin(tx, task, deliverable, "dispute", order.reason, now_ms)
    return reply.TaskShown(task=showing.task(tx, task.id, actor))


def resolve_dispute(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.ResolveDispute, now_ms: int
) -> reply.TaskShown:
    """An admin decides: as an acceptance, or as a cancellation that takes nothing from anybody."""
    actor = access.actor_of(tx, caller)
    access.need_admin(actor)
    task = task_to_decide(tx, order.task_id)
    check_status(task, f"find_for_{order.outcome}", "Only a disputed task is decided; list_disputes lists those.")
    _check_impartial(tx, actor, task)
    written = tx.run(
        q.resolve_dispute,
        task_id=task.id,
        outcome=order.outcome,
        note=order.note,
        resolved_by=actor.user_id,
        now=now_ms,
    )
    assert written == 1, f"task {task.id} is disputed without an open dispute"
    _carry_out(parts, tx, task, _disputed(tx, task), order.outcome, now_ms)
    told: dict[str, events.Value] = {"agent_id": task.worker_id, "outcome": order.outcome}
    events.tell_both(tx, "dispute.resolved", task, now_ms, **told)
    log(tx, "hive.dispute_resolved", hive_task=task.id, outcome=order.outcome, by=actor.user_id)
    return reply.TaskShown(task=showing.task(tx, task.id, actor))


def _check_impartial(tx: Transaction, actor: Actor, task: Task) -> None:
    agent = tx.one(q.agent_actor, id=task.worker_id)
    assert agent is not None, f"agent {task.worker_id} is there"
    if actor.user_id in (task.poster_id, agent["operator_id"]):
        raise access.forbidden(f"You have a part in task {task.id}.", "Another admin has to decide it.")


def _disputed(tx: Transaction, task: Task) -> Row:
    row = tx.one(q.dispute, task_id=task.id)
    assert row is not None, f"task {task.id} is disputed without a dispute"
    return deliverable_of(tx, task.id, row["deliverable_id"])


def _carry_out(parts: Parts, tx: Transaction, task: Task, deliverable: Row, outcome: str, now_ms: int) -> None:
    if outcome == "agent":
        complete(parts, tx, task, deliverable, "find_for_agent", now_ms)
        return
    if deliverable["status"] == "submitted":
        move_deliverable(tx, deliverable, "reject")
    moved = move_task(tx, task, "find_for_poster", now_ms)
    reputation.update(tx, task.worker_id, "dispute_lost", task.id, now_ms)
    credits.release(tx, moved, now_ms)  # agents are locked before users, as in every completion


def list_disputes(
    _parts: Parts, reader: Reader, caller: Caller, order: wire.ListDisputes, _now_ms: int
) -> reply.TaskPage:
    """One page of the tasks that wait for an admin, the oldest first."""
    access.need_admin(access.actor_of(reader, caller))
    [after] = pages.place(order.cursor, "disputes", 0)
    rows = reader.all(q.tasks_disputed, id=after, count=pages.lines_of(order.limit) + 1)
    found = pages.page(rows, order.limit, "disputes", showing.task_line, "id")
    return reply.TaskPage(tasks=found.lines, has_more=found.has_more, cursor=found.cursor)

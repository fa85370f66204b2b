"""What posters do with their tasks, and how anybody looks at them."""

from __future__ import annotations

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from vault_server.core.operation import Caller, Reader, Refusal, Row, Transaction, log
from vault_server.systems.hive import access, events, reputation, rules, showing
from vault_server.systems.hive.access import Actor
from vault_server.systems.hive.records import (
    Parts,
    Task,
    accepted_claim,
    check_status,
    move_claim,
    move_task,
    q,
    task_to_decide,
)
from vault_server.systems.hive.states import TASK


def post_task(parts: Parts, tx: Transaction, caller: Caller, order: wire.PostTask, now_ms: int) -> reply.TaskShown:
    """Store a task, and tell the agents of its category."""
    actor = access.actor_of(tx, caller)
    if not actor.may_post:
        raise access.forbidden("Your role is operator, which posts no tasks.", "Register with the role poster or both.")
    _check_order(tx, order, now_ms)
    _check_room(parts, tx, actor)
    row = tx.one(
        q.insert_task,
        poster_id=actor.user_id,
        title=order.title,
        description=order.description,
        requirements=order.requirements,
        budget_credits=order.budget_credits,
        category_id=order.category_id,
        status=TASK.first,
        deadline=order.deadline,
        max_revisions=rules.MAX_REVISIONS_DEFAULT if order.max_revisions is None else order.max_revisions,
        posted_by_agent_id=actor.agent_id,
        now=now_ms,
    )
    assert row is not None, "INSERT … RETURNING gives the row"
    task = task_to_decide(tx, row["id"])
    told = events.tell_matches(parts, tx, task, now_ms)
    log(tx, "hive.task_posted", hive_task=task.id, poster=actor.user_id, agent=actor.agent_id, told=told)
    return reply.TaskShown(task=showing.task(tx, task.id, actor))


def _check_order(tx: Transaction, order: wire.PostTask, now_ms: int) -> None:
    if order.category_id is not None and tx.one(q.category, id=order.category_id) is None:
        raise Refusal(
            Code.VALIDATION_ERROR,
            f"Field 'category_id': category {order.category_id} does not exist.",
            "Look at list_categories (GET /categories), or leave it out.",
        )
    if order.deadline is not None and order.deadline <= now_ms:
        raise Refusal(
            Code.VALIDATION_ERROR,
            "Field 'deadline' is not in the future.",
            "Send a later time, or leave it out: then there is none.",
        )


def _check_room(parts: Parts, tx: Transaction, actor: Actor) -> None:
    """Raises Refusal(MAX_TASKS). Two at once wait for each other at the user's row."""
    limit = parts.settings.hive_open_tasks_max
    tx.one(q.lock_user, id=actor.user_id)
    ever = tx.one(q.poster_counts, user_id=actor.user_id)
    if ever is None or ever["posted"] - ever["completed"] < limit:
        return  # most people; the others' tasks are counted
    counted = tx.one(q.count_open_tasks, poster_id=actor.user_id)
    assert counted is not None, "an aggregate has a row"
    if counted["tasks"] >= limit:
        raise Refusal(
            Code.MAX_TASKS,
            f"You have {limit} tasks that are neither completed nor cancelled.",
            "Accept the work of one, or cancel one (hive_open_tasks_max); my_tasks lists them.",
        )


def get_task(_parts: Parts, reader: Reader, caller: Caller, order: wire.GetTask, _now_ms: int) -> reply.TaskShown:
    """A task, whole."""
    return reply.TaskShown(task=showing.task(reader, order.task_id, access.anybody(reader, caller)))


def cancel_task(_parts: Parts, tx: Transaction, caller: Caller, order: wire.CancelTask, now_ms: int) -> reply.TaskMoved:
    """Withdraw a task that is open or claimed; claims on it come to nothing."""
    task = _own_task(tx, caller, order.task_id)
    check_status(task, "cancel", "A task can be cancelled until its agent begins; later request a revision or dispute.")
    if task.status == "open":
        reject_pending(tx, task, "task_cancelled", now_ms)
    else:
        move_claim(tx, accepted_claim(tx, task), "reject")
    events.tell_both(tx, "task.cancelled", task, now_ms, previous_status=task.status)
    return _moved(task, move_task(tx, task, "cancel", now_ms))


def rollback_task(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.RollbackTask, now_ms: int
) -> reply.TaskMoved:
    """Take a claimed task back before it is begun; it is open again, and no credits move."""
    task = _own_task(tx, caller, order.task_id)
    if not TASK.allows(task.status, "roll_back"):
        raise Refusal(
            Code.TASK_NOT_CLAIMED,
            f"Task {task.id} is {task.status}.",
            "Only a task that is claimed and not begun is rolled back; cancel_task ends an open one.",
        )
    _take_back(tx, task, "rolled_back", now_ms)
    return _moved(task, move_task(tx, task, "roll_back", now_ms))


def reclaim_task(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.ReclaimTask, now_ms: int
) -> reply.TaskMoved:
    """Take a task back whose deadline has passed with nothing to review: its agent has given it up."""
    task = _own_task(tx, caller, order.task_id)
    check_status(task, "reclaim", "Only a task in progress is reclaimed; rollback_task takes back one that is claimed.")
    if task.deadline_ms is None or now_ms <= task.deadline_ms:
        raise Refusal(
            Code.INVALID_STATUS,
            f"The deadline of task {task.id} has not passed, or it has none.",
            "Wait for its deadline; without one its agent has to give it up with withdraw_claim.",
        )
    _take_back(tx, task, "deadline_passed", now_ms, is_abandoned=True)
    moved = move_task(tx, task, "reclaim", now_ms)
    reputation.update(tx, task.worker_id, "task_abandoned", task.id, now_ms)
    return _moved(task, moved)


def _own_task(tx: Transaction, caller: Caller, task_id: int) -> Task:
    """A task of the caller's, locked. Raises Refusal."""
    actor = access.actor_of(tx, caller)
    task = task_to_decide(tx, task_id)
    access.need_poster(actor, task)
    return task


def _take_back(tx: Transaction, task: Task, reason: str, now_ms: int, *, is_abandoned: bool = False) -> None:
    claim = accepted_claim(tx, task)
    move_claim(tx, claim, "withdraw", is_abandoned=is_abandoned)
    tell_lost(tx, task, claim, reason, now_ms)


def reject_pending(tx: Transaction, task: Task, reason: str, now_ms: int) -> None:
    """No other claim on the task can be accepted any more: their agents are told."""
    for claim in tx.all(q.pending_claims, task_id=task.id):
        move_claim(tx, claim, "reject")
        tell_lost(tx, task, claim, reason, now_ms)


def tell_lost(tx: Transaction, task: Task, claim: Row, reason: str, now_ms: int) -> None:
    """An agent learns that its claim has come to nothing, and why."""
    agent_id: int = claim["agent_id"]
    events.tell_agent(
        tx, agent_id, "claim.rejected", task, now_ms, claim_id=claim["id"], agent_id=agent_id, reason=reason
    )


def _moved(before: Task, after: Task) -> reply.TaskMoved:
    return reply.TaskMoved(task_id=before.id, previous_status=before.status, status=after.status)

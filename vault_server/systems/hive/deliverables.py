"""Work: agents begin and deliver; posters accept, ask for changes, or refuse for good."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from vault_server.core.operation import Caller, Reader, Refusal, Row, Transaction, log
from vault_server.exchange import deadlines
from vault_server.systems.hive import access, credits, disputes, events, pages, reputation, showing
from vault_server.systems.hive.access import Actor
from vault_server.systems.hive.records import (
    Parts,
    Task,
    check_status,
    deliverable_of,
    move_deliverable,
    move_task,
    no_such_task,
    q,
    task_to_decide,
)
from vault_server.systems.hive.rules import Settlement
from vault_server.systems.hive.states import DELIVERABLE, TASK

ACCEPT = "accept_unreviewed"
"""The deadline after which work that nobody looked at is accepted."""
HOUR_MS = 3_600_000
PAGE_CHARACTERS_MAX = 2**18
"""Characters of work on one page: a megabyte at most, and five deliverables at least."""


def start_task(_parts: Parts, tx: Transaction, caller: Caller, order: wire.StartTask, now_ms: int) -> reply.TaskMoved:
    """Say that a claimed task is begun."""
    agent_id = access.need_agent(access.actor_of(tx, caller))
    task = task_to_decide(tx, order.task_id)
    check_status(task, "start", "Only a task whose claim was accepted and that is not begun can be started.")
    _check_worker(task, agent_id)
    moved = move_task(tx, task, "start", now_ms)
    return reply.TaskMoved(task_id=task.id, previous_status=task.status, status=moved.status)


def deliver(parts: Parts, tx: Transaction, caller: Caller, order: wire.Deliver, now_ms: int) -> reply.DeliverableShown:
    """Hand work in; a task that was not begun is begun by it, so that no state is skipped."""
    agent_id = access.need_agent(access.actor_of(tx, caller))
    task = task_to_decide(tx, order.task_id)
    if not (TASK.allows(task.status, "deliver") or TASK.allows(task.status, "start")):
        raise Refusal(
            Code.INVALID_STATUS,
            f"Task {task.id} is {task.status}.",
            "Work is delivered on a task that is claimed or in progress; my_tasks lists yours.",
        )
    _check_worker(task, agent_id)
    number = _next_number(tx, task, agent_id)
    if TASK.allows(task.status, "start"):
        task = move_task(tx, task, "start", now_ms)
    row = tx.one(
        q.insert_deliverable,
        task_id=task.id,
        agent_id=agent_id,
        content=order.content,
        status=DELIVERABLE.first,
        revision_number=number,
        now=now_ms,
    )
    assert row is not None, "INSERT … RETURNING gives the row"
    task = move_task(tx, task, "deliver", now_ms)
    if parts.settings.hive_auto_accept_hours:
        deadlines.put(tx, ACCEPT, str(task.id), now_ms + parts.settings.hive_auto_accept_hours * HOUR_MS)
    told = {"deliverable_id": row["id"], "agent_id": agent_id, "revision_number": number}
    events.tell_poster(tx, "deliverable.submitted", task, now_ms, **told)
    return _shown(tx, task, row["id"])


def _check_worker(task: Task, agent_id: int) -> None:
    if task.agent_id != agent_id:
        raise Refusal(
            Code.NOT_CLAIMED_BY_YOU,
            f"Task {task.id} is agent {task.agent_id}'s.",
            "Work on the tasks whose claims were accepted: my_tasks lists yours.",
        )


def _next_number(tx: Transaction, task: Task, agent_id: int) -> int:
    """Each agent counts its attempts on a task from 1. Raises Refusal(MAX_REVISIONS)."""
    counted = tx.one(q.count_deliverables, task_id=task.id, agent_id=agent_id)
    assert counted is not None, "an aggregate has a row"
    number: int = counted["deliverables"] + 1
    if number > task.max_revisions + 1:
        raise _exhausted(task)
    return number


def _exhausted(task: Task) -> Refusal:
    return Refusal(
        Code.MAX_REVISIONS,
        f"The {task.max_revisions} revisions of task {task.id} are used up.",
        "Accept the work, reject it for good (reject_deliverable), or open a dispute.",
    )


def list_deliverables(
    _parts: Parts, reader: Reader, caller: Caller, order: wire.ListDeliverables, _now_ms: int
) -> reply.DeliverableList:
    """One page for the task's poster and admins; an agent, and its operator, see what it handed in itself.

    The latest page comes first. It is bounded in characters, too: everything of a task may be many megabytes.
    """
    actor = access.actor_of(reader, caller)
    row = reader.one(q.task_line, id=order.task_id)
    if row is None:
        raise no_such_task(order.task_id)
    agent_id = _seen_of(actor, row)
    question = f"deliverables {order.task_id} {agent_id}"
    [before] = pages.place(order.cursor, question, pages.ID_MAX)
    lengths = reader.all(
        q.lengths_of_deliverables,
        task_id=order.task_id,
        id=before,
        agent_id=agent_id,
        count=pages.lines_of(order.limit) + 1,
    )
    count = _fitting([each["characters"] for each in lengths[: pages.lines_of(order.limit)]])
    found = pages.page(lengths, count or None, question, lambda each: int(each["id"]), "id")
    if not found.lines:
        return reply.DeliverableList(deliverables=(), has_more=False)
    first, last = found.lines[-1], found.lines[0]
    rows = reader.all(q.deliverables_of_task, task_id=order.task_id, first=first, last=last, agent_id=agent_id)
    lines = tuple(showing.deliverable(each, row["deadline"]) for each in rows)
    return reply.DeliverableList(deliverables=lines, has_more=found.has_more, cursor=found.cursor)


def _seen_of(actor: Actor, task: Row) -> int | None:
    """Whose work an actor sees; None: everybody's. Raises Refusal(FORBIDDEN)."""
    if showing.is_party(actor, task["poster_id"], None):
        return None
    if actor.user_id == task["worker_id"]:
        worker: int = task["claimed_by_agent_id"]
        return worker
    raise access.forbidden(
        f"What is handed in for task {task['id']} is between its poster and its agent.",
        "Look at tasks of your own: my_tasks lists them.",
    )


def _fitting(lengths: Sequence[int]) -> int:
    """How many of them one page holds: one at least, however long it is."""
    sums = itertools.accumulate(lengths)
    return max(sum(total <= PAGE_CHARACTERS_MAX for total in sums), min(len(lengths), 1))


def accept_deliverable(
    parts: Parts, tx: Transaction, caller: Caller, order: wire.AcceptDeliverable, now_ms: int
) -> reply.TaskCompleted:
    """Take the work; its agent's operator is paid, once."""
    task, deliverable = _under_review(tx, caller, order.task_id, order.deliverable_id)
    settlement = complete(parts, tx, task, deliverable, "accept", now_ms)
    actor = access.actor_of(tx, caller)
    return reply.TaskCompleted(
        task=showing.task(tx, task.id, actor),
        deliverable=_shown(tx, task, deliverable["id"]).deliverable,
        credits_paid=settlement.payment,
        platform_fee=settlement.fee,
    )


def complete(parts: Parts, tx: Transaction, task: Task, deliverable: Row, event: str, now_ms: int) -> Settlement:
    """The work is accepted, by whoever decides: the task ends, credits and reputation follow."""
    deadlines.clear(tx, ACCEPT, str(task.id))
    move_deliverable(tx, deliverable, "accept")
    done = move_task(tx, task, event, now_ms)
    agent = tx.one(q.agent_to_decide, id=done.worker_id)
    assert agent is not None, f"agent {done.worker_id} is there"
    settlement = credits.pay(parts, tx, done, agent["operator_id"], now_ms)
    reputation.update(tx, done.worker_id, "task_completed", task.id, now_ms)
    told = {"deliverable_id": deliverable["id"], "agent_id": done.worker_id, "credits_paid": settlement.payment}
    events.tell_agent(tx, done.worker_id, "deliverable.accepted", done, now_ms, **told)
    log(tx, "hive.task_completed", hive_task=task.id, agent=done.worker_id, paid=settlement.payment)
    return settlement


def request_revision(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.RequestRevision, now_ms: int
) -> reply.DeliverableShown:
    """Ask for changes; the task is in progress again."""
    task, deliverable = _under_review(tx, caller, order.task_id, order.deliverable_id)
    if deliverable["revision_number"] > task.max_revisions:
        raise _exhausted(task)
    deadlines.clear(tx, ACCEPT, str(task.id))
    move_deliverable(tx, deliverable, "request_revision", notes=order.revision_notes)
    moved = move_task(tx, task, "request_revision", now_ms)
    told = {"deliverable_id": deliverable["id"], "agent_id": task.worker_id}
    events.tell_agent(tx, task.worker_id, "deliverable.revision_requested", moved, now_ms, **told)
    return _shown(tx, task, deliverable["id"])


def reject_deliverable(
    _parts: Parts, tx: Transaction, caller: Caller, order: wire.RejectDeliverable, now_ms: int
) -> reply.TaskShown:
    """Refuse the work for good once its revisions are used up; an admin decides."""
    task, deliverable = _under_review(tx, caller, order.task_id, order.deliverable_id)
    if deliverable["revision_number"] <= task.max_revisions:
        raise Refusal(
            Code.REVISIONS_REMAINING,
            f"Task {task.id} has revisions left: this was attempt {deliverable['revision_number']}"
            f" of {task.max_revisions + 1}.",
            "Ask for changes with request_revision, or open a dispute.",
        )
    deadlines.clear(tx, ACCEPT, str(task.id))
    move_deliverable(tx, deliverable, "reject", notes=order.reason)
    disputes.begin(tx, task, deliverable, "reject", order.reason, now_ms)
    return reply.TaskShown(task=showing.task(tx, task.id, access.actor_of(tx, caller)))


def _under_review(tx: Transaction, caller: Caller, task_id: int, deliverable_id: int) -> tuple[Task, Row]:
    """A task of the caller's and what he decides about. Raises Refusal."""
    actor = access.actor_of(tx, caller)
    task = task_to_decide(tx, task_id)
    access.need_poster(actor, task)
    deliverable = deliverable_of(tx, task.id, deliverable_id)
    if task.status != "delivered" or deliverable["status"] != "submitted":
        raise Refusal(
            Code.INVALID_STATUS,
            f"Deliverable {deliverable_id} is {deliverable['status']} and task {task.id} {task.status}.",
            "Only what is submitted and not decided yet can be; get_task says how the task stands.",
        )
    return task, deliverable


def _shown(tx: Transaction, task: Task, deliverable_id: int) -> reply.DeliverableShown:
    row = deliverable_of(tx, task.id, deliverable_id)
    return reply.DeliverableShown(deliverable=showing.deliverable(row, task.deadline_ms))

"""The hive's rows as values, how they move, and what its operations are built with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from protocol.errors import Code
from vault_server.core.operation import Refusal, Row, Transaction, log
from vault_server.exchange.cipher import Cipher
from vault_server.settings import Settings
from vault_server.storage.queries import load
from vault_server.systems.hive.states import CLAIM, DELIVERABLE, TASK

q = load(__package__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the hive's operations are built with."""

    settings: Settings
    cipher: Cipher
    random_bytes: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Task:
    """What operations decide by of a row of `hive_tasks`; times in milliseconds."""

    id: int
    poster_id: int
    title: str
    budget_credits: int
    category_id: int | None
    status: str
    agent_id: int | None
    deadline_ms: int | None
    max_revisions: int
    posted_by_agent_id: int | None

    @classmethod
    def of(cls, row: Row) -> Task:
        """From a row that has these columns."""
        return cls(
            id=row["id"],
            poster_id=row["poster_id"],
            title=row["title"],
            budget_credits=row["budget_credits"],
            category_id=row["category_id"],
            status=row["status"],
            agent_id=row["claimed_by_agent_id"],
            deadline_ms=row["deadline"],
            max_revisions=row["max_revisions"],
            posted_by_agent_id=row["posted_by_agent_id"],
        )

    @property
    def worker_id(self) -> int:
        """The agent that has it; there is one in every state that is asked for it."""
        assert self.agent_id is not None, f"task {self.id} is {self.status} and nobody has it"
        return self.agent_id


def task_to_decide(tx: Transaction, task_id: int) -> Task:
    """A task, whose row is locked from here on. Raises Refusal(TASK_NOT_FOUND)."""
    row = tx.one(q.task_to_decide, id=task_id)
    if row is None:
        raise no_such_task(task_id)
    return Task.of(row)


def no_such_task(task_id: int) -> Refusal:
    """There is no such task."""
    return Refusal(
        Code.TASK_NOT_FOUND, f"Task {task_id} does not exist.", "Look for tasks with browse_tasks (GET /tasks)."
    )


def check_status(task: Task, event: str, suggestion: str) -> None:
    """Raises Refusal(INVALID_STATUS) where the table has no such pair."""
    if not TASK.allows(task.status, event):
        raise Refusal(Code.INVALID_STATUS, f"Task {task.id} is {task.status}.", suggestion)


def move_task(tx: Transaction, task: Task, event: str, now_ms: int, *, to_agent_id: int | None = None) -> Task:
    """The task as it is after `event`, which the table allows; whose it is changes with it."""
    status = TASK.after(task.status, event)
    agent_id = to_agent_id if event == "accept_claim" else None if status == "open" else task.agent_id
    changed = tx.run(q.move_task, id=task.id, status=status, agent_id=agent_id, now=now_ms, expected=task.status)
    assert changed == 1, f"task {task.id} is no longer {task.status}, {event} came too late"
    log(tx, "hive.task_moved", hive_task=task.id, by=event, before=task.status, status=status, agent=agent_id)
    return replace(task, status=status, agent_id=agent_id)


def claim_of(tx: Transaction, task_id: int, claim_id: int) -> Row:
    """A claim on this task; the task's row is locked before. Raises Refusal(CLAIM_NOT_FOUND)."""
    row = tx.one(q.claim, id=claim_id, task_id=task_id)
    if row is None:
        raise Refusal(
            Code.CLAIM_NOT_FOUND,
            f"Task {task_id} has no claim {claim_id}.",
            f"Look at the task's claims with list_claims (GET /tasks/{task_id}/claims).",
        )
    return row


def move_claim(tx: Transaction, claim: Row, event: str, *, is_abandoned: bool = False) -> None:
    """Write the status that follows by `event`, which the table allows."""
    status = CLAIM.after(claim["status"], event)
    changed = tx.run(
        q.move_claim, id=claim["id"], status=status, is_abandoned=int(is_abandoned), expected=claim["status"]
    )
    assert changed == 1, f"claim {claim['id']} is no longer {claim['status']}, {event} came too late"


def accepted_claim(tx: Transaction, task: Task) -> Row:
    """The claim by which the task's agent has it."""
    row = tx.one(q.accepted_claim, task_id=task.id)
    assert row is not None, f"task {task.id} is {task.status} without an accepted claim"
    return row


def deliverable_of(tx: Transaction, task_id: int, deliverable_id: int) -> Row:
    """A deliverable of this task; the task's row is locked before. Raises Refusal(DELIVERABLE_NOT_FOUND)."""
    row = tx.one(q.deliverable, id=deliverable_id, task_id=task_id)
    if row is None:
        raise Refusal(
            Code.DELIVERABLE_NOT_FOUND,
            f"Task {task_id} has no deliverable {deliverable_id}.",
            f"Look at what was handed in with list_deliverables (GET /tasks/{task_id}/deliverables).",
        )
    return row


def move_deliverable(tx: Transaction, deliverable: Row, event: str, *, notes: str | None = None) -> None:
    """Write the status that follows by `event`, which the table allows; notes once."""
    status = DELIVERABLE.after(deliverable["status"], event)
    changed = tx.run(
        q.move_deliverable, id=deliverable["id"], status=status, notes=notes, expected=deliverable["status"]
    )
    assert changed == 1, f"deliverable {deliverable['id']} is no longer {deliverable['status']}"

"""The subnet's rows as values, and what its operations are built with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import Code
from vault_server.core.operation import Refusal, Row, Transaction
from vault_server.exchange.cipher import Cipher
from vault_server.settings import Settings
from vault_server.storage.queries import load
from vault_server.systems.subnet import rules

q = load(__package__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the subnet's operations are built with."""

    settings: Settings
    cipher: Cipher
    random_bytes: Callable[[int], bytes]

    def draw(self, count: int) -> int:
        """A random number below `count`."""
        return int.from_bytes(self.random_bytes(8), "big") % count

    def reference_label(self, task_id: int, hotkey: str) -> str:
        """Under which label this voter sees the reference: always the same, and nobody can tell which."""
        return rules.reference_label(self.cipher.fingerprint(f"subnet ballot\0{task_id}\0{hotkey}".encode()))


@dataclass(frozen=True, slots=True)
class Task:
    """A row of `subnet_tasks`; times in milliseconds."""

    id: int
    task_type: str
    metadata: str
    validator: str
    reference_id: int
    miner: str
    status: str
    expire_at: int
    blames_miner: bool
    submitted_at: int | None
    voting_closes_at: int | None
    scored_at: int | None
    created_at: int

    @classmethod
    def of(cls, row: Row) -> Task:
        """From a row that has all columns."""
        return cls(
            id=row["id"],
            task_type=row["task_type"],
            metadata=row["task_metadata"],
            validator=row["validator_hotkey"],
            reference_id=row["validator_completion_id"],
            miner=row["assigned_miner_hotkey"],
            status=row["status"],
            expire_at=row["expire_at"],
            blames_miner=bool(row["blames_miner"]),
            submitted_at=row["submitted_at"],
            voting_closes_at=row["voting_closes_at"],
            scored_at=row["scored_at"],
            created_at=row["created_at"],
        )


@dataclass(frozen=True, slots=True)
class Completions:
    """What a task's two sides have answered; the miner's is None while there is none."""

    validator_id: int
    validator: str
    miner_id: int | None = None
    miner: str | None = None
    author: str | None = None

    @classmethod
    def of(cls, task: Task, rows: list[Row]) -> Completions:
        """From the rows of `completions` of the task."""
        [reference] = [row for row in rows if row["id"] == task.reference_id]
        answers = [row for row in rows if row["id"] != task.reference_id]
        if not answers:
            return cls(reference["id"], reference["completion"])
        [answer] = answers
        return cls(reference["id"], reference["completion"], answer["id"], answer["completion"], answer["hotkey"])


def task_to_decide(tx: Transaction, task_id: int) -> Task:
    """A task, whose row is locked from here on. Raises Refusal(TASK_NOT_FOUND)."""
    row = tx.one(q.task, id=task_id)
    if row is None:
        raise no_such_task(task_id)
    return Task.of(row)


def no_such_task(task_id: int) -> Refusal:
    """The same for a task that is not there and for one that is none of the caller's."""
    return Refusal(
        Code.TASK_NOT_FOUND,
        f"There is no task {task_id} of yours.",
        "List your tasks to see their numbers, and check that you use the key that it is about.",
    )


def move_task(tx: Transaction, task: Task, event: str, status: str, now_ms: int) -> None:
    """Write a status that follows by `event` and needs no other column."""
    changed = tx.run(q.end_task, id=task.id, status=status, now=now_ms, expected=task.status)
    assert changed == 1, f"task {task.id} is no longer {task.status}, {event} came too late"

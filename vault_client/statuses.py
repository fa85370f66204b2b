"""How a task stands, as its owner is told: the server's words, with an answer that has been checked where it can be."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.vault import TaskState
from vault_client.answers import Answer


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """As `task_state` of docs/protocol.md; times in ms. `answer` is there once the task has been answered."""

    task: str
    status: str
    assigned: int
    num_assignments: int
    created: int
    promised_by: int | None
    answer: Answer | None
    reason: str | None
    complaint_deadline: int | None

    @classmethod
    def of(cls, task: str, state: TaskState, answer: Answer | None) -> TaskStatus:
        """From what the server says of this task."""
        return cls(
            task,
            state.status,
            state.assigned,
            state.num_assignments,
            state.created,
            state.promised_by,
            answer,
            state.reason,
            state.complaint_deadline,
        )

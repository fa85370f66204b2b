"""A task as its owner sees it: its answer, its progress, its end. Sends nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from protocol.envelope import Message
from protocol.vault import PuzzleAccepted, PuzzleAnswered, TaskFailed, TaskProgress, TaskState
from vault_client.complaints import Complaint
from vault_client.errors import TaskCancelledError, TaskFailedError, VaultClientError


@dataclass(frozen=True, slots=True)
class Answer:
    """y = baseg^(2^t) mod product, and how it was judged: `computed`, `commitment` or `agreed`."""

    y: int = field(repr=False)
    judged_by: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The solver that is furthest has done `done` of `total` squarings."""

    task: str
    done: int
    total: int


HandOver = Callable[[str, set[int]], Awaitable[None]]
"""Told that the end of this task is in the hands of whoever waited, with the `seq` of the pushes that brought it."""


class MakeComplaint(Protocol):
    """`Vault.complain`."""

    def __call__(self, task_id: str, kind: str, *, factor: int | None = None) -> Awaitable[Complaint]:
        """Send it."""


class Task:
    """One submitted puzzle. `id` finds it again in another process (`vault.task(id)`).

    `accepted` is what the server said to the submission; None for a task that was only looked up by its id. `pushes`
    are the `seq` of pushes that have come and that nobody has been given.
    """

    def __init__(
        self,
        task_id: str,
        hand_over: HandOver,
        accepted: PuzzleAccepted | None = None,
        complain: MakeComplaint | None = None,
    ) -> None:
        self.id = task_id
        self.accepted = accepted
        self._hand_over = hand_over
        self._complain = complain
        self._ended: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.pushes: set[int] = set()
        self._progress: Progress | None = None
        self._changed = asyncio.Event()
        self._waiters = 0

    @property
    def done(self) -> bool:
        """Whether the task is known to have ended, well or not."""
        return self._ended.done()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for it right now."""
        return self._waiters > 0 and not self.done

    async def answer(self) -> Answer:
        """Wait for the answer, for as long as it takes; across lost connections too.

        Raises TaskFailedError, TaskCancelledError, and what ended the connection for good.
        """
        self._waiters += 1
        try:
            await asyncio.wait([self._ended])
        finally:
            self._waiters -= 1
        await self._hand_over(self.id, self.pushes)
        return self._ended.result()

    async def progress(self) -> AsyncIterator[Progress]:
        """The newest progress whenever there is news, until the task ends. Raises nothing of the task's end."""
        seen: Progress | None = None
        self._waiters += 1
        try:
            while not self.done:
                if self._progress is not None and self._progress != seen:
                    seen = self._progress
                    yield seen
                    continue
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._waiters -= 1

    async def complain(self, kind: str, *, factor: int | None = None) -> Complaint:
        """As `Vault.complain`, of this task. Raises Refused."""
        assert self._complain is not None, "a task of a vault"
        return await self._complain(self.id, kind, factor=factor)

    def take(self, message: Message, seq: int | None) -> None:
        """Hear what the server says of this task: a push, a signal or a state."""
        if seq is not None:
            self.pushes.add(seq)
        match message:
            case PuzzleAnswered():
                self._answered(message.answer, message.judged_by)
            case TaskFailed():
                self.fail(TaskFailedError(self.id, message.reason))
            case TaskProgress():
                self._progress = Progress(message.task, message.done, message.total)
            case TaskState(answer=int() as answer):
                self._answered(answer, message.judged_by or "")
            case TaskState(status="failed"):
                self.fail(TaskFailedError(self.id, message.reason or "no reason given"))
            case TaskState(status="cancelled"):
                self.fail(TaskCancelledError(self.id))
            case _:
                pass
        self._changed.set()

    def fail(self, error: VaultClientError) -> None:
        """End without an answer."""
        if not self.done:
            self._ended.set_exception(error)
            self._ended.exception()  # seen: nobody has to wait for it
        self._changed.set()

    def _answered(self, answer: int, judged_by: str) -> None:
        if not self.done:
            self._ended.set_result(Answer(answer, judged_by))

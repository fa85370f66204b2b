"""A task as its owner sees it: its answer, its progress, its end. Sends nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from protocol.envelope import Message
from protocol.vault import PuzzleAccepted, PuzzleAnswered, TaskFailed, TaskProgress, TaskState
from vault_client.answers import Answer, Claim, Order, check
from vault_client.complaints import Complaint
from vault_client.errors import TaskCancelledError, TaskConfused, TaskFailedError, VaultClientError


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
    """One submitted puzzle. `id` finds it again in another process (`vault.task(id, order)`).

    `order` is what its answer is checked against, `accepted` what the server said to the submission; both are None for
    a task that was only looked up by its id. `pushes` are the `seq` of pushes that nobody has been given.
    """

    def __init__(
        self,
        task_id: str,
        hand_over: HandOver,
        order: Order | None = None,
        accepted: PuzzleAccepted | None = None,
        complain: MakeComplaint | None = None,
    ) -> None:
        self.id = task_id
        self.order = order
        self.accepted = accepted
        self._hand_over = hand_over
        self._complain = complain
        self._ended: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        self._checking: asyncio.Task[Answer] | None = None
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
        """Wait for the answer, for as long as it takes, across lost connections too, and check it.

        Unless `proof` "none" was asked for, or the puzzle is not known here, it is right then (`Answer.is_checked`).
        Raises AnswerRejected, TaskFailedError, TaskCancelledError, and what ended the connection for good.
        """
        self._waiters += 1
        try:
            await asyncio.wait([self._ended])
        finally:
            self._waiters -= 1
        if (error := self._ended.exception()) is not None:
            await self._hand_over(self.id, self.pushes)
            raise error
        await asyncio.wait([checking := self._check()])  # which goes on, whoever gives up waiting
        await self._hand_over(self.id, self.pushes)
        return checking.result()

    def expect(self, order: Order) -> None:
        """From now on the answer is checked against this order. Raises TaskConfused when there was another."""
        if self.order not in (None, order):
            raise TaskConfused(self.id)
        if self.order is None:
            self.order, self._checking = order, None

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
            case PuzzleAnswered() | TaskState(answer=int()):
                self._answered(Claim.of(message))
            case TaskFailed():
                self.fail(TaskFailedError(self.id, message.reason))
            case TaskProgress():
                self._progress = Progress(message.task, message.done, message.total)
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

    def _check(self) -> asyncio.Task[Answer]:
        if self._checking is None:
            self._checking = asyncio.create_task(check(self.id, self._ended.result(), self.order))
            self._checking.add_done_callback(lambda checking: checking.cancelled() or checking.exception())
        return self._checking

    def _answered(self, claim: Claim | None) -> None:
        if claim is not None and not self.done:
            self._ended.set_result(claim)

"""The tasks of one connection: who holds one, what was asked for, and ends that came before anybody asked for them."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from typing import TypeVar

from protocol.envelope import Message
from protocol.vault import PuzzleAccepted, PuzzleAnswered, TaskFailed
from vault_client.answers import Order
from vault_client.errors import VaultClientError
from vault_client.events import Event, TaskAnswered
from vault_client.tasks import MakeComplaint, Task

REMEMBERED_MAX = 4_096

Kept = TypeVar("Kept")


class Registry:
    """`claim` a task to hold it. Its end is acknowledged once it has been handed over, in whatever way."""

    def __init__(self, acknowledge: Callable[[int], Awaitable[None]], complain: MakeComplaint) -> None:
        self._acknowledge = acknowledge
        self._complain = complain
        self._tasks: weakref.WeakValueDictionary[str, Task] = weakref.WeakValueDictionary()
        self._orders: dict[str, Order] = {}
        """Of tasks that nobody may hold any more; one that is held has its own."""
        self._unclaimed: dict[str, tuple[PuzzleAnswered | TaskFailed, int | None]] = {}
        self._handed_over: dict[str, None] = {}

    def claim(self, task_id: str, order: Order | None = None, accepted: PuzzleAccepted | None = None) -> Task:
        """The task, held for as long as the caller has it. Raises TaskConfused when its order was another."""
        task = self._tasks.get(task_id)
        if task is None:
            known = self._orders.get(task_id)
            task = self._tasks[task_id] = Task(task_id, self.hand_over, known, accepted, self._complain)
        if order is not None:
            task.expect(order)
            _keep(self._orders, task_id, order)
        if (early := self._unclaimed.pop(task_id, None)) is not None:
            task.take(*early)
        return task

    def held(self, task_id: str) -> Task | None:
        """The task, if somebody has it."""
        return self._tasks.get(task_id)

    def all_held(self) -> list[Task]:
        """Every task that somebody has."""
        return list(self._tasks.values())

    def order(self, task_id: str) -> Order | None:
        """What was asked for, as far as this connection knows."""
        held = self._tasks.get(task_id)
        return self._orders.get(task_id) if held is None else held.order

    def take(self, task_id: str, message: Message) -> None:
        """Let whoever holds the task hear what is not durable."""
        if (held := self._tasks.get(task_id)) is not None:
            held.take(message, None)

    async def end(self, end: PuzzleAnswered | TaskFailed, seq: int | None) -> None:
        """A task has ended; the push is acknowledged here only when it comes once more."""
        if end.task in self._handed_over and seq is not None:
            await self._acknowledge(seq)
        elif (held := self._tasks.get(end.task)) is not None:
            held.take(end, seq)
        else:
            # Not acknowledged: the submission's reply may be on its way to its caller, or it is another process's.
            # A task that is claimed later finds it here; beyond the bound `task_status` has it.
            _keep(self._unclaimed, end.task, (end, seq))

    async def hand_over(self, task_id: str, pushes: set[int]) -> None:
        """Somebody has the end of this task: acknowledge what brought it."""
        _keep(self._handed_over, task_id, None)
        early = self._unclaimed.pop(task_id, None)
        if early is not None and early[1] is not None:
            pushes.add(early[1])
        while pushes:
            await self._acknowledge(pushes.pop())

    def unclaimed(self) -> list[Event]:
        """The ends that nobody has asked for yet."""
        return [told(end) for end, _ in self._unclaimed.values()]

    def fail(self, error: VaultClientError) -> None:
        """End whatever somebody still holds."""
        for task in self.all_held():
            task.fail(error)


def told(end: PuzzleAnswered | TaskFailed) -> Event:
    """What events say of a task's end: not the answer, which nobody has checked yet."""
    return TaskAnswered(end.task, end.judged_by) if isinstance(end, PuzzleAnswered) else end


def _keep(kept: dict[str, Kept], name: str, value: Kept) -> None:
    kept[name] = value
    if len(kept) > REMEMBERED_MAX:
        del kept[next(iter(kept))]

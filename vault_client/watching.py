"""Follows tasks to their ends, whoever submitted them, and tells a listener what becomes of them. Shows nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Protocol, TypeVar

from protocol.vault import (
    ComplaintRuled,
    StandingChanged,
    TaskFailed,
    TaskLine,
    TaskProgress,
)
from vault_client.answers import Answer
from vault_client.errors import Refused, TaskCancelledError, TaskFailedError
from vault_client.events import TaskAnswered
from vault_client.statuses import TaskStatus
from vault_client.vault import Vault

AGAIN_SECONDS = 1.0
"""After a refusal that does not say how long to wait."""
LIST_SECONDS = 60.0
"""Between two looks at the list of open tasks: nobody is told of a task that was cancelled, or submitted elsewhere."""
SILENT_SECONDS = 10.0
"""A task whose solvers have been silent for so long is looked at: it may have been cancelled."""
OPEN = ("assigned", "waiting")

Asked = TypeVar("Asked")


class Listener(Protocol):
    """Whoever shows what happens. Called in the order of things."""

    def standing_now(self, task: TaskStatus | TaskLine) -> None:
        """How a task stands at the beginning, or when it is first seen."""

    def progress(self, news: TaskProgress) -> None:
        """How far the solvers of a task are."""

    def answered(self, task: str, answer: Answer) -> None:
        """A task has its answer."""

    def failed(self, task: str, reason: str) -> None:
        """A task was given up by the server."""

    def cancelled(self, task: str) -> None:
        """A task was given up by its owner."""

    def ruled(self, ruling: ComplaintRuled) -> None:
        """A complaint has its ruling."""

    def standing_changed(self, changed: StandingChanged) -> None:
        """The key's reputation has moved."""


class Watch:
    """`run` until the tasks that were named have ended; with none named, of all tasks of the key, for ever."""

    def __init__(self, vault: Vault, listener: Listener, named: Sequence[str]) -> None:
        self._vault = vault
        self._listener = listener
        self._named = frozenset(named)
        self._open: set[str] = set()
        self._ends: dict[str, asyncio.Task[None]] = {}
        self._look_at: dict[str, float] = {}
        """When to look at a task that has shown progress, unless it shows more before."""

    async def run(self) -> None:
        """Raises Refused for a task that is not there, and what ended the connection for good."""
        parts = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._see_named() if self._named else self._see_open()),
            asyncio.create_task(self._see_silent()),
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for task in (*parts, *self._ends.values()):
                task.cancel()
            await asyncio.gather(*parts, *self._ends.values(), return_exceptions=True)

    async def _see_named(self) -> None:
        for task in self._named:
            self._listener.standing_now(await _patiently(partial(self._vault.status, task)))
            self._await_end(task)
        await asyncio.gather(*self._ends.values())

    async def _see_open(self) -> None:
        while True:
            lines = await _patiently(self._open_tasks)
            for line in lines:
                if line.task not in self._open:
                    self._listener.standing_now(line)
            listed = {line.task for line in lines}
            for gone in self._open - listed:
                self._await_end(gone)
            self._open = listed
            await asyncio.sleep(LIST_SECONDS)

    async def _see_silent(self) -> None:
        """Notice that a task which was worked on has been cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(SILENT_SECONDS)
            for task in [task for task, when in self._look_at.items() if when <= now()]:
                self._look_at[task] = now() + LIST_SECONDS
                if (await _patiently(partial(self._vault.status, task))).status not in OPEN:
                    del self._look_at[task]
                    self._await_end(task)

    async def _open_tasks(self) -> list[TaskLine]:
        return [line for status in OPEN async for line in self._vault.tasks(status=status)]

    async def _listen(self) -> None:
        async with aclosing(self._vault.events()) as events:
            async for event in events:
                match event:
                    case StandingChanged():
                        self._listener.standing_changed(event)
                    case _ if self._named and event.task not in self._named:
                        pass
                    case ComplaintRuled():
                        self._listener.ruled(event)
                    case TaskProgress():
                        self._look_at[event.task] = asyncio.get_running_loop().time() + SILENT_SECONDS
                        self._listener.progress(event)
                    case TaskFailed() if event.task in self._ends:  # answered before, and a complaint was upheld
                        self._listener.failed(event.task, event.reason)
                    case TaskAnswered() | TaskFailed():
                        self._await_end(event.task)

    def _await_end(self, task: str) -> None:
        if task not in self._ends:
            self._ends[task] = asyncio.create_task(self._see_end(task))

    async def _see_end(self, task: str) -> None:
        try:
            self._listener.answered(task, await self._vault.task(task).answer())
        except TaskFailedError as failed:
            self._listener.failed(task, failed.reason)
        except TaskCancelledError:
            self._listener.cancelled(task)
        self._look_at.pop(task, None)


async def _patiently(ask: Callable[[], Awaitable[Asked]]) -> Asked:
    """Ask again while the server says that it may be otherwise later: it stops, or its disk is full."""
    while True:
        try:
            return await ask()
        except Refused as refusal:
            if not refusal.retryable:
                raise
            await asyncio.sleep(AGAIN_SECONDS if refusal.retry_after_ms is None else refusal.retry_after_ms / 1_000)

"""An open connection as its user sees it: tasks submitted, looked up, cancelled, and pushes brought to who waits."""

from __future__ import annotations

import asyncio
import secrets
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar, cast

from protocol.envelope import Envelope, Message
from protocol.errors import Code
from protocol.vault import (
    TASK_LINES_MAX,
    AskStatus,
    CancelTask,
    Complain,
    ComplaintRuled,
    ComplaintTaken,
    ListTasks,
    PuzzleAccepted,
    PuzzleAnswered,
    StandingChanged,
    SubmitPuzzle,
    TaskCancelled,
    TaskFailed,
    TaskLine,
    TaskList,
    TaskProgress,
    TaskState,
)
from vault_client.checking import check_fields
from vault_client.complaints import Complaint
from vault_client.errors import Refused, TaskCancelledError, VaultClientError
from vault_client.events import Event, Events
from vault_client.link import Link
from vault_client.tasks import Progress, Task

LOOK_UP_SECONDS = 60.0
"""Between two looks at the tasks that are waited for: somebody else with this key may have cancelled one."""
REMEMBERED_MAX = 4_096

Reply = TypeVar("Reply", bound=Message)
Kept = TypeVar("Kept")


class Vault:
    """An open connection to a server; made by `connect`. Every method raises what ended the connection for good."""

    def __init__(self, link: Callable[[Vault], Link], on_progress: Callable[[Progress], object] | None) -> None:
        self._tasks: weakref.WeakValueDictionary[str, Task] = weakref.WeakValueDictionary()
        self._unclaimed: dict[str, Envelope] = {}
        self._handed_over: dict[str, None] = {}
        self._on_progress = on_progress
        self._came_back = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._link = link(self)
        self._events = Events(self._link.acknowledge)

    async def submit(
        self,
        *,
        t: int,
        baseg: int,
        product: int,
        commitment: bytes | None = None,
        idempotency_key: str | None = None,
    ) -> Task:
        """Ask for y = baseg^(2^t) mod product; returns once the server has the puzzle on disk.

        `commitment` (32 bytes, `protocol.puzzle.commit`) lets the server recognise the right answer. The same
        `idempotency_key` (1 to 64 characters) never makes two tasks; one is drawn when none is given, so that a
        lost connection does not either. Raises Refused.
        """
        key = secrets.token_hex(16) if idempotency_key is None else idempotency_key
        message = SubmitPuzzle(t=t, baseg=baseg, product=product, commitment=commitment, idempotency_key=key)
        accepted = await self._request(message, PuzzleAccepted)
        task = self._claim(accepted.task, accepted)
        if idempotency_key is not None:
            self._look_up_soon(task)  # it may be an earlier task, whose end has been pushed and acknowledged
        return task

    def task(self, task_id: str) -> Task:
        """A task that was submitted before, also by another process with this key. Its `answer()` raises Refused."""
        task = self._claim(task_id)
        self._look_up_soon(task)
        return task

    async def status(self, task_id: str) -> TaskState:
        """How a task stands now, with its answer once there is one. Raises Refused."""
        state = await self._request(AskStatus(task=task_id), TaskState)
        if state.status in ("answered", "settled", "failed"):
            known = self._tasks.get(task_id)
            await self._hand_over(task_id, set() if known is None else known.pushes)
        return state

    async def cancel(self, task_id: str) -> None:
        """Give up a task. Cancelling twice does no harm. Raises Refused, with TASK_ENDED when it has its answer."""
        try:
            await self._request(CancelTask(task=task_id), TaskCancelled)
        except Refused as refusal:
            # The reply to the first try may have been lost with its connection.
            if refusal.code != Code.TASK_ENDED or (await self.status(task_id)).status != "cancelled":
                raise
        if (task := self._tasks.get(task_id)) is not None:
            task.fail(TaskCancelledError(task_id))

    async def tasks(self, *, status: str | None = None) -> AsyncGenerator[TaskLine]:
        """The tasks of this key, the newest first, only those in one `status` if it is given. Raises Refused."""
        before: str | None = None
        while True:
            ask = ListTasks(status=status, before=before, limit=TASK_LINES_MAX)
            page = await self._request(ask, TaskList)
            for line in page.tasks:
                yield line
            if page.next is None:
                return
            before = page.next

    async def complain(self, task_id: str, kind: str, *, factor: int | None = None) -> Complaint:
        """Say that a task is `late`, has `no_answer` or a `wrong_answer`; returns once the server has it on disk.

        A prime `factor` of the puzzle's product settles whether an answer is wrong: it is revealed to the server.
        Raises Refused.
        """
        losses, complaint = self._link.losses, Complaint(task_id, kind, self._await_ruling)
        try:
            taken = await self._request(Complain(task=task_id, kind=kind, factor=factor), ComplaintTaken)
            complaint.id, complaint.ruling_by = taken.complaint, taken.ruling_by
        except Refused as refusal:
            # The reply to the first try may have been lost with its connection.
            if refusal.code != Code.COMPLAINT_EXISTS or self._link.losses == losses:
                raise
        return complaint

    async def events(self) -> AsyncGenerator[Event]:
        """What the server tells of all tasks of this key, also those that others have submitted, until the link ends.

        Rulings and changes of standing are acknowledged once you come back for the next event. An answer or failure
        is done with when `task(event.task).answer()` has returned or raised it; until then it comes again.
        """
        earlier = [cast("Event", envelope.message) for envelope in self._unclaimed.values()]
        async with aclosing(self._events.follow(earlier)) as events:
            async for event in events:
                yield event

    async def start(self) -> None:
        """Ready when it returns; `connect` calls it."""
        await self._link.start()
        self._ending = asyncio.create_task(self._fail_with_link())
        self._spawn(self._look_up_awaited())

    async def stop(self) -> None:
        """Leave; `connect` calls it. Whoever still waits for a task is told that the connection has ended."""
        if self._ending is None:
            return
        await self._link.stop()
        await self._ending
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def hear(self, envelope: Envelope) -> None:
        """What the link calls for every push and signal."""
        match envelope.message:
            case TaskProgress() as message:
                await self._events.hear(message, None)
                if (known := self._tasks.get(message.task)) is not None:
                    known.take(message, None)
                if self._on_progress is not None:
                    self._on_progress(Progress(message.task, message.done, message.total))
            case PuzzleAnswered() | TaskFailed() as message:
                if message.task in self._handed_over and envelope.seq is not None:
                    await self._link.acknowledge(envelope.seq)
                elif (known := self._tasks.get(message.task)) is not None:
                    known.take(message, envelope.seq)
                else:
                    # Not acknowledged: the submission's reply may be on its way to its caller, or it is another
                    # process's. A task that is claimed later finds it here; beyond the bound `task_status` has it.
                    _keep(self._unclaimed, message.task, envelope)
                await self._events.hear(message, None)
            case ComplaintRuled() | StandingChanged() as message:
                await self._events.hear(message, envelope.seq)
            case _:
                pass

    def came_back(self) -> None:
        """What the link calls for every new connection."""
        self._came_back.set()

    async def _request(self, message: Message, expected: type[Reply], *, background: bool = False) -> Reply:
        check_fields(message)
        reply = await self._link.request(message, background=background)
        if not isinstance(reply, expected):
            raise VaultClientError(
                f"The server answered {message.SHAPE.wire_type!r} with {reply.SHAPE.wire_type!r}.",
                "Check that server and client are of one version.",
            )
        return reply

    def _claim(self, task_id: str, accepted: PuzzleAccepted | None = None) -> Task:
        task = self._tasks.get(task_id)
        if task is None:
            task = self._tasks[task_id] = Task(task_id, self._hand_over, accepted, self.complain)
        if (early := self._unclaimed.pop(task_id, None)) is not None:
            task.take(early.message, early.seq)
        return task

    async def _hand_over(self, task_id: str, pushes: set[int]) -> None:
        _keep(self._handed_over, task_id, None)
        early = self._unclaimed.pop(task_id, None)
        if early is not None and early.seq is not None:
            pushes.add(early.seq)
        while pushes:
            await self._link.acknowledge(pushes.pop())

    async def _await_ruling(self, complaint: Complaint) -> ComplaintRuled:
        return await self._events.ruling(complaint.task, complaint.kind, complaint.id)

    def _look_up_soon(self, task: Task) -> None:
        self._spawn(self._look_up(task))

    async def _look_up(self, task: Task) -> None:
        if task.done:
            return
        try:
            task.take(await self._request(AskStatus(task=task.id), TaskState, background=True), None)
        except Refused as refusal:
            if not refusal.retryable:
                task.fail(refusal)
                return
            await asyncio.sleep((refusal.retry_after_ms or 1_000) / 1_000)
            self._came_back.set()
        except VaultClientError as error:
            task.fail(error)

    async def _look_up_awaited(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_UP_SECONDS):
                    await self._came_back.wait()
            except TimeoutError:
                pass
            self._came_back.clear()
            for task in list(self._tasks.values()):
                if task.awaited:
                    await self._look_up(task)

    async def _fail_with_link(self) -> None:
        error = await self._link.ended()
        self._events.close(error)
        for task in list(self._tasks.values()):
            task.fail(error)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _keep(kept: dict[str, Kept], name: str, value: Kept) -> None:
    kept[name] = value
    if len(kept) > REMEMBERED_MAX:
        del kept[next(iter(kept))]

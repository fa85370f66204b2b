"""An open connection as its user sees it: tasks submitted, looked up, cancelled, and pushes brought to who waits."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from protocol.envelope import Envelope, Message
from protocol.errors import Code
from protocol.puzzle import Puzzle
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
from vault_client.answers import Claim, Order, ProofWish, check
from vault_client.checking import check_fields
from vault_client.complaints import Complaint
from vault_client.errors import Refused, TaskCancelledError, VaultClientError
from vault_client.events import Event, Events
from vault_client.link import Link
from vault_client.registry import Registry, told
from vault_client.statuses import TaskStatus
from vault_client.tasks import Progress, Task

LOOK_UP_SECONDS = 60.0
"""Between two looks at the tasks that are waited for: somebody else with this key may have cancelled one."""

Reply = TypeVar("Reply", bound=Message)


class Vault:
    """An open connection to a server; made by `connect`. Every method raises what ended the connection for good."""

    def __init__(self, link: Callable[[Vault], Link], on_progress: Callable[[Progress], object] | None) -> None:
        self._on_progress = on_progress
        self._came_back = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._link = link(self)
        self._events = Events(self._link.acknowledge)
        self._registry = Registry(self._link.acknowledge, self.complain)

    async def submit(
        self,
        *,
        t: int,
        baseg: int,
        product: int,
        commitment: bytes | None = None,
        proof: ProofWish = "required",
        idempotency_key: str | None = None,
    ) -> Task:
        """Ask for y = baseg^(2^t) mod product; returns once the server has the puzzle on disk.

        `commitment` (32 bytes, `protocol.puzzle.commit`) lets the server recognise the right answer. With `proof`
        "none" an answer counts as soon as two solvers agree on it: nothing proves it then. The same `idempotency_key`
        (1 to 64 characters) never makes two tasks; one is drawn when none is given, so that a lost connection does not
        either. Raises Refused, TaskConfused.
        """
        key = secrets.token_hex(16) if idempotency_key is None else idempotency_key
        message = SubmitPuzzle(
            t=t, baseg=baseg, product=product, commitment=commitment, proof=proof, idempotency_key=key
        )
        accepted = await self._request(message, PuzzleAccepted)
        task = self._registry.claim(accepted.task, Order(Puzzle(t, baseg, product), commitment, proof), accepted)
        if idempotency_key is not None:
            self._look_up_soon(task)  # it may be an earlier task, whose end has been pushed and acknowledged
        return task

    def task(self, task_id: str, order: Order | None = None) -> Task:
        """A task that was submitted before, also by another process with this key. Its `answer()` raises Refused.

        Only who knows what was asked for can check the answer: give it as `order` unless this connection submitted it.
        Raises TaskConfused when that was something else.
        """
        task = self._registry.claim(task_id, order)
        self._look_up_soon(task)
        return task

    async def status(self, task_id: str) -> TaskStatus:
        """How a task stands now, with its answer once there is one: checked when this connection knows the puzzle.

        Raises Refused, AnswerRejected.
        """
        state = await self._request(AskStatus(task=task_id), TaskState)
        claim = Claim.of(state)
        answer = None if claim is None else await check(task_id, claim, self._registry.order(task_id))
        self._registry.take(task_id, state)
        if state.status in ("answered", "settled", "failed"):
            held = self._registry.held(task_id)
            await self._registry.hand_over(task_id, set() if held is None else held.pushes)
        return TaskStatus.of(task_id, state, answer)

    async def cancel(self, task_id: str) -> None:
        """Give up a task. Cancelling twice does no harm. Raises Refused, with TASK_ENDED when it has its answer."""
        try:
            await self._request(CancelTask(task=task_id), TaskCancelled)
        except Refused as refusal:
            # The reply to the first try may have been lost with its connection.
            if refusal.code != Code.TASK_ENDED or (await self.status(task_id)).status != "cancelled":
                raise
        if (task := self._registry.held(task_id)) is not None:
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
        async with aclosing(self._events.follow(self._registry.unclaimed())) as events:
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
                self._registry.take(message.task, message)
                if self._on_progress is not None:
                    self._on_progress(Progress(message.task, message.done, message.total))
            case PuzzleAnswered() | TaskFailed() as message:
                await self._registry.end(message, envelope.seq)
                await self._events.hear(told(message), None)
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
            for task in self._registry.all_held():
                if task.awaited:
                    await self._look_up(task)

    async def _fail_with_link(self) -> None:
        error = await self._link.ended()
        self._events.close(error)
        self._registry.fail(error)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

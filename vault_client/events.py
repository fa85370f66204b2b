"""What the server tells a key without being asked: brought to everybody who follows, acknowledged once it was taken.

Rulings and changes of standing wait for a follower, and are done with when one comes back for the next event. With no
follower a bounded number waits; then the oldest is ended, so that answers behind it are not held up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from protocol.vault import ComplaintRuled, StandingChanged, TaskFailed, TaskProgress
from vault_client.errors import VaultClientError


@dataclass(frozen=True, slots=True)
class TaskAnswered:
    """The server has an answer to `task`, which `Vault.task(task).answer()` checks and gives."""

    task: str
    judged_by: str


Event = TaskAnswered | TaskFailed | TaskProgress | ComplaintRuled | StandingChanged

WAITING_MAX = 128
"""Events that nobody has taken; a server sends no more than `push_window` (256) that are not acknowledged."""
PROGRESS_WAITING_MAX = 256
"""Events that one follower has not come for; progress beyond that is dropped, for newer will come."""
RULINGS_KEPT = 1_024

Heard = tuple[Event, int | None]
Queue = asyncio.Queue[Heard | None]


class Events:
    """`hear` everything, `follow` what comes. `acknowledge` ends a push."""

    def __init__(self, acknowledge: Callable[[int], Awaitable[None]]) -> None:
        self._acknowledge = acknowledge
        self._waiting: dict[int, Event] = {}
        self._rulings: dict[int, tuple[ComplaintRuled, int]] = {}
        self._followers: set[Queue] = set()
        self._over: VaultClientError | None = None

    async def hear(self, event: Event, seq: int | None) -> None:
        """Something has come. Without `seq` it is only shown: somebody else sees to its end."""
        if seq is not None and seq in self._waiting:
            return  # again, on a new connection
        for follower in self._followers:
            if not isinstance(event, TaskProgress) or follower.qsize() < PROGRESS_WAITING_MAX:
                follower.put_nowait((event, seq))
        if seq is None:
            return
        self._waiting[seq] = event
        if isinstance(event, ComplaintRuled):
            self._rulings[event.complaint] = (event, seq)
            if len(self._rulings) > RULINGS_KEPT:
                del self._rulings[next(iter(self._rulings))]
        if len(self._waiting) > WAITING_MAX:
            await self._end(next(iter(self._waiting)))

    async def follow(self, earlier: Iterable[Event]) -> AsyncGenerator[Event]:
        """`earlier`, then what nobody has taken, then what comes. Ends by raising what ended the link."""
        with self._listening() as queue:
            untaken = list(self._waiting.items())
            for event in earlier:
                yield event
            for seq, event in untaken:
                yield event
                await self._end(seq)
            while (heard := await queue.get()) is not None:
                yield heard[0]
                if heard[1] is not None:
                    await self._end(heard[1])
        assert self._over is not None, "events end with the link"
        raise self._over

    async def ruling(self, task: str, kind: str, complaint: int | None) -> ComplaintRuled:
        """The ruling on one complaint, by its number if that is known. Raises what ended the link."""
        with self._listening() as queue:
            while True:
                for ruled, seq in reversed(list(self._rulings.values())):
                    if ruled.complaint == complaint or (complaint is None and (ruled.task, ruled.kind) == (task, kind)):
                        await self._end(seq)
                        return ruled
                if await queue.get() is None:
                    assert self._over is not None, "events end with the link"
                    raise self._over

    def close(self, error: VaultClientError) -> None:
        """Nothing comes any more."""
        self._over = error
        for follower in self._followers:
            follower.put_nowait(None)

    async def _end(self, seq: int) -> None:
        if self._waiting.pop(seq, None) is not None:
            await self._acknowledge(seq)

    @contextmanager
    def _listening(self) -> Iterator[Queue]:
        queue: Queue = asyncio.Queue()
        if self._over is not None:
            queue.put_nowait(None)
        self._followers.add(queue)
        try:
            yield queue
        finally:
            self._followers.discard(queue)

"""What waits to be written, in as many lines as the database can write at once; whoever asked is served in order.

On one writer there is one line, and a batch is all that has arrived. With several, all that one key has asked for
stands in one line as long as any of it does: a solver's word is not overtaken by its next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Lane(Generic[T, R]):
    """One line and who serves it, `ahead` batches at once and in order."""

    def __init__(
        self,
        batch_max: int,
        ahead: int,
        write: Callable[[list[T]], Awaitable[R]],
        conclude: Callable[[list[T], R | Exception], None],
    ) -> None:
        self._batch_max = batch_max
        self._ahead = ahead
        self._write = write
        self._conclude = conclude
        self._waiting: deque[T] = deque()
        self._running: deque[tuple[list[T], asyncio.Future[R]]] = deque()
        self._is_due = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def length(self) -> int:
        """What is in line, and what is being written."""
        return len(self._waiting) + sum(len(batch) for batch, _ in self._running)

    def add(self, one: T) -> None:
        """Whatever comes in the same turn of the event loop goes with it."""
        self._waiting.append(one)
        if not self._is_due and len(self._running) < self._ahead:
            self._is_due = True
            self._idle.clear()
            asyncio.get_running_loop().call_soon(self._begin)

    async def until_idle(self) -> None:
        """All that was added is concluded."""
        await self._idle.wait()

    def _begin(self) -> None:
        """Hand what waits to the writer, as far as it takes it."""
        self._is_due = False
        while self._waiting and len(self._running) < self._ahead:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]
            writing = asyncio.ensure_future(self._write(batch))
            self._running.append((batch, writing))
            writing.add_done_callback(self._written)

    def _written(self, _writing: asyncio.Future[R]) -> None:
        """While the writer is at the next batch, the replies of the one before go out."""
        over = []
        while self._running and self._running[0][1].done():
            over.append(self._running.popleft())
        self._begin()
        for batch, writing in over:
            error = writing.exception()
            assert error is None or isinstance(error, Exception), "a batch does not exit"
            self._conclude(batch, writing.result() if error is None else error)
        if not self._running and not self._waiting:
            self._idle.set()


class Lanes(Generic[T, R]):
    """`write` a batch, then `conclude` it with what came of that; both get at most `batch_max` of what was added. Each
    lane's writer takes `ahead` batches at once, and writes them in their order.

    `key_of` says whose order something is; "": nobody's, its place does not matter.
    """

    def __init__(
        self,
        count: int,
        ahead: int,
        batch_max: int,
        write: Callable[[list[T]], Awaitable[R]],
        conclude: Callable[[list[T], R | Exception], None],
        key_of: Callable[[T], str],
    ) -> None:
        self._lanes = [_Lane(batch_max, ahead, write, self._concluded) for _ in range(count)]
        self._conclude = conclude
        self._key_of = key_of
        self._places: dict[str, tuple[_Lane[T, R], int]] = {}

    async def stop(self) -> None:
        """Write what has been added, and what is added meanwhile."""
        for lane in self._lanes:
            await lane.until_idle()

    def add(self, one: T) -> None:
        """Behind what the same key has added, else in the shortest line."""
        lane = self._lanes[0] if len(self._lanes) == 1 else self._choose(one)
        lane.add(one)

    def _choose(self, one: T) -> _Lane[T, R]:
        key = self._key_of(one)
        if not key:
            return min(self._lanes, key=lambda lane: lane.length)
        lane, count = self._places.get(key) or (min(self._lanes, key=lambda lane: lane.length), 0)
        self._places[key] = lane, count + 1
        return lane

    def _concluded(self, batch: list[T], result: R | Exception) -> None:
        if len(self._lanes) > 1:
            for one in batch:
                self._leave(one)
        self._conclude(batch, result)

    def _leave(self, one: T) -> None:
        key = self._key_of(one)
        if key:
            lane, count = self._places.pop(key)
            if count > 1:
                self._places[key] = lane, count - 1

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
    """One line and who serves it."""

    def __init__(self, batch_max: int, write: Callable[[list[T]], Awaitable[R]]) -> None:
        self._batch_max = batch_max
        self._write = write
        self.waiting: deque[T] = deque()
        self.under_way = 0
        self.arrived = asyncio.Event()
        self.is_stopping = False

    @property
    def length(self) -> int:
        """What is in line, and what is being written."""
        return len(self.waiting) + self.under_way

    async def run(self, conclude: Callable[[list[T], R | Exception], None]) -> None:
        """While the writer is at one batch, the replies of the one before go out."""
        while self.waiting or not self.is_stopping:
            await self.arrived.wait()
            self.arrived.clear()
            running = self._begin()
            while running is not None:
                batch, writing = running
                result: R | Exception
                try:
                    result = await writing
                except Exception as error:  # against its contract; the line has to outlive it
                    result = error
                self.under_way = 0
                running = self._begin()
                conclude(batch, result)

    def _begin(self) -> tuple[list[T], asyncio.Future[R]] | None:
        """Hand what waits to the writer; None when nothing does."""
        if not self.waiting:
            return None
        batch = [self.waiting.popleft() for _ in range(min(len(self.waiting), self._batch_max))]
        self.under_way = len(batch)
        return batch, asyncio.ensure_future(self._write(batch))


class Lanes(Generic[T, R]):
    """`write` a batch, then `conclude` it with what came of that; both get at most `batch_max` of what was added.

    `key_of` says whose order something is; "": nobody's, its place does not matter.
    """

    def __init__(
        self,
        count: int,
        batch_max: int,
        write: Callable[[list[T]], Awaitable[R]],
        conclude: Callable[[list[T], R | Exception], None],
        key_of: Callable[[T], str],
    ) -> None:
        self._lanes = [_Lane(batch_max, write) for _ in range(count)]
        self._conclude = conclude
        self._key_of = key_of
        self._places: dict[str, tuple[_Lane[T, R], int]] = {}
        self._runners: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to write."""
        self._runners = [
            asyncio.create_task(lane.run(self._concluded), name=f"dispatcher-{number}")
            for number, lane in enumerate(self._lanes)
        ]

    async def stop(self) -> None:
        """Write what has been added, then end."""
        for lane in self._lanes:
            lane.is_stopping = True
            lane.arrived.set()
        runners, self._runners = self._runners, []
        await asyncio.gather(*runners)

    def add(self, one: T) -> None:
        """Behind what the same key has added, else in the shortest line."""
        lane = self._lanes[0] if len(self._lanes) == 1 else self._choose(one)
        lane.waiting.append(one)
        lane.arrived.set()

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

"""Worker processes, so that what burns a processor never keeps a peer waiting: whoever is woken comes before them.

They run at the priority below all others, which nothing that waits has to wait for. Where other programs leave them
nothing, workers of normal priority take over for a while. All are started when there is something to compute, are
replaced when they die, and go when there has long been nothing to do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog

from vault_server.dispatch.seat import Seat, Uncomputable, WorkerGone
from vault_server.dispatch.worker import frame

logger = structlog.get_logger()

ATTEMPTS_MAX = 2
"""What has killed as many workers is not computed again: a worker that is killed for its memory took all of it."""
UNUSED_SECONDS_MAX = 600.0
"""A worker costs about 15 MB, and a tenth of a second to start."""
LOOK_SECONDS = 0.5
BYPASS_SECONDS = 10.0
BYPASS_SECONDS_MAX = 300.0


class _Starved(Exception):
    """Other programs leave this worker nearly no time."""


class Workers:
    """`compute` from the event loop only. As many processes as there are computations at once."""

    def __init__(self) -> None:
        self._idle = _Crew(is_idle=True, noticed=self._notice)
        self._normal = _Crew(is_idle=False, noticed=lambda _is_starved: None)
        self._bypass_seconds = BYPASS_SECONDS
        self._bypassed_until = 0.0

    @property
    def pids(self) -> list[int]:
        """Of the processes that are there."""
        return [*self._idle.pids, *self._normal.pids]

    async def compute(self, function: Callable[[Any], Any], work: Any) -> Any:
        """function(work), in another process. Raises WorkerGone, WorkerUnstartable, Uncomputable."""
        order = frame((function, work))
        for _ in range(ATTEMPTS_MAX - 1):
            with contextlib.suppress(WorkerGone):
                return await self._attempt(order)
        return await self._attempt(order)

    async def stop(self) -> None:
        """Done when it returns: no process is left, and what they were computing is lost. Safe twice."""
        await self._idle.stop()
        await self._normal.stop()

    async def _attempt(self, order: bytes) -> Any:
        if asyncio.get_running_loop().time() >= self._bypassed_until:
            with contextlib.suppress(_Starved):
                return await self._idle.compute(order)
        return await self._normal.compute(order)

    def _notice(self, is_starved: bool) -> None:
        """Seen of a worker of idle priority, about once in a second of work."""
        now = asyncio.get_running_loop().time()
        if not is_starved:
            self._bypass_seconds = BYPASS_SECONDS
        elif now >= self._bypassed_until:
            logger.info("workers.starved", seconds=self._bypass_seconds)
            self._bypassed_until = now + self._bypass_seconds
            self._bypass_seconds = min(2 * self._bypass_seconds, BYPASS_SECONDS_MAX)


class _Crew:
    """The workers of one priority. `noticed` is told whether one of them is starved, whenever that can be said."""

    def __init__(self, *, is_idle: bool, noticed: Callable[[bool], None]) -> None:
        self._is_idle, self._noticed = is_idle, noticed
        self._seats: set[Seat] = set()
        self._free: list[Seat] = []
        self._has_told = False

    @property
    def pids(self) -> list[int]:
        return [seat.pid for seat in self._seats]

    async def compute(self, order: bytes) -> Any:
        seat = await self._take()
        answer = seat.give(order)
        try:
            while not answer.done():
                await asyncio.wait({answer}, timeout=LOOK_SECONDS)
                if self._is_idle and self._look(seat) and not answer.done():
                    raise _Starved
            result = answer.result()
        except Uncomputable:
            self._leave(seat)
            raise
        except BaseException:
            answer.cancel()
            seat.end()
            raise
        self._leave(seat)
        return result

    async def stop(self) -> None:
        for seat in self._seats:
            seat.end()
        while self._seats:
            await asyncio.gather(*(seat.reaped for seat in self._seats if seat.reaped is not None))
            await asyncio.sleep(0)

    async def _take(self) -> Seat:
        while self._free:
            seat = self._free.pop()
            if seat.resting is not None:
                seat.resting.cancel()
            if seat.is_open:
                return seat
        seat = Seat(self._remove, self._tell)
        await seat.start(is_idle=self._is_idle)
        self._seats.add(seat)
        return seat

    def _leave(self, seat: Seat) -> None:
        seat.resting = asyncio.get_running_loop().call_later(UNUSED_SECONDS_MAX, seat.end)
        self._free.append(seat)

    def _remove(self, seat: Seat) -> None:
        if not seat.was_ended:
            logger.warning("worker.died", pid=seat.pid, exit_code=seat.exit_code)
        self._seats.discard(seat)
        if seat in self._free:
            self._free.remove(seat)
        if seat.resting is not None:
            seat.resting.cancel()

    def _look(self, seat: Seat) -> bool:
        is_starved = seat.is_starved()
        if is_starved is not None:
            self._noticed(is_starved)
        return bool(is_starved)

    def _tell(self, reason: str) -> None:
        if not self._has_told:
            self._has_told = True
            logger.warning("workers.not_idle", reason=reason)

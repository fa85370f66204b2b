"""Passing time: each row of `deadlines` that is due becomes its order, at most once, also after a restart.

A server that stood still (its machine was suspended, its clock set forward, its disk full) first gives the orders of
who wakes: nobody is to be blamed for what it did not hear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from protocol.errors import MessageError
from vault_server.clock import Clock
from vault_server.core.operation import SERVER
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.exchange import deadlines
from vault_server.storage.database import Database, StorageError

logger = structlog.get_logger()

LOOK_AGAIN_MS = 1000
"""The longest sleep: a deadline that was just set is not missed by more, whoever set it."""
POSTPONED_MS = 60_000
"""A deadline whose operation failed is tried again after this, or when its refusal says."""
STOOD_STILL_MS = 10_000
"""Who has not done for so long what was due was not there."""


class Alarm:
    """`orders` names what each deadline leads to: its subject -> an order of the server. `waking` are given before
    anything falls due when the server stood still.
    """

    def __init__(
        self,
        clock: Clock,
        database: Database,
        dispatcher: Dispatcher,
        orders: Mapping[str, Callable[[str], Any]],
        waking: Sequence[Any] = (),
    ) -> None:
        self._clock = clock
        self._database = database
        self._dispatcher = dispatcher
        self._orders = orders
        self._waking = waking
        self._present_ms = clock.now_ms()
        self._runner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """What fell due while the server was down happens now."""
        if self._runner is None:
            self._present_ms = self._clock.now_ms()
            self._runner = asyncio.create_task(self._run(), name="alarm")

    async def stop(self) -> None:
        """What is not carried out yet stays in its row."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
            self._runner = None

    async def _run(self) -> None:
        while True:
            pause_ms = LOOK_AGAIN_MS
            try:
                pause_ms = await self._ring()
            except (StorageError, MessageError) as error:
                logger.error("storage.failed", order="deadlines", reason=str(error))
            except Exception:
                logger.exception("alarm.failed")
            if pause_ms:
                await asyncio.sleep(pause_ms / 1000)

    async def _ring(self) -> int:
        """Carry out what is due; milliseconds until the next look, 0 when there may be more at once."""
        now_ms = self._clock.now_ms()
        await self._wake(now_ms)
        rows = await self._database.read(partial(deadlines.due, now_ms=now_ms))
        done = await asyncio.gather(*(self._carry_out(row["name"], row["subject"]) for row in rows))
        if not all(done):
            return LOOK_AGAIN_MS  # it is still due if even the postponement failed: a full disk must not make us spin
        self._present_ms = now_ms
        return 0 if len(rows) == deadlines.BATCH else await self._pause_ms()

    async def _wake(self, now_ms: int) -> None:
        """Give the orders of who wakes, if what was due has not been done for long."""
        still_ms = now_ms - self._present_ms
        if still_ms <= STOOD_STILL_MS:
            return
        for order in self._waking:
            await self._dispatcher.call(SERVER, order)
        logger.warning("server.woke", still_ms=still_ms)
        self._present_ms = now_ms

    async def _carry_out(self, name: str, subject: str) -> bool:
        guard = partial(deadlines.take, name=name, subject=subject, now_ms=self._clock.now_ms())
        try:
            await self._dispatcher.call(SERVER, self._orders[name](subject), guard)
        except MessageError as refusal:
            logger.warning("deadline.postponed", deadline=name, subject=subject, code=refusal.code)
            await self._postpone(name, subject, min(POSTPONED_MS, refusal.retry_after_ms or POSTPONED_MS))
            return False
        return True

    async def _postpone(self, name: str, subject: str, by_ms: int) -> None:
        due_ms = self._clock.now_ms() + by_ms
        work = partial(deadlines.postpone, name=name, subject=subject, due_ms=due_ms)
        await self._database.transact([work])

    async def _pause_ms(self) -> int:
        next_ms = await self._database.read(deadlines.next_due_ms)
        left_ms = LOOK_AGAIN_MS if next_ms is None else next_ms - self._clock.now_ms()
        return max(1, min(LOOK_AGAIN_MS, left_ms))

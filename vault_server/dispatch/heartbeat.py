"""This node among others: claims its name, renews its lease, heeds hints, and looks for bans that others wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from protocol.errors import MessageError
from vault_server.core.operation import SERVER
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.dispatch.pump import HINT as PUSH
from vault_server.dispatch.pump import Pump
from vault_server.exchange.bans import RestoreBans
from vault_server.exchange.presence import ClaimNode, LeaveNode, RenewLease
from vault_server.storage.database import Database, StorageError

logger = structlog.get_logger()

BAN = "ban"
"""The topic of the hint that a ban was written or lifted."""

RENEWALS_PER_LEASE = 3


class Heartbeat:
    """`start` returns when the node has its name. `lost` is called when another server has taken it."""

    def __init__(
        self, node: str, lease_ms: int, database: Database, dispatcher: Dispatcher, pump: Pump, lost: Callable[[], None]
    ) -> None:
        self._node = node
        self._pause_seconds = lease_ms / 1000 / RENEWALS_PER_LEASE
        self._database = database
        self._dispatcher = dispatcher
        self._pump = pump
        self._lost = lost
        self.other_hints: Callable[[str], None] = lambda _hint: None
        """Told of every hint that is neither of pushes nor of bans."""
        self._look_for_bans = asyncio.Event()
        self._runners: list[asyncio.Task[None]] = []
        self._has_claimed = False

    async def _claim(self) -> None:
        held = await self._dispatcher.call(SERVER, ClaimNode())
        if held is not None:
            logger.info(
                "node.waiting",
                reason=f"the lease of the name {self._node!r} is held; if nobody renews it, it was ours;"
                " if another server has it, give this one a name: VAULT_NODE",
            )
            await asyncio.sleep(2 * self._pause_seconds)
            if await self._dispatcher.call(SERVER, ClaimNode(seen=held)) is not None:
                raise StorageError(
                    f"another server on this database is called {self._node!r}; give this one a name: VAULT_NODE"
                )
        self._has_claimed = True

    async def start(self) -> None:
        """Take the name, renew its lease from now on, and heed the others. Raises StorageError."""
        if self._has_claimed:
            return
        await self._claim()
        if self._database.is_shared:
            self._database.heed(self._hinted)
            self._runners = [
                asyncio.create_task(self._renew(), name="heartbeat"),
                asyncio.create_task(self._watch_bans(), name="bans"),
            ]

    async def stop(self) -> None:
        """Renew no more, and give the name up; if that cannot be written, the lease runs out."""
        self._database.heed(None)
        runners, self._runners = self._runners, []
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)
        if self._has_claimed:
            self._has_claimed = False
            try:
                await self._dispatcher.call(SERVER, LeaveNode())
            except MessageError as refusal:
                logger.warning("node.lingers", code=refusal.code)

    def _hinted(self, topic: str) -> None:
        if topic in (PUSH, ""):
            self._pump.hinted()
        if topic in (BAN, ""):
            self._look_for_bans.set()
        if topic not in (PUSH, BAN, ""):
            self.other_hints(topic)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._pause_seconds)
            try:
                if not await self._dispatcher.call(SERVER, RenewLease()):
                    logger.error("node.replaced", reason=f"another server has taken the name {self._node!r}")
                    self._lost()
                    return
            except MessageError as refusal:
                logger.warning("node.unrenewed", code=refusal.code)
            except Exception:
                logger.exception("heartbeat.failed")

    async def _watch_bans(self) -> None:
        """At each hint, and now and then without one."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_seconds):
                    await self._look_for_bans.wait()
            self._look_for_bans.clear()
            try:
                await self._dispatcher.call(SERVER, RestoreBans())
            except MessageError as refusal:
                logger.warning("bans.unread", code=refusal.code)
            except Exception:
                logger.exception("heartbeat.failed")

"""Asking the hive for as long as it takes: while the server starts again, or the agent is paused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from protocol.errors import Code
from protocol.peer import reconnect_delay
from vault_client.errors import Refused
from vault_client.hive import Hive

T = TypeVar("T")


class Tell(Protocol):
    """What is shown of how things go; `at`: when it happened, in UTC milliseconds, if not just now."""

    def __call__(self, event: str, task_id: int | None, text: str, at: int | None = None) -> None:
        """Show it."""


class Patience:
    """`await patience(ask)`: the answer, once the server can give it. Raises Refused for what no waiting helps."""

    def __init__(self, hive: Hive, tell: Tell, paused_seconds: float) -> None:
        self._hive = hive
        self._tell = tell
        self._paused_seconds = paused_seconds
        self._is_told = False

    async def __call__(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until it is answered."""
        attempt = 0
        while True:
            try:
                answer = await ask()
            except Refused as refusal:
                if refusal.code == Code.FORBIDDEN and (why := await self._why_paused()):
                    if not self._is_told:
                        self._is_told = True
                        self._tell("paused", None, why)
                    await asyncio.sleep(self._paused_seconds)
                elif refusal.retryable:
                    attempt += 1
                    await asyncio.sleep(reconnect_delay(attempt))
                else:
                    raise
            else:
                if self._is_told:
                    self._is_told = False
                    self._tell("resumed", None, "the agent is active again")
                return answer

    async def _why_paused(self) -> str | None:
        """An agent that may not even look at itself may do nothing."""
        try:
            await self._hive.me()
        except Refused as refusal:
            return refusal.message if refusal.code == Code.FORBIDDEN else None
        return None

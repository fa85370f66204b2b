"""Who waits for a password to be hashed or compared: one at a time, addresses in turn, and not many of them.

Each costs tens of milliseconds and MiB, whoever asks for it: nobody's many may hold up somebody else's one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect

from protocol.errors import Code, MessageError
from vault_server.dispatch.turns import Turns

WAITING_MAX = 16
WAITING_OF_ADDRESS_MAX = 4
"""So that one address cannot fill the queue."""
RETRY_AFTER_MS = 1000

HasLeft = Callable[[], Awaitable[bool]]
"""Whether nobody is there any more to read the answer."""


class PasswordQueue:
    """Touched by the event loop alone."""

    def __init__(self) -> None:
        self._waiting: Turns[asyncio.Future[None]] = Turns()
        self._is_taken = False

    def __len__(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def turn(self, place: str, has_left: HasLeft) -> AsyncIterator[None]:
        """Wait, and be the only one. Raises MessageError(UNAVAILABLE) when too many wait, and ClientDisconnect for
        somebody who has left when his turn comes."""
        await self._wait(place)
        try:
            if await has_left():
                raise ClientDisconnect
            yield
        finally:
            self._pass_on()

    async def _wait(self, place: str) -> None:
        if not self._is_taken:
            self._is_taken = True
            return
        self._check_room(place)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(place, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was his turn just now
                self._pass_on()
            raise

    def _check_room(self, place: str) -> None:
        if self._waiting.count(place) >= WAITING_OF_ADDRESS_MAX:
            raise _full(f"Of your address {WAITING_OF_ADDRESS_MAX} logins and registrations wait already.")
        if len(self._waiting) >= WAITING_MAX:
            raise _full("Too many people log in or register at this moment.")

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.next()
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._is_taken = False


def _full(message: str) -> MessageError:
    return MessageError(
        Code.UNAVAILABLE, message, "Wait a second, then send the form again.", retry_after_ms=RETRY_AFTER_MS
    )

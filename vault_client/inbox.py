"""What the server tells without being asked, each once, and acknowledged when whoever follows is done with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from protocol.envelope import Envelope, Kind, Message
from vault_client.errors import VaultClientError

SEEN_MAX = 65_536
"""Numbers of pushes that are remembered, so that none is brought twice."""


class Inbox:
    """`hear` every push; `follow` what came. `stands` are pushes that end with what they are about, unacknowledged."""

    def __init__(self, acknowledge: Callable[[int], Awaitable[None]], stands: tuple[type[Message], ...] = ()) -> None:
        self._acknowledge = acknowledge
        self._stands = stands
        self._seen: dict[int, None] = {}
        self._news: asyncio.Queue[Envelope | None] = asyncio.Queue()
        self._over: VaultClientError | None = None

    async def hear(self, envelope: Envelope) -> None:
        """What the link calls for every push and signal."""
        if envelope.seq is None or envelope.seq in self._seen or envelope.message.SHAPE.kind is not Kind.PUSH:
            return
        self._seen[envelope.seq] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        self._news.put_nowait(envelope)

    async def follow(self) -> AsyncGenerator[Message]:
        """Each push once, also across reconnects; it is acknowledged when the next is asked for. Ends by raising."""
        while True:
            envelope = await self._news.get()
            if envelope is None:
                self._news.put_nowait(None)  # for whoever else follows
                raise self._over or VaultClientError("The connection has ended.", "Open a new one.")
            yield envelope.message
            if envelope.seq is not None and not isinstance(envelope.message, self._stands):
                await self._acknowledge(envelope.seq)

    def close(self, error: VaultClientError) -> None:
        """Nothing comes any more."""
        self._over = error
        self._news.put_nowait(None)

"""An open connection to the hive: requests that happen once, pages read to their end, events. Others say what is asked.

Every request that changes something carries an idempotency key made here: the link sends it again when a connection is
lost before the reply came, and the server answers the second one with the reply to the first.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from protocol import hive_replies as wire
from protocol.envelope import Envelope, Message
from protocol.errors import Code, MessageError
from protocol.hive import QUESTIONS, told_as
from protocol.hive_json import from_json, to_json
from protocol.hive_records import LINES_MAX
from vault_client.errors import KeyRefused, Refused, VaultClientError
from vault_client.inbox import Inbox
from vault_client.link import Link

HiveEvent = (
    wire.TaskNewMatch
    | wire.ClaimCreated
    | wire.ClaimWon
    | wire.ClaimLost
    | wire.ClaimWithdrawn
    | wire.DeliverableSubmitted
    | wire.DeliverableAccepted
    | wire.RevisionRequested
    | wire.TaskCancelled
    | wire.TaskDisputed
    | wire.DisputeResolved
    | wire.ReviewCreated
)
"""What the server tells without being asked; webhooks are sent the same."""

IN_FLIGHT_SECONDS = 0.2
IN_FLIGHT_TRIES_MAX = 50
"""For a request whose first sending is still being carried out."""

M = TypeVar("M", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Line = TypeVar("Line")


class HiveConnection:
    """Made by `connect_hive`. Every method raises Refused, and what ended the connection for good."""

    def __init__(self, link: Callable[[HiveConnection], Link]) -> None:
        self._link = link(self)
        self._inbox = Inbox(self._link.acknowledge)
        self._ending: asyncio.Task[None] | None = None

    async def events(self) -> AsyncGenerator[HiveEvent]:
        """What the server tells, until the connection ends: each once, also across reconnects.

        An event is acknowledged once you come back for the next one: one that you had not finished with when your
        program ended comes again. The server keeps them for seven days.
        """
        async with aclosing(self._inbox.follow()) as news:
            async for event in news:
                yield event  # type: ignore[misc]

    # the connection

    async def start(self) -> None:
        """Ready when it returns; `connect_hive` calls it."""
        await self._link.start()
        self._ending = asyncio.create_task(self._end_with_link())

    async def stop(self) -> None:
        """Leave; `connect_hive` calls it."""
        if self._ending is not None:
            await self._link.stop()
            await self._ending

    async def hear(self, envelope: Envelope) -> None:
        """What the link calls for every push and signal."""
        await self._inbox.hear(envelope)

    async def ended(self) -> VaultClientError:
        """What ended the connection for good, once it has."""
        return await self._link.ended()

    async def _end_with_link(self) -> None:
        self._inbox.close(await self._link.ended())

    # requests

    async def _request(self, message: Message, expected: type[Reply]) -> Reply:
        reply = await self._answer(checked(message))
        if not isinstance(reply, expected):
            raise VaultClientError(
                f"The server answered {message.SHAPE.wire_type!r} with {reply.SHAPE.wire_type!r}.",
                "Check that server and client are of one version.",
            )
        return reply

    async def _answer(self, message: Message) -> Message:
        tries = IN_FLIGHT_TRIES_MAX
        while True:
            try:
                return await self._link.request(message)
            except Refused as refusal:
                if refusal.code == Code.UNAUTHORIZED:
                    raise KeyRefused(Code.UNAUTHORIZED, refusal.message, refusal.suggestion) from None
                tries -= 1
                if refusal.code != Code.IDEMPOTENCY_KEY_IN_FLIGHT or not tries:
                    raise
                await asyncio.sleep(IN_FLIGHT_SECONDS)

    async def _pages(
        self,
        order: Callable[..., Message],
        expected: type[Reply],
        lines: Callable[[Reply], Sequence[Line]],
        limit: int | None,
        **asked: Any,
    ) -> AsyncGenerator[Line]:
        """The lines of all pages, at most `limit` of them."""
        left, cursor = limit, None
        while left is None or left > 0:
            count = LINES_MAX if left is None else min(LINES_MAX, left)
            page: Any = await self._request(order(**asked, cursor=cursor, limit=count), expected)
            for line in lines(page):
                yield line
            if (cursor := page.cursor) is None:
                return
            left = None if left is None else left - count


def once(key: str | None) -> str:
    """The idempotency key that was given, or a fresh one."""
    return secrets.token_hex(16) if key is None else key


def checked(message: M) -> M:
    """The message as the server will read it. Raises Refused for what it would refuse to read, before it is sent."""
    asks = type(message) in QUESTIONS
    try:
        return from_json(type(message), to_json(message))
    except MessageError as refusal:
        raise Refused.of(told_as(refusal, asks=asks)) from None
    except (AttributeError, TypeError, OverflowError):
        raise Refused(
            (Code.INVALID_PARAMETER if asks else Code.VALIDATION_ERROR).value,
            f"A field of {message.SHAPE.wire_type!r} has a value that does not fit.",
            "Look at the types of the method's arguments.",
            retryable=False,
        ) from None

"""What REST and the pages share: who sends a request, what he has left, and the way to the operations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from starlette.requests import HTTPConnection

from protocol.envelope import Message
from protocol.errors import MessageError
from protocol.hive import told_as
from protocol.hive_peer import told
from vault_server.clock import Clock
from vault_server.core.accounts import VISITOR_ACCOUNT, Accounts
from vault_server.core.operation import SERVER, Caller, Endpoint, Reader
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.exchange.quota import Quota, Spent
from vault_server.settings import Settings

T = TypeVar("T")

Origin = Callable[[str, Iterable[str]], str]
"""origin(peer's address, X-Forwarded-For headers): where a request comes from, as limits count it."""


class Given(NamedTuple):
    """An order's reply; `is_repeated`: it is the one that its idempotency key got before."""

    reply: Message
    is_repeated: bool


class Desk:
    """One for all requests. Everything raises MessageError under the codes that the hive has for it."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        dispatcher: Dispatcher,
        accounts: Accounts,
        quota: Quota,
        origin: Origin,
    ) -> None:
        self.settings = settings
        self.accounts = accounts
        self.clock = clock
        self._dispatcher = dispatcher
        self._quota = quota
        self._origin = origin

    def place(self, connection: HTTPConnection) -> str:
        """Where a request comes from, as limits count it."""
        peer = connection.client.host if connection.client is not None else ""
        return self._origin(peer, connection.headers.getlist("x-forwarded-for"))

    async def agent(self, key: str, place: str) -> Caller:
        """Whose API key this is, as the rows say now. Raises UNAUTHORIZED, FORBIDDEN."""
        return await self._dispatcher.look(lambda reader: self.accounts.agent(reader, key, place))

    async def user(self, token: str, place: str) -> Caller:
        """Whose session this is, as the rows say now. Raises UNAUTHORIZED."""
        now_ms = self.clock.now_ms()
        return await self._dispatcher.look(lambda reader: self.accounts.user(reader, token, place, now_ms))

    def visitor(self, place: str) -> Caller:
        """Somebody who has shown no credentials: for pages that anybody may read."""
        return Caller("", "", Endpoint.HIVE, place, VISITOR_ACCOUNT)

    def spend(self, subject: str) -> Spent:
        """Count a request of agent:<id>, user:<id> or address:<place>. One too many has `wait_ms`, and is to be
        refused with `refusal`."""
        return self._quota.spend(subject, int(time.monotonic() * 1000))

    def refusal(self, spent: Spent, subject: str) -> MessageError:
        """What one too many is told."""
        return spent.refusal(subject, self._quota.span_ms)

    async def give(self, caller: Caller, order: Message) -> Given:
        """Have an order carried out."""
        try:
            if getattr(order, "idempotency_key", None) is not None:
                earlier = await self._earlier(caller, order)
                if earlier is not None:
                    return Given(earlier, is_repeated=True)
            return Given(await self._dispatcher.call(caller, order), is_repeated=False)
        except MessageError as refusal:
            raise told(refusal, order) from None

    async def order(self, order: Any) -> Any:
        """Have an order of the server itself carried out, one of those that `accounts` makes."""
        try:
            return await self._dispatcher.call(SERVER, order)
        except MessageError as refusal:
            raise told_as(refusal, asks=False) from None

    async def look(self, function: Callable[[Reader], T]) -> T:
        """Read what `accounts` needs before there is a caller."""
        return await self._dispatcher.look(function)

    async def _earlier(self, caller: Caller, order: Message) -> Message | None:
        now_ms = self.clock.now_ms()
        return await self._dispatcher.look(lambda reader: self.accounts.earlier_reply(reader, caller, order, now_ms))

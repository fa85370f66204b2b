"""Keeps a conversation with the server alive: reconnects, and sends again what was not answered. Knows no tasks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from protocol.envelope import Envelope, Message
from protocol.errors import Code
from protocol.pacing import CLIENT_LIMIT, Pacer
from protocol.peer import Acknowledged, reconnect_delay
from vault_client.conversation import Conversation
from vault_client.errors import (
    AnotherServerKey,
    Banned,
    ConnectionEnded,
    NotAdmitted,
    Refused,
    ServerNotTrusted,
    ServerUnreachable,
    VaultClientError,
)
from vault_client.losses import Broken, KeptOut

REQUESTS_MAX = 16
"""Requests that wait for their replies at once; more wait their turn here, not in the server's queue."""
REFUSALS_MAX = 5
"""Attempts in a row that are refused before the conversation is open, until that is believed."""
STEADY_SECONDS = 5.0
"""A connection that lived so long was a good one: the next attempts start quickly again."""
BACKGROUND_SHARE = 0.5
"""Of what the server's rate limit allows, for requests that nobody waits for."""
LIMITED_SECONDS = 1.0
"""After a refusal for the rate that does not say how long to wait."""
UNSIGNED_SECONDS_MAX = 600.0
"""For the ban that a refused handshake speaks of: nobody has signed it, so it is looked at again after that time."""


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """The connection is up (again), or was lost and is being looked for; `detail` says why it was lost.

    With `banned_seconds` the key is banned, and nothing is tried for so long. `is_paused`: the server has closed it
    because the agent may do nothing now.
    """

    connected: bool
    detail: str
    banned_seconds: float | None = None
    is_paused: bool = False


Dial = Callable[[Acknowledged], Awaitable[Conversation]]
"""dial(acknowledged): a new conversation, in which pushes that have been acknowledged before are dropped."""


class Link:
    """`request` and `acknowledge` work whatever becomes of single connections, until the link ends for good.

    `hear` is given every push and signal, `changed` every coming and going of the connection. Requests keep the pace
    that the server's welcome allows. A ban of up to `ban_seconds_max` is waited out; a longer one ends the link.
    `authority` is the server's name in what is told.
    """

    def __init__(
        self,
        dial: Dial,
        authority: str,
        *,
        connect_seconds_max: float,
        reconnect_seconds_max: float | None,
        ban_seconds_max: float,
        hear: Callable[[Envelope], Awaitable[None]],
        changed: Callable[[ConnectionEvent], object],
    ) -> None:
        self._dial_once = dial
        self._authority = authority
        self._connect_seconds_max = connect_seconds_max
        self._reconnect_seconds_max = reconnect_seconds_max
        self._ban_seconds_max = ban_seconds_max
        self._hear = hear
        self._changed = changed
        self._acknowledged = Acknowledged()
        self._in_flight = asyncio.Semaphore(REQUESTS_MAX)
        self._pacer = Pacer(CLIENT_LIMIT)
        self._arrived = asyncio.Event()
        self._attempt = 0
        self.losses = 0
        """Connections that were lost so far: a request meanwhile may have arrived twice."""
        self._up: asyncio.Future[Conversation] = asyncio.get_running_loop().create_future()
        self._over: asyncio.Future[VaultClientError] = asyncio.get_running_loop().create_future()
        self._latest: Conversation | None = None
        self._runner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ready when it returns. Raises
        ServerUnreachable, ServerNotTrusted, NotAdmitted, Banned, ConnectionEnded, FileError."""
        if self._runner is None:
            self._latest = await self._dial(self._connect_seconds_max, at_once=True)
            self._runner = asyncio.create_task(self._run(self._latest))

    async def stop(self) -> None:
        """Leave politely; requests that still wait raise ConnectionEnded."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])
            if self._latest is not None:
                await self._latest.close()  # again, or for the first time when the runner never came to run
            self._end(ConnectionEnded("The connection was closed.", "Open a new one with connect()."))

    async def request(self, message: Message, *, background: bool = False) -> Message:
        """The reply to a request that does no harm when it arrives twice. Raises Refused, and what ended the link.

        A `background` request leaves half of what the rate limit allows to others.
        """
        async with self._in_flight:
            while True:
                conversation = await asyncio.shield(self._up)
                number = await self._turn(BACKGROUND_SHARE if background else 1.0)
                try:
                    return await conversation.request(message)
                except Broken:
                    continue
                except Refused as refusal:
                    if refusal.code != Code.RATE_LIMITED:
                        raise
                    # Nothing has been done. Others with this key have used up what is allowed.
                    waits_ms = refusal.retry_after_ms
                    self._pacer.hold(LIMITED_SECONDS if waits_ms is None else waits_ms / 1_000, self._now())
                finally:
                    self._pacer.arrived(number, self._now())
                    self._arrived.set()

    async def _turn(self, share: float) -> int:
        """Wait until the rate limit lets one more go; returns its number."""
        while (seconds := self._pacer.wait(self._now(), share=share)) > 0:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                    await self._arrived.wait()
        return self._pacer.sent()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def acknowledge(self, seq: int) -> None:
        """End a push, now or when it comes again on the next connection."""
        self._acknowledged.add(seq)
        conversation = self._conversation()
        if conversation is not None:
            with suppress(Broken):
                await conversation.acknowledge(seq)

    async def ended(self) -> VaultClientError:
        """Return what ended the link for good, once it has."""
        return await asyncio.shield(self._over)

    def _conversation(self) -> Conversation | None:
        ready = self._up.done() and not self._up.cancelled() and self._up.exception() is None
        return self._up.result() if ready else None

    async def _run(self, conversation: Conversation) -> None:
        try:
            while True:
                lost = await self._converse(conversation)
                self.losses += 1
                self._changed(ConnectionEvent(False, str(lost), is_paused=lost.is_paused))
                if isinstance(lost, KeptOut):
                    await self._sit_out(lost)
                self._latest = conversation = await self._dial(self._reconnect_seconds_max, at_once=False)
        except VaultClientError as error:
            self._end(error)
        except Exception as error:
            # A callback of our caller has failed, or we have: those who wait must hear of it, then it is shown.
            self._end(VaultClientError(f"The connection's task failed ({type(error).__name__}).", "See its traceback."))
            raise

    async def _converse(self, conversation: Conversation) -> Broken:
        since = self._now()
        self._pacer.learn(conversation.limits)
        self._up.set_result(conversation)
        try:
            self._changed(ConnectionEvent(True, ""))
            async for envelope in conversation.messages():
                await self._hear(envelope)
            raise AssertionError("messages end by raising")
        except Broken as lost:
            return lost
        finally:
            if self._now() - since >= STEADY_SECONDS:
                self._attempt = 0
            # In this order: a request that is abandoned looks for the next conversation at once.
            self._up = asyncio.get_running_loop().create_future()
            conversation.abandon()
            await conversation.close()

    async def _dial(self, seconds_max: float | None, *, at_once: bool) -> Conversation:
        deadline = None if seconds_max is None else self._now() + seconds_max
        reason, first, again_seconds = "the server did not answer in time", at_once, 0.0
        refused: VaultClientError | None = None
        refusals = 0
        try:
            async with asyncio.timeout_at(deadline) as limit:
                while True:
                    if not at_once:  # a server that restarts is not met by everybody in the same instant
                        await asyncio.sleep(max(again_seconds, reconnect_delay(max(1, self._attempt))))
                    at_once, again_seconds = False, 0.0
                    self._attempt += 1
                    try:
                        return await self._dial_once(self._acknowledged)
                    except KeptOut as kept_out:
                        refused, refusals = Banned(kept_out.seconds), refusals + 1
                        if first or refusals == REFUSALS_MAX:
                            refusals = 0
                            if deadline is not None:
                                limit.reschedule(deadline := deadline + min(kept_out.seconds, UNSIGNED_SECONDS_MAX))
                            await self._sit_out(kept_out, UNSIGNED_SECONDS_MAX)
                    except Broken as broken:
                        reason, refused, refusals = str(broken), None, 0
                        again_seconds = broken.again_seconds
                    except (NotAdmitted, ConnectionEnded, ServerNotTrusted) as refusal:
                        # Nobody has signed it: one forged frame on the path must not end what is under way.
                        refused, refusals = refusal, refusals + 1
                        at_once_final = ServerNotTrusted if first else AnotherServerKey
                        if refusals == REFUSALS_MAX or isinstance(refusal, at_once_final):
                            raise
        except TimeoutError:
            if refused is not None:
                raise refused from None
            raise ServerUnreachable(
                f"Cannot reach the server at {self._authority}: {reason} (tried for {seconds_max:g} s).",
                "Check the address, and that the server runs there (`vault-server serve`).",
            ) from None

    async def _sit_out(self, ban: KeptOut, seconds_max: float = math.inf) -> None:
        """Wait for the end of a ban, or of `seconds_max`. Raises Banned where that is too long for whoever connects."""
        if ban.seconds > self._ban_seconds_max:
            raise Banned(ban.seconds, ban.told)
        self._changed(ConnectionEvent(False, ban.told or str(ban), ban.seconds))
        await asyncio.sleep(min(ban.seconds, seconds_max))

    def _end(self, error: VaultClientError) -> None:
        if self._over.done():
            return
        self._over.set_result(error)
        if self._up.done():  # cancelled before it could start
            self._up = asyncio.get_running_loop().create_future()
        self._up.set_exception(error)
        self._up.exception()  # seen: nobody has to ask

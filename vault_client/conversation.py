"""One WebSocket connection to the server, greeted on both sides. Knows nothing of tasks and never reconnects."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Protocol, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from protocol.address import Address, PinMismatch
from protocol.closing import reason_of
from protocol.envelope import Envelope, Message
from protocol.errors import ERRORS, Close, Code, MessageError
from protocol.identity import Identity
from protocol.peer import (
    SEALED,
    Acknowledged,
    DiallingPeer,
    Frame,
    HandshakeError,
    HandshakeRefused,
    State,
)
from protocol.sealing import Opening, Spent
from protocol.session import Error, Exit
from protocol.vault import CLIENT_PATH
from vault_client.errors import (
    AnotherServerKey,
    ConnectionEnded,
    NotAdmitted,
    Refused,
    ServerNotTrusted,
)
from vault_client.losses import Broken, KeptOut
from vault_client.pins import Pins
from vault_client.sockets import CLOSE_SECONDS_MAX, OPEN_SECONDS_MAX, open_socket

AGENT = f"vault-client/{importlib.metadata.version('vault-server')}"

Sealed = TypeVar("Sealed")


class Speaker(Protocol):
    """This end of a conversation, as `protocol.peer.DiallingPeer` describes it."""

    state: State

    def receive(self, frame: Frame) -> Envelope | None:
        """Take one frame; the message in it that is for us."""

    def outgoing(self) -> list[Frame]:
        """Frames to send now."""

    def request(self, message: Message) -> tuple[int, Frame]:
        """A request's number and its frame."""

    def signal(self, message: Message) -> Frame:
        """The frame of what nobody answers."""

    def acknowledge(self, seq: int) -> Frame:
        """The frame that ends a push."""


class Conversation:
    """An open conversation: `request`, `acknowledge`, and `messages` that somebody has to iterate over meanwhile.

    `limits` is what the server says it takes; one that says nothing gives none.
    """

    def __init__(self, socket: ClientConnection, peer: Speaker, limits: Mapping[str, int]) -> None:
        self.limits = limits
        self._socket = socket
        self._peer = peer
        # Sealed frames must leave in the order of their numbers: whoever seals also sends, one at a time.
        self._sending = asyncio.Lock()
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._over = False
        self._kept_out: KeptOut | None = None
        self._brought: set[int] = set()
        """Pushes of this connection that have not been acknowledged."""

    async def request(self, message: Message) -> Message:
        """The reply. Raises Refused, and Broken when the connection went before the reply came."""
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        async with self._sending:
            if self._over:
                raise Broken("the connection was lost")
            number, frame = _sealed(lambda: self._peer.request(message))
            self._replies[number] = reply
            with suppress(Broken):  # whoever reads hears of it too, and then calls `abandon`
                await self._send(frame)
        try:
            return await reply
        finally:
            self._replies.pop(number, None)

    async def acknowledge(self, seq: int) -> None:
        """End a push that this connection has brought. Raises Broken.

        Any other is acknowledged by `messages` when it comes again: the server counts an `ack` that it does not await.
        """
        if seq not in self._brought:
            return
        self._brought.remove(seq)
        async with self._sending:
            await self._send(_sealed(lambda: self._peer.acknowledge(seq)))

    async def messages(self) -> AsyncIterator[Envelope]:
        """Pushes and signals that are new. Raises Broken, KeptOut once the server has said that the key is banned."""
        while True:
            try:
                envelope = await _receive(self._socket, self._peer)
            except Broken:
                if self._kept_out is not None:
                    raise self._kept_out from None
                raise
            async with self._sending:
                for frame in self._peer.outgoing():
                    await self._send(frame)
            if envelope is None:
                continue
            if isinstance(envelope.message, Error) and envelope.message.code == Code.BANNED:
                # It closes next. The request it answers has not been carried out, and is answered after the ban.
                self._kept_out = KeptOut((envelope.message.retry_after_ms or 0) / 1_000, envelope.message.message)
            elif envelope.re is not None:
                self._settle(envelope.re, envelope.message)
            else:
                if envelope.seq is not None:
                    self._brought.add(envelope.seq)
                yield envelope

    def abandon(self) -> None:
        """No reply will come any more: every request that waits raises Broken."""
        self._over = True
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(Broken("the connection was lost"))

    async def close(self) -> None:
        """Say that we leave, and close once the server has read everything before it. Never raises."""
        with suppress(Broken, TimeoutError):
            async with self._sending:
                await self._send(_sealed(lambda: self._peer.signal(Exit())))
            # The server closes when it reads this. Closing first could outrun an acknowledgement before it.
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._socket.wait_closed()
        await self._socket.close()

    def _settle(self, number: int, message: Message) -> None:
        reply = self._replies.get(number)
        if reply is None or reply.done():
            return
        if isinstance(message, Error):
            reply.set_exception(Refused.by(message))
        else:
            reply.set_result(message)

    async def _send(self, frame: Frame) -> None:
        try:
            await self._socket.send(frame)
        except ConnectionClosed as closed:
            raise Broken(str(_closed(closed, self._peer))) from None


def _sealed(seal: Callable[[], Sealed]) -> Sealed:
    try:
        return seal()
    except Spent:
        raise Broken("the session's keys have served their time") from None


async def dial(
    address: Address, identity: Identity, pins: Pins, acknowledged: Acknowledged, path: str = CLIENT_PATH
) -> Conversation:
    """Connect to one of the server's paths and prove both sides.

    Raises Broken, KeptOut, NotAdmitted, ServerNotTrusted, ConnectionEnded, FileError.
    """
    socket = await open_socket(address, path)
    try:
        opening = Opening(path, (SEALED.name,), SEALED.name)
        peer = DiallingPeer(identity, opening, address.authority, AGENT, pins.check, acknowledged=acknowledged)
        async with asyncio.timeout(OPEN_SECONDS_MAX):
            while peer.state is not State.OPEN:
                await _receive(socket, peer)
                for frame in peer.outgoing():
                    await socket.send(frame)
        pins.remember(address.authority, peer.server_key)
    except TimeoutError:
        await socket.close()
        raise Broken("the server did not finish the handshake in time") from None
    except ConnectionClosed as closed:
        raise _closed(closed, peer) from None
    except BaseException:
        await socket.close()
        raise
    assert peer.welcome is not None, "an open conversation has been welcomed"
    return Conversation(socket, peer, peer.welcome.limits)


async def _receive(socket: ClientConnection, peer: Speaker) -> Envelope | None:
    try:
        return peer.receive(await socket.recv())
    except ConnectionClosed as closed:
        raise _closed(closed, peer) from None
    except PinMismatch as error:
        raise AnotherServerKey(f"{str(error)[0].upper()}{str(error)[1:]}.", "Nothing was said to it.") from None
    except HandshakeRefused as refusal:
        if refusal.code is Code.BANNED:
            raise KeptOut((refusal.retry_after_ms or 0) / 1_000) from None
        if ERRORS[refusal.code].retryable:
            raise Broken(f"the handshake was refused ({refusal})") from None
        raise NotAdmitted(refusal.code) from None
    except HandshakeError as error:
        raise ServerNotTrusted(
            f"The handshake failed: {error}.", "Check the address, and that server and client are of one version."
        ) from None
    except Spent:
        raise Broken("the session's keys have served their time") from None
    except MessageError as refusal:
        if peer.state is State.OPEN and refusal.code is Code.UNSUPPORTED_TYPE:
            return None  # a newer server's message that we can do without
        raise Broken(f"what came could not be read ({refusal.code})") from None


def _closed(closed: ConnectionClosed, peer: Speaker) -> Broken | ConnectionEnded:
    code = closed.rcvd.code if closed.rcvd is not None else None
    # Nobody seals a close code. Once a conversation was open, the next handshake tells whether the key is still taken.
    if code == Close.HANDSHAKE_FAILED and peer.state is not State.OPEN:
        return ConnectionEnded(
            f"No conversation came about: {reason_of(code)}.", "Check the key and the server's address."
        )
    return Broken(reason_of(code), is_paused=code == Close.AGENT_INACTIVE)

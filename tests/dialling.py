"""One raw connection to a server, for tests that say one thing and look at what comes back.

It does the handshake by protocol.peer and nothing else: no reconnecting, no acknowledging, no retry.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TypeVar

import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol as SubprotocolName

from protocol.address import parse_address
from protocol.envelope import Envelope, Message
from protocol.identity import Identity
from protocol.peer import SEALED, Acknowledged, DiallingPeer, State, Subprotocol
from protocol.sealing import Opening
from protocol.session import Error, Welcome
from protocol.vault import CLIENT_PATH

ANSWER_SECONDS_MAX = 15.0
M = TypeVar("M", bound=Message)
Wanted = Callable[[Envelope], bool]


class Dialled:
    """An open connection; made by `dial`. `socket` and `peer` are there for tests that speak out of turn."""

    def __init__(self, socket: websockets.asyncio.client.ClientConnection, peer: DiallingPeer) -> None:
        self.socket = socket
        self.peer = peer
        self._waiting: deque[Envelope] = deque()

    @property
    def welcome(self) -> Welcome:
        """What the server said at the end of the handshake."""
        assert self.peer.welcome is not None
        return self.peer.welcome

    async def send(self, message: Message) -> int:
        """Send a request; returns its id without waiting for the reply."""
        number, frame = self.peer.request(message)
        await self.socket.send(frame)
        return number

    async def signal(self, message: Message) -> None:
        """Send what nobody answers."""
        await self.socket.send(self.peer.signal(message))

    async def acknowledge(self, seq: int) -> None:
        """End a push."""
        await self.socket.send(self.peer.acknowledge(seq))

    async def ask(self, message: Message, reply: type[M], *, seconds: float = ANSWER_SECONDS_MAX) -> M:
        """Send a request and wait for its reply. Raises the server's refusal (MessageError)."""
        number = await self.send(message)
        answer = (await self._next(lambda e: e.re == number, seconds)).message
        if isinstance(answer, Error):
            raise answer.exception() or AssertionError(f"an error code that protocol.errors does not have: {answer}")
        assert isinstance(answer, reply), f"{message.SHAPE.wire_type} was answered by {answer.SHAPE.wire_type}"
        return answer

    async def receive(self, kind: type[M], *, seconds: float = ANSWER_SECONDS_MAX) -> tuple[M, int | None]:
        """The next message of that class and its `seq`; others stay for later calls."""
        envelope = await self._next(lambda e: isinstance(e.message, kind), seconds)
        assert isinstance(envelope.message, kind)
        return envelope.message, envelope.seq

    async def take(self, kind: type[M], *, seconds: float = ANSWER_SECONDS_MAX) -> M:
        """The next push of that class, acknowledged."""
        message, seq = await self.receive(kind, seconds=seconds)
        assert seq is not None, f"{message.SHAPE.wire_type} came without a seq"
        await self.acknowledge(seq)
        return message

    async def error(self, *, seconds: float = ANSWER_SECONDS_MAX) -> Error:
        """The next refusal, whatever it answers."""
        return (await self.receive(Error, seconds=seconds))[0]

    async def silence(self, seconds: float = 0.3) -> list[Envelope]:
        """What comes within that time (and has not been taken yet): for tests that expect nothing."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self._read()
        except TimeoutError:
            pass
        seen = list(self._waiting)
        self._waiting.clear()
        return seen

    async def closed(self, *, seconds: float = ANSWER_SECONDS_MAX) -> int:
        """Wait until the server closes; returns the close code (1006 when the connection just broke)."""
        async with asyncio.timeout(seconds):
            try:
                while True:
                    await self._read()
            except ConnectionClosed:
                pass
        assert self.socket.close_code is not None
        return self.socket.close_code

    async def close(self) -> None:
        """Leave in order."""
        await self.socket.close()

    def drop(self) -> None:
        """Leave as a pulled cable would: no closing handshake."""
        self.socket.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _next(self, wanted: Wanted, seconds: float) -> Envelope:
        async with asyncio.timeout(seconds):
            while True:
                for envelope in self._waiting:
                    if wanted(envelope):
                        self._waiting.remove(envelope)
                        return envelope
                await self._read()

    async def _read(self) -> None:
        envelope = self.peer.receive(await self.socket.recv())
        for frame in self.peer.outgoing():
            await self.socket.send(frame)
        if envelope is not None:
            self._waiting.append(envelope)


async def dial(
    url: str,
    path: str = CLIENT_PATH,
    identity: Identity | None = None,
    *,
    subprotocol: Subprotocol = SEALED,
    acknowledged: Acknowledged | None = None,
    frame_bytes_max: int = 1 << 20,
    local_address: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Dialled:
    """Connect and go through the handshake; a fresh key unless one is given.

    `local_address` is where to dial from: Linux answers to all of 127.0.0.0/8.

    Raises MessageError when the server refuses the hello, ConnectionClosed when it closes without a word.
    """
    address = parse_address(url)
    name = SubprotocolName(subprotocol.name)
    socket = await websockets.asyncio.client.connect(
        address.url(path),
        subprotocols=[name],
        compression=None,
        proxy=None,
        max_size=frame_bytes_max,
        additional_headers=headers,
        local_addr=None if local_address is None else (local_address, 0),
    )
    try:
        assert socket.subprotocol == subprotocol.name, f"the server chose {socket.subprotocol}"
        peer = DiallingPeer(
            identity or Identity.generate(),
            Opening(path, (subprotocol.name,), subprotocol.name),
            address.authority,
            "tests",
            lambda _authority, _key: None,
            acknowledged=acknowledged,
        )
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while peer.state is not State.OPEN:
                peer.receive(await socket.recv())
                for frame in peer.outgoing():
                    await socket.send(frame)
    except BaseException:
        await socket.close()
        raise
    return Dialled(socket, peer)

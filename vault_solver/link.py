"""One connection to the server, greeted on both sides. Knows nothing of assignments and never reconnects by itself."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, NegotiationError
from websockets.typing import Subprotocol as SubprotocolName

from protocol.address import Address, PinMismatch
from protocol.closing import reason_of, retry_after
from protocol.envelope import Envelope, Message
from protocol.errors import ERRORS, Close, Code, MessageError
from protocol.identity import Identity
from protocol.peer import (
    FRAME_BYTES_MAX,
    Acknowledged,
    DiallingPeer,
    Frame,
    HandshakeError,
    HandshakeRefused,
    State,
    Subprotocol,
)
from protocol.sealing import Opening, Spent
from protocol.session import Exit
from protocol.vault import SOLVER_PATH
from vault_solver.errors import KeptOut, Refused, Unreachable
from vault_solver.options import is_loopback
from vault_solver.pins import Pins

AGENT = f"vault-solver/{importlib.metadata.version('vault-server')}"
OPEN_SECONDS_MAX = 10.0
"""For TCP, TLS and HTTP together, and again for the handshake."""
PING_SECONDS = 20.0
"""A ping that often, and as long for its pong: a dead server is noticed within twice that."""
LEAVE_SECONDS_MAX = 2.0


class Link:
    """An open conversation. Sending never waits: frames leave in the order in which they were sealed."""

    def __init__(self, socket: ClientConnection, peer: DiallingPeer) -> None:
        self._socket = socket
        self._peer = peer
        self._frames: asyncio.Queue[tuple[Frame, Callable[[], None] | None]] = asyncio.Queue()
        self._requests: dict[int, Message] = {}
        self._writer = asyncio.create_task(self._write())

    @property
    def server_key(self) -> str:
        """Whom we speak to, 64 hex digits."""
        return self._peer.server_key.hex()

    @property
    def limits(self) -> Mapping[str, int]:
        """What the server's welcome says it takes."""
        assert self._peer.welcome is not None, "an open conversation has been welcomed"
        return self._peer.welcome.limits

    def request(self, message: Message) -> int | None:
        """Send; its reply is received together with this message. Returns its number, None when nothing can be sent."""
        number: int | None = None
        with self._renewing():
            number, frame = self._peer.request(message)
            self._requests[number] = message
            self._frames.put_nowait((frame, None))
        return number

    def signal(self, message: Message, arrived: Callable[[], None] | None = None) -> None:
        """Send what nobody answers; `arrived` is called once the server has read it."""
        with self._renewing():
            self._frames.put_nowait((self._peer.signal(message), arrived))

    def acknowledge(self, seq: int) -> None:
        """End a push."""
        with self._renewing():
            self._frames.put_nowait((self._peer.acknowledge(seq), None))

    async def messages(
        self, unreadable: Callable[[MessageError], None]
    ) -> AsyncGenerator[tuple[Message | None, Envelope]]:
        """What the server says, each with the request it answers. Ends by raising Unreachable or Refused.

        A message this program cannot read (of a newer server) goes to `unreadable` and the conversation goes on.
        """
        while True:
            try:
                envelope = self._peer.receive(await self._socket.recv())
            except MessageError as error:
                if error.code is Code.BAD_SEAL:
                    raise Unreachable("a sealed frame did not open") from None
                unreadable(error)
                continue
            except ConnectionClosed as closed:
                raise _closed(closed, is_open=True) from None
            except Spent:
                raise Unreachable("the session's keys have served their time") from None
            for frame in self._peer.outgoing():
                self._frames.put_nowait((frame, None))
            if envelope is not None:
                yield self._requests.pop(envelope.re, None) if envelope.re is not None else None, envelope

    async def leave(self) -> None:
        """Say that we leave, once everything before it is out, and close. Never raises, safe twice."""
        if self._socket.close_code is None:
            self.signal(Exit())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS_MAX):
                    await self._frames.join()
        await self.close()

    async def close(self) -> None:
        """Close without a word. Never raises, safe twice."""
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        await self._socket.close()

    async def _write(self) -> None:
        while True:
            frame, arrived = await self._frames.get()
            with contextlib.suppress(ConnectionClosed):  # the reader is told as well
                await self._socket.send(frame)
                if arrived is not None:
                    await self._ask_for_pong(arrived)
            self._frames.task_done()

    async def _ask_for_pong(self, arrived: Callable[[], None]) -> None:
        """The pong of a ping behind a frame shows that the frame has been read."""

        def answered(pong: asyncio.Future[float]) -> None:
            if not pong.cancelled() and pong.exception() is None:
                arrived()

        asyncio.ensure_future(await self._socket.ping()).add_done_callback(answered)

    @contextlib.contextmanager
    def _renewing(self) -> Iterator[None]:
        try:
            yield
        except Spent:
            self._socket.transport.abort()  # the reader ends with it, and a fresh connection has fresh keys


async def dial(
    address: Address, identity: Identity, pins: Pins, subprotocol: Subprotocol, acknowledged: Acknowledged
) -> Link:
    """Connect, prove both sides, and pin a server seen for the first time. Raises Unreachable, KeptOut, BadFile."""
    try:
        return await _dial(address, identity, pins, subprotocol, acknowledged)
    except Refused as refused:
        raise Unreachable(refused.message, refused) from None


async def _dial(
    address: Address, identity: Identity, pins: Pins, subprotocol: Subprotocol, acknowledged: Acknowledged
) -> Link:
    with _explained(address):
        socket = await dial_websocket(
            address.url(SOLVER_PATH),
            subprotocols=[SubprotocolName(subprotocol.name)],
            compression=None,  # sealed frames do not compress
            proxy=None if is_loopback(address) else True,
            open_timeout=OPEN_SECONDS_MAX,
            close_timeout=LEAVE_SECONDS_MAX,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            max_size=16 * FRAME_BYTES_MAX,
        )
        try:
            opening = Opening(SOLVER_PATH, (subprotocol.name,), str(socket.subprotocol))
            peer = DiallingPeer(identity, opening, address.authority, AGENT, pins.check, acknowledged=acknowledged)
            async with asyncio.timeout(OPEN_SECONDS_MAX):
                await _greet(socket, peer)
            pins.keep(address.authority, peer.server_key)
        except BaseException:
            await socket.close()
            raise
        return Link(socket, peer)


async def _greet(socket: ClientConnection, peer: DiallingPeer) -> None:
    if socket.subprotocol is None:
        raise HandshakeError("it agreed to no subprotocol")
    while peer.state is not State.OPEN:
        peer.receive(await socket.recv())
        for frame in peer.outgoing():
            await socket.send(frame)


@contextlib.contextmanager
def _explained(address: Address) -> Iterator[None]:
    """Sort what can go wrong on the way in: Unreachable may pass by itself, Refused will not."""
    where = address.authority
    try:
        yield
    except PinMismatch as error:
        raise Refused(f"{str(error)[0].upper()}{str(error)[1:]}.", "Nothing was said to it.") from None
    except HandshakeRefused as refusal:
        if refusal.code is Code.BANNED:
            raise KeptOut((refusal.retry_after_ms or 0) / 1_000) from None
        if ERRORS[refusal.code].retryable:
            raise Unreachable(f"the handshake was refused ({refusal})") from None
        raise Refused(
            f"The handshake with {where} was refused ({refusal})",
            "Check the address (its operator lists the public_names) and the key.",
        ) from None
    except HandshakeError as error:
        raise Refused(
            f"The handshake with {where} failed: {error}.", "Check the address, and that both are of one version."
        ) from None
    except MessageError as error:
        raise Unreachable(f"what came could not be read ({error.code})") from None
    except ConnectionClosed as closed:
        raise _closed(closed, is_open=False) from None
    except InvalidStatus as error:
        status = error.response.status_code
        if status >= 500 or status == 429:
            wait = retry_after(error.response.headers.get("Retry-After"))
            raise Unreachable(f"the server answered with HTTP status {status}", again_seconds=wait) from None
        raise _no_vault(where, f"it answered with HTTP status {status}") from None
    except NegotiationError:
        raise _no_vault(where, "it does not speak this subprotocol") from None
    except InvalidHandshake as error:
        raise Unreachable(f"what answers is no WebSocket server ({type(error).__name__})") from None
    except TimeoutError:
        raise Unreachable("the server did not answer in time") from None
    except ssl.SSLCertVerificationError as error:
        raise Refused(
            f"The certificate of {where} does not hold: {error.verify_message}.",
            "Check the address, or name the certificate's issuer in the environment as SSL_CERT_FILE.",
        ) from None
    except OSError as error:
        raise Unreachable(_network_reason(error)) from None


def _closed(closed: ConnectionClosed, *, is_open: bool) -> Unreachable | Refused:
    code = closed.rcvd.code if closed.rcvd is not None else None
    if code == Close.REPLACED:
        return Refused(
            f"The connection is over: {reason_of(code)}.",
            "Two solvers use one key: stop one of them, or give each its own with --key.",
        )
    # Nobody seals a close code: once a conversation was open, only the next handshake tells what has changed.
    if code == Close.HANDSHAKE_FAILED and not is_open:
        return Refused(f"No conversation came about: {reason_of(code)}.", "Check key and address.")
    return Unreachable(reason_of(code))


def _no_vault(where: str, what: str) -> Refused:
    return Refused(f"What answers at {where} is no vault server: {what}.", "Check the address given with --server.")


def _network_reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return "nothing listens there"
    return (error.strerror or type(error).__name__).lower()

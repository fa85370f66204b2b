"""One WebSocket connection, over the library's sans-I/O layer: frames in, orders out, replies and pushes back.

Everything runs in the event loop; nothing here waits. Frames written in one turn of the loop leave in one write.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import structlog
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State as WebSocketState
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from protocol.envelope import Envelope, Message
from protocol.errors import Close, Code, MessageError
from protocol.peer import AnsweringPeer, State
from protocol.sealing import SECONDS_MAX, Opening, Spent
from protocol.session import Ack, Error, Exit, Ping, Pong
from vault_server.core.operation import Caller, Door
from vault_server.core.tally import OK
from vault_server.gateway.handshake import NO_SUBPROTOCOL

if TYPE_CHECKING:
    from vault_server.gateway.listener import Listener

logger = structlog.get_logger()

LIBRARY_LOGGER = logging.getLogger("websockets.server")
LIBRARY_LOGGER.addHandler(logging.NullHandler())
LIBRARY_LOGGER.propagate = False  # a stranger's broken opening is not an error of ours

NO_MESSAGE = frozenset({Code.MALFORMED, Code.TOO_LARGE, Code.TOO_DEEP, Code.WRONG_FRAME})
"""Refusals of frames that are no message: counted, and too many close the connection."""

FRAMES_A_TURN = 128
"""Frames of one connection taken in one turn of the event loop."""

REFUSALS_LOGGED = 16

CLOSING_SECONDS = 5.0
"""How long a peer gets to answer a close frame."""


class Connection(asyncio.Protocol):
    """`listener` owns the shared parts; a connection enters and leaves its books by itself."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._settings = listener.settings
        self._tally = listener.tally
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ws = ServerProtocol(
            select_subprotocol=lambda _ws, offered: self._select_subprotocol(offered),
            logger=LIBRARY_LOGGER,
            max_size=2 * self._settings.frame_bytes_max,
        )
        self._address = ""
        self._offered: tuple[str, ...] = ()
        self._door: Door | None = None
        self._peer: AnsweringPeer | None = None
        self._caller: Caller | None = None
        self._has_joined = False
        self._has_left = False
        self._has_closed = False
        self._events: deque[Request | Frame | object] = deque()
        self._is_working = False
        self._is_paused = False
        self._refused = 0
        self._fragments: list[bytes] = []
        self._is_text = False
        self._pending = 0
        self._bad_messages = 0
        self._flush_due = False
        self._timers: list[asyncio.TimerHandle] = []
        self._expectation: asyncio.TimerHandle | None = None
        self.heard_at = self._loop.time()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket is there; the peer has `handshake_ms_max` to prove a key."""
        self._transport = cast(asyncio.Transport, transport)
        peername = transport.get_extra_info("peername")
        self._address = peername[0] if peername else ""
        self._expect_soon("No valid hello", "Answer the challenge with a hello at once.")
        self._listener.entered(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer."""
        self.heard_at = self._loop.time()
        self._ws.receive_data(data)
        self._events.extend(self._ws.events_received())
        if not self._is_working:
            self._work()

    def _work(self) -> None:
        """Take what has been read, some frames a turn: one peer's thousands of tiny frames must not hold up others."""
        self._is_working = False
        for _ in range(min(FRAMES_A_TURN, len(self._events))):
            event = self._events.popleft()
            if isinstance(event, Request):
                self._open(event)
            elif isinstance(event, Frame):
                self._take_frame(event)
        self._flush()
        if self._transport is None:
            return
        if self._events:
            self._is_working = True
            self._loop.call_soon(self._work)
        if bool(self._events) is not self._is_paused and not self._transport.is_closing():
            self._is_paused = not self._is_paused
            if self._is_paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def eof_received(self) -> bool:
        """The peer has sent its last byte."""
        self._ws.receive_eof()
        self._flush()
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """The socket is gone; what the peer said last still counts."""
        self._transport = None
        self._work()
        self._events.clear()
        for timer in self._timers:
            timer.cancel()
        if self._ws.state is not WebSocketState.CLOSED:
            self._ws.receive_eof()
        if self._caller is not None:
            self._leave()
            logger.info("connection.closed", code=self._ws.close_code, **self._who())
        self._listener.gone(self)

    def _leave(self) -> None:
        """Take part no more: nothing is assigned or sent to who has been told to go."""
        if self._has_joined and not self._has_left:
            assert self._caller is not None, "who joined is known"
            assert self._door is not None, "a caller came through a door"
            self._has_left = True
            self._listener.left(self, self._caller, self._door)

    # what the pump and the roster use

    def push(self, seq: int, message: Message) -> None:
        """Send a durable push."""
        self._send(Envelope(message, seq=seq))

    def signal(self, message: Message) -> None:
        """Send what need not arrive."""
        self._send(Envelope(message))

    def close(self, code: int, reason: str) -> None:
        """Say why and end the conversation; the socket follows."""
        if self._ws.state is WebSocketState.OPEN:
            self._has_closed = True
            self._ws.send_close(code, reason)
            self._flush()
            self._leave()
            self._timers.append(self._loop.call_later(CLOSING_SECONDS, self.abort))
        elif self._ws.state is WebSocketState.CONNECTING:
            self.abort()

    def abort(self) -> None:
        """End the socket now."""
        if self._transport is not None:
            self._transport.abort()

    def ping(self) -> None:
        """Have the peer's library show that it is there."""
        if self._ws.state is WebSocketState.OPEN:
            self._ws.send_ping(b"")
            self._flush()

    @property
    def is_idle(self) -> bool:
        """Whether every request has its reply."""
        return self._pending == 0

    # the handshake

    def _select_subprotocol(self, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        self._offered = tuple(offered)
        chosen = self._listener.front_door.choose_subprotocol(offered, self._address)
        return None if chosen is None else Subprotocol(chosen)

    def _open(self, request: Request) -> None:
        door = self._listener.front_door.doors.get(request.path)
        if door is None:
            paths = " and ".join(sorted(self._listener.front_door.doors))
            response = self._ws.reject(HTTPStatus.NOT_FOUND, f"There is nothing here; the endpoints are {paths}.\n")
        elif self._listener.is_full:
            response = self._ws.reject(HTTPStatus.SERVICE_UNAVAILABLE, "All connections are taken; try again later.\n")
        else:
            response = self._ws.accept(request)
            if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS and self._ws.subprotocol is None:
                response = self._ws.reject(HTTPStatus.BAD_REQUEST, NO_SUBPROTOCOL)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._tally.connections_refused[str(response.status_code)] += 1
        self._ws.send_response(response)
        if self._ws.state is WebSocketState.OPEN:
            assert door is not None, "accepted through a door"
            self._challenge(door, request.path)

    def _challenge(self, door: Door, path: str) -> None:
        assert self._ws.subprotocol is not None, "accepted with a subprotocol"
        self._door = door
        self._peer = AnsweringPeer(
            self._listener.identity,
            Opening(path, self._offered, str(self._ws.subprotocol)),
            self._listener.front_door.authorities,
            frame_bytes_max=self._settings.frame_bytes_max,
        )
        self._write(self._peer.challenge(self._listener.clock.now_ms()))

    def _greet(self, peer: AnsweringPeer, door: Door, frame: bytes | str) -> None:
        try:
            peer.greet(frame)
        except MessageError as refusal:
            logger.warning("handshake.refused", code=refusal.code, address=self._address, endpoint=door.endpoint)
            self._refuse(refusal, Close.HANDSHAKE_FAILED)
            return
        caller = Caller(peer.fingerprint, peer.public_key.hex(), door.endpoint, self._address)
        if not door.exclusive and self._listener.roster.count(caller) >= self._settings.connections_per_key_max:
            limit = self._settings.connections_per_key_max
            self._refuse(
                MessageError(
                    Code.TOO_MANY_CONNECTIONS,
                    f"Your key has {limit} connections here.",
                    "Close one first, or use one connection for all your tasks.",
                ),
                Close.TOO_MANY_CONNECTIONS,
            )
            return
        self._caller = caller
        for timer in self._timers:
            timer.cancel()
        self._timers = [self._loop.call_later(SECONDS_MAX, self.close, Close.RENEW, "24 hours")]
        self._write(peer.welcome(self._settings.limits()))
        logger.info("connection.opened", agent=peer.agent, address=self._address, **self._who())
        if door.exclusive:
            self._expect_soon("No first message", "Say what you offer with status_update at once.")
        else:
            self._join(caller, door)

    def _join(self, caller: Caller, door: Door) -> None:
        self._has_joined = True
        if self._expectation is not None:
            self._expectation.cancel()
        self._listener.joined(self, caller, door)

    def _expect_soon(self, missing: str, suggestion: str) -> None:
        """Give the peer `handshake_ms_max` for its next step; half-open conversations do not pile up."""
        seconds = self._settings.handshake_ms_max / 1000
        self._expectation = self._loop.call_later(seconds, self._handshake_late, missing, suggestion)
        self._timers.append(self._expectation)

    def _handshake_late(self, missing: str, suggestion: str) -> None:
        if self._peer is None:
            self.abort()
            return
        late = MessageError(Code.HELLO_LATE, f"{missing} within {self._settings.handshake_ms_max} ms.", suggestion)
        logger.warning("handshake.refused", code=late.code, address=self._address)
        self._refuse(late, Close.HANDSHAKE_TIMEOUT)

    def _refuse(self, refusal: MessageError, code: Close) -> None:
        if not self._has_joined:
            self._tally.handshakes_refused[refusal.code] += 1
        self._send(Envelope(Error.of(refusal)))
        self.close(code, refusal.code.value)

    # frames in

    def _take_frame(self, frame: Frame) -> None:
        if self._peer is None or self._has_closed:
            return  # frames behind an opening that was refused, or after our own close
        if frame.opcode is Opcode.BINARY or frame.opcode is Opcode.TEXT:
            self._is_text = frame.opcode is Opcode.TEXT
            self._fragments = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            if frame.data:  # the library bounds the bytes of a message, not the number of its empty fragments
                self._fragments.append(bytes(frame.data))
        else:
            return  # ping, pong and close are answered by the library
        # What the peer said before its close counts, even if the library has read that close already.
        if frame.fin:
            payload = b"".join(self._fragments)
            self._fragments = []
            self._take_message(payload)

    def _take_message(self, payload: bytes) -> None:
        assert self._peer is not None, "frames come after the opening"
        assert self._door is not None, "frames come through a door"
        try:
            frame = payload.decode() if self._is_text else payload
        except UnicodeDecodeError:
            self.close(1007, "text frames are UTF-8")
            return
        if self._peer.state is not State.OPEN:
            if self._ws.state is WebSocketState.OPEN:
                self._greet(self._peer, self._door, frame)
            return
        try:
            envelope = self._peer.decode(frame)
        except MessageError as refusal:
            self._answer_bad(refusal)
        except Spent:
            self.close(Close.RENEW, "the session's keys are spent")
        else:
            self._take(envelope)

    def _answer_bad(self, refusal: MessageError) -> None:
        self._log_refused("message.refused", refusal)
        self._tally.replied[refusal.code] += 1
        if refusal.code is Code.BAD_SEAL:
            self._refuse(refusal, Close.BAD_MESSAGE)
            return
        self._send(Envelope(Error.of(refusal), re=getattr(refusal, "re", None)))
        if refusal.code in NO_MESSAGE:
            self._bad_messages += 1
            if self._bad_messages > self._settings.bad_messages_max:
                self.close(Close.BAD_MESSAGE, "too many frames that are no message")

    def _take(self, envelope: Envelope) -> None:
        assert self._caller is not None, "an open conversation has a caller"
        assert self._door is not None, "an open conversation came through a door"
        if not self._has_joined:
            self._join(self._caller, self._door)
        message = envelope.message
        self._tally.received[message.SHAPE.wire_type] += 1
        if isinstance(message, Ping):
            self._tally.replied[OK] += 1
            self._send(Envelope(Pong(server_time_ms=self._listener.clock.now_ms()), re=envelope.id))
            return
        if isinstance(message, Exit):
            self.close(1000, "exit")
            return
        if isinstance(message, Ack):
            self._listener.pump.acknowledged(self, message.push)
        self._order(envelope)

    def _order(self, envelope: Envelope) -> None:
        assert self._caller is not None, "an open conversation has a caller"
        self._pending += 1
        try:
            self._check_queue()
            self._listener.dispatcher.submit(self._caller, envelope.message, _Reply(self, envelope.id))
        except MessageError as refusal:
            self.replied(envelope.id, None, refusal)

    def _check_queue(self) -> None:
        if self._listener.is_draining:
            raise MessageError(
                Code.DRAINING, "The server is stopping.", "Connect again in a moment.", retry_after_ms=1000
            )
        limit = self._settings.queue_messages_max
        if self._pending > limit:
            raise MessageError(
                Code.QUEUE_FULL,
                f"{limit} of your requests wait for their replies.",
                f"Wait for a reply before the next request; {limit} may wait (queue_messages_max).",
                retry_after_ms=100,
            )

    # frames out

    def replied(self, number: int | None, reply: Message | None, refusal: MessageError | None) -> None:
        """An order that was under way has its reply, or was refused."""
        self._pending -= 1
        if refusal is not None:
            self._log_refused("request.refused", refusal)
            self._tally.replied[refusal.code] += 1
            self._send(Envelope(Error.of(refusal), re=number))
        elif reply is not None:
            self._tally.replied[OK] += 1
            self._send(Envelope(reply, re=number))

    def _send(self, envelope: Envelope) -> None:
        if self._peer is None or self._ws.state is not WebSocketState.OPEN:
            return
        try:
            self._write(self._peer.encode(envelope))
        except Spent:
            self.close(Close.RENEW, "the session's keys are spent")

    def _write(self, frame: bytes | str) -> None:
        if isinstance(frame, str):
            self._ws.send_text(frame.encode())
        else:
            self._ws.send_binary(frame)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        chunks = self._ws.data_to_send()
        if self._transport is None or not chunks:
            return
        is_last = chunks[-1] == b""
        self._transport.write(b"".join(chunks))
        if is_last or self._ws.state is WebSocketState.CLOSED:
            self._end_our_side(self._transport)
        elif self._ws.state is WebSocketState.OPEN and self._is_behind(self._transport):
            logger.warning("connection.slow", **self._who())
            self._has_closed = True
            self._ws.send_close(Close.TOO_SLOW, "the peer reads too slowly")
            self._transport.write(b"".join(self._ws.data_to_send()))
            self._timers.append(self._loop.call_later(CLOSING_SECONDS, self.abort))
            self._leave()

    def _is_behind(self, transport: asyncio.Transport) -> bool:
        return transport.get_write_buffer_size() > self._settings.buffer_bytes_max

    def _end_our_side(self, transport: asyncio.Transport) -> None:
        """The last byte is written. Closing at once would reset a connection whose peer is still sending, and it would
        never read why it was closed."""
        if self._ws.state is WebSocketState.CLOSED or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        self._timers.append(self._loop.call_later(CLOSING_SECONDS, self.abort))

    def _log_refused(self, event: str, refusal: MessageError) -> None:
        """Each of the first refusals, then the 32nd, 64th, 128th …: a peer must not be able to fill the log."""
        self._refused += 1
        if self._refused <= REFUSALS_LOGGED or self._refused.bit_count() == 1:
            level = logger.warning if event == "message.refused" else logger.info
            level(event, code=refusal.code, count=self._refused, **self._who())

    def _who(self) -> dict[str, Any]:
        caller, peer = self._caller, self._peer
        if caller is None or peer is None:
            return {"address": self._address}
        return {"session": peer.session, "fingerprint": caller.fingerprint, "endpoint": caller.endpoint.value}


class _Reply:
    """Where the reply to one request goes."""

    __slots__ = ("_connection", "_number")

    def __init__(self, connection: Connection, number: int | None) -> None:
        self._connection = connection
        self._number = number

    def __call__(self, reply: Message | None, refusal: MessageError | None) -> None:
        self._connection.replied(self._number, reply, refusal)

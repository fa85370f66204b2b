"""One WebSocket over the library's sans-I/O layer: bytes to frames to messages, and back; nothing of our protocol.

Everything runs in the event loop; nothing here waits. Frames written in one turn of the loop leave in one write.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State as WebSocketState
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from protocol.errors import Close
from vault_server.settings import Settings

LIBRARY_LOGGER = logging.getLogger("websockets.server")
LIBRARY_LOGGER.addHandler(logging.NullHandler())
LIBRARY_LOGGER.propagate = False  # a stranger's broken opening is not an error of ours

FRAMES_A_TURN = 128
"""Frames of one connection taken in one turn of the event loop."""

FRAGMENTS_MAX = 8192
"""Of one message: more than a message of `frame_bytes_max` needs."""

CLOSING_SECONDS = 5.0
"""How long a peer gets to answer a close frame."""

OPEN, BINARY, TEXT = WebSocketState.OPEN, Opcode.BINARY, Opcode.TEXT
"""Looked up once: an enumeration's member costs as much as a call."""

FIN_AND_BINARY = 0x80 | BINARY
SHORT, LONG, HUGE = struct.Struct("!BB"), struct.Struct("!BBH"), struct.Struct("!BBQ")


class WebSocket(asyncio.Protocol, ABC):
    """The server's end of one socket. Layers above say what a request, a message and an end mean."""

    # Here and in the layers above: an object of more than thirty attributes loses what makes looking them up quick.
    __slots__ = (
        "_chunks",
        "_events",
        "_flush_due",
        "_fragments",
        "_has_closed",
        "_holding",
        "_is_paused",
        "_is_text",
        "_is_working",
        "_loop",
        "_pongs_due",
        "_settings",
        "_timers",
        "_transport",
        "_ws",
        "heard_at",
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ws = ServerProtocol(
            select_subprotocol=lambda _ws, offered: self._select_subprotocol(offered),
            logger=LIBRARY_LOGGER,
            max_size=2 * settings.frame_bytes_max,
        )
        self._has_closed = False
        self._events: deque[Request | Frame | object] = deque()
        self._is_working = False
        self._is_paused = False
        self._holding: asyncio.TimerHandle | None = None
        self._fragments: list[bytes] = []
        self._is_text = False
        self._pongs_due = 0
        self._chunks: list[bytes] = []
        self._flush_due = False
        self._timers: list[asyncio.TimerHandle] = []
        self.heard_at = self._loop.time()

    # what the layers above say

    @abstractmethod
    def _select_subprotocol(self, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        """Which of the peer's offers it may use here."""

    @abstractmethod
    def _open(self, request: Request) -> None:
        """Answer the upgrade request."""

    @abstractmethod
    def _take_message(self, payload: bytes) -> None:
        """A whole message has come; `_is_text` says of which kind."""

    @abstractmethod
    def _take_ping(self) -> None:
        """The peer has had the library answer it."""

    @abstractmethod
    def _leave(self) -> None:
        """The peer has been told to go, or is gone: it takes part no more."""

    @abstractmethod
    def _lost(self) -> None:
        """The socket is gone."""

    @abstractmethod
    def _is_slow(self) -> None:
        """The peer is about to be closed because it reads too slowly."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket is there."""
        self._transport = cast(asyncio.Transport, transport)

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
            if self._holding is not None:
                break
            event = self._events.popleft()
            if isinstance(event, Frame):
                self._take_frame(event)
            elif isinstance(event, Request):
                self._open(event)
        self._flush()
        if self._transport is None:
            return
        is_held = self._holding is not None
        if self._events and not is_held:
            self._is_working = True
            self._loop.call_soon(self._work)
        if (is_held or bool(self._events)) is not self._is_paused and not self._transport.is_closing():
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
        if self._holding is not None:
            self._holding.cancel()
        if self._ws.state is not WebSocketState.CLOSED:
            self._ws.receive_eof()
        self._lost()

    def hold(self, seconds: float) -> None:
        """Take nothing of the peer for a while: what it goes on sending fills its own buffers, and no memory here."""
        if self._holding is None:
            self._holding = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._holding = None
        if not self._is_working:
            self._work()

    def _now_ms(self) -> int:
        """A time that never goes back, for counting."""
        return int(self._loop.time() * 1000)

    # ending

    def close(self, code: int, reason: str) -> None:
        """Say why and end the conversation; the socket follows."""
        if self._ws.state is OPEN:
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
        if self._ws.state is OPEN:
            self._ws.send_ping(b"")
            self._pongs_due += 1
            self._flush()

    # frames in

    def _take_frame(self, frame: Frame) -> None:
        if self._has_closed:
            return
        opcode = frame.opcode
        # What the peer said before its close counts, even if the library has read that close already.
        if opcode is BINARY or opcode is TEXT:
            self._is_text = opcode is TEXT
            if frame.fin:
                self._take_message(bytes(frame.data))
            else:
                self._fragments = [bytes(frame.data)]
        elif opcode is Opcode.CONT:
            # The library bounds the bytes of a message, not the number of its fragments, which may be empty.
            self._fragments.append(bytes(frame.data))
            if len(self._fragments) > FRAGMENTS_MAX:
                self.close(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            elif frame.fin:
                payload = b"".join(self._fragments)
                self._fragments = []
                self._take_message(payload)
        else:
            self._take_control(opcode)  # the library has answered it

    def _take_control(self, opcode: Opcode) -> None:
        """Pings, and pongs that nobody asked for, count as messages do."""
        if opcode is Opcode.PONG and self._pongs_due:
            self._pongs_due -= 1
        elif opcode is not Opcode.CLOSE:
            self._take_ping()

    # frames out

    def _write(self, frame: bytes | str) -> None:
        """Raises the library's InvalidState when the socket is not open."""
        if isinstance(frame, str):
            self._ws.send_text(frame.encode())
        elif self._ws.state is OPEN:
            self._chunks += self._ws.data_to_send()  # what the library has answered meanwhile stays before it
            self._chunks.append(_binary_header(len(frame)) + frame)
        else:
            self._ws.send_binary(frame)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        chunks, self._chunks = self._chunks, []
        chunks += self._ws.data_to_send()
        if self._transport is None or not chunks:
            return
        is_last = chunks[-1] == b""
        self._transport.write(b"".join(chunks))
        if is_last or self._ws.state is WebSocketState.CLOSED:
            self._end_our_side(self._transport)
        elif self._ws.state is OPEN and self._is_behind(self._transport):
            self._is_slow()
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


def _binary_header(size: int) -> bytes:
    """Of a whole binary frame, not masked (RFC 6455 section 5.2)."""
    if size < 126:
        return SHORT.pack(FIN_AND_BINARY, size)
    if size < 2**16:
        return LONG.pack(FIN_AND_BINARY, 126, size)
    return HUGE.pack(FIN_AND_BINARY, 127, size)

"""h11's half of a connection with the bounds it lacks: how much of a body, and in how many pieces, it parses.

Each piece costs the event loop some microseconds, however small it is: six megabytes of chunks of one byte cost it
seconds. What one request may cost is bounded here, before any page, and whoever asks.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

import h11

from protocol.errors import Code, MessageError

CHUNKS_MAX = 4096
"""Chunks of one body. A body of a megabyte in chunks of 256 bytes has as many."""

READ_AHEAD_BYTES = 512 * 1024
"""What may have been read of a body when a page has seen enough of it and is about to say so."""


class Objection(NamedTuple):
    """Why a request is parsed no further."""

    status: HTTPStatus
    refusal: MessageError


class Intake(h11.Connection):
    """The server's end of one connection. After an `objection` nothing more is parsed: the connection is to end."""

    def __init__(self, head_bytes_max: int, body_bytes_max: int) -> None:
        super().__init__(h11.SERVER, head_bytes_max)
        self._bytes_max = head_bytes_max + body_bytes_max + READ_AHEAD_BYTES
        self._bytes = 0
        self.chunks = 0
        self.objection: Objection | None = None

    def receive_data(self, data: bytes) -> None:
        """Bytes of the peer. Those of a body are counted, with its chunks' lengths and extensions."""
        if self.their_state is h11.SEND_BODY:
            self._bytes += len(data)
        super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """What they hold. Raises h11.RemoteProtocolError, and then has an `objection` if it is one of ours."""
        if self.objection is None:
            event = super().next_event()
            self.objection = self._objection(event)
            if self.objection is None:
                return event
        raise h11.RemoteProtocolError(self.objection.refusal.message, self.objection.status)

    def _objection(self, event: object) -> Objection | None:
        if isinstance(event, h11.Request):
            self._bytes = self.chunks = 0
            names = {name for name, _ in event.headers}
            return _two_lengths() if {b"content-length", b"transfer-encoding"} <= names else None
        if isinstance(event, h11.Data):
            self.chunks += event.chunk_end  # chunk_start is not said of one whose length came alone
            if self.chunks > CHUNKS_MAX:
                return _too_large(f"The body has more than {CHUNKS_MAX} chunks.", "Send fewer and larger ones.")
            if self._bytes > self._bytes_max:
                return _too_large("The body is far too long.", "Send less (hive_body_bytes_max).")
        return None


def _two_lengths() -> Objection:
    """RFC 9112 §6.3: what a proxy before us takes for one request may be two."""
    return Objection(
        HTTPStatus.BAD_REQUEST,
        MessageError(
            Code.MALFORMED,
            "The request has both Content-Length and Transfer-Encoding.",
            "Send one of them (RFC 9112).",
        ),
    )


def _too_large(message: str, suggestion: str) -> Objection:
    return Objection(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, MessageError(Code.TOO_LARGE, message, suggestion))

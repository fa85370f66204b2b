"""uvicorn's HTTP/1.1 connection with the bounds it lacks: nobody holds one for long by saying little or reading slowly.

uvicorn itself bounds the bytes of a request's head and the idle time after a response. A peer that never finishes its
request, or never takes the response, would stay for ever. What a body may cost is bounded by `intake`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from protocol.errors import Code, MessageError
from vault_server.web import refusals
from vault_server.web.crowd import TURNED_AWAY_MAX, Crowd
from vault_server.web.intake import Intake

CROWDED = "crowded"
"""In a request's state: its address has more connections than it may have."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a peer may take for its part, and how many connections may be open."""

    seconds: float
    connections_max: int
    head_bytes_max: int
    body_bytes_max: int
    """What is parsed of a body; somewhat more is read."""
    crowd: Crowd


class PatientHttp(H11Protocol):
    """One connection. `bounds` is given by the subclass that `bounded` makes: uvicorn builds connections itself."""

    bounds: Bounds
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A socket was accepted; one too many is dropped before it costs anything."""
        super().connection_made(transport)
        self.conn = Intake(self.bounds.head_bytes_max, self.bounds.body_bytes_max)
        excess = self.bounds.crowd.enter(self._address)
        if len(self.connections) > 2 * self.bounds.connections_max or excess > TURNED_AWAY_MAX:
            transport.abort()
            return
        self.app_state = {**self.app_state, CROWDED: excess > 0}
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._expect_nothing()
        self.bounds.crowd.leave(self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request; only a whole one buys time."""
        super().data_received(data)
        if self._is_our_turn():
            self._expect_nothing()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is there already."""
        super().on_response_complete()
        self._expect()

    def pause_writing(self) -> None:
        """The peer has stopped reading."""
        super().pause_writing()
        self._expect()

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._expect()

    def send_400_response(self, _msg: str) -> None:
        """What is no HTTP is told so; in the middle of a response there is nothing left to say."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
            return
        assert isinstance(self.conn, Intake), "it was made with the connection"
        if self.conn.objection is not None and self.conn.our_state is h11.DONE:
            self.transport.close()  # its request has been answered already
            return
        status, refusal = self.conn.objection or (HTTPStatus.BAD_REQUEST, _no_http())
        self.transport.write(refusals.raw(status, refusal))
        self.transport.close()

    @property
    def _address(self) -> str:
        return "" if self.client is None else self.client[0]

    def _is_our_turn(self) -> bool:
        """Whether a whole request waits for its response, and the peer takes what is written."""
        cycle = self.cycle
        return cycle is not None and not (cycle.more_body or cycle.response_complete or self.flow.write_paused)

    def _expect(self) -> None:
        """If it is the peer's turn, it has this long from now."""
        self._expect_nothing()
        if not self._is_our_turn():
            self._deadline = self.loop.call_later(self.bounds.seconds, self.transport.abort)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _no_http() -> MessageError:
    return MessageError(Code.MALFORMED, "This is no HTTP/1.1 request that can be read.", "Send GET /healthz.")


def bounded(bounds: Bounds) -> type[PatientHttp]:
    """The class of one server's connections."""
    members: dict[str, Any] = {"bounds": bounds}
    return type("BoundedHttp", (PatientHttp,), members)

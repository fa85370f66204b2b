"""From an accepted socket to a guest: where it comes from, the upgrade, and the time that arriving may take."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from protocol.envelope import Envelope
from protocol.errors import Close, Code, MessageError
from protocol.peer import Frame
from protocol.sealing import Spent
from protocol.session import Error
from vault_server.core.operation import Door
from vault_server.gateway.addresses import Verdict, Visit, plain_address
from vault_server.gateway.by_account import ByAccount
from vault_server.gateway.by_key import ByKey
from vault_server.gateway.guest import Guest, Speaker, Way
from vault_server.gateway.websocket import OPEN, WebSocket

if TYPE_CHECKING:
    from vault_server.gateway.listener import Listener

logger = structlog.get_logger()

EARLY_PINGS_MAX = 16
"""WebSocket pings before the hello."""

FULL = MessageError(Code.TOO_MANY_CONNECTIONS, "All connections are taken.", "Try again later.", retry_after_ms=1000)


class Arrival(WebSocket):
    """The first part of a connection's life, whichever way somebody comes in; `_begin` starts the second."""

    __slots__ = (
        "_door",
        "_early_pings",
        "_expectation",
        "_guest",
        "_has_joined",
        "_is_thinking",
        "_listener",
        "_speaker",
        "_tally",
        "_visit",
        "_way",
        "address",
        "offered",
    )

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener.settings)
        self._listener = listener
        self._tally = listener.tally
        self.address = ""
        self.offered: Sequence[str] = ()
        self._door: Door | None = None
        self._way: Way | None = None
        self._speaker: Speaker | None = None
        self._guest: Guest | None = None
        self._visit: Visit | None = None
        self._expectation: asyncio.TimerHandle | None = None
        self._is_thinking = False
        self._has_joined = False
        self._early_pings = 0

    @abstractmethod
    def _begin(self, guest: Guest) -> None:
        """Somebody has arrived, and been greeted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket is there; the peer has `handshake_ms_max` to say who it is."""
        super().connection_made(transport)
        if self._listener.is_crowded:
            self.abort()
            return
        peername = transport.get_extra_info("peername")
        self.address = plain_address(peername[0]) if peername else ""
        self._expect_soon()
        if not self._listener.proxies.trusts(self.address):
            self._enter()

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer."""
        if self._is_thinking:
            self._is_impatient()
        else:
            super().data_received(data)

    def eof_received(self) -> bool:
        """The peer has sent its last byte."""
        if self._is_thinking:
            self.abort()
            return False
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(exc)
        if self._visit is not None:
            self._visit.left(self._now_ms())

    def _is_impatient(self) -> None:
        """Frames before the answer to the upgrade."""
        self.failed()
        self.abort()

    def _enter(self) -> None:
        """Count the connection for the address it comes from."""
        visit = self._visit = self._listener.addresses.enter(self.address, self._now_ms())
        if visit.verdict is Verdict.WELCOME:
            return
        quota = self._listener.refused_addresses.take(self._now_ms())
        if quota is not None:
            logger.warning("address.refused", address=self.address, reason=visit.reason, **quota)
        if visit.verdict is Verdict.HUNG_UP_ON:
            self._tally.connections_refused["hung up"] += 1
            self.abort()

    # the upgrade

    def _select_subprotocol(self, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        self.offered = tuple(offered)
        chosen = self._way.choose(offered) if self._way is not None else None
        return None if chosen is None else Subprotocol(chosen)

    def _open(self, request: Request) -> None:
        if self._visit is None:
            forwarded_for = request.headers.get_all("X-Forwarded-For")
            self.address = self._listener.proxies.origin(self.address, forwarded_for)
            self._enter()
        assert self._visit is not None, "it has entered"
        if self._visit.verdict is Verdict.HUNG_UP_ON:
            return
        door = self._door = self._listener.front_door.doors.get(request.path)
        if door is not None:
            self._way = (ByAccount if door.by_account else ByKey)(self, self._listener, door)
        if self._visit.verdict is not Verdict.WELCOME:
            self.answer(self._rejection(HTTPStatus.TOO_MANY_REQUESTS, _too_much(self._visit)))
        elif self._way is None:
            self.answer(self._rejection(HTTPStatus.NOT_FOUND, self._nothing_here()))
        elif self._listener.is_full:
            self.answer(self._rejection(HTTPStatus.SERVICE_UNAVAILABLE, FULL))
        else:
            welcome = self._ws.accept(request)
            if welcome.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
                self._way.open(request, welcome)
            else:
                self.answer(self._way.malformed(welcome))

    def _rejection(self, status: HTTPStatus, refusal: MessageError) -> Response:
        if self._way is not None:
            response = self._way.refused(status, refusal)
        else:
            response = self.reject(status, f"{refusal.message} {refusal.suggestion}\n")
        if refusal.retry_after_ms is not None:
            response.headers["Retry-After"] = str(-(-refusal.retry_after_ms // 1000))
        return response

    def _nothing_here(self) -> MessageError:
        paths = " and ".join(sorted(self._listener.front_door.doors))
        return MessageError(Code.NOT_FOUND, "There is nothing here.", f"The endpoints are {paths}.")

    # what a way in uses (guest.Arriving)

    def reject(self, status: HTTPStatus, text: str) -> Response:
        """An answer to the upgrade request that ends it."""
        return self._ws.reject(status, text)

    @property
    def is_there(self) -> bool:
        """Whether it still waits for the answer to its upgrade request."""
        return self._is_thinking and self._transport is not None and not self._transport.is_closing()

    def think(self) -> None:
        """The answer takes a while; whoever goes on without it is no WebSocket client."""
        self._is_thinking = True
        if self._events:
            self._is_impatient()

    def refuse(self, status: HTTPStatus, refusal: MessageError) -> None:
        """Answer the upgrade request with a refusal."""
        self._log_turned_down(refusal)
        self.answer(self._rejection(status, refusal))

    def answer(self, response: Response) -> None:
        """Answer the upgrade request."""
        self._is_thinking = False
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._tally.connections_refused[str(response.status_code)] += 1
        self._ws.send_response(response)
        self._flush()

    def say(self, frame: Frame) -> None:
        """Send a frame of the way in."""
        self._write(frame)

    def speaks(self, speaker: Speaker) -> None:
        """Frames can be sent: this is who makes them."""
        self._speaker = speaker

    def failed(self) -> None:
        """Whoever it is has shown nothing that holds: it counts against the address."""
        if self._visit is not None:
            self._visit.failed(self._now_ms())

    def turn_down(self, refusal: MessageError, code: Close) -> None:
        """Say why, and close."""
        self._log_turned_down(refusal)
        self._refuse(refusal, code)

    def let_in(self, guest: Guest, greeting: Frame | None = None) -> None:
        """He has arrived; `greeting` is the first that is said to him."""
        self._guest, self._speaker = guest, guest.speaker
        if self._visit is not None:
            self._visit.proved()
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        if guest.seconds_max is not None:
            self._timers.append(self._loop.call_later(guest.seconds_max, self.close, Close.RENEW, "24 hours"))
        self._ws.max_message_size = 2 * self._listener.frame_bytes_max(guest.door)  # not before it is known who it is
        if greeting is not None:
            self._write(greeting)
        self._begin(guest)

    # time, and refusals

    def _expect_soon(self) -> None:
        """Give the peer `handshake_ms_max` for its next step; half-open conversations do not pile up."""
        seconds = self._settings.handshake_ms_max / 1000
        self._expectation = self._loop.call_later(seconds, self._is_late)
        self._timers.append(self._expectation)

    def _is_late(self) -> None:
        if self._way is None:
            self.abort()
        else:
            self._way.is_late()

    def _take_early_ping(self) -> None:
        """Libraries ping now and then; nobody needs to within a handshake."""
        self._early_pings += 1
        if self._early_pings > EARLY_PINGS_MAX:
            self.failed()
            self.abort()

    def _log_turned_down(self, refusal: MessageError) -> None:
        quota = self._listener.refused_hellos.take(self._now_ms())
        if quota is not None and self._door is not None:
            endpoint = self._door.endpoint
            logger.warning("handshake.refused", code=refusal.code, address=self.address, endpoint=endpoint, **quota)

    def _refuse(self, refusal: MessageError, code: Close) -> None:
        if not self._has_joined:
            self._tally.handshakes_refused[refusal.code] += 1
        self._send(Envelope(Error.of(refusal)))
        self.close(code, refusal.code.value)

    def _send(self, envelope: Envelope) -> None:
        if self._speaker is None or self._ws.state is not OPEN:
            return
        try:
            self._write(self._speaker.encode(envelope))
        except Spent:
            self.close(Close.RENEW, "the session's keys are spent")


def _too_much(visit: Visit) -> MessageError:
    return MessageError(
        Code.TOO_MANY_CONNECTIONS,
        f"Too much from your address: {visit.reason}.",
        "Wait before you come again.",
        retry_after_ms=visit.wait_ms,
    )

"""From an accepted socket to a proved key: the upgrade, the challenge, the hello, and the time each may take."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from websockets.http11 import Request
from websockets.protocol import State as WebSocketState
from websockets.typing import Subprotocol

from protocol.envelope import Envelope
from protocol.errors import Close, Code, MessageError
from protocol.peer import AnsweringPeer
from protocol.sealing import SECONDS_MAX, Opening, Spent
from protocol.session import Error
from vault_server.core.operation import Caller, Door
from vault_server.gateway.addresses import Verdict, Visit, counted_as, plain_address
from vault_server.gateway.handshake import NO_SUBPROTOCOL
from vault_server.gateway.websocket import WebSocket

if TYPE_CHECKING:
    from vault_server.gateway.listener import Listener

logger = structlog.get_logger()

EARLY_PINGS_MAX = 16
"""WebSocket pings before the hello."""


class Arrival(WebSocket):
    """The first part of a connection's life; `_arrived` begins the second."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener.settings)
        self._listener = listener
        self._tally = listener.tally
        self._address = ""
        self._offered: tuple[str, ...] = ()
        self._door: Door | None = None
        self._peer: AnsweringPeer | None = None
        self._caller: Caller | None = None
        self._visit: Visit | None = None
        self._expectation: asyncio.TimerHandle | None = None
        self._has_joined = False
        self._early_pings = 0

    @abstractmethod
    def _arrived(self, caller: Caller, door: Door) -> None:
        """The peer has proved its key and been welcomed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket is there; the peer has `handshake_ms_max` to prove a key."""
        super().connection_made(transport)
        if self._listener.is_crowded:
            self.abort()
            return
        peername = transport.get_extra_info("peername")
        self._address = plain_address(peername[0]) if peername else ""
        self._expect_soon("No valid hello", "Answer the challenge with a hello at once.")
        if not self._listener.proxies.trusts(self._address):
            self._enter()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(exc)
        if self._visit is not None:
            self._visit.left(self._now_ms())

    def _enter(self) -> None:
        """Count the connection for the address it comes from."""
        visit = self._visit = self._listener.addresses.enter(self._address, self._now_ms())
        if visit.verdict is Verdict.WELCOME:
            return
        quota = self._listener.refused_addresses.take(self._now_ms())
        if quota is not None:
            logger.warning("address.refused", address=self._address, reason=visit.reason, **quota)
        if visit.verdict is Verdict.HUNG_UP_ON:
            self._tally.connections_refused["hung up"] += 1
            self.abort()

    # the upgrade

    def _select_subprotocol(self, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        self._offered = tuple(offered)
        chosen = self._listener.front_door.choose_subprotocol(offered, self._address)
        return None if chosen is None else Subprotocol(chosen)

    def _open(self, request: Request) -> None:
        if self._visit is None:
            forwarded_for = request.headers.get_all("X-Forwarded-For")
            self._address = self._listener.proxies.origin(self._address, forwarded_for)
            self._enter()
        assert self._visit is not None, "it has entered"
        if self._visit.verdict is Verdict.HUNG_UP_ON:
            return
        door = self._listener.front_door.doors.get(request.path)
        if self._visit.verdict is not Verdict.WELCOME:
            response = self._ws.reject(
                HTTPStatus.TOO_MANY_REQUESTS, f"Too much from your address: {self._visit.reason}.\n"
            )
            response.headers["Retry-After"] = str(-(-self._visit.wait_ms // 1000))
        elif door is None:
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

    # the handshake

    def _challenge(self, door: Door, path: str) -> None:
        assert self._ws.subprotocol is not None, "accepted with a subprotocol"
        self._door = door
        self._peer = AnsweringPeer(
            self._listener.identity,
            Opening(path, self._offered, str(self._ws.subprotocol)),
            self._listener.front_door.authorities,
            frame_bytes_max=self._frame_bytes_max(door),
        )
        self._write(self._peer.challenge(self._listener.clock.now_ms()))

    def _greet(self, peer: AnsweringPeer, door: Door, frame: bytes | str) -> None:
        try:
            peer.greet(frame)
        except MessageError as refusal:
            self._fail()
            self._turn_down(refusal, Close.HANDSHAKE_FAILED)
            return
        place = counted_as(self._address, self._settings.ipv6_prefix_bits)
        caller = Caller(peer.fingerprint, peer.public_key.hex(), door.endpoint, place)
        try:
            self._listener.guard.check_hello(caller.subject)
            self._check_connections(caller, door)
        except MessageError as refusal:
            self._turn_down(refusal, Close.BANNED if refusal.code is Code.BANNED else Close.TOO_MANY_CONNECTIONS)
            return
        self._caller = caller
        if self._visit is not None:
            self._visit.proved()
        for timer in self._timers:
            timer.cancel()
        self._timers = [self._loop.call_later(SECONDS_MAX, self.close, Close.RENEW, "24 hours")]
        frame_bytes_max = self._frame_bytes_max(door)
        self._ws.max_message_size = 2 * frame_bytes_max  # not before it has proved a key
        self._write(peer.welcome(self._settings.limits() | {"frame_bytes_max": frame_bytes_max}))
        self._arrived(caller, door)

    def _frame_bytes_max(self, door: Door) -> int:
        return max(door.frame_bytes_max or 0, self._settings.frame_bytes_max)

    def _check_connections(self, caller: Caller, door: Door) -> None:
        limit = self._settings.connections_per_key_max
        if not door.exclusive and self._listener.roster.count(caller) >= limit:
            raise MessageError(
                Code.TOO_MANY_CONNECTIONS,
                f"Your key has {limit} connections here.",
                "Close one first, or use one connection for all your tasks.",
            )

    def _turn_down(self, refusal: MessageError, code: Close) -> None:
        quota = self._listener.refused_hellos.take(self._now_ms())
        if quota is not None and self._door is not None:
            endpoint = self._door.endpoint
            logger.warning("handshake.refused", code=refusal.code, address=self._address, endpoint=endpoint, **quota)
        self._refuse(refusal, code)

    def _take_early_ping(self) -> None:
        """Libraries ping now and then; nobody needs to within a handshake."""
        self._early_pings += 1
        if self._early_pings > EARLY_PINGS_MAX:
            self._fail()
            self.abort()

    def _fail(self) -> None:
        """Whoever it is has shown no key: it counts against the address."""
        if self._visit is not None:
            self._visit.failed(self._now_ms())

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
        if self._caller is None:
            self._fail()
        self._turn_down(late, Close.HANDSHAKE_TIMEOUT)

    def _refuse(self, refusal: MessageError, code: Close) -> None:
        if not self._has_joined:
            self._tally.handshakes_refused[refusal.code] += 1
        self._send(Envelope(Error.of(refusal)))
        self.close(code, refusal.code.value)

    def _send(self, envelope: Envelope) -> None:
        if self._peer is None or self._ws.state is not WebSocketState.OPEN:
            return
        try:
            self._write(self._peer.encode(envelope))
        except Spent:
            self.close(Close.RENEW, "the session's keys are spent")

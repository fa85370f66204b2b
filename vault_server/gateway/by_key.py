"""Arriving by key: the challenge, the hello that proves an Ed25519 key, and the welcome (design §5)."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.http11 import Request, Response

from protocol.envelope import Message
from protocol.errors import Close, Code, MessageError
from protocol.peer import AnsweringPeer, Frame
from protocol.sealing import SECONDS_MAX, Opening
from vault_server.core.operation import Caller, Door
from vault_server.gateway.addresses import counted_as
from vault_server.gateway.guest import Arriving, Guest, Way
from vault_server.gateway.handshake import NO_SUBPROTOCOL

if TYPE_CHECKING:
    from vault_server.gateway.listener import Listener


class KeyedPeer(AnsweringPeer):
    """Refusals have the same names on every door that asks for a key."""

    def told(self, refusal: MessageError, _order: Message) -> MessageError:
        """The refusal itself."""
        return refusal


class ByKey(Way):
    """The server speaks first; whoever answers with a signed hello is let in."""

    def __init__(self, arriving: Arriving, listener: Listener, door: Door) -> None:
        self._arriving = arriving
        self._listener = listener
        self._settings = listener.settings
        self._door = door
        self._peer: KeyedPeer | None = None

    def choose(self, offered: Sequence[str]) -> str | None:
        """The first that it may use here."""
        return self._listener.front_door.choose_subprotocol(offered, self._arriving.address)

    def refused(self, status: HTTPStatus, refusal: MessageError) -> Response:
        """A line for people."""
        return self._arriving.reject(status, f"{refusal.message} {refusal.suggestion}\n")

    def open(self, request: Request, welcome: Response) -> None:
        """Challenge whoever it is."""
        chosen = self.choose(self._arriving.offered)
        if chosen is None:
            self._arriving.answer(self._arriving.reject(HTTPStatus.BAD_REQUEST, NO_SUBPROTOCOL))
            return
        self._arriving.answer(welcome)
        peer = self._peer = KeyedPeer(
            self._listener.identity,
            Opening(request.path, tuple(self._arriving.offered), chosen),
            self._listener.front_door.authorities,
            frame_bytes_max=self._listener.frame_bytes_max(self._door),
        )
        self._arriving.speaks(peer)
        self._arriving.say(peer.challenge(self._listener.clock.now_ms()))

    def hear(self, frame: Frame) -> None:
        """The first frame has to be the hello."""
        peer = self._peer
        if peer is None:
            return
        try:
            peer.greet(frame)
        except MessageError as refusal:
            self._arriving.failed()
            self._arriving.turn_down(refusal, Close.HANDSHAKE_FAILED)
            return
        place = counted_as(self._arriving.address, self._settings.ipv6_prefix_bits)
        caller = Caller(peer.fingerprint, peer.public_key.hex(), self._door.endpoint, place)
        try:
            self._listener.check_guest(caller, self._door)
        except MessageError as refusal:
            code = Close.BANNED if refusal.code is Code.BANNED else Close.TOO_MANY_CONNECTIONS
            self._arriving.turn_down(refusal, code)
            return
        names = {"session": peer.session, "fingerprint": caller.fingerprint, "endpoint": caller.endpoint.value}
        limits = self._settings.limits() | {"frame_bytes_max": self._listener.frame_bytes_max(self._door)}
        guest = Guest(caller, self._door, peer, peer.agent, names, SECONDS_MAX)
        self._arriving.let_in(guest, greeting=peer.welcome(limits))

    def is_late(self) -> None:
        """No hello, and the peer is there and silent."""
        self._arriving.failed()
        milliseconds = self._settings.handshake_ms_max
        late = MessageError(
            Code.HELLO_LATE, f"No valid hello within {milliseconds} ms.", "Answer the challenge with a hello at once."
        )
        self._arriving.turn_down(late, Close.HANDSHAKE_TIMEOUT)

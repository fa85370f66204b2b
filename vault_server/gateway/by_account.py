"""Arriving by account: an agent's API key, or a person's session, in the upgrade request (design §5). No hello.

The credentials are looked up before the request is answered. Whoever does not wait for the answer is hung up on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from protocol.errors import Code, MessageError
from protocol.hive import HTTP_STATUSES, SESSION_COOKIE
from protocol.hive_fields import instant_text
from protocol.hive_peer import SUBPROTOCOL, DoorPeer
from protocol.peer import Frame
from vault_server.core.operation import Caller, Door
from vault_server.gateway.account_watch import Credentials
from vault_server.gateway.addresses import counted_as
from vault_server.gateway.guest import Arriving, Guest, Way

if TYPE_CHECKING:
    from vault_server.gateway.listener import Listener

PROGRAM_LENGTH_MAX = 64
RETRY_AFTER_MS = 1000


class ByAccount(Way):
    """Who it is says the upgrade request; it is answered once the rows have been asked."""

    def __init__(self, arriving: Arriving, listener: Listener, door: Door) -> None:
        self._arriving = arriving
        self._listener = listener
        self._door = door
        self._program = ""
        self._welcome: Response | None = None

    def choose(self, offered: Sequence[str]) -> str | None:
        """There is one; whoever offers none speaks the same."""
        return SUBPROTOCOL if SUBPROTOCOL in offered else None

    def refused(self, status: HTTPStatus, refusal: MessageError) -> Response:
        """As REST refuses."""
        return self._as_json(self._arriving.reject(status, ""), refusal)

    def malformed(self, answer: Response) -> Response:
        """What is no upgrade request at all."""
        refusal = MessageError(
            Code.INVALID_PARAMETER,
            "This is no WebSocket upgrade request.",
            "Connect with a WebSocket client (RFC 6455, version 13, GET).",
        )
        return self._as_json(answer, refusal)

    def _as_json(self, response: Response, refusal: MessageError) -> Response:
        error = {"code": refusal.code.value, "message": refusal.message, "suggestion": refusal.suggestion}
        meta = {
            "timestamp": instant_text(self._listener.clock.now_ms()),
            "request_id": f"req_{self._listener.clock.random_bytes(16).hex()}",
        }
        response.body = json.dumps({"ok": False, "error": error, "meta": meta}).encode()
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(response.body)))):
            del response.headers[name]
            response.headers[name] = value
        response.headers["Cache-Control"] = "no-store"
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def open(self, request: Request, welcome: Response) -> None:
        """Ask whose credentials these are."""
        try:
            self._check_how()
            credentials = credentials_of(request.headers, self._listener.front_door.origins)
        except MessageError as refusal:
            self._arriving.failed()
            self._refuse(refusal)
            return
        self._welcome = welcome
        self._program = "".join(request.headers.get_all("User-Agent")[:1])[:PROGRAM_LENGTH_MAX]
        self._arriving.think()
        place = counted_as(self._arriving.address, self._listener.settings.ipv6_prefix_bits)
        assert self._listener.accounts is not None, "a door by account has accounts"
        self._listener.accounts.ask(credentials, place, partial(self._known, credentials))

    def _check_how(self) -> None:
        if not self._listener.front_door.may_be_unsealed(self._arriving.address):
            raise MessageError(
                Code.FORBIDDEN,
                f"Credentials do not travel unprotected, and {self._arriving.address} is not this machine.",
                "Connect over TLS (wss://), or from the server's own machine.",
            )
        if self._arriving.offered and self.choose(self._arriving.offered) is None:
            raise MessageError(
                Code.INVALID_PARAMETER,
                "None of the subprotocols that you offer is spoken on /hive.",
                f"Offer {SUBPROTOCOL}, or none.",
            )

    def _known(self, credentials: Credentials, caller: Caller | None, refusal: MessageError | None) -> None:
        """The rows have answered; the peer may be gone meanwhile, or its time over."""
        welcome, self._welcome = self._welcome, None
        if welcome is None or not self._arriving.is_there:
            return
        try:
            if refusal is not None:
                raise refusal
            assert caller is not None, "either the one or the other"
            self._check_room(caller)
        except MessageError as why:
            if why.code is Code.UNAUTHORIZED:
                self._arriving.failed()
            self._refuse(why)
            return
        self._arriving.answer(welcome)
        self._arriving.let_in(self._guest(caller, credentials))

    def _check_room(self, caller: Caller) -> None:
        if self._listener.is_draining:
            raise MessageError(
                Code.DRAINING, "The server is stopping.", "Connect again in a moment.", retry_after_ms=RETRY_AFTER_MS
            )
        self._listener.check_guest(caller, self._door)

    def _guest(self, caller: Caller, credentials: Credentials) -> Guest:
        assert self._listener.accounts is not None, "a door by account has accounts"
        held = self._listener.accounts.held(caller, credentials)
        speaker = DoorPeer(frame_bytes_max=self._listener.frame_bytes_max(self._door))
        names = {
            "session": self._listener.clock.random_bytes(16).hex(),
            "account": caller.account,
            "endpoint": caller.endpoint.value,
        }
        return Guest(caller, self._door, speaker, self._program, names, held=held)

    def hear(self, frame: Frame) -> None:
        """Nothing comes before the answer to the upgrade."""

    def is_late(self) -> None:
        """The rows have not answered."""
        self._welcome = None
        self._refuse(
            MessageError(
                Code.UNAVAILABLE,
                "The storage has not answered in time.",
                "Connect again later.",
                retry_after_ms=RETRY_AFTER_MS,
            )
        )

    def _refuse(self, refusal: MessageError) -> None:
        self._arriving.refuse(_status(refusal.code), refusal)


def _status(code: Code) -> HTTPStatus:
    if code in (Code.TOO_MANY_CONNECTIONS, Code.BANNED):
        return HTTPStatus.TOO_MANY_REQUESTS
    return HTTPStatus(HTTP_STATUSES.get(code, HTTPStatus.SERVICE_UNAVAILABLE))


def credentials_of(headers: Headers, origins: frozenset[str]) -> Credentials:
    """An API key, or else a session with an Origin that may have it. Raises MessageError(UNAUTHORIZED, FORBIDDEN).

    A browser sends its cookie along with any page's connection, but says whose page it is; an API key it never sends.
    """
    given = headers.get_all("Authorization")
    if given:
        scheme, _, key = given[0].partition(" ")
        if len(given) != 1 or scheme.lower() != "bearer" or not key.strip():
            raise _unauthorized("The Authorization header holds no Bearer key.")
        return Credentials(key.strip(), is_session=False)
    token = _cookie(headers, SESSION_COOKIE)
    if not token:
        raise _unauthorized("The upgrade request has no credentials.")
    given = headers.get_all("Origin")
    if len(given) != 1 or given[0].lower() not in origins:
        shown = ascii(given[0][:100]) if given else "none"
        raise MessageError(
            Code.FORBIDDEN,
            f"A session is taken from the hive's own pages only; the Origin is {shown}.",
            "Open the page at an address that the server knows (VAULT_HIVE_ORIGINS), or use an agent's API key.",
        )
    return Credentials(token, is_session=True)


def _cookie(headers: Headers, name: str) -> str:
    """The last one of this name, as the pages read it."""
    value = ""
    for pair in ";".join(headers.get_all("Cookie")).split(";"):
        key, _, found = pair.strip().partition("=")
        if key.strip() == name:
            value = found.strip()
    return value


def _unauthorized(message: str) -> MessageError:
    return MessageError(
        Code.UNAUTHORIZED,
        message,
        "Send an agent's key as `Authorization: Bearer th_agent_…`, or log in on the pages.",
    )

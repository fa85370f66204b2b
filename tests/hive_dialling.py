"""Agents and people on /hive, for tests: raw connections, and accounts made beside the running server."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import sqlite3
import time
from collections import deque
from collections.abc import Mapping
from contextlib import closing
from types import TracebackType
from typing import Self, TypeVar

import psycopg
import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed

from protocol import hive as wire
from protocol.envelope import Envelope, Kind, Message
from protocol.hive_peer import AgentPeer
from protocol.session import Ack, Error
from tests.processes import Server

ANSWER_SECONDS_MAX = 15.0
FRAME_BYTES_MAX = 16 * 2**20
USER = """INSERT INTO users (email, name, role, password_hash, credit_balance, created_at, updated_at)
    VALUES (:email, :name, :role, '$argon2id$of-a-test', 0, :now, :now)"""
SESSION = """INSERT INTO hive_sessions (token_hash, user_id, created_at, expires_at)
    SELECT :token_hash, id, :now, :expires_at FROM users WHERE email = :email"""
M = TypeVar("M", bound=Message)


class HiveSocket:
    """An open connection; made by `dial_hive`. `socket` is there for tests that speak out of turn."""

    def __init__(self, socket: websockets.asyncio.client.ClientConnection) -> None:
        self.socket = socket
        self.peer = AgentPeer(frame_bytes_max=FRAME_BYTES_MAX)
        self._last_id = 0
        self._waiting: deque[Envelope] = deque()

    async def send(self, message: Message) -> int:
        """Send a request; returns its id without waiting for the reply."""
        self._last_id += 1
        is_request = message.SHAPE.kind is Kind.REQUEST
        await self.socket.send(self.peer.encode(Envelope(message, self._last_id if is_request else None)))
        return self._last_id

    async def answer(self, number: int, *, seconds: float = ANSWER_SECONDS_MAX) -> Message:
        """The reply to that request. Raises the server's refusal (MessageError)."""
        answer = (await self.next(seconds, re=number)).message
        if isinstance(answer, Error):
            raise answer.exception() or AssertionError(f"an error code that protocol.errors does not have: {answer}")
        return answer

    async def ask(self, message: Message, reply: type[M]) -> M:
        """Send a request and wait for its reply. Raises the server's refusal (MessageError)."""
        answer = await self.answer(await self.send(message))
        assert isinstance(answer, reply), f"{message.SHAPE.wire_type} was answered by {answer.SHAPE.wire_type}"
        return answer

    async def pushed(self, kind: type[M]) -> tuple[M, int]:
        """The next push of that class and its `seq`."""
        envelope = await self.next(ANSWER_SECONDS_MAX, kind=kind)
        assert isinstance(envelope.message, kind)
        assert envelope.seq is not None, f"{envelope.message.SHAPE.wire_type} came without a seq"
        return envelope.message, envelope.seq

    async def acknowledge(self, seq: int) -> None:
        """End a push."""
        await self.send(Ack(push=seq))

    async def error(self) -> Error:
        """The next refusal that answers nothing, or anything."""
        envelope = await self.next(ANSWER_SECONDS_MAX, kind=Error)
        assert isinstance(envelope.message, Error)
        return envelope.message

    async def next(self, seconds: float, *, re: int | None = None, kind: type[Message] | None = None) -> Envelope:
        """The next frame that answers this, or is of that class; others stay for later calls."""
        async with asyncio.timeout(seconds):
            while True:
                for envelope in self._waiting:
                    if envelope.re == re if re is not None else isinstance(envelope.message, kind or Message):
                        self._waiting.remove(envelope)
                        return envelope
                self._waiting.append(self.peer.decode(await self.socket.recv()))

    async def here(self, seconds: float = 0.3) -> list[Envelope]:
        """All that has come and comes within that time."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._waiting.append(self.peer.decode(await self.socket.recv()))
        except (TimeoutError, ConnectionClosed):
            pass
        seen = list(self._waiting)
        self._waiting.clear()
        return seen

    async def closed(self) -> int:
        """Wait until the server closes; returns the close code (1006 when the connection just broke)."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            try:
                while True:
                    self._waiting.append(self.peer.decode(await self.socket.recv()))
            except ConnectionClosed:
                pass
        assert self.socket.close_code is not None
        return self.socket.close_code

    def drop(self) -> None:
        """Leave as a pulled cable would: no closing handshake."""
        self.socket.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.socket.close()


async def dial_hive(
    url: str, *, key: str | None = None, session: str | None = None, origin: str | None = None,
    headers: Mapping[str, str] | None = None, local_address: str | None = None,
) -> HiveSocket:  # fmt: skip
    """Connect with an API key, or with a session and its Origin. Raises InvalidStatus when the upgrade is refused."""
    given = dict(headers or {})
    if key is not None:
        given["Authorization"] = f"Bearer {key}"
    if session is not None:
        given["Cookie"] = f"{wire.SESSION_COOKIE}={session}"
    if origin is not None:
        given["Origin"] = origin
    socket = await websockets.asyncio.client.connect(
        url + wire.HIVE_PATH,
        additional_headers=given,
        compression=None,
        proxy=None,
        max_size=FRAME_BYTES_MAX,
        local_addr=None if local_address is None else (local_address, 0),
    )
    return HiveSocket(socket)


class Accounts:
    """People, as rows beside the running server: registered and logged in. The rest they do themselves."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def origin(self) -> str:
        """Where the server's pages are."""
        return f"http://127.0.0.1:{self._server.http_port}"

    def person(self, name: str, *, role: str = "both", lasting_ms: int = 3_600_000) -> str:
        """Somebody registers and logs in; his session."""
        now, token = int(time.time() * 1000), secrets.token_hex(32)
        email = f"{name}@example.org"
        self._write(USER, {"email": email, "name": name, "role": role, "now": now})
        self._write(SESSION, {"email": email, "token_hash": _hashed(token), "now": now, "expires_at": now + lasting_ms})
        return token

    def end(self, session: str) -> None:
        """A session ends, as if on another node: this server is not told."""
        self._write("DELETE FROM hive_sessions WHERE token_hash = :hash", {"hash": _hashed(session)})

    def _write(self, sql: str, values: dict[str, object]) -> None:
        place = self._server.settings.get("database")
        if place is None:
            with closing(sqlite3.connect(self._server.database, timeout=15)) as connection, connection:
                assert connection.execute(sql, values).rowcount == 1
        else:
            with psycopg.connect(str(place), autocommit=True) as connected:
                assert connected.execute(re.sub(r":(\w+)", r"%(\1)s", sql), values).rowcount == 1


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
